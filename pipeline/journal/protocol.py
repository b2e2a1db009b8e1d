"""What a journal is: the rows of runs, written in transactions and read back.

A journal knows nothing of steps and types; what it holds is bytes that were encoded by them.
``Recorder`` writes what happens in a run into it, ``Recall`` reads it back for a resume.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal, Protocol, TypeAlias

import msgspec

from pipeline.codec import Cipher
from pipeline.journal.records import AttemptsRow, InputRow, OutcomeRow, Row, RunRow

Durability: TypeAlias = Literal["input", "step"]
"""What a kill may cost: ``"input"``: the inputs in flight; ``"step"``: of each of them, the step in flight."""

Sync: TypeAlias = Literal["process", "power"]
"""What an acknowledged outcome survives: ``"process"``: kill -9; ``"power"``: also the loss of power."""


class Lease(msgspec.Struct, frozen=True):
    """The right to write one run: its batch, its number, and its owner as the journal has it, who has a token.

    Numbers alone would be those of another run, where the journal is not the one in which this run began.
    """

    batch: int
    run: int
    token: str
    owner: str = ""

    @property
    def held(self) -> tuple[int, int, str]:
        """What the journal has to hold for the right to last."""
        return self.batch, self.run, self.owner


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What one transaction writes.

    ``is_first`` says that no input in it has a row yet, and that none gets a second one before its batch is resumed:
    then a journal may keep many of these rows together.
    """

    inputs: Sequence[InputRow] = ()
    outcomes: Sequence[OutcomeRow] = ()
    attempts: Sequence[AttemptsRow] = ()
    is_first: bool = False


class Pruned(msgspec.Struct, frozen=True):
    """What ``prune`` removed: how many batches, with how many runs; ``advice`` says how to shrink the file."""

    batches: int
    runs: int
    advice: str = ""


class Journal(Protocol):
    """Where runs are remembered. ``SqliteJournal`` survives the process."""

    @property
    def durability(self) -> Durability:
        """What a kill may cost."""
        ...

    @property
    def group_s(self) -> float:
        """How long, in seconds, outcomes that arrive fast may wait for each other before a commit."""
        ...

    @property
    def cipher(self) -> Cipher | None:
        """What stored data is encrypted with."""
        ...

    @property
    def name(self) -> str:
        """Where it is, for messages."""
        ...

    @property
    def restore(self) -> str:
        """What helps where it is damaged, for messages."""
        ...

    @property
    def is_shared(self) -> bool:
        """Whether others may take part, machines or containers, that know by ``beat`` alone that an owner lives."""
        ...

    def begin(self, run: RunRow, previous: RunRow | None, changes: Callable[[Lease], Iterable[Change]]) -> Lease:
        """Record a new run, its owner and its inputs in one transaction; ``RunOwned`` when the batch has a live one.

        It joins the batch of ``previous`` or starts one; ``run.batch`` and ``run.run`` are ignored.
        ``changes`` is called, and what it gives is pulled, inside the transaction, when nobody else has the batch.
        """
        ...

    def join(self, lease: Lease) -> None:
        """Make sure that a worker process reaches the run; ``JournalError`` where the run is not in what it opens."""
        ...

    def write(self, lease: Lease, change: Change) -> None:
        """Make a change durable; ``RunOwned`` when the lease was lost."""
        ...

    def beat(self, lease: Lease) -> bool:
        """Show that the owner lives; whether the run is still its own."""
        ...

    def end(self, lease: Lease, run: RunRow) -> None:
        """Record how a run ended and give the lease back; ``RunOwned`` when it was lost."""
        ...

    def find(self, processor: str, run_id: str | None = None) -> RunRow | None:
        """A run by its number, or the latest of a processor; ``None`` when there is none."""
        ...

    def run(self, number: int) -> RunRow:
        """A run by its number."""
        ...

    def latest(self, batch: int, before: int | None = None) -> RunRow:
        """The latest run of a batch, or the latest before another."""
        ...

    def runs(self) -> list[RunRow]:
        """All runs, the earliest first."""
        ...

    def inputs(self, batch: int) -> Iterator[InputRow]:
        """The inputs of a batch by slot."""
        ...

    def places(self, batch: int) -> Iterator[int]:
        """The ids of the latest run's inputs, in its order."""
        ...

    def input_ids(self, batch: int) -> Iterator[tuple[int, str]]:
        """Id and ``input_id`` of every input of a batch."""
        ...

    def input(self, number: int) -> InputRow | None:
        """One input."""
        ...

    def outcome(self, number: int) -> OutcomeRow | None:
        """The latest outcome of one input."""
        ...

    def checkpoint(self, number: int, run: int) -> OutcomeRow | None:
        """What a run that keeps steps has written of one input."""
        ...

    def outcomes(self, batch: int) -> Iterator[OutcomeRow]:
        """The latest outcomes of a batch by slot."""
        ...

    def failures(self, batch: int) -> Iterator[Row]:
        """Id, step and detail of every input of a batch that failed, unchecked; not those in pages that are damaged."""
        ...

    def succeeded(self, batch: int) -> int:
        """How many inputs of a batch have an output; a row that is damaged counts, for it is there."""
        ...

    def attempts(self, number: int) -> list[AttemptsRow]:
        """The failed tries of one input, the earliest first."""
        ...

    def prune(
        self, *, older_than_s: float | None = None, run_id: str | None = None, keep_last: int | None = None
    ) -> Pruned:
        """Forget whole batches that are not in progress: older than, that of one run, or all but the latest.

        Of a damaged run, where that cannot be told, or has sound runs too, its row alone.
        """
        ...

    def close(self) -> None:
        """Close the connections of this process; the next use opens them again."""
        ...

"""What finished steps returned, kept from wherever they ran: in this process, or over a connection of a worker's own.

    stepwise ─▶ keep ─▶ encoded by the type that the next step declares ─▶ the row of the input's latest outcome

A checkpoint takes the place of what was known of its input, and the outcome takes that of the checkpoint.
The output is kept as the outcome that it is; whoever takes it from the runner has nothing more to write.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any

from msgspec.structs import replace

from pipeline.codec import CodecError
from pipeline.errors import JournalDamaged, JournalError
from pipeline.journal.protocol import Change, Journal, Lease
from pipeline.journal.records import OutcomeRow
from pipeline.journal.stored import Stored
from pipeline.stepwise import Repeated, Seat, Seated

KNOWN_RUNS = 16
"""Runs whose connections a worker process keeps, because a cluster sends the function with every chunk."""


class Checkpoints:
    """The checkpoints of one run; see ``pipeline.stepwise``.

    Threads that finish steps at the same time share a commit: the first to come makes it, for all who came meanwhile.
    """

    def __init__(self, journal: Journal, stored: Stored, lease: Lease, *, is_worker: bool = False) -> None:
        self.journal = journal
        self.stored = stored
        self.lease = lease
        self.is_worker: bool = is_worker
        self._joining = Lock()  # guards `_group`
        self._group: Group = Group()
        self._committing = Lock()
        self._taking_turns: asyncio.Lock = asyncio.Lock()  # of the one event loop that uses this
        self._error: Exception | None = None  # of the first access that failed: none is tried after it
        self._thread: ThreadPoolExecutor | None = None  # of that loop; its own, because steps may take all others

    def __reduce__(self) -> tuple[Any, ...]:
        return _in_worker, (self.journal, self.stored, self.lease)

    def join(self) -> None:
        """Open the journal of the process that began the run; the first input is told where that fails."""
        try:
            self.journal.join(self.lease)
        except JournalError as error:
            self._error = error

    # reading

    def found(self, start: Seated | Repeated) -> tuple[int, Any]:
        """Where to start: where the input is given to a worker for the first time, as it was told.

        In one process no input is given out twice, so there is nothing to look for.
        """
        self.check()
        reached = self.reached(start[3][0]) if self.is_worker else None
        return (start[1], start[2]) if reached is None else reached

    def reached(self, number: int) -> tuple[int, Any] | None:
        """How far this run brought an input: the place of the next step and what enters it, or the output behind all.

        ``None`` where nothing of it is kept in this run, or nothing that can be read.
        """
        try:
            row = self.latest(number)
            place = None if row is None else self.stored.place_of(row)
            return None if row is None or place is None else (place, self.stored.read(row.data or b"", place))
        except (CodecError, JournalDamaged):
            return None

    def latest(self, number: int) -> OutcomeRow | None:
        """What this run has written of an input."""
        return self.journal.checkpoint(number, self.lease.run)

    # writing

    def keep(self, start: Seated | Repeated, place: int, value: Any) -> None:
        """Make durable that ``value`` enters step ``place``, or that it is the output."""
        self._commit(self._join(self._row(start[3], place, value)))
        self.check()

    async def akeep(self, start: Seated | Repeated, place: int, value: Any) -> None:
        """``keep`` on an event loop, which goes on meanwhile."""
        group = self._join(self._row(start[3], place, value))
        async with self._taking_turns:
            if not group.is_done:
                self._thread = self._thread or ThreadPoolExecutor(1, "checkpoints")
                await asyncio.get_running_loop().run_in_executor(self._thread, self._commit, group)
        self.check()

    def check(self) -> None:
        """Raise what the journal raised: after that, nothing is acknowledged any more."""
        if self._error is not None:
            raise self._error

    def _row(self, seat: Seat, place: int, value: Any) -> OutcomeRow:
        return self.stored.checkpoint_row(seat[0], self.lease.run, place, value, seat[1])

    def _join(self, row: OutcomeRow) -> Group:
        with self._joining:
            self._group.rows.append(row)
            return self._group

    def _commit(self, group: Group) -> None:
        """Commit a group, unless somebody has done so."""
        with self._committing:
            if group.is_done:
                return
            with self._joining:
                self._group = Group()
            try:
                self.check()
                self.journal.write(self.lease, Change(outcomes=[self._merged(row) for row in group.rows]))
            except Exception as error:  # noqa: BLE001 - all who are in the group are told
                self._error = error
            group.is_done = True

    def _merged(self, row: OutcomeRow) -> OutcomeRow:
        """A row of what cannot be stored, with what can: the checkpoint before it stays, with the reason."""
        before = None if row.problem is None else self.journal.outcome(row.id)
        if before is None:
            return row
        if row.status == "succeeded":
            before = replace(before, run=row.run, status=row.status)
        return replace(before, problem=row.problem)


class Group:
    """Rows that are committed together. Guard: the locks of ``Checkpoints``."""

    def __init__(self) -> None:
        self.rows: list[OutcomeRow] = []
        self.is_done: bool = False


_known: dict[str, Checkpoints] = {}  # by the token of the run's owner


def _in_worker(journal: Journal, stored: Stored, lease: Lease) -> Checkpoints:
    """The checkpoints of a run in a worker process, over a connection that is open before the first input is."""
    if lease.token not in _known:
        _known[lease.token] = Checkpoints(journal, stored, lease, is_worker=True)
        _known[lease.token].join()
        for old in list(_known)[:-KNOWN_RUNS]:
            _known.pop(old).journal.close()
    return _known[lease.token]

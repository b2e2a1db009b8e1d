"""Writes a run into a journal: what arrived is committed before it is handed out, several outcomes at a time.

    outcome ─▶ record ─┬─ the last commit was a while ago ─▶ commit now        slow inputs: one by one
                       └─ else hold it ─▶ commit with those that follow       fast inputs: by time, count or bytes

There is no writer thread: beside Python code that computes it would starve, and acknowledged outcomes be lost.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from threading import Lock
from time import monotonic, time
from typing import Any, cast

import msgspec

from pipeline.batchstep import is_batched
from pipeline.compose import Pipeline
from pipeline.errors import JournalError
from pipeline.journal.checkpoints import Checkpoints
from pipeline.journal.heartbeat import HEART, LATE, LATE_S
from pipeline.journal.owner import LIVE
from pipeline.journal.protocol import Change, Journal, Lease
from pipeline.journal.recall import Recall
from pipeline.journal.records import SLOTS, AttemptsRow, InputRow, OutcomeRow, RunRow
from pipeline.journal.sql import taken_over
from pipeline.journal.stored import FailureDetail, RunDetail, Stored, attempts_row, write_detail
from pipeline.journal.unrecorded import A, Arrived
from pipeline.metrics import Metrics
from pipeline.model import Completed, Failed, Outcome, Payload, ProcessorInput, Skipped, Succeeded
from pipeline.stepwise import Start

_LOGGER = logging.getLogger("pipeline")

GROUP_ROWS = 512
"""Outcomes that wait for each other at most."""

GROUP_BYTES = 1_000_000
"""Bytes that wait to be committed at most."""

AT_A_TIME = 1_000
"""Inputs that are encoded at a time when a run begins."""

Items = Sequence[ProcessorInput[Any]]


class Recorder:
    """Records one run. ``held`` are the arrivals whose outcomes are not yet durable; guard: ``_lock``."""

    def __init__(self, journal: Journal, stored: Stored, row: RunRow, detail: RunDetail) -> None:
        self.journal = journal
        self.stored = stored
        self.row: RunRow = row
        self.detail = detail
        self.lease: Lease = Lease(0, 0, "")
        self.memory: Recall | None = None
        self.slots: dict[int, int] | None = None
        self.keeps_steps: bool = journal.durability == "step" and not _meets(stored.pipeline)
        self.steps: Checkpoints | None = None
        self.kept: Mapping[str, Outcome[Any]] = {}
        self.held: list[Any] = []
        self.committed_at: float = monotonic()
        self.finished: bool = False
        self.is_lost: bool = False
        self.failed: Exception | None = None
        self.on_lost: Callable[[], None] = _nothing
        self._lock = Lock()
        self._clear()

    def _clear(self) -> None:
        self._inputs: list[InputRow] = []
        self._outcomes: list[OutcomeRow] = []
        self._attempts: list[AttemptsRow] = []
        self._bytes = 0

    # the beginning

    def begin(self, previous: RunRow | None, items: Items | None) -> None:
        """Record the run and, for a batch, its inputs, all in one transaction."""
        if previous is not None:
            self.memory = Recall(self.journal, self.stored, previous.batch)
            self.slots = {}
        self.lease = self.journal.begin(self.row, previous, lambda lease: self._inputs_of(lease, items))
        self.row = self.row._replace(batch=self.lease.batch, run=self.lease.run)
        if self.keeps_steps:
            self.steps = Checkpoints(self.journal, self.stored, self.lease)
        if self.journal.is_shared:
            HEART.start(self.lease.token, self._beat)
            LATE.start(self.lease.token, self._write_late)

    def _beat(self) -> None:
        """Called every few seconds, by a thread of its own: show that the run lives, or find that it was taken over."""
        try:
            self.is_lost = self.is_lost or not (self.journal.beat(self.lease) or self.finished)
        except Exception:
            _LOGGER.warning("no heartbeat of run %s in %s", self.row.run_id, self.journal.name, exc_info=True)
        if self.is_lost:
            self.on_lost()

    def _write_late(self) -> None:
        """Called by a thread of its own: what waits for others becomes durable, though none come for now.

        It is handed out with the next that comes; where it cannot be written, that one is told.
        """
        if self._outcomes and monotonic() - self.committed_at >= LATE_S:
            with self._lock:
                try:
                    self._write()
                except Exception as error:  # noqa: BLE001 - raised to whoever records next
                    self.failed = error

    def _inputs_of(self, lease: Lease, items: Items | None) -> Iterator[Change]:
        self.lease = lease
        if items is None:
            return
        for first in range(0, len(items), AT_A_TIME):
            for place, item in enumerate(items[first : first + AT_A_TIME], first):
                self._add(place, item)
            yield self._change()
        if self.memory is not None:
            yield self._without(items)

    def _without(self, items: Items) -> Change:
        """The inputs of earlier runs that this one does not have lose their places."""
        here = set((self.slots or {}).values())
        gone = [row for row in self.journal.inputs(self.lease.batch) if row.place is not None and row.id not in here]
        return Change(inputs=[row._replace(place=None) for row in gone])

    def _add(self, place: int, item: ProcessorInput[Any]) -> None:
        """Queue the rows of an input: its own, and that of the payload it brought with it."""
        if not is_input(item):
            return
        number = self._id(place) if self.memory is None else self._join(self.memory, place, item)
        if self.memory is None:
            self._inputs.append(self.stored.input_row(number, place, item))
        kept = self.kept.get(item.input_id)
        row = None if kept is None else self.stored.outcome_row(number, self.lease.run, kept, self.detail.code)
        if row is not None and item.payload is not None:
            self._outcomes.append(row)
        elif isinstance(item.payload, Payload | Completed):
            self._outcomes.append(self.stored.given_row(number, self.lease.run, item.payload))

    def _join(self, memory: Recall, place: int, item: ProcessorInput[Any]) -> int:
        """Find the input among those of earlier runs; a changed one keeps the fingerprint it had then."""
        number = memory.take(item.input_id, self.lease.batch)
        if self.slots is not None:
            self.slots[place] = number
        row, before = self.stored.input_row(number, place, item), self.journal.input(number)
        if before is not None and (row.data is None or row.data != before.data):
            outcome = self.journal.outcome(number)
            if outcome is not None and outcome.fingerprint is None:
                self._outcomes.append(outcome._replace(fingerprint=self.stored.fingerprint_of(before)))
        if before != row:
            self._inputs.append(row)
        return number

    def _id(self, place: int) -> int:
        slot = self.lease.batch * SLOTS + place
        return slot if self.slots is None else self.slots.get(place, slot)

    def admit(self, place: int, item: ProcessorInput[Any]) -> None:
        """Take in an input of a stream; it becomes durable with the next outcomes, or at once if its steps will."""
        with self._lock:
            self._add(place, item)
            if self.keeps_steps:
                self._write()

    def recall(self, item: ProcessorInput[Any]) -> ProcessorInput[Any]:
        """A bare input with what an earlier run of its batch knew of it."""
        return item if self.memory is None or item.payload is not None else self.memory.recall(item)

    # steps

    def seated(self, start: Start, place: int, payload: Payload | None) -> Start:
        """A start with what its checkpoints need to know."""
        detail = None
        if payload is not None and (payload.retry_count or payload.edited):
            detail = write_detail(FailureDetail(retry_count=payload.retry_count, edited=payload.edited))
        return (*start[:3], (self._id(place), detail))

    def reached(self, place: int) -> tuple[int, Any] | None:
        """How far this run brought an input that did not come back: the place of the next step, and what enters it."""
        return None if self.steps is None else self.steps.reached(self._id(place))

    # while it runs

    def record(self, arrival: A) -> Iterable[A]:
        """The arrivals, in order, that are durable now that this one has come."""
        row = self._row(arrival)
        if row is not None:
            tries = attempts_row(row.id, row.run, arrival.outcome)
        else:
            tries = self._tries(arrival) if self.keeps_steps else None
        with self._lock:
            if self.slots is not None:  # of a stream there may be no end
                self.slots.pop(arrival.place, None)
            if self.keeps_steps and not (row or tries or self.held):  # its last step has made it durable
                return (arrival,)
            self.held.append(arrival)
            if row is not None:
                self._outcomes.append(row)
                self._bytes += len(row.data or b"")
            if tries is not None:
                self._attempts.append(tries)
            return self._committed() if self._is_due() else ()

    def _row(self, arrival: Arrived) -> OutcomeRow | None:
        if not is_input(arrival.item):  # the run says so; there is nothing to go on with
            return None
        if arrival.kept or isinstance(arrival.outcome, Skipped):  # it is there, at the latest since the run began
            return None
        if self.memory is not None and arrival.item.payload is None and _is_refused(arrival.outcome):
            return None  # what was recalled stays as it is: a later version may be able to go on with it
        number, before = self._id(arrival.place), None
        if self.steps is not None:
            if isinstance(arrival.outcome, Succeeded) and self.stored.pipeline[-1].checkpoint:
                return None  # its last step has written it
            before = self.steps.latest(number)
        return self.stored.outcome_row(number, self.lease.run, arrival.outcome, self.detail.code, before)

    def _tries(self, arrival: Arrived) -> AttemptsRow | None:
        """The failed tries of an outcome that its last step has written."""
        return None if arrival.kept else attempts_row(self._id(arrival.place), self.lease.run, arrival.outcome)

    def _is_due(self) -> bool:
        waited_s = monotonic() - self.committed_at
        return waited_s >= self.journal.group_s or len(self.held) >= GROUP_ROWS or self._bytes >= GROUP_BYTES

    def flush(self) -> Iterable[Any]:
        """Make durable what waits, and hand it out."""
        with self._lock:
            return self._committed()

    def _committed(self) -> Iterable[Any]:
        self._write()
        self.committed_at = monotonic()
        released, self.held = self.held, []
        return released

    def _write(self) -> None:
        if self.failed is not None:
            raise self.failed
        if self.is_lost:
            raise taken_over(self.journal.name)
        if self.steps is not None:
            self.steps.check()
        if self._inputs or self._outcomes or self._attempts:
            self.journal.write(self.lease, self._change())

    def _change(self) -> Change:
        change = Change(inputs=self._inputs, outcomes=self._outcomes, attempts=self._attempts)
        self._clear()
        return change

    # the end

    def finish(self, state: str, stopped: str | None = None, metrics: Metrics | None = None) -> None:
        """Record how the run ended and give up the lease; a second call does nothing."""
        if self.finished:
            return
        self.finished = True
        HEART.stop(self.lease.token)
        LATE.stop(self.lease.token)
        try:
            detail = write_detail(msgspec.structs.replace(self.detail, stopped=stopped, metrics=metrics))
            self.journal.end(self.lease, self.row._replace(state=state, ended_at=time(), detail=detail))
        finally:
            LIVE.discard(self.lease.token)

    def abandon(self) -> None:
        """Give up the lease of a run that its consumer left, or whose journal failed."""
        try:
            self.finish("stopped", "its consumer left")
        except JournalError:  # told already; the next to open the journal finds that the run has died
            return


def _meets(pipeline: Pipeline[Any, Any, Any]) -> bool:
    """Whether inputs meet at a batch step: then whole inputs are kept, since no step is any one input's own."""
    return any(is_batched(step.fn) for step in pipeline)


def is_input(item: object) -> bool:
    """Whether it is one; anything else fails in the run, and leaves nothing to go on with."""
    return isinstance(item, ProcessorInput) and isinstance(cast("object", item.input_id), str)


def _nothing() -> None:
    """Tells nobody that the run was taken over."""


def _is_refused(outcome: Outcome[Any]) -> bool:
    return isinstance(outcome, Failed) and outcome.step == "resume"

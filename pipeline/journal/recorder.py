"""Writes a run into a journal: what arrived is committed before it is handed out, several outcomes at a time.

    outcome ─▶ record ─┬─ the last commit was a while ago ─▶ commit now        slow inputs: one by one
                       └─ else hold it ─▶ commit with those that follow       fast inputs: by time, count or bytes

There is no writer thread: beside Python code that computes it would starve, and acknowledged outcomes be lost.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from threading import Lock
from time import monotonic, time
from typing import Any

import msgspec

from pipeline.batchstep import is_batched
from pipeline.compose import Pipeline
from pipeline.errors import JournalError, RunOwned
from pipeline.journal.admission import Admission, Items, is_input
from pipeline.journal.checkpoints import Checkpoints
from pipeline.journal.heartbeat import HEART, LATE, LATE_S
from pipeline.journal.owner import LIVE
from pipeline.journal.protocol import Change, Journal, Lease
from pipeline.journal.records import SLOTS, AttemptsRow, OutcomeRow, RunRow
from pipeline.journal.sql import taken_over
from pipeline.journal.stored import FailureDetail, RunDetail, Stored, attempts_row, write_detail
from pipeline.journal.unrecorded import A, Arrived
from pipeline.journal.waiting import GROUP_BYTES, GROUP_ROWS, Waiting
from pipeline.metrics import Metrics
from pipeline.model import Payload, ProcessorInput, Skipped, Succeeded
from pipeline.payload import is_refused
from pipeline.stepwise import Start

_LOGGER = logging.getLogger("pipeline")


class Recorder:
    """Records one run. ``held`` are the arrivals whose outcomes are not yet durable; guard: ``_lock``."""

    def __init__(self, journal: Journal, stored: Stored, row: RunRow, detail: RunDetail) -> None:
        self.journal = journal
        self.stored = stored
        self.row: RunRow = row
        self.detail = detail
        self.lease: Lease = Lease(0, 0, "")
        self.keeps_steps: bool = journal.durability == "step" and not _meets(stored.pipeline)
        self.steps: Checkpoints | None = None
        self.waiting: Waiting = Waiting(is_first=not self.keeps_steps)
        self.admission: Admission = Admission(journal, stored, detail, self.waiting)
        self.held: list[Any] = []
        self.committed_at: float = monotonic()
        self.finished: bool = False
        self.is_lost: bool = False
        self.failed: Exception | None = None
        self.on_lost: Callable[[], None] = _nothing
        self._process: int = os.getpid()
        self._lock = Lock()
        self._group_s: float = journal.group_s
        self._output_row: Callable[[int, int, Any], OutcomeRow] = stored.output_row
        self._first: int = 0  # the number of the first input's rows, and of the run
        self._run: int = 0

    # the beginning

    def begin(self, previous: RunRow | None, items: Items | None, read: RunRow | None = None) -> None:
        """Record the run and, for a batch, its inputs, all in one transaction.

        ``RunOwned`` where the inputs were ``read`` from a run of the batch that is not the latest any more, or that
        went on since: they may be others now.
        """

        def changes(lease: Lease) -> Iterable[Change]:
            if read is not None and self.journal.latest(lease.batch, lease.run) != read:
                raise RunOwned(f"another process went on with run {read.run_id} a moment ago; resume again")
            return self.admission.batch(lease, items, joins=previous is not None)

        self.lease = self.journal.begin(self.row, previous, changes)
        try:
            self.row = self.row._replace(batch=self.lease.batch, run=self.lease.run)
            self._first, self._run = self.lease.batch * SLOTS, self.lease.run
            if self.keeps_steps:
                self.steps = Checkpoints(self.journal, self.stored, self.lease)
            if self.journal.is_shared:
                LIVE.add(self.lease.token)  # a journal of somebody else's may have left that out
                HEART.start(self.lease.token, self._beat)
                LATE.start(self.lease.token, self._write_late)
        except BaseException:
            self.abandon()
            raise

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
        if self.waiting.outcomes and monotonic() - self.committed_at >= LATE_S:
            with self._lock:
                try:
                    self._write()
                except Exception as error:  # noqa: BLE001 - raised to whoever records next
                    self.failed = error

    def admit(self, place: int, item: ProcessorInput[Any]) -> None:
        """Take in an input of a stream; it becomes durable with the next outcomes, or at once if its steps will."""
        with self._lock:
            self.admission.add(place, item)
            if self.keeps_steps:
                self._write()

    @property
    def remembers(self) -> bool:
        """Whether there are earlier runs of this batch."""
        return self.admission.memory is not None

    def recall(self, place: int, item: ProcessorInput[Any]) -> ProcessorInput[Any]:
        """A bare input with what an earlier run of its batch knew of it."""
        return item if self.admission.memory is None else self.admission.recall(place, item)

    def remembered(self, place: int, item: ProcessorInput[Any]) -> ProcessorInput[Any]:
        """``recall`` for a retry by whoever has not this journal."""
        return self.admission.remembered(place, item)

    # steps

    def seated(self, start: Start, place: int, payload: Payload | None) -> Start:
        """A start with what its checkpoints need to know."""
        detail = None
        if payload is not None and (payload.retry_count or payload.edited):
            detail = write_detail(FailureDetail(retry_count=payload.retry_count, edited=payload.edited))
        return (*start[:3], (self.admission.number(place), detail))

    def reached(self, place: int) -> tuple[int, Any] | None:
        """How far this run brought an input that did not come back: the place of the next step, and what enters it."""
        return None if self.steps is None else self.steps.reached(self.admission.number(place))

    # while it runs

    def record(self, arrival: A) -> Iterable[A]:
        """The arrivals, in order, that are durable now that this one has come."""
        outcome, waiting = arrival.outcome, self.waiting
        if type(outcome) is not Succeeded or outcome.attempts or arrival.kept or not waiting.is_first:
            return self._record(arrival)
        row = self._output_row(self._first + arrival.place, self._run, outcome.output)
        with self._lock:  # not acquire and try: between them a signal's handler may raise, as it may anywhere here
            waiting.ended(row)  # first: nothing is handed out that has no row
            self.held.append(arrival)
            waits = len(self.held) < GROUP_ROWS and waiting.size < GROUP_BYTES  # `_is_due`, without the call
            return () if waits and monotonic() - self.committed_at < self._group_s else self._committed()

    def _record(self, arrival: A) -> Iterable[A]:
        row = self._row(arrival)
        tries = self._tries(arrival) if row is not None or self.keeps_steps else None
        with self._lock:
            self.admission.leave(arrival.place)
            if self.keeps_steps and not (row or tries or self.held):  # its last step has made it durable
                return (arrival,)
            if row is not None:
                self.waiting.ended(row)
            self.held.append(arrival)
            if tries is not None:
                self.waiting.attempts.append(tries)
            return self._committed() if self._is_due() else ()

    def _row(self, arrival: Arrived) -> OutcomeRow | None:
        if not is_input(arrival.item):  # the run says so; there is nothing to go on with
            return None
        if arrival.kept or isinstance(arrival.outcome, Skipped):  # it is there, at the latest since the run began
            return None
        number, before = self.admission.number(arrival.place), None
        if is_refused(arrival.outcome) and self.admission.can_go_on(number, arrival.item):
            return None  # nothing ran, so that stays as it is: the right processor may be able to go on with it
        if self.steps is not None:
            if isinstance(arrival.outcome, Succeeded) and self.stored.pipeline[-1].checkpoint:
                return None  # its last step has written it
            before = self.steps.latest(number)
        return self.stored.outcome_row(number, self.lease.run, arrival.outcome, self.detail.code, before)

    def _tries(self, arrival: Arrived) -> AttemptsRow | None:
        """The failed tries of an outcome."""
        number = self.admission.number(arrival.place)
        return None if arrival.kept else attempts_row(number, self.lease.run, arrival.outcome)

    def _is_due(self) -> bool:
        if len(self.held) >= GROUP_ROWS or self.waiting.size >= GROUP_BYTES:
            return True
        return monotonic() - self.committed_at >= self._group_s

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
        if self.waiting.in_doubt:
            self.waiting.leave_out(self._is_committed)
        if self.waiting:
            self._write_rows()

    def _write_rows(self) -> None:
        try:
            if self._process != os.getpid():
                raise JournalError("this is a forked copy of the process that began the run, which alone records it")
            self.journal.write(self.lease, self.waiting.change())
            self.waiting.clear()
        except JournalError as error:
            self.waiting.clear()
            self.failed = error  # from here on nothing is handed out: it would have no row
            raise
        except BaseException:  # a signal's handler raised; what it interrupted is written with what comes next
            self.waiting.doubt()
            raise

    def _is_committed(self, tries: AttemptsRow) -> bool:
        return any(row.run == tries.run for row in self.journal.attempts(tries.id))

    # the end

    def finish(self, state: str, stopped: str | None = None, metrics: Metrics | None = None) -> None:
        """Record how the run ended and give up the lease; a second call does nothing, nor one in a forked copy."""
        if self.finished or self._process != os.getpid():
            return
        try:  # from here on, whatever a signal's handler raises, the run has no owner any more
            self.finished = True
            HEART.stop(self.lease.token)
            LATE.stop(self.lease.token)
            detail = write_detail(msgspec.structs.replace(self.detail, stopped=stopped, metrics=metrics))
            self.journal.end(self.lease, self.row._replace(state=state, ended_at=time(), detail=detail))
        finally:
            LIVE.discard(self.lease.token)

    def as_recorded(self, metrics: Metrics) -> Metrics:
        """The figures of a run that a signal's handler broke into: what was counted then may have no row."""
        recorded = self.journal.succeeded(self.lease.batch) - metrics.skipped
        return msgspec.structs.replace(metrics, succeeded=max(0, min(metrics.succeeded, recorded)))

    def abandon(self) -> None:
        """Give up the lease of a run that its consumer left, or whose journal failed."""
        try:
            self.finish("stopped", "its consumer left")
        except JournalError:  # told already; the next to open the journal finds that the run has died
            return


def _meets(pipeline: Pipeline[Any, Any, Any]) -> bool:
    """Whether inputs meet at a batch step: then whole inputs are kept, since no step is any one input's own."""
    return any(is_batched(step.fn) for step in pipeline)


def _nothing() -> None:
    """Tells nobody that the run was taken over."""

"""One run in progress: what is dispatched, what has come back, and why it should stop.

    starts()    inputs ─▶ decide ─▶ what the runner maps over          pulled by the runner, lazily
    take(…)     what the runner gives back ─▶ outcome, record, events  called by the consumer
    rest()      what never came back ─▶ an outcome all the same

``starts`` may be advanced by a runner's thread; everything else belongs to the thread that consumes the run.
What both touch: ``dispatched`` and ``ready`` (one adds, the other takes away) and ``stopped`` (set once, then read).
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from time import perf_counter, time
from typing import Any

from returns.result import Result, Success

from pipeline.aside import not_reached, remembered, without_running
from pipeline.compose import Pipeline
from pipeline.engine import IDLE
from pipeline.errors import JournalError
from pipeline.events import Announcer
from pipeline.inputs import pulled
from pipeline.journal import NoRecorder, Recorder
from pipeline.metrics import Meter, Metrics
from pipeline.model import ExecutionContext, Failed, Outcome, ProcessorInput
from pipeline.plan import Decision, Keep, Refuse, Run, decide, from_the_first
from pipeline.prevalidate import Prevalidation, offender
from pipeline.repeat import NO_TRIES, UNASKED, Repeats, due, unfinished
from pipeline.selection import AS_IT_WAS, Again
from pipeline.settings import Settings
from pipeline.settle import (
    Arrival,
    Back,
    Dispatched,
    Settler,
    as_given,
    raise_unkept,
    went_well,
)
from pipeline.snapshot import own
from pipeline.stepwise import Start
from pipeline.story import log_failure, tell_outcome, tell_start
from pipeline.tolerance import Tolerance
from pipeline.walk import Stop, Trace
from runners import Crash

READY_LIMIT = 1_000
"""Outcomes that needed no worker and wait for the consumer, before it is given a turn."""


class RunInProgress:
    """The state of one run. A processor makes a new one for every call, and keeps none."""

    def __init__(
        self,
        settings: Settings,
        pipeline: Pipeline[Any, Any, Any],
        context: ExecutionContext,
        inputs: Iterable[ProcessorInput[Any]] | None,
        again: Again = AS_IT_WAS,
    ) -> None:
        """``inputs`` are those of a batch; ``None`` for a stream, which passes them to ``starts`` alone."""
        self.again = again
        self.settings = settings
        self.pipeline = pipeline
        self.names: tuple[str, ...] = pipeline.names
        self.context = context
        self.stopped: str | None = None
        self.on_stop: Callable[[], None] = _nothing
        self.on_leave: Callable[[], None] = _nothing
        self.interrupted: bool = False
        self.broken_into: bool = False
        self.has_ended: bool = False
        self.asks: bool = True
        self.finished: int = 0
        self.workers: int = 1
        self.dispatched: dict[int, Dispatched | None] = {}
        self.repeats: Repeats = Repeats(pipeline, context.run_id)
        self.ready: deque[Arrival] = deque()
        self.kept: dict[int, Outcome[Any]] = {}
        self.all_belong: bool = False
        self.prevalidation: Prevalidation = Prevalidation(
            settings.account_id, settings.underwriting_id, endless=inputs is None
        )
        self.settler: Settler = Settler(self.names, settings.code)
        self.meter: Meter = Meter(self.names)
        self.announcer: Announcer = Announcer(settings.observers, context.run_id or "", self.interrupt)
        self.began: float = perf_counter()
        self.process: int = os.getpid()
        self.recorder: Recorder | NoRecorder = NoRecorder()
        self.items: list[ProcessorInput[Any]]
        self.broken: Exception | None
        self.items, self.broken = pulled(inputs or ())
        self.total: int | None = None if inputs is None else len(self.items)
        self.tolerance: Tolerance = Tolerance(
            self.total, settings.max_failures, settings.fail_fast, settings.early_stop
        )

    def begin(self, workers: int) -> None:
        """The run starts now."""
        self.workers = workers
        self.began = perf_counter()
        tell_start(self)
        self._abort_if_one_does_not_belong()

    def keep(self, arrival: Arrival) -> None:
        """Remember the outcome of an input of a batch."""
        self.kept[arrival.place] = arrival.outcome

    def outcomes(self) -> list[Outcome[Any]]:
        """All outcomes of a batch in input order; what was not dispatched is ``NotRun``."""
        places = range(len(self.items))
        for place in places if len(self.kept) < len(places) else ():
            if place not in self.kept:
                self.keep(self._count(not_reached(self, place, self.items[place]), None))
        return [*map(self.kept.__getitem__, places)]

    def stop(self, reason: str) -> None:
        """Dispatch nothing more; what is in flight finishes. The first reason stays."""
        if self.stopped is None:
            self.stopped = reason
            self.on_stop()

    def interrupt(self, reason: str) -> None:
        """``stop`` because a person or the system asked for it."""
        self.interrupted = True
        self.stop(reason)

    def fail(self, error: Exception) -> None:
        """The inputs or the runner raised: the run cannot go on, and ends as an error that carries what it has."""
        if not isinstance(self.broken, JournalError):  # which is told before all others: nothing is durable after it
            self.broken = error if isinstance(error, JournalError) else self.broken or error
        self.stop(f"{type(error).__name__}: {error}")

    def _abort_if_one_does_not_belong(self) -> None:
        for place, problem in self.aborting().items():
            item = self.items[place]
            arrival = self._count(Arrival(place, remembered(self, place, item), offender(item, problem)), None)
            self.recorder.record(arrival)
            self.keep(arrival)

    def aborting(self) -> dict[int, str]:
        """Problems by place, for which a batch does not run at all; the run is stopped when there are any."""
        if not self.total or self.settings.prevalidation != "abort":
            return {}
        problems = Prevalidation(self.settings.account_id, self.settings.underwriting_id).problems(self.items)
        self.all_belong = not problems
        if problems:
            self.stop(f"prevalidation: {len(problems)} of {len(self.items)} inputs do not belong to this run")
        return problems

    # out: what the runner maps over

    def starts(self, inputs: Iterable[ProcessorInput[Any]]) -> Iterator[Start]:
        """What the workers get, until the inputs end or the run is stopped."""
        position, is_first, repeats = 0, self.context.previous_run_id is None, self.repeats.waiting
        nothing_known = self.all_belong and self.again is AS_IT_WAS and not self.recorder.remembers
        if self.stopped is not None:
            return
        try:
            for place, item in enumerate(inputs):
                if self.total is None:
                    self.recorder.admit(place, item)
                decision = from_the_first(item) if nothing_known and item.payload is None else self.decide(place, item)
                if isinstance(decision, Run):
                    self.dispatched[position] = Dispatched(place, item, decision)
                    start = (item.input_id, decision.index, decision.value if is_first else own(decision.value))
                    yield self.recorder.seated(start, place, decision.payload) if self.recorder.keeps_steps else start
                    position += 1
                else:
                    self.ready.append(without_running(self, place, item, decision))
                    if len(self.ready) >= READY_LIMIT:
                        self.dispatched[position] = None
                        yield IDLE
                        position += 1
                if repeats:
                    for again in due(self, position):
                        yield again
                        position += 1
                if self.stopped is not None:
                    return
        except Exception as error:  # noqa: BLE001 - the inputs are the caller's; what came before is kept
            self.fail(error)

    def decide(self, place: int, item: ProcessorInput[Any]) -> Decision:
        """Where this input starts, or why it does not."""
        if not self.all_belong and (problem := self.prevalidation.problem(item)) is not None:
            return Refuse(offender(item, problem))
        if self.again is not AS_IT_WAS:
            kept = self.again.kept.get(place)
            if kept is not None:
                return Keep(kept)
            item = self.again.lift(self.recorder.recall(place, item))
        elif item.payload is None:
            item = self.recorder.recall(place, item)
        return decide(self.pipeline, item, self.settings.rules, self.settings.code, self.context.retry_count)

    # in: what the runner gives back

    def take(self, position: int, result: Result[Trace, Crash]) -> Iterable[Arrival]:
        """The outcomes that are final now that the runner gave ``result`` for ``position``."""
        return self._after_waiting(position, result) if self.ready else self._taken_back(position, result)

    def _after_waiting(self, position: int, result: Result[Trace, Crash]) -> Iterator[Arrival]:
        yield from self.waiting()
        yield from self._taken_back(position, result)

    def _taken_back(self, position: int, result: Result[Trace, Crash]) -> Iterable[Arrival]:
        given: Any = result
        back: Back = given.unwrap() if type(result) is Success else given.failure()
        if self.recorder.keeps_steps:
            raise_unkept(back)
        dispatched, tries = self.dispatched.pop(position, UNASKED), NO_TRIES
        if type(dispatched) is not Dispatched:
            repeat = self.repeats.answered(position, dispatched is UNASKED)
            if repeat is None:
                return ()
            dispatched, tries = repeat.dispatched, repeat.tries
        if not tries and went_well(back):
            return self._recorded(self.settler.succeeded(dispatched, back), dispatched.decision)
        came_to = dispatched
        if isinstance(back, Crash):
            came_to = self.further_on(dispatched)
            if self.stopped is None and self.repeats.takes(dispatched, tries, back, came_to.decision.index):
                return ()
        elif type(back[0]) is Stop:
            came_to = dispatched = as_given(dispatched, back[0])
            if self.total is not None:
                self.items[dispatched.place] = dispatched.item
        outcome = self.settler.settle(came_to, back, self.stopped)
        if tries:
            outcome = self.repeats.with_tries(outcome, tries, back)
        return self._recorded(Arrival.of(dispatched, outcome, back), dispatched.decision)

    def further_on(self, dispatched: Dispatched) -> Dispatched:
        """An input that came to no end, at the last checkpoint of this run."""
        try:
            asks = self.recorder.keeps_steps and not isinstance(self.broken, JournalError)
            return dispatched.further_on(self.recorder.reached(dispatched.place)) if asks else dispatched
        except JournalError as error:
            self.fail(error)
            return dispatched

    def _recorded(self, arrival: Arrival, decision: Run | None) -> Iterable[Arrival]:
        """What is durable now that this has arrived: with a journal, not always this."""
        counted = self._count(arrival, decision)
        if self.broken is None or not isinstance(self.broken, JournalError):
            return self.recorder.record(counted)
        return () if self.total is None else (counted,)

    def committed(self) -> Iterable[Arrival]:
        """What waited for a commit; when the journal failed, a batch still gets it, in the error's result."""
        has_failed = isinstance(self.broken, JournalError)
        for _ in range(0 if has_failed else 2):  # what a signal's handler broke into is written at the second try
            try:
                return self.recorder.flush()
            except Exception as error:  # noqa: BLE001 - a journal that has failed fails again
                self.fail(error)
        return () if self.total is None else self.recorder.held

    def waiting(self) -> Iterator[Arrival]:
        """The outcomes that needed no worker."""
        while self.ready:
            yield from self._recorded(self.ready.popleft(), None)

    def rest(self) -> Iterator[Arrival]:
        """What a runner never gave back: in flight when it was stopped, or lost by it."""
        yield from self.waiting()
        for dispatched, outcome in unfinished(self):
            yield from self._recorded(Arrival.of(dispatched, outcome), dispatched.decision)
        yield from self.committed()

    def metrics(self) -> Metrics:
        """The run in figures, up to now."""
        return self.meter.metrics(perf_counter() - self.began, self.workers)

    def _count(self, arrival: Arrival, decision: Run | None) -> Arrival:
        outcome = arrival.outcome
        self.meter.count(outcome, decision is not None and decision.payload is not None, arrival.kept)
        if arrival.notes:
            self.meter.note(arrival.notes)
        if self.announcer.observers:
            tell_outcome(self, arrival, decision, time())
        self.finished += 1
        if type(outcome) is Failed and not arrival.kept:
            log_failure(self, outcome)
            reason = self.tolerance.take(outcome, self.finished, self.meter.counts["succeeded"])
            if reason is not None:
                self.stop(reason)
        return arrival


def _nothing() -> None:
    """Tells nobody that the run was stopped."""

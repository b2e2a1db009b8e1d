"""One run in progress: what is dispatched, what has come back, and why it should stop.

    starts()    inputs ─▶ decide ─▶ what the runner maps over          pulled by the runner, lazily
    take(…)     what the runner gives back ─▶ outcome, record, events  called by the consumer
    rest()      what never came back ─▶ an outcome all the same

``starts`` may be advanced by a runner's thread; everything else belongs to the thread that consumes the run.
What both touch: ``dispatched`` and ``ready`` (one adds, the other takes away) and ``stopped`` (set once, then read).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from time import perf_counter, time
from typing import Any, NamedTuple, assert_never, cast

import msgspec
from returns.result import Result, Success

from pipeline import fingerprint, snapshot
from pipeline.compose import Pipeline
from pipeline.engine import IDLE, Start, Trace
from pipeline.events import Announcer
from pipeline.metrics import Meter, Metrics
from pipeline.model import (
    Attempt,
    ExecutionContext,
    Failed,
    NotRun,
    Outcome,
    Payload,
    ProcessorInput,
    Skipped,
    Succeeded,
)
from pipeline.plan import Decision, Refuse, Run, Skip, decide
from pipeline.prevalidate import Prevalidation, offender
from pipeline.settings import Settings
from pipeline.story import tell_finish, tell_outcome, tell_start
from pipeline.tolerance import reason_to_stop
from pipeline.walk import Stop
from runners import Crash

READY_LIMIT = 1_000
"""Outcomes that needed no worker and wait for the consumer, before it is given a turn."""


class Arrival(NamedTuple):
    """An input with its outcome; ``place`` is its position among the inputs."""

    place: int
    item: ProcessorInput[Any]
    outcome: Outcome[Any]


class Dispatched(NamedTuple):
    """An input that a worker has, or will have."""

    place: int
    item: ProcessorInput[Any]
    decision: Run


class RunInProgress:
    """The state of one run. A processor makes a new one for every call, and keeps none."""

    def __init__(
        self,
        settings: Settings,
        pipeline: Pipeline[Any, Any, Any],
        context: ExecutionContext,
        inputs: Iterable[ProcessorInput[Any]] | None,
    ) -> None:
        """``inputs`` are those of a batch; ``None`` for a stream, which passes them to ``starts`` alone."""
        self.settings = settings
        self.pipeline = pipeline
        self.names = pipeline.names
        self.context = context
        self.stopped: str | None = None
        self.interrupted = False
        self.broken: Exception | None = None
        self.failures = 0
        self.finished = 0
        self.workers = 1
        self.dispatched: dict[int, Dispatched | None] = {}
        self.ready: deque[Arrival] = deque()
        self.kept: dict[int, Outcome[Any]] = {}
        self.prevalidation = Prevalidation(settings.account_id, settings.underwriting_id)
        self.meter = Meter(self.names)
        self.announcer = Announcer(settings.observers, context.run_id or "")
        self.began = perf_counter()
        self.items = self._taken(inputs or ())
        self.total = None if inputs is None else len(self.items)

    def begin(self, workers: int) -> None:
        """The run starts now."""
        self.workers = workers
        self.began = perf_counter()
        tell_start(self)
        if self.total and self.settings.prevalidation == "abort":
            self._abort_if_one_does_not_belong()

    def keep(self, arrival: Arrival) -> None:
        """Remember the outcome of an input of a batch."""
        self.kept[arrival.place] = arrival.outcome

    def outcomes(self) -> list[Outcome[Any]]:
        """All outcomes of a batch in input order; what was not dispatched is ``NotRun``."""
        for place, item in enumerate(self.items):
            if place not in self.kept:
                self.keep(self._count(Arrival(place, item, self.not_reached(item)), None))
        return [self.kept[place] for place in range(len(self.items))]

    def stop(self, reason: str) -> None:
        """Dispatch nothing more; what is in flight finishes. The first reason stays."""
        if self.stopped is None:
            self.stopped = reason

    def interrupt(self, reason: str) -> None:
        """``stop`` because a person or the system asked for it."""
        self.interrupted = True
        self.stop(reason)

    def fail(self, error: Exception) -> None:
        """The inputs or the runner raised: the run cannot go on, and ends as an error that carries what it has."""
        self.broken = self.broken or error
        self.stop(f"{type(error).__name__}: {error}")

    def _taken(self, inputs: Iterable[ProcessorInput[Any]]) -> list[ProcessorInput[Any]]:
        """The inputs of a batch; where their iterable raises, those before."""
        items: list[ProcessorInput[Any]] = []
        try:
            items.extend(inputs)
        except Exception as error:  # noqa: BLE001 - the inputs are the caller's; what came before is run
            self.broken = error
        return items

    def _abort_if_one_does_not_belong(self) -> None:
        scan = Prevalidation(self.settings.account_id, self.settings.underwriting_id)
        problems = {place: problem for place, item in enumerate(self.items) if (problem := scan.problem(item))}
        for place, problem in problems.items():
            item = self.items[place]
            self.keep(self._count(Arrival(place, item, offender(item, problem)), None))
        if problems:
            self.stop(f"prevalidation: {len(problems)} of {len(self.items)} inputs do not belong to this run")

    # out: what the runner maps over

    def starts(self, inputs: Iterable[ProcessorInput[Any]]) -> Iterator[Start]:
        """What the workers get, until the inputs end or the run is stopped."""
        position = 0
        if self.stopped is not None:
            return
        try:
            for place, item in enumerate(inputs):
                decision = self.decide(item)
                if isinstance(decision, Run):
                    self.dispatched[position] = Dispatched(place, item, decision)
                    yield (item.input_id, decision.index, decision.value)
                    position += 1
                else:
                    self.ready.append(Arrival(place, item, _without_running(item, decision)))
                    if len(self.ready) >= READY_LIMIT:
                        self.dispatched[position] = None
                        yield IDLE
                        position += 1
                if self.stopped is not None:
                    return
        except Exception as error:  # noqa: BLE001 - the inputs are the caller's; what came before is kept
            self.fail(error)

    def decide(self, item: ProcessorInput[Any]) -> Decision:
        """Where this input starts, or why it does not."""
        problem = self.prevalidation.problem(item)
        if problem is not None:
            return Refuse(offender(item, problem))
        return decide(self.pipeline, item, self.settings.rules, self.settings.code)

    # in: what the runner gives back

    def take(self, position: int, result: Result[Trace | None, Crash]) -> Iterator[Arrival]:
        """The outcomes that are final now that the runner gave ``result`` for ``position``."""
        yield from self.waiting()
        dispatched = self.dispatched.pop(position)
        if dispatched is not None:
            outcome = self._outcome(dispatched, result)
            yield self._count(Arrival(dispatched.place, dispatched.item, outcome), dispatched.decision)

    def waiting(self) -> Iterator[Arrival]:
        """The outcomes that needed no worker."""
        while self.ready:
            yield self._count(self.ready.popleft(), None)

    def rest(self) -> Iterator[Arrival]:
        """What a runner never gave back: in flight when it was stopped, or lost by it."""
        yield from self.waiting()
        for position in sorted(self.dispatched):
            dispatched = self.dispatched.pop(position)
            if dispatched is not None:
                outcome = self._not_given_back(dispatched)
                yield self._count(Arrival(dispatched.place, dispatched.item, outcome), dispatched.decision)

    def not_reached(self, item: ProcessorInput[Any]) -> NotRun:
        """The outcome of an input that was not dispatched before the run stopped."""
        payload = item.payload if isinstance(item.payload, Payload) else None
        return NotRun(input_id=item.input_id, reason=self.stopped or "the run ended early", payload=payload)

    def metrics(self) -> Metrics:
        """The run in figures, up to now."""
        return self.meter.metrics(perf_counter() - self.began, self.workers)

    def finish(self, success: bool) -> None:
        """Tell the observers that the run is over."""
        tell_finish(self, success)

    def _count(self, arrival: Arrival, decision: Run | None) -> Arrival:
        outcome = arrival.outcome
        self.meter.count(outcome, retried=decision is not None and decision.payload is not None)
        if self.announcer.observers:
            tell_outcome(self, arrival, decision, time())
        self.finished += 1
        if isinstance(outcome, Failed):
            self.failures += 1
            reason = reason_to_stop(
                self.failures, self.finished, self.total, self.settings.max_failures, self.settings.fail_fast
            )
            if reason is not None:
                self.stop(reason)
        return arrival

    def _outcome(self, dispatched: Dispatched, result: Result[Trace | None, Crash]) -> Outcome[Any]:
        if type(result) is not Success:
            return self._crashed(dispatched, result.failure())
        end, readings, attempts = cast("Trace", result.unwrap())
        clock_ns = tuple(readings)
        steps = self.names[dispatched.decision.index :]
        if type(end) is Stop:
            dispatched = self._unchanged(dispatched, end)
            return self._stopped(dispatched, end, steps[: len(clock_ns) - 1], clock_ns)
        return Succeeded(
            input_id=dispatched.item.input_id, output=end, steps=steps, clock_ns=clock_ns, attempts=attempts
        )

    def _unchanged(self, dispatched: Dispatched, end: Stop) -> Dispatched:
        """The input as it was given, where a step in this process changed its data."""
        place, item, decision = dispatched
        data = snapshot.restore(item.data, end.first) if decision.value is item.data else item.data
        if data is item.data:
            return dispatched
        restored = msgspec.structs.replace(item, data=data)
        if self.total is not None:
            self.items[place] = restored
        return Dispatched(place, restored, decision)

    def _stopped(
        self, dispatched: Dispatched, end: Stop, steps: tuple[str, ...], clock_ns: tuple[int, ...]
    ) -> Failed | NotRun:
        step = self.names[end.index]
        payload = self._payload(dispatched, step, end.exception, end.message, end.data)
        input_id = dispatched.item.input_id
        if end.parked is not None:
            return NotRun(input_id=input_id, reason=end.parked, step=step, payload=payload)
        return Failed(
            input_id=input_id,
            step=step,
            exception=end.exception,
            message=end.message,
            payload=payload,
            kind=end.kind,
            retryable=end.retryable,
            frames=end.frames,
            attempts=end.attempts,
            steps=steps,
            clock_ns=clock_ns,
        )

    def _crashed(self, dispatched: Dispatched, crash: Crash) -> Failed:
        """Infrastructure failed: the input goes on later from where it started in this run."""
        step = self.names[dispatched.decision.index]
        at = crash.mark if 0 <= crash.mark < len(self.names) else dispatched.decision.index
        message = crash.message if self.names[at] == step else f"{crash.message} (in step {self.names[at]!r})"
        payload = self._payload(dispatched, step, crash.exception, message, dispatched.decision.value)
        attempt = Attempt(
            step=step,
            exception=crash.exception,
            message=message,
            kind=crash.kind,
            duration_s=crash.duration_s,
            frames=crash.frames,
        )
        return Failed(
            input_id=dispatched.item.input_id,
            step=step,
            exception=crash.exception,
            message=message,
            payload=payload,
            kind=crash.kind,
            retryable=crash.kind != "invalid",
            frames=crash.frames,
            attempts=(attempt,),
        )

    def _not_given_back(self, dispatched: Dispatched) -> Outcome[Any]:
        if self.stopped is None:
            message = "the runner ended without a result for this input"
            return self._crashed(dispatched, Crash(kind="crash", exception="LostByRunner", message=message))
        item, decision = dispatched.item, dispatched.decision
        step = self.names[decision.index]
        payload = decision.payload and self._payload(
            dispatched, step, decision.payload.exception, decision.payload.message, decision.value
        )
        return NotRun(input_id=item.input_id, reason=f"in flight when {self.stopped}", step=step, payload=payload)

    def _payload(self, dispatched: Dispatched, step: str, exception: str, message: str, data: Any) -> Payload:
        earlier = dispatched.decision.payload
        return Payload(
            step=step,
            exception=exception,
            message=message,
            data=data,
            retry_count=earlier.retry_count if earlier else 0,
            input_fingerprint=fingerprint.of_data(dispatched.item.data),
            code=dict(self.settings.code()),
            edited=earlier.edited if earlier else False,
        )


def _without_running(item: ProcessorInput[Any], decision: Skip | Refuse) -> Outcome[Any]:
    match decision:
        case Skip(output, run_id):
            return Skipped(input_id=item.input_id, output=output, run_id=run_id)
        case Refuse(failed):
            return failed
        case _:
            assert_never(decision)

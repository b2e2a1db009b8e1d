"""What a runner gave back for one input, as that input's outcome. Pure: it decides, the run acts.

output                   Succeeded
Stop                     Failed with a payload, or NotRun when it was set aside
Crash, or nothing        Failed where it started in this run, or at its last checkpoint: infrastructure is to blame
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, TypeGuard

import msgspec

from pipeline import fingerprint, snapshot
from pipeline.changes import Code
from pipeline.crossing import unsendable
from pipeline.errors import JournalError, RunOwned
from pipeline.guard import STOPPED
from pipeline.model import Attempt, Failed, Note, NotRun, Outcome, Payload, ProcessorInput, Succeeded
from pipeline.plan import Run
from pipeline.stepwise import Unkept
from pipeline.walk import Stop, Trace
from runners import Crash

Back: TypeAlias = Trace | Crash
"""What came back of an input: how far it is, or why there is nothing."""


class Dispatched(msgspec.Struct, frozen=True, gc=False):
    """An input that a worker has, or will have; ``place`` is its position among the inputs.

    ``is_further_on`` says that ``decision`` is not where it started, but at a checkpoint of this run.
    No cycle of references leads through it, so the collector need not look at it.
    """

    place: int
    item: ProcessorInput[Any]
    decision: Run
    is_further_on: bool = False

    def further_on(self, reached: tuple[int, Any] | None) -> Dispatched:
        """The same at its checkpoint, if there is one: the index of the next step, and what enters it."""
        if reached is None:
            return self
        decision = msgspec.structs.replace(self.decision, index=reached[0], value=reached[1])
        return msgspec.structs.replace(self, decision=decision, is_further_on=True)


class Arrival(msgspec.Struct, frozen=True, gc=False):
    """An input with its outcome; ``place`` is its position among the inputs, ``kept`` that an earlier run gave it.

    ``notes`` are what happened at its steps beside their tries; ``changed``, steps with other code than an earlier
    run's, where that gave the output.
    No cycle of references leads through it, so the collector need not look at the many that wait for a commit.
    """

    place: int
    item: ProcessorInput[Any]
    outcome: Outcome[Any]
    kept: bool = False
    notes: tuple[Note, ...] = ()
    changed: tuple[str, ...] = ()

    @classmethod
    def of(cls, dispatched: Dispatched, outcome: Outcome[Any], back: Back | None = None) -> Arrival:
        """What has become of a dispatched input, now that ``back`` came."""
        return cls(dispatched.place, dispatched.item, outcome, False, () if back is None else notes_of(back))


class Settler:
    """Makes outcomes under one pipeline's step names and the fingerprints of its code."""

    def __init__(self, names: tuple[str, ...], code: Callable[[], Code]) -> None:
        self.names = names
        self.code = code

    def settle(self, dispatched: Dispatched, back: Back, stopped: str | None = None) -> Outcome[Any]:
        """The outcome of an input that came back; ``stopped`` is why the run was stopped, which no worker knows."""
        if isinstance(back, Crash):
            return self.crashed(dispatched, back)
        end, readings, attempts = back
        clock_ns = tuple(readings)
        steps = self.names[dispatched.decision.index :]
        if type(end) is Stop:
            outcome = self._stopped(dispatched, end, steps, clock_ns)
            return outcome if stopped is None else _because(outcome, stopped)
        tries = _tries(attempts) if attempts else ()
        return Succeeded(input_id=dispatched.item.input_id, output=end, steps=steps, clock_ns=clock_ns, attempts=tries)

    def succeeded(self, dispatched: Dispatched, back: Trace) -> Arrival:
        """``settle`` for an input that ``went_well``, as nearly all do."""
        decision, item = dispatched.decision, dispatched.item
        steps = self.names[decision.index :] if decision.index else self.names
        outcome = Succeeded(steps=steps, clock_ns=tuple(back[1]), input_id=item.input_id, output=back[0])
        return Arrival(dispatched.place, item, outcome)

    def not_given_back(self, dispatched: Dispatched, stopped: str | None) -> Outcome[Any]:
        """The outcome of an input that was in flight when the run stopped, or that the runner lost."""
        if stopped is None:
            message = "the runner ended without a result for this input"
            return self.crashed(dispatched, Crash(kind="crash", exception="LostByRunner", message=message))
        item, decision = dispatched.item, dispatched.decision
        if decision.index == len(self.names):
            return Succeeded(input_id=item.input_id, output=decision.value)
        step = self.names[decision.index]
        before = Payload(step=step, checkpoint=True) if dispatched.is_further_on else decision.payload
        payload = before and msgspec.structs.replace(
            self._payload(dispatched, step, before.exception, before.message, decision.value),
            checkpoint=before.checkpoint,
        )
        return NotRun(input_id=item.input_id, reason=f"in flight when {stopped}", step=step, payload=payload)

    def _stopped(
        self, dispatched: Dispatched, end: Stop, steps: tuple[str, ...], clock_ns: tuple[int, ...]
    ) -> Failed | NotRun:
        step = self.names[end.index]
        payload = self._payload(dispatched, step, end.exception, end.message, end.data)
        input_id = dispatched.item.input_id
        ran = len(clock_ns) - 1
        if end.parked is not None:  # the step was not called; waiting for its turn is no step's time
            ran = min(ran, end.index - dispatched.decision.index)
            return NotRun(
                input_id=input_id,
                reason=end.parked,
                step=step,
                payload=payload,
                attempts=_tries(end.attempts),
                steps=steps[:ran],
                clock_ns=clock_ns[: ran + 1],
            )
        return Failed(
            input_id=input_id,
            step=step,
            exception=end.exception,
            message=end.message,
            payload=payload,
            kind=end.kind,
            retryable=end.retryable,
            frames=end.frames,
            attempts=_with_the_last(end, step, clock_ns),
            steps=steps[:ran],
            clock_ns=clock_ns,
        )

    def crashed(self, dispatched: Dispatched, crash: Crash) -> Failed | Succeeded[Any]:
        """Infrastructure failed: the input goes on later from where it started; it has ended, if its output is kept."""
        if dispatched.decision.index == len(self.names):
            return Succeeded(input_id=dispatched.item.input_id, output=dispatched.decision.value)
        step = self.names[dispatched.decision.index]
        at = crash.mark if 0 <= crash.mark < len(self.names) else dispatched.decision.index
        told = (unsendable(dispatched.decision.value) if crash.kind == "invalid" else None) or crash.message
        message = told if self.names[at] == step else f"{told} (in step {self.names[at]!r})"
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

    def _payload(self, dispatched: Dispatched, step: str, exception: str, message: str, data: Any) -> Payload:
        earlier = dispatched.decision.payload
        return Payload(
            step=step,
            exception=exception,
            message=message,
            data=data,
            retry_count=earlier.retry_count if earlier else 0,
            input_fingerprint=fingerprint.of_data(dispatched.item.data),
            code=dict(self.code()),
            edited=earlier.edited if earlier else False,
        )


def went_well(back: Back) -> TypeGuard[Trace]:
    """Whether an input came to its end at the first try of each step, with nothing else to tell."""
    return type(back) is tuple and not back[2] and type(back[0]) is not Stop


def _because(outcome: Failed | NotRun, stopped: str) -> Failed | NotRun:
    """An outcome that says why the run was stopped, where it was set aside for that."""
    if isinstance(outcome, Failed) or not outcome.reason.endswith(STOPPED):
        return outcome
    return msgspec.structs.replace(outcome, reason=outcome.reason.removesuffix(STOPPED) + stopped)


def _with_the_last(end: Stop, step: str, clock_ns: tuple[int, ...]) -> tuple[Attempt, ...]:
    """Every failed try, also the only one of a step without a retry policy."""
    attempts = _tries(end.attempts)
    if attempts and attempts[-1].step == step:
        return attempts
    only = Attempt(
        step=step,
        exception=end.exception,
        message=end.message,
        kind=end.kind,
        duration_s=(clock_ns[-1] - clock_ns[-2]) / 1e9,
        frames=end.frames,
    )
    return (*attempts, only)


def notes_of(back: Back) -> tuple[Note, ...]:
    """What happened at an input's steps beside their tries."""
    if isinstance(back, Crash):
        return ()
    end, _, attempts = back
    happened: tuple[Any, ...] = end.attempts if type(end) is Stop else attempts
    return tuple(each for each in happened if type(each) is Note) if happened else ()


def _tries(happened: tuple[Any, ...]) -> tuple[Attempt, ...]:
    return tuple(each for each in happened if type(each) is Attempt) if happened else ()


def raise_unkept(back: Back) -> None:
    """Raise why a checkpoint could not be made durable, if one could not: the run cannot go on."""
    end = None if isinstance(back, Crash) else back[0]
    if type(end) is Unkept:
        raise (RunOwned if end.exception == RunOwned.__name__ else JournalError)(end.message)


def as_given(dispatched: Dispatched, stop: Stop) -> Dispatched:
    """The input as it was before its steps ran, where one of them changed its data in this process."""
    item = dispatched.item
    if dispatched.decision.value is not item.data:
        return dispatched
    data = (snapshot.copied if stop.escaped else snapshot.restore)(item.data, stop.first)
    if data is item.data:
        return dispatched
    return msgspec.structs.replace(dispatched, item=msgspec.structs.replace(item, data=data))

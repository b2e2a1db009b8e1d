"""The tries of one call, as a generator: it decides, yields what is to be done, and is told how it went."""

# pyright: basic
from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from typing import Any, NamedTuple, TypeAlias

import msgspec
from returns.result import Success

from pipeline import snapshot
from pipeline.describe import describe, frames_of
from pipeline.guard.effects import Call, Effects, Late, Sleep
from pipeline.guard.guard import Guard
from pipeline.model import Attempt, FailureKind
from pipeline.policies.retry import Again, GiveUp, decide, is_retryable
from pipeline.snapshot import Snapshot
from pipeline.stepcontext import FIRST_TRY, TRY, StepContext, here, tries_before
from pipeline.walk import Refusal, Tried

_LOGGER = logging.getLogger("pipeline.guard")

OPEN = "its circuit breaker is open"
STOPPED = "the run was stopped"

IsBarred: TypeAlias = Callable[[int], bool]
"""Whether no call may start any more, after so many tries."""


class FirstTry(NamedTuple):
    """A first try that was made already, and failed: its answer, and how long it took in seconds."""

    answer: Any
    duration_s: float


class Past(msgspec.Struct):
    """The failed tries so far; ``escaped`` says that one of them may still be at work on the value."""

    attempts: tuple[Attempt, ...] = ()
    error: Any = None
    escaped: bool = False

    def add(self, step: str, answer: Any, error: Any, duration_s: float) -> None:
        """One more."""
        is_late = type(answer) is Late
        self.attempts = (*self.attempts, attempt_of(step, error, duration_s, "timeout" if is_late else "error"))
        self.error = error
        self.escaped = self.escaped or (is_late and answer.escaped)


class SetAside(Exception):
    """Why an input did not get to its call; never raised."""


def tries(guard: Guard, value: Any, before: Snapshot, first: FirstTry | None, is_barred: IsBarred) -> Effects:
    """Call until it succeeds or the policy gives up: what the step answered, ``Tried``, or a ``Refusal``.

    ``before`` is the snapshot of ``value``: every further try gets the value as it was. Where a call that took too
    long may still be at work on it, that is a copy.
    """
    past, name = Past(), guard.step.name
    try:
        while True:
            why_not = None if first else (yield from turn(guard, past, is_barred))
            if why_not:
                return ended(guard, past, why_not)
            answer, duration_s = first or (yield from one_try(guard, value, len(past.attempts) + 1))
            first, error = None, guard.error_in(answer)
            if error is None:
                return Tried(plain(answer), past.attempts) if past.attempts else answer
            past.add(name, answer, error, duration_s)
            value = (snapshot.copied if past.escaped else snapshot.restore)(value, before)
            why_not = yield from pause(guard, past, is_barred)
            if why_not:
                return ended(guard, past, why_not)
    finally:
        TRY.set(FIRST_TRY)


def plain(answer: Any) -> Any:
    """What a step succeeded with."""
    return answer._inner_value if type(answer) is Success else answer


def parked(guard: Guard, why: str) -> Refusal:
    """An input that is set aside before the step."""
    reason = f"set aside before step {guard.step.name!r}: {why}"
    return Refusal(error=SetAside(reason), parked=reason)


def attempt_of(step: str, error: Any, duration_s: float, kind: FailureKind) -> Attempt:
    """A failed try as data."""
    exception, message = describe(error)
    frames = frames_of(error)
    return Attempt(step=step, exception=exception, message=message, kind=kind, duration_s=duration_s, frames=frames)


def turn(guard: Guard, past: Past, is_barred: IsBarred) -> Generator[Sleep, bool, str | None]:
    """Wait until a call may start; or why it may not."""
    if guard.rate is not None:
        now = guard.timing.monotonic()
        wait_s = guard.rate.reserve(now) - now
        if wait_s > 0 and (yield Sleep(wait_s)):
            return STOPPED
    return OPEN if is_barred(len(past.attempts)) else None


def one_try(guard: Guard, value: Any, number: int) -> Generator[Call, Any, tuple[Any, float]]:
    """One call: its answer, and how long it took in seconds."""
    limit_s = guard.policies.timeout_s
    if guard.budget is not None and number == 1:
        guard.budget.first_call()
    began = guard.timing.monotonic()
    TRY.set((number, None if limit_s is None else began + limit_s))
    answer = yield Call(value)
    return answer, guard.timing.monotonic() - began


def pause(guard: Guard, past: Past, is_barred: IsBarred) -> Generator[Sleep, bool, str | None]:
    """Wait before the next try; or why there is none."""
    verdict = _verdict(guard, past)
    if isinstance(verdict, GiveUp):
        return verdict.why
    if is_barred(len(past.attempts)):
        return OPEN
    return STOPPED if (yield Sleep(verdict.wait_s)) else None


def _verdict(guard: Guard, past: Past) -> Again | GiveUp:
    """What the policy decides; a function of the user's in it may raise, which ends the tries."""
    made = len(past.attempts) + tries_before(here(), guard.step.name)
    try:
        verdict = decide(guard.retry, made, past.error, draw=guard.timing.draw(), now=guard.timing.time())
    except Exception as broken:
        _LOGGER.exception("the retry policy of step %r raised", guard.step.name)
        return GiveUp(f"the policy raised {type(broken).__name__}")
    if isinstance(verdict, Again) and guard.budget is not None and not guard.budget.takes_one():
        return GiveUp(f"the retry budget of {guard.retry.budget} is spent")
    return verdict


def ended(guard: Guard, past: Past, why: str) -> Refusal:
    """There is no further try: the last one decides, or the step was never called."""
    if not past.attempts:
        return parked(guard, why)
    _log_no_further_try(guard.step.name, why)
    return Refusal(
        error=past.error,
        kind=past.attempts[-1].kind,
        attempts=past.attempts,
        retryable=is_retryable(past.error),
        escaped=past.escaped,
    )


def _log_no_further_try(step: str, why: str) -> None:
    if _LOGGER.isEnabledFor(logging.DEBUG):
        at = StepContext.current()
        extra = {"run_id": at and at.run_id, "input_id": at and at.input_id, "step": step}
        _LOGGER.debug("step %r is not called again: %s", step, why, extra=extra)

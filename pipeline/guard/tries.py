"""The tries of one call, as a generator: it decides, yields what is to be done, and is told how it went."""

# pyright: basic
from __future__ import annotations

import logging
from collections.abc import Generator
from typing import Any, NamedTuple

from returns.result import Success

from pipeline import snapshot
from pipeline.describe import describe, frames_of
from pipeline.guard.effects import Call, Effects, Late, Sleep
from pipeline.guard.guard import Guard
from pipeline.model import Attempt, FailureKind
from pipeline.policies.retry import Again, GiveUp, decide
from pipeline.snapshot import Snapshot
from pipeline.stepcontext import FIRST_TRY, TRY
from pipeline.walk import Refusal, Tried

_LOGGER = logging.getLogger("pipeline.guard")


class FirstTry(NamedTuple):
    """A first try that was made already, and failed: its answer, and how long it took in seconds."""

    answer: Any
    duration_s: float


def tries(guard: Guard, value: Any, before: Snapshot, first: FirstTry | None = None) -> Effects:
    """Call until it succeeds or the policy gives up: what the step answered, ``Tried``, or a ``Refusal``.

    ``before`` is the snapshot of ``value``: every further try gets the value as it was. Where a call that took too
    long may still be at work on it, that is a copy.
    """
    attempts: tuple[Attempt, ...] = ()
    escaped = False
    try:
        while True:
            answer, duration_s = first or (yield from _one_try(guard, value, len(attempts) + 1))
            first, error = None, guard.error_in(answer)
            if error is None:
                return (
                    Tried(answer._inner_value if type(answer) is Success else answer, attempts) if attempts else answer
                )
            attempts = (*attempts, attempt_of(guard.step.name, answer, error, duration_s))
            escaped = escaped or (type(answer) is Late and answer.escaped)
            value = (snapshot.copied if escaped else snapshot.restore)(value, before)
            verdict = _verdict(guard, len(attempts), error)
            if isinstance(verdict, GiveUp):
                return _given_up(guard, error, attempts, escaped, verdict.why)
            if (yield Sleep(verdict.wait_s)):
                return _given_up(guard, error, attempts, escaped, "the run was stopped")
    finally:
        TRY.set(FIRST_TRY)


def attempt_of(step: str, answer: Any, error: Any, duration_s: float) -> Attempt:
    """A failed try as data."""
    exception, message = describe(error)
    kind: FailureKind = "timeout" if type(answer) is Late else "error"
    return Attempt(
        step=step, exception=exception, message=message, kind=kind, duration_s=duration_s, frames=frames_of(error)
    )


def _one_try(guard: Guard, value: Any, number: int) -> Generator[Call, Any, tuple[Any, float]]:
    limit_s = guard.policies.timeout_s
    guard.first_calls += number == 1
    began = guard.timing.monotonic()
    TRY.set((number, None if limit_s is None else began + limit_s))
    answer = yield Call(value)
    return answer, guard.timing.monotonic() - began


def _verdict(guard: Guard, made: int, error: Any) -> Again | GiveUp:
    """What the policy decides; a function of the user's in it may raise, which ends the tries."""
    try:
        verdict = decide(guard.retry, made, error, draw=guard.timing.draw(), now=guard.timing.time())
    except Exception as broken:
        _LOGGER.exception("the retry policy of step %r raised", guard.step.name)
        return GiveUp(f"the policy raised {type(broken).__name__}")
    if isinstance(verdict, Again) and not guard.may_retry():
        return GiveUp(f"the retry budget of {guard.retry.budget} is spent")
    return verdict


def _given_up(guard: Guard, error: Any, attempts: tuple[Attempt, ...], escaped: bool, why: str) -> Refusal:
    _LOGGER.debug("step %r is not called again: %s", guard.step.name, why)
    return Refusal(
        error=error,
        kind=attempts[-1].kind,
        attempts=attempts,
        retryable=getattr(error, "retryable", True) is not False,
        escaped=escaped,
    )

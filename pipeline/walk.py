"""The loop over steps: one value through the calls that remain, up to an end, a stop or a wait.

``walk`` never awaits and never sleeps: it decides and returns, and what must be awaited is awaited by its caller,
who then comes back with the answer. So there is one loop for threads, processes and event loops.

    walk ──▶ value          every call succeeded
         ──▶ Stop           a call failed, or asked to be set aside
         ──▶ Waiting        a call returned something to await: await it, then walk on with ``answered``
"""

# pyright: basic
from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import perf_counter_ns
from typing import Any

import msgspec
from returns.result import Failure, Success

from pipeline import snapshot
from pipeline.describe import describe, frames_of
from pipeline.model import Attempt, FailureKind, Frame
from pipeline.snapshot import IMMUTABLE, Snapshot
from pipeline.step import Step


class Call:
    """A step made ready to be called: its function under its policies, and the step itself for its name and rules."""

    __slots__ = ("fn", "may_return_none", "step")

    def __init__(self, step: Step[Any, Any, Any], fn: Callable[[Any], Any]) -> None:
        self.step = step
        self.fn = fn
        self.may_return_none = step.may_return_none


class Stop(msgspec.Struct, frozen=True, kw_only=True):
    """Where one input stopped. ``index`` is the step's place in the pipeline; ``data`` is what entered it.

    ``parked`` is why it was set aside without a failure. ``error`` stays in the process that raised it.
    """

    index: int
    exception: str
    message: str
    data: Any
    kind: FailureKind = "error"
    retryable: bool = True
    frames: tuple[Frame, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    parked: str | None = None
    error: Any = None

    def __reduce__(self) -> tuple[Any, ...]:
        fields = {name: getattr(self, name) for name in self.__struct_fields__ if name != "error"}
        return _stop_of, (fields,)


def _stop_of(fields: dict[str, Any]) -> Stop:
    return Stop(**fields)


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """What a guard around a call gives instead of an answer when it gave up: the last error, and how it went."""

    error: Any
    kind: FailureKind = "error"
    retryable: bool = True
    attempts: tuple[Attempt, ...] = ()
    parked: str | None = None


class Tried(msgspec.Struct, frozen=True):
    """What a guard gives when a call succeeded after failed tries."""

    answer: Any
    attempts: tuple[Attempt, ...]


class Waiting(msgspec.Struct):
    """A call that has to be awaited: the place, what entered, and how it was before."""

    awaitable: Awaitable[Any]
    index: int = 0
    value: Any = None
    before: Snapshot = None


Answered = tuple[Callable[[Any], Any], Snapshot]
"""The awaited call as a function that gives its answer at once, and the snapshot from before it ran."""

NEVER: tuple[type[BaseException], ...] = ()


def walk(  # noqa: C901 - the one loop, kept flat because every call costs every step
    calls: tuple[Call, ...],
    index: int,
    value: Any,
    clock_ns: list[int],
    attempts: list[Attempt],
    *,
    answered: Answered | None = None,
    let_pass: tuple[type[BaseException], ...] = NEVER,
    clock: Callable[[], int] = perf_counter_ns,
) -> Any:
    """Take ``value`` through ``calls[index:]``; the last value, a ``Stop`` or a ``Waiting``.

    ``clock_ns`` gets a reading after each call, ``attempts`` the failed tries of calls that then succeeded.
    Exceptions of the kinds ``let_pass`` go through: they mean this run, not this input.
    """
    for call in calls[index:] if index else calls:
        fn, before = call.fn, None
        if answered is not None:
            fn, before = answered
            answered = None
        elif type(value) not in IMMUTABLE:
            before = snapshot.take(value)
        try:
            answer = fn(value)
        except BaseException as error:
            if isinstance(error, let_pass):
                raise
            clock_ns.append(clock())
            return stop(index, call.step.name, error, value, before, attempts)
        clock_ns.append(clock())
        kind = type(answer)
        if kind is Success:
            value = answer.unwrap()
        elif kind is Failure:
            return stop(index, call.step.name, answer.failure(), value, before, attempts)
        elif kind is Waiting:
            clock_ns.pop()
            answer.index, answer.value, answer.before = index, value, before
            return answer
        elif kind is Tried:
            attempts.extend(answer.attempts)
            value = answer.answer
        elif kind is Refusal:
            return refuse(index, answer, value, before, attempts)
        elif answer is None and not call.may_return_none:
            return stop(index, call.step.name, call.step.forgotten_return(), value, before, attempts)
        else:
            value = answer
        index += 1
    return value


def stop(index: int, step: str, error: Any, value: Any, before: Snapshot, attempts: list[Attempt]) -> Stop:
    """The end of an input that failed with ``error`` at its only try of this step."""
    exception, message = describe(error)
    frames = frames_of(error)
    last = Attempt(step=step, exception=exception, message=message, frames=frames)
    data = snapshot.restore(value, before)
    return Stop(
        index=index,
        exception=exception,
        message=message,
        data=data,
        frames=frames,
        attempts=(*attempts, last),
        error=error,
    )


def refuse(index: int, refusal: Refusal, value: Any, before: Snapshot, attempts: list[Attempt]) -> Stop:
    """The end of an input whose guard gave up."""
    exception, message = describe(refusal.error)
    return Stop(
        index=index,
        exception=exception,
        message=message,
        data=snapshot.restore(value, before),
        kind=refusal.kind,
        retryable=refusal.retryable,
        frames=frames_of(refusal.error),
        attempts=(*attempts, *refusal.attempts),
        parked=refusal.parked,
        error=refusal.error,
    )

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
from pipeline.errors import StopNow
from pipeline.model import Attempt, FailureKind, Frame
from pipeline.snapshot import IMMUTABLE, Snapshot
from pipeline.step import Step


class Call:
    """A step made ready to be called: its function under its policies, and the step itself for its name and rules."""

    __slots__ = ("fn", "may_return_none", "step")

    def __init__(self, step: Step[Any, Any, Any], fn: Callable[[Any], Any]) -> None:
        self.step: Step[Any, Any, Any] = step
        self.fn: Callable[[Any], Any] = fn
        self.may_return_none: bool = step.may_return_none


class Stop(msgspec.Struct, frozen=True, kw_only=True):
    """Where one input stopped. ``index`` is the step's place in the pipeline; ``data`` is what entered it.

    ``parked`` is why it was set aside without a failure. ``error``, and ``first``, the snapshot of what entered the
    first step, stay in the process where they were made: elsewhere the input cannot have been changed.
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
    first: Snapshot = None

    def __reduce__(self) -> tuple[Any, ...]:
        fields = {name: getattr(self, name) for name in self.__struct_fields__ if name not in ("error", "first")}
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


Kept = tuple[Snapshot, Snapshot, tuple[Attempt, ...]]
"""The value as it entered this step, as it entered the first one, and the failed tries of steps that succeeded."""


class Waiting(msgspec.Struct):
    """A call that has to be awaited, the value that entered it, and what ``walk`` keeps of it."""

    awaitable: Awaitable[Any]
    value: Any = None
    kept: Kept = (None, None, ())

    async def answered(self) -> Answered:
        """Await it, and give what ``walk`` goes on with."""
        try:
            answer = await self.awaitable
        except Exception as error:  # noqa: BLE001 - raised again where a sync call would have raised it
            return _raises(error), self.kept
        return (lambda _value: answer), self.kept


Answered = tuple[Callable[[Any], Any], Kept]
"""An awaited call as a function that gives its answer at once, and what was kept before it ran."""


def _raises(error: BaseException) -> Callable[[Any], Any]:
    def raise_again(_value: Any) -> Any:
        raise error

    return raise_again


MARKS = frozenset({Waiting, Tried, Refusal})


def walk(  # noqa: C901 - the one loop, kept flat because every call costs every step
    calls: tuple[Call, ...],
    start: int,
    value: Any,
    clock_ns: list[int],
    answered: Answered | None = None,
    let_pass: tuple[type[BaseException], ...] = (StopNow,),
    clock: Callable[[], int] = perf_counter_ns,
) -> Any:
    """Take ``value`` on from step ``start``: the last value (``Tried`` if tries failed), a ``Stop`` or a ``Waiting``.

    ``clock_ns`` holds a reading from before the first step and one after each; so it also says how far the value is.
    Exceptions of the kinds ``let_pass`` go through: they mean this run, not this input. So do those with a true
    ``ends_worker``, which a runner raises in a worker it is about to end; it knows why, and says so itself.
    """
    done = start + len(clock_ns) - 1
    first: Snapshot = None
    attempts: tuple[Attempt, ...] = ()
    for call in calls[done:] if done else calls:
        fn, before = call.fn, None
        if answered is not None:
            fn, (before, first, attempts) = answered
            answered = None
        elif type(value) not in IMMUTABLE:
            before = snapshot.take(value)
            if call is calls[0]:
                first = before
        try:
            answer = fn(value)
        except BaseException as error:
            if isinstance(error, let_pass) or getattr(error, "ends_worker", False):
                raise
            clock_ns.append(clock())
            return stop(call, start + len(clock_ns) - 2, error, value, (before, first, attempts))
        clock_ns.append(clock())
        kind = type(answer)
        if kind is Success:
            value = answer._inner_value  # what unwrap() returns, without the call
        elif kind is Failure:
            return stop(call, start + len(clock_ns) - 2, answer._inner_value, value, (before, first, attempts))
        elif kind in MARKS:
            if kind is Tried:
                attempts += answer.attempts
                value = answer.answer
            elif kind is Refusal:
                return refuse(start + len(clock_ns) - 2, answer, value, (before, first, attempts))
            else:
                clock_ns.pop()
                answer.value, answer.kept = value, (before, first, attempts)
                return answer
        elif answer is None and not call.may_return_none:
            forgotten = call.step.forgotten_return()
            return stop(call, start + len(clock_ns) - 2, forgotten, value, (before, first, attempts))
        else:
            value = answer
    return Tried(value, attempts) if attempts else value


def stop(call: Call, index: int, error: Any, value: Any, kept: Kept) -> Stop:
    """The end of an input that failed at its only try of this step."""
    before, first, earlier = kept
    exception, message = describe(error)
    frames = frames_of(error)
    only = Attempt(step=call.step.name, exception=exception, message=message, frames=frames)
    return Stop(
        index=index,
        exception=exception,
        message=message,
        data=value if before is None else snapshot.restore(value, before),
        frames=frames,
        attempts=(*earlier, only),
        error=error,
        first=first,
    )


def refuse(index: int, refusal: Refusal, value: Any, kept: Kept) -> Stop:
    """The end of an input whose guard gave up, or set it aside."""
    before, first, earlier = kept
    exception, message = describe(refusal.error)
    return Stop(
        index=index,
        exception=exception,
        message=message,
        data=value if before is None else snapshot.restore(value, before),
        kind=refusal.kind,
        retryable=refusal.retryable,
        frames=frames_of(refusal.error),
        attempts=earlier + refusal.attempts,
        parked=refusal.parked,
        error=refusal.error,
        first=first,
    )

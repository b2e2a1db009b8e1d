"""The loop over steps: one value through the calls that remain, up to an end, a stop or a wait.

``walk`` never awaits and never sleeps: it decides and returns, and what must be awaited is awaited by its caller,
who then comes back with the answer. So there is one loop for threads, processes and event loops.

    walk ──▶ the last value     every call succeeded
         ──▶ Stop               a call failed, or asked to be set aside
         ──▶ Waiting            a call has to be awaited, guarded, or kept back: do it, then walk on with ``answered``
"""

# pyright: basic
from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import perf_counter_ns
from typing import Any

import msgspec
from returns.result import Failure, Success

from pipeline import snapshot
from pipeline.answer import NO_VALUES, forgotten_return, wrong_answer
from pipeline.describe import describe, frames_of
from pipeline.errors import StopNow
from pipeline.model import Attempt, FailureKind, Frame, Note
from pipeline.policies.retry import is_retryable
from pipeline.snapshot import IMMUTABLE, Snapshot
from pipeline.step import Step


class Call:
    """A step made ready to be called: its function under its policies, its place, and the step itself for its rules."""

    __slots__ = ("fn", "may_return_none", "place", "step")

    def __init__(self, place: int, step: Step[Any, Any, Any], fn: Callable[[Any], Any]) -> None:
        self.place: int = place
        self.step: Step[Any, Any, Any] = step
        self.fn: Callable[[Any], Any] = fn
        self.may_return_none: bool = step.may_return_none


class Stop(msgspec.Struct, frozen=True, kw_only=True):
    """Where one input stopped. ``index`` is the step's place in the pipeline; ``data`` is what entered it.

    ``attempts`` are the failed tries of steps that succeeded, and those of this step where a guard made them;
    an only try is told by the other fields. ``parked`` is why it was set aside without a failure. ``error``, and
    ``first``, the snapshot of what entered the first step, stay in the process where they were made: elsewhere the
    input cannot have been changed.
    """

    index: int
    exception: str
    message: str
    data: Any
    kind: FailureKind = "error"
    retryable: bool = True
    frames: tuple[Frame, ...] = ()
    attempts: tuple[Attempt | Note, ...] = ()
    parked: str | None = None
    escaped: bool = False
    """A call that took too long may still be at work on the value, and on what it came from."""
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
    attempts: tuple[Attempt | Note, ...] = ()
    parked: str | None = None
    escaped: bool = False


class Tried(msgspec.Struct, frozen=True):
    """What a guard gives when a call succeeded after failed tries."""

    answer: Any
    attempts: tuple[Attempt | Note, ...]


Kept = tuple[Snapshot, Snapshot, tuple[Attempt | Note, ...]]
"""The value as it entered this step, as it entered the first one, and the failed tries of steps that succeeded."""


class Waiting(msgspec.Struct):
    """A call that has to be awaited, or guarded; its place, the value that entered it, and what ``walk`` keeps of it.

    ``guarded`` is a ``pipeline.guard.guarded.Guarded``: its policies see to the call, because it failed or must wait.
    ``call`` is the call itself, not made yet, because what enters it has to be durable first (see ``stepwise``).
    """

    awaitable: Awaitable[Any] | None = None
    guarded: Any = None
    call: Callable[[Any], Any] | None = None
    place: int = 0
    value: Any = None
    kept: Kept = (None, None, ())

    def answered_here(self) -> Answered:
        """See to a guarded call in this thread, and give what ``walk`` goes on with."""
        answer = self.guarded.answer(self.value, self.kept[0])
        return (lambda _value: answer), self.kept

    async def answered(self) -> Answered:
        """Await it, and give what ``walk`` goes on with."""
        try:
            answer = await (self.awaitable or self.guarded.aanswer(self.value, self.kept[0]))
        except Exception as error:  # noqa: BLE001 - raised again where a sync call would have raised it
            stop = error.__cause__  # what a coroutine cannot raise comes out of it as the cause of a RuntimeError
            return _raises(stop if isinstance(stop, StopIteration) else error), self.kept
        return (lambda _value: answer), self.kept


Answered = tuple[Callable[[Any], Any], Kept]
"""An awaited call as a function that gives its answer at once, and what was kept before it ran."""


def _raises(error: BaseException) -> Callable[[Any], Any]:
    def raise_again(_value: Any) -> Any:
        raise error

    return raise_again


Trace = tuple[Any, list[int], tuple[Attempt | Note, ...]]
"""How far a value came: the last value, a ``Stop`` or a ``Waiting``; the clock readings; the failed tries of steps
that succeeded. Plain tuples, because they pickle three times faster than Structs."""


def walk(  # noqa: C901 - the one loop, kept flat because every call costs every step
    calls: tuple[Call, ...],
    start: int,
    value: Any,
    clock_ns: list[int],
    answered: Answered | None = None,
    let_pass: tuple[type[BaseException], ...] = (StopNow,),
    clock: Callable[[], int] = perf_counter_ns,
) -> Trace:
    """Take ``value`` on from step ``start`` to the end, a ``Stop`` or a ``Waiting``.

    ``clock_ns`` holds a reading from before the first step; one after each is added.
    Exceptions of the kinds ``let_pass`` go through: they mean this run, not this input. So do those with a true
    ``ends_worker``, which a runner raises in a worker it is about to end; it knows why, and says so itself.
    """
    before: Snapshot = None
    first: Snapshot = None
    immutable = IMMUTABLE
    attempts: tuple[Attempt | Note, ...] = ()
    may_change = type(value) not in IMMUTABLE
    if start:
        calls = calls[start:]
    if answered is not None:
        fn, (before, first, attempts) = answered
        calls, may_change = (Call(start, calls[0].step, fn), *calls[1:]), False
    for call in calls:
        fn = call.fn
        if may_change:
            before = snapshot.take(value)
            if len(clock_ns) == 1:
                first = before
        try:
            answer = fn(value)
        except BaseException as error:
            if type(error) not in ORDINARY and goes_through(error, let_pass):
                raise
            clock_ns.append(clock())
            return stop(call, error, value, (before, first, attempts)), clock_ns, ()
        clock_ns.append(clock())
        kind = type(answer)
        if kind in immutable:  # the commonest first: a plain value that no step can change
            value = answer
            before, may_change = None, False
            continue
        if kind is Success:
            answer = answer._inner_value  # what unwrap() returns, without the call
        elif kind is Failure:
            return stop(call, answer._inner_value, value, (before, first, attempts)), clock_ns, ()
        elif kind is Tried:
            attempts += answer.attempts
            answer = answer.answer
        elif kind is Refusal:
            return refuse(call, answer, value, (before, first, attempts)), clock_ns, ()
        elif kind is Waiting:
            clock_ns.pop()
            answer.place, answer.value, answer.kept = call.place, value, (before, first, attempts)
            return answer, clock_ns, ()
        elif answer is None and not call.may_return_none:
            forgotten = forgotten_return(call.step.name)
            return stop(call, forgotten, value, (before, first, attempts)), clock_ns, ()
        may_change = type(answer) not in immutable
        if may_change and type(answer) in NO_VALUES:
            wrong = wrong_answer(f"step {call.step.name!r}", answer)
            return stop(call, wrong, value, (before, first, attempts)), clock_ns, ()
        value, before = answer, None
    return value, clock_ns, attempts


ORDINARY: set[type] = set()
"""Kinds of exception known to be an input's own failure; grows as kinds are met. Guard: adding to a set is atomic."""

ORDINARY_LIMIT = 1_000
"""Kinds that are remembered: a program that makes exception classes as it goes must not fill memory."""


def goes_through(error: BaseException, let_pass: tuple[type[BaseException], ...]) -> bool:
    """Whether an exception means the run or its worker, not the input. Callers skip this for ``ORDINARY`` kinds."""
    if isinstance(error, let_pass) or getattr(error, "ends_worker", False):
        return True
    if isinstance(error, Exception) and len(ORDINARY) < ORDINARY_LIMIT:
        ORDINARY.add(type(error))
    return False


def stop(call: Call, error: Any, value: Any, kept: Kept) -> Stop:
    """The end of an input that failed at its only try of this step."""
    before, first, earlier = kept
    exception, message = describe(error)
    return Stop(
        index=call.place,
        exception=exception,
        message=message,
        data=value if before is None else snapshot.restore(value, before),
        retryable=is_retryable(error),
        frames=frames_of(error),
        attempts=earlier,
        error=error,
        first=first,
    )


def refuse(call: Call, refusal: Refusal, value: Any, kept: Kept) -> Stop:
    """The end of an input whose guard gave up, or set it aside."""
    before, first, earlier = kept
    exception, message = describe(refusal.error)
    return Stop(
        index=call.place,
        exception=exception,
        message=message,
        data=(snapshot.copied if refusal.escaped else snapshot.restore)(value, before),
        kind=refusal.kind,
        retryable=refusal.retryable,
        frames=frames_of(refusal.error),
        attempts=earlier + refusal.attempts,
        parked=refusal.parked,
        escaped=refusal.escaped,
        error=refusal.error,
        first=first,
    )

"""One input through the steps that remain, in a worker.

``run_one(program, start)`` is the function that runners map; ``partial(run_one, program)`` pickles.
``arun_one`` is its twin for event loops. Both drive the one loop in ``walk``.
"""

# pyright: basic
from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from functools import cached_property
from threading import Thread
from time import perf_counter_ns
from typing import Any, TypeAlias

from pipeline.compose import Pipeline
from pipeline.errors import StopNow
from pipeline.model import Attempt
from pipeline.step import Step
from pipeline.stepcontext import POSITION, StepContext
from pipeline.walk import Call, Stop, Tried, Waiting, walk

Start: TypeAlias = tuple[str, int, Any]
"""What a worker gets: ``input_id``, index of the first step to run, and the value that enters it."""

Trace: TypeAlias = tuple[Any, list[int], tuple[Attempt, ...]]
"""What a worker gives back: the output or a ``Stop``, the clock readings, the failed tries of steps that succeeded.
Plain tuples, because they pickle three times faster than Structs."""

Pulse: TypeAlias = Callable[[int, float | None], None]

IDLE: Start = ("", -1, None)
"""A start that does nothing; it gives the consumer a turn."""


class Program:
    """What all inputs of a run have in common: the pipeline and how its steps are called.

    It pickles without its calls, which every worker process makes once for itself.
    """

    def __init__(
        self, pipeline: Pipeline[Any, Any, Any], run_id: str = "", scope: str = "", pulse: Pulse | None = None
    ) -> None:
        self.pipeline = pipeline
        self.names: tuple[str, ...] = pipeline.names
        self.is_async: bool = pipeline.is_async
        self.run_id = run_id
        self.scope = scope
        self.pulse = pulse
        self.calls: tuple[Call, ...] = self._calls()
        """The steps ready to be called where they are."""

    def __getstate__(self) -> dict[str, Any]:
        made = ("calls", "threaded_calls")
        return {key: value for key, value in self.__dict__.items() if key not in made}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.calls = self._calls()

    def _calls(self) -> tuple[Call, ...]:
        return tuple(self._call(place, step, in_thread=False) for place, step in enumerate(self.pipeline))

    @cached_property
    def threaded_calls(self) -> tuple[Call, ...]:
        """The steps ready to be called on an event loop: sync ones in a thread each."""
        return tuple(self._call(place, step, in_thread=True) for place, step in enumerate(self.pipeline))

    def _call(self, place: int, step: Step[Any, Any, Any], in_thread: bool) -> Call:
        """A step under all that stands around its call, innermost first."""
        fn: Callable[[Any], Any] = step.fn
        if step.wants_context:
            fn = _with_context(step.fn)
        if in_thread and not step.is_async:
            fn = _in_thread(fn)
        if self.pulse is not None:
            fn = _pulsing(fn, self.pulse, place, step.policies.timeout_s)
        if step.is_async or in_thread:
            fn = _awaited(fn)
        return Call(step, fn)


def run_one(program: Program, start: Start) -> Trace | None:
    """Take one input through the steps that remain. Never raises, whatever a step does."""
    input_id, index, value = start
    if index < 0 or program.is_async:
        return _run_to_the_end(arun_one(program, start, program.calls)) if index >= 0 else None
    clock_ns = [perf_counter_ns()]
    POSITION.set((program, input_id, index, clock_ns))
    end = walk(program.calls, index, value, clock_ns)
    return _trace(end, clock_ns) if type(end) in ENDS else (end, clock_ns, ())


async def arun_one(program: Program, start: Start, calls: tuple[Call, ...] | None = None) -> Trace | None:
    """``run_one`` on an event loop; sync steps run in threads. Cancellation goes through."""
    input_id, index, value = start
    if index < 0:
        return None
    calls = program.threaded_calls if calls is None else calls
    clock_ns = [perf_counter_ns()]
    POSITION.set((program, input_id, index, clock_ns))
    end = walk(calls, index, value, clock_ns, None, PASSING)
    while type(end) is Waiting:
        end = walk(calls, index, end.value, clock_ns, await end.answered(), PASSING)
    return _trace(end, clock_ns)


PASSING = (StopNow, asyncio.CancelledError)
"""What goes through an async step: the second Ctrl-C, and the cancellation of the task it runs in."""


ENDS = frozenset({Stop, Tried})
"""Ends that are not simply the output."""


def _trace(end: Any, clock_ns: list[int]) -> Trace:
    readings = clock_ns.copy()
    clock_ns.clear()  # the input is done: from here on StepContext.current() is None
    return (end.answer, readings, end.attempts) if type(end) is Tried else (end, readings, ())


def _run_to_the_end(coroutine: Coroutine[Any, Any, Trace | None]) -> Trace | None:
    """Run async steps on a runner without an event loop: a loop of their own per input."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    answers: list[Trace | None] = []
    context = copy_context()
    thread = Thread(target=lambda: answers.append(context.run(asyncio.run, coroutine)))
    thread.start()
    thread.join()
    return answers[0]


def _with_context(fn: Callable[..., Any]) -> Callable[[Any], Any]:
    return lambda value: fn(value, StepContext.current())


def _in_thread(fn: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: asyncio.to_thread(fn, value)


def _awaited(fn: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: Waiting(fn(value))


def _pulsing(fn: Callable[[Any], Any], pulse: Pulse, place: int, limit_s: float | None) -> Callable[[Any], Any]:
    def call(value: Any) -> Any:
        pulse(place, limit_s)
        return fn(value)

    return call

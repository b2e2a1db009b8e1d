"""One input through the steps that remain, in a worker.

``work_of(program, …)`` is the function that runners map: ``run_one`` with the program filled in, which pickles,
or ``arun_one``, its twin for event loops. Both drive the one loop in ``walk``; where steps are kept, that in
``stepwise``.
"""

# pyright: basic
from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import cached_property, partial
from sys import maxsize
from time import perf_counter_ns
from typing import Any

from pipeline.compose import Pipeline
from pipeline.errors import JournalError, StopNow
from pipeline.guard import (
    REAL,
    STOPPED,
    Caching,
    Guard,
    SetAside,
    Sharing,
    Supplies,
    Timing,
    guarded,
    shared_file,
    supplies_in_worker,
)
from pipeline.loops import to_the_end
from pipeline.ready import Pulse, awaited, pulsing, threaded, with_context
from pipeline.step import Step
from pipeline.stepcontext import POSITION, WORKERS
from pipeline.stepwise import Bare, Checkpoints, Keep, Start, Unkept, kept_first, stepwise
from pipeline.walk import Call, Refusal, Trace, Waiting, walk

CANCEL_S = 1.0
"""Seconds that an async step has to end after it was cancelled, before a runner that can kills its worker."""

IDLE: Start = ("", maxsize, None)
"""A start behind the last step: nothing runs, and the consumer is given a turn."""


class Program:
    """What all inputs of a run have in common: the pipeline and how its steps are called.

    It pickles without its calls, which every worker process makes once for itself.
    """

    def __init__(
        self,
        pipeline: Pipeline[Any, Any, Any],
        run_id: str = "",
        scope: str = "",
        pulse: Pulse | None = None,
        *,
        stopping: Callable[[], bool] = bool,
        timing: Timing = REAL,
        across_processes: bool = False,
        caching: Caching = Caching(),  # noqa: B008 - a tuple
        sharing: Sharing = Sharing(),  # noqa: B008 - a tuple
        checkpoints: Checkpoints | None = None,
    ) -> None:
        """``stopping`` says whether the run was stopped; in other processes, ``stop`` does.

        With ``checkpoints``, what a step returned is durable before the next one starts.
        """
        self.pipeline: Pipeline[Any, Any, Any] = pipeline
        self.names: tuple[str, ...] = pipeline.names
        self.end: int = len(pipeline)
        self.is_async: bool = pipeline.is_async
        self.is_guarded: bool = any(step.policies.guarded for step in pipeline)
        self.run_id = run_id
        self.scope = scope
        self.pulse = pulse
        self.stopping: Callable[[], bool] = stopping
        self.timing = timing
        self.caching = caching
        self.sharing = sharing
        self.checkpoints = checkpoints
        self.shared_file: str | None = shared_file(self) if across_processes and self.is_guarded else None
        self.supplies: Supplies = self._supplies()
        self.calls: tuple[Call, ...] = self._calls()
        """The steps ready to be called where they are."""
        self.is_barred: bool = False
        self.parts: list[Program] = [self]  # that are barred together; a thread of the runner may add one meanwhile

    def __getstate__(self) -> dict[str, Any]:
        made = ("calls", "threaded_calls", "stopping", "supplies", "is_barred", "parts")
        return {key: value for key, value in self.__dict__.items() if key not in made}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.supplies = supplies_in_worker(self.run_id, self._supplies) if self.run_id else self._supplies()
        self.stopping = self.supplies.is_stopped
        self.calls = self._calls()
        self.is_barred, self.parts = False, [self]

    def _supplies(self) -> Supplies:
        return Supplies(
            self.pipeline if self.is_guarded else (), self.timing, self.shared_file, self.caching, self.sharing
        )

    def stop(self) -> None:
        """Tell the worker processes that the run was stopped: what waits around a call waits no longer."""
        if self.supplies.shared is not None:
            self.supplies.shared.stop()

    def bar(self) -> None:
        """Let no input that has not begun begin in this process: its first step here sets it aside."""
        self.is_barred = True
        for part in self.parts.copy():
            part._set_all_aside()

    def _set_all_aside(self) -> None:
        barred = tuple(Call(call.place, call.step, set_aside) for call in self.calls)
        self.__dict__.update(calls=barred, threaded_calls=barred)

    def part(self, start: int, end: int) -> Program:
        """The steps from ``start`` up to ``end``, as a part of the same run: what all inputs share is the same."""
        part = object.__new__(Program)
        part.__dict__.update(self.__dict__)
        part.__dict__.pop("threaded_calls", None)
        part.end = end
        part.is_async = any(step.is_async for step in self.pipeline.steps[start:end])
        part.calls = self.calls[:end]
        self.parts.append(part)
        if self.is_barred:
            part._set_all_aside()
        return part

    def _calls(self) -> tuple[Call, ...]:
        return tuple(self._call(place, step, in_thread=False) for place, step in enumerate(self._steps))

    @property
    def _steps(self) -> tuple[Step[Any, Any, Any], ...]:
        return self.pipeline.steps[: self.end]

    @cached_property
    def threaded_calls(self) -> tuple[Call, ...]:
        """The steps ready to be called on an event loop: sync ones in a thread each."""
        return tuple(self._call(place, step, in_thread=True) for place, step in enumerate(self._steps))

    def _call(self, place: int, step: Step[Any, Any, Any], in_thread: bool) -> Call:
        """A step under all that stands around its call, innermost first."""
        fn, waits = self._ready(place, step, with_context(step.fn) if step.wants_context else step.fn, in_thread)
        if step.policies.guarded:
            fn = guarded(self._guard(place, step, fn, waits))
        elif waits:
            fn = awaited(fn)
        if self.checkpoints is not None and place > 0 and self.pipeline[place - 1].checkpoint:
            fn = kept_first(fn)
        return Call(place, step, fn)

    def guard_of(self, place: int, fn: Callable[[Any], Any], in_thread: bool) -> Guard:
        """The guard of a step whose function is ``fn`` here: that of a batch step takes many inputs."""
        step = self.pipeline[place]
        return self._guard(place, step, *self._ready(place, step, fn, in_thread))

    def _ready(
        self, place: int, step: Step[Any, Any, Any], fn: Callable[[Any], Any], in_thread: bool
    ) -> tuple[Callable[[Any], Any], bool]:
        """The function as it is called where this is, and whether it gives something to await."""
        limit_s = step.policies.timeout_s
        waits = step.is_async or (in_thread and limit_s is None)
        if waits and not step.is_async:
            fn = threaded(fn)
        if self.pulse is not None:
            grace_s = CANCEL_S if step.is_async else 0.0
            fn = pulsing(fn, self.pulse, place, None if limit_s is None else limit_s + grace_s)
        return fn, waits

    def pause(self, place: int) -> None:
        """A step is about to be kept: the time limit of the one before it must not end that."""
        if self.pulse is not None:
            self.pulse(min(place, len(self.calls) - 1), None)

    def _guard(self, place: int, step: Step[Any, Any, Any], fn: Callable[[Any], Any], waits: bool) -> Guard:
        pause = partial(self.pulse, place, None) if self.pulse is not None else bool
        return Guard(
            step,
            fn,
            waits=waits,
            kills=self.pulse is not None,
            timing=self.timing,
            stopping=self.stopping,
            pause=pause,
            supplies=self.supplies,
        )


def set_aside(_value: Any) -> Refusal:
    """What a step gives that does not begin any more."""
    return Refusal(error=SetAside(STOPPED), parked=STOPPED)


def work_of(program: Program, on_loop: bool) -> Callable[[Any], Any]:
    """The function that a runner maps; ``on_loop`` when it awaits what the function returns."""
    if on_loop:
        return partial(arun_one if program.checkpoints is None else arun_stepwise, program)
    if program.is_async:
        return partial(run_to_its_end, program)
    if program.checkpoints is not None:
        return partial(run_stepwise, program)
    return partial(run_guarded if program.is_guarded else run_one, program)


def run_one(program: Program, start: Bare) -> Trace:  # pragma: no mutate block - StepContext looks for its frame
    """Take one input through the steps that remain. Never raises, whatever a step does."""
    _, index, value = start
    clock_ns = [perf_counter_ns()]
    return walk(program.calls, index, value, clock_ns)


def run_guarded(program: Program, start: Start) -> Trace:  # pragma: no mutate block - as above
    """``run_one`` where a step has policies that may have to wait, or to call again."""
    clock_ns = [perf_counter_ns()]
    trace = walk(program.calls, start[1], start[2], clock_ns)
    while type(trace[0]) is Waiting:
        waiting = trace[0]
        trace = walk(program.calls, waiting.place, waiting.value, clock_ns, waiting.answered_here())
    return trace


def run_stepwise(program: Program, start: Start) -> Trace:  # pragma: no mutate block - as above
    """``run_guarded`` where what a step returned is durable before the next one starts."""
    clock_ns = [perf_counter_ns()]
    checkpoints: Any = program.checkpoints
    steps = stepwise(checkpoints, program.calls, start, clock_ns, (StopNow,))
    answered = None
    try:
        while True:
            effect = steps.send(answered)
            if isinstance(effect, Keep):
                program.pause(effect.place)
                answered = checkpoints.keep(start, *effect)
            else:
                answered = effect.answered_here()
    except StopIteration as ended:
        trace: Trace = ended.value
        return trace
    except JournalError as error:
        return Unkept.of(error), clock_ns, ()


WORKERS.update({run_one.__code__, run_guarded.__code__, run_stepwise.__code__})


async def arun_one(program: Program, start: Start, calls: tuple[Call, ...] | None = None) -> Trace:
    """``run_one`` on an event loop; sync steps run in threads. Cancellation goes through."""
    calls = program.threaded_calls if calls is None else calls
    clock_ns = [perf_counter_ns()]
    POSITION.set((program, start, clock_ns))
    end, _, attempts = walk(calls, start[1], start[2], clock_ns, None, PASSING)
    while type(end) is Waiting:
        end, _, attempts = walk(calls, end.place, end.value, clock_ns, await end.answered(), PASSING)
    readings = clock_ns.copy()
    clock_ns.clear()  # tasks that a step left behind: the input is done
    return end, readings, attempts


async def arun_stepwise(program: Program, start: Start, calls: tuple[Call, ...] | None = None) -> Trace:
    """``run_stepwise`` on an event loop: one that inputs share, or, with ``calls``, the input's own."""
    clock_ns = [perf_counter_ns()]
    POSITION.set((program, start, clock_ns))
    checkpoints: Any = program.checkpoints
    steps = stepwise(checkpoints, calls or program.threaded_calls, start, clock_ns, PASSING)
    answered = None
    try:
        while True:
            effect = steps.send(answered)
            if isinstance(effect, Waiting):
                answered = await effect.answered()
            elif calls is None:
                answered = await checkpoints.akeep(start, *effect)
            else:
                program.pause(effect.place)
                answered = checkpoints.keep(start, *effect)
    except StopIteration as ended:
        end, _, attempts = ended.value
    except JournalError as error:
        end, attempts = Unkept.of(error), ()
    readings = clock_ns.copy()
    clock_ns.clear()  # as above
    return end, readings, attempts


PASSING = (StopNow, asyncio.CancelledError)
"""What goes through an async step: the second Ctrl-C, and the cancellation of the task it runs in."""


def run_to_its_end(program: Program, start: Start) -> Trace:
    """``run_one`` for async steps on a runner without an event loop: a loop of their own per input."""
    run = arun_one if program.checkpoints is None else arun_stepwise
    return to_the_end(run(program, start, program.calls))

"""The contract of a runner as a test kit: what any runner, ours or yours, must keep to.

Each law is a function of a runner, named as a sentence; it raises ``AssertionError`` where the law is broken.
In pytest: ``@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)``, or all at once with `check_runner`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

from returns.result import Failure, Result, Success

from runners.evidence import crash_in, ends_of, hold, in_time, is_lazy, run_in_threads
from runners.message import message_of
from runners.protocol import Crash, Runner
from runners.specimens import (
    FAULTS,
    CountedInputs,
    SourceBroke,
    async_odd,
    breaking_inputs,
    caller,
    faulty,
    note,
    odd,
    read_context,
    same,
    square,
)

Law: TypeAlias = Callable[[Runner], None]

WINDOW = 20_000
"""More inputs than this may never have been pulled and not yet handed over."""


def check_runner(make: Callable[[], Runner]) -> None:
    """Hold the runners that ``make`` gives against every law of the contract, one runner a law.

    The functions that it maps are module-level, so they pickle by reference, and none takes a second.
    A runner with only ``run`` is not asked to be lazy.

    >>> from runners import SequentialRunner
    >>> check_runner(SequentialRunner)

    >>> class Forgetful(SequentialRunner):
    ...     def run(self, func, inputs):
    ...         return super().run(func, inputs)[:40]
    >>> check_runner(Forgetful)
    Traceback (most recent call last):
    ...
    AssertionError: SequentialRunner() breaks the law 'results_come_in_input_order': run gave 40 results for 50 inputs
    """
    __tracebackhide__ = True  # pytest then shows the caller's line
    for law in LAWS:
        runner = make()
        try:
            law(runner)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            problem = error if isinstance(error, AssertionError) else f"{type(error).__name__}: {message_of(error)}"
            raise AssertionError(f"{runner!r} breaks the law {law.__name__!r}: {problem}") from error


# ---- the laws -----------------------------------------------------------------------------------


def results_come_in_input_order(runner: Runner) -> None:
    """``run`` is ``[func(value) for value in inputs]``, for a partial and for a builtin as well."""
    results = runner.run(square, range(50))
    hold(len(results) == 50, f"run gave {len(results)} results for 50 inputs")
    hold(results == [n * n for n in range(50)], f"run gave {results}")
    hold(runner.run(partial(pow, 2), [5, 3]) == [32, 8], "a partial of a builtin is not applied to every input")


def no_inputs_give_no_results(runner: Runner) -> None:
    """An empty batch is no special case."""
    hold(runner.run(square, []) == [], "run of no inputs is not []")
    hold(list(runner.stream(square, iter(()))) == [], "stream of no inputs yields something")


def run_raises_what_func_raises(runner: Runner) -> None:
    """Where a runner is used alone, an exception of ``func`` propagates."""
    try:
        runner.run(odd, [1, 3, 4, 5])
    except ValueError as error:
        hold("4 is even" in str(error), f"the exception lost its text: {error}")
    else:
        raise AssertionError("run returned although func raised ValueError")
    for fault, name in FAULTS:
        if name != "StopIteration":  # which ends loops, also those of a ``run`` that lets everything through
            _run_raises(runner, partial(faulty, fault), name)


def every_input_ends_exactly_once(runner: Runner) -> None:
    """Each position is yielded once, with its own result or with a ``Crash`` that says type, text and place."""
    ends = ends_of(runner.stream(odd, (n for n in range(60))), 60)
    for position, end in ends.items():
        if position % 2:
            hold(end == Success(position), f"input {position} ended as {end}")
        else:
            crash = crash_in(end)
            hold((crash.kind, crash.exception) == ("error", "ValueError"), f"input {position} ended as {crash}")
            hold(f"{position} is even" in crash.message, f"input {position} has the message {crash.message!r}")
            hold(any(frame[2] == "odd" for frame in crash.frames), f"the frames do not name odd: {crash.frames}")


def every_input_runs_once(runner: Runner) -> None:
    """As long as no worker dies, ``func`` is called once with each input."""
    for form in (runner.run, runner.stream):
        with TemporaryDirectory() as folder:
            list(form(partial(note, folder), range(20)))
            twice = sorted(int(mark.name) for mark in Path(folder).iterdir() if mark.stat().st_size > 1)
            hold(not twice, f"{form.__name__} called func more than once with inputs {twice}")


def many_small_inputs_all_arrive(runner: Runner) -> None:
    """Travelling in chunks loses and mixes nothing."""
    ends = ends_of(runner.stream(square, range(3_000)), 3_000)
    hold(all(ends[n] == Success(n * n) for n in range(3_000)), "a result is not its own input's")


def a_result_may_be_a_failure_or_none(runner: Runner) -> None:
    """What ``func`` returns is its result, even a ``Failure``."""
    ends = ends_of(runner.stream(same, [Failure("mine"), None, Success(1)]), 3)
    hold(ends[0] == Success(Failure("mine")), f"a returned Failure became {ends[0]}")
    hold(ends[1] == Success(None), f"a returned None became {ends[1]}")
    hold(ends[2] == Success(Success(1)), f"a returned Success became {ends[2]}")


def any_exception_ends_one_input_only(runner: Runner) -> None:
    """However odd an exception is, its neighbours get their results and its message is bounded."""
    for fault, name in FAULTS:
        ends = ends_of(runner.stream(partial(faulty, fault), range(8)), 8)
        crash = crash_in(ends[3])
        hold(crash.exception == name, f"func raised {name}, and the input ended as {crash}")
        hold(len(crash.message) <= 11_000, f"the message of {name} has {len(crash.message)} characters")
        hold(all(ends[n] == Success(n) for n in ends if n != 3), f"{name} harmed other inputs: {ends}")


def what_the_inputs_raise_is_raised(runner: Runner) -> None:
    """A broken source is an error after the outcomes so far, never a batch that looks complete."""
    positions: list[int] = []
    try:
        for position, _ in runner.stream(square, breaking_inputs(5)):
            positions.append(position)
    except SourceBroke:
        if is_lazy(runner):
            hold(sorted(positions) == [0, 1, 2, 3, 4], f"of five outcomes only {sorted(positions)} were delivered")
    else:
        raise AssertionError("the inputs raised, and the stream ended as if they were complete")
    try:
        results = runner.run(square, breaking_inputs(5))
    except SourceBroke:
        return
    raise AssertionError(f"the inputs raised, and run returned {results} as if they were complete")


def streams_are_lazy_and_bounded(runner: Runner) -> None:
    """Inputs are pulled as a window allows, by one thread at a time, and no more after closing."""
    if not is_lazy(runner):
        return
    source = CountedInputs(WINDOW)
    stream: Any = runner.stream(square, source)
    hold(source.pulled == 0, "inputs are pulled before the first outcome is asked for")
    for taken in range(1, 2_001):
        ended = next(stream, None)
        hold(not source.pulled_too_many, f"more than {WINDOW} inputs are pulled and not handed over")
        hold(ended is not None, f"the stream ended after {taken - 1} outcomes, and the inputs did not")
        source.taken = taken
    getattr(stream, "close", lambda: None)()  # an iterator without one has nothing to let go of
    pulled = source.pulled
    hold(not source.pulled_at_once_by_two, "two threads advanced the inputs at the same time")
    hold(runner.run(square, [3]) == [9], "the runner does not work after a stream was closed early")
    hold(source.pulled == pulled, "inputs are pulled after the stream was closed")


def a_runner_works_again_and_again(runner: Runner) -> None:
    """A runner is settings: it can run twice, and ``with runner`` may be nested."""
    for _ in range(3):
        hold(runner.run(square, [1, 2]) == [1, 4], "a second run differs from the first")
    if hasattr(runner, "__enter__"):
        context: Any = runner
        with context, context:
            hold(runner.run(square, [1, 2]) == [1, 4], "a run inside `with runner` differs")
        hold(runner.run(square, [1, 2]) == [1, 4], "a run after `with runner` differs")


def streams_of_one_runner_may_interleave(runner: Runner) -> None:
    """Two streams at a time never wait for each other."""
    streams = partial(zip, runner.stream(square, range(20)), runner.stream(same, range(20)), strict=True)
    pairs: list[Any] = in_time(lambda: list(streams()), "the second of two streams waits for the first")
    hold(sorted(first[0] for first, _ in pairs) == list(range(20)), "the first stream lost inputs")
    hold(sorted(second[0] for _, second in pairs) == list(range(20)), "the second stream lost inputs")


def threads_may_share_a_runner(runner: Runner) -> None:
    """Several threads may run batches on one runner."""
    results = run_in_threads(runner, 3)
    expected = {key: [key * n for n in range(20)] for key in range(3)}
    hold(results == expected, f"three threads with one runner got {results}")


def the_callers_context_reaches_func(runner: Runner) -> None:
    """In this process, contextvars are the caller's."""
    if runner.crosses_processes:
        return
    token = caller.set("the caller's")
    try:
        ends = ends_of(runner.stream(read_context, range(5)), 5)
        seen = "stream does not let func see the caller's contextvars"
        hold(set(ends.values()) == {Success("the caller's")}, seen)
        hold(runner.run(read_context, range(5)) == ["the caller's"] * 5, "func does not see the caller's contextvars")
    finally:
        caller.reset(token)


def an_event_loop_can_use_the_runner(runner: Runner) -> None:
    """``astream`` is ``stream`` for a caller with a running event loop."""
    import asyncio

    async def collect() -> list[tuple[int, Result[int, Crash]]]:
        return [item async for item in runner.astream(odd, range(10))]

    ends = ends_of(iter(asyncio.run(collect())), 10)
    hold(ends[3] == Success(3), f"astream gave {ends[3]}")
    hold(crash_in(ends[4]).exception == "ValueError", f"astream gave {ends[4]}")


def a_runner_that_awaits_takes_coroutine_functions(runner: Runner) -> None:
    """With ``awaits``, a coroutine function is awaited."""
    if not runner.awaits:
        return
    func: Any = async_odd
    ends = ends_of(runner.stream(func, range(10)), 10)
    hold(ends[3] == Success(3), f"a coroutine function gave {ends[3]}")
    hold(crash_in(ends[4]).exception == "ValueError", f"a coroutine function gave {ends[4]}")


def a_runner_says_how_many_workers_it_has(runner: Runner) -> None:
    """``workers`` is a whole number, at least one."""
    workers: Any = runner.workers
    hold(isinstance(workers, int) and workers >= 1, f"workers is {workers!r}")


LAWS: tuple[Law, ...] = (
    results_come_in_input_order,
    no_inputs_give_no_results,
    run_raises_what_func_raises,
    every_input_ends_exactly_once,
    every_input_runs_once,
    many_small_inputs_all_arrive,
    a_result_may_be_a_failure_or_none,
    any_exception_ends_one_input_only,
    what_the_inputs_raise_is_raised,
    streams_are_lazy_and_bounded,
    a_runner_works_again_and_again,
    streams_of_one_runner_may_interleave,
    threads_may_share_a_runner,
    the_callers_context_reaches_func,
    an_event_loop_can_use_the_runner,
    a_runner_that_awaits_takes_coroutine_functions,
    a_runner_says_how_many_workers_it_has,
)


def _run_raises(runner: Runner, func: Callable[[int], int], name: str) -> None:
    try:
        results = runner.run(func, range(5))
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - what could not cross a process boundary is another one there
        return
    raise AssertionError(f"run returned {results} although func raised {name}")

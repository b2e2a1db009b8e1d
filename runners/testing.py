"""The contract of a runner as a test kit: what any runner, ours or yours, must keep to.

Each law is a function of a runner, named as a sentence; it raises ``AssertionError`` where the law is broken.
In pytest: ``@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)``, or all at once with `check_runner`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

from returns.result import Failure, Result, Success

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
    times,
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
    _hold(len(results) == 50, f"run gave {len(results)} results for 50 inputs")
    _hold(results == [n * n for n in range(50)], f"run gave {results}")
    _hold(runner.run(partial(pow, 2), [5, 3]) == [32, 8], "a partial of a builtin is not applied to every input")


def no_inputs_give_no_results(runner: Runner) -> None:
    """An empty batch is no special case."""
    _hold(runner.run(square, []) == [], "run of no inputs is not []")
    _hold(list(runner.stream(square, iter(()))) == [], "stream of no inputs yields something")


def run_raises_what_func_raises(runner: Runner) -> None:
    """Where a runner is used alone, an exception of ``func`` propagates."""
    try:
        runner.run(odd, [1, 3, 4, 5])
    except ValueError as error:
        _hold("4 is even" in str(error), f"the exception lost its text: {error}")
    else:
        raise AssertionError("run returned although func raised ValueError")


def every_input_ends_exactly_once(runner: Runner) -> None:
    """Each position is yielded once, with its own result or with a ``Crash`` that says type, text and place."""
    ends = _ends(runner.stream(odd, (n for n in range(60))), 60)
    for position, end in ends.items():
        if position % 2:
            _hold(end == Success(position), f"input {position} ended as {end}")
        else:
            crash = _crash(end)
            _hold((crash.kind, crash.exception) == ("error", "ValueError"), f"input {position} ended as {crash}")
            _hold(f"{position} is even" in crash.message, f"input {position} has the message {crash.message!r}")
            _hold(any(frame[2] == "odd" for frame in crash.frames), f"the frames do not name odd: {crash.frames}")


def every_input_runs_once(runner: Runner) -> None:
    """As long as no worker dies, ``func`` is called once with each input."""
    for form in (runner.run, runner.stream):
        with TemporaryDirectory() as folder:
            list(form(partial(note, folder), range(20)))
            twice = sorted(int(mark.name) for mark in Path(folder).iterdir() if mark.stat().st_size > 1)
            _hold(not twice, f"{form.__name__} called func more than once with inputs {twice}")


def many_small_inputs_all_arrive(runner: Runner) -> None:
    """Travelling in chunks loses and mixes nothing."""
    ends = _ends(runner.stream(square, range(3_000)), 3_000)
    _hold(all(ends[n] == Success(n * n) for n in range(3_000)), "a result is not its own input's")


def a_result_may_be_a_failure_or_none(runner: Runner) -> None:
    """What ``func`` returns is its result, even a ``Failure``."""
    ends = _ends(runner.stream(same, [Failure("mine"), None, Success(1)]), 3)
    _hold(ends[0] == Success(Failure("mine")), f"a returned Failure became {ends[0]}")
    _hold(ends[1] == Success(None), f"a returned None became {ends[1]}")
    _hold(ends[2] == Success(Success(1)), f"a returned Success became {ends[2]}")


def any_exception_ends_one_input_only(runner: Runner) -> None:
    """However odd an exception is, its neighbours get their results and its message is bounded."""
    for fault, name in FAULTS:
        ends = _ends(runner.stream(partial(faulty, fault), range(8)), 8)
        crash = _crash(ends[3])
        _hold(crash.exception == name, f"func raised {name}, and the input ended as {crash}")
        _hold(len(crash.message) <= 11_000, f"the message of {name} has {len(crash.message)} characters")
        _hold(all(ends[n] == Success(n) for n in ends if n != 3), f"{name} harmed other inputs: {ends}")


def what_the_inputs_raise_is_raised(runner: Runner) -> None:
    """A broken source is an error after the outcomes so far, never a batch that looks complete."""
    positions: list[int] = []
    try:
        for position, _ in runner.stream(square, breaking_inputs(5)):
            positions.append(position)
    except SourceBroke:
        if _is_lazy(runner):
            _hold(sorted(positions) == [0, 1, 2, 3, 4], f"of five outcomes only {sorted(positions)} were delivered")
    else:
        raise AssertionError("the inputs raised, and the stream ended as if they were complete")
    try:
        results = runner.run(square, breaking_inputs(5))
    except SourceBroke:
        return
    raise AssertionError(f"the inputs raised, and run returned {results} as if they were complete")


def streams_are_lazy_and_bounded(runner: Runner) -> None:
    """Inputs are pulled as a window allows, by one thread at a time, and no more after closing."""
    if not _is_lazy(runner):
        return
    source = CountedInputs(WINDOW)
    stream: Any = runner.stream(square, source)
    _hold(source.pulled == 0, "inputs are pulled before the first outcome is asked for")
    for taken in range(1, 2_001):
        ended = next(stream, None)
        _hold(not source.pulled_too_many, f"more than {WINDOW} inputs are pulled and not handed over")
        _hold(ended is not None, f"the stream ended after {taken - 1} outcomes, and the inputs did not")
        source.taken = taken
    stream.close()
    pulled = source.pulled
    _hold(not source.pulled_at_once_by_two, "two threads advanced the inputs at the same time")
    _hold(runner.run(square, [3]) == [9], "the runner does not work after a stream was closed early")
    _hold(source.pulled == pulled, "inputs are pulled after the stream was closed")


def a_runner_works_again_and_again(runner: Runner) -> None:
    """A runner is settings: it can run twice, and ``with runner`` may be nested."""
    for _ in range(3):
        _hold(runner.run(square, [1, 2]) == [1, 4], "a second run differs from the first")
    if hasattr(runner, "__enter__"):
        context: Any = runner
        with context, context:
            _hold(runner.run(square, [1, 2]) == [1, 4], "a run inside `with runner` differs")
        _hold(runner.run(square, [1, 2]) == [1, 4], "a run after `with runner` differs")


def streams_of_one_runner_may_interleave(runner: Runner) -> None:
    """Two streams at a time never wait for each other."""
    pairs = list(zip(runner.stream(square, range(20)), runner.stream(same, range(20)), strict=True))
    _hold(sorted(first[0] for first, _ in pairs) == list(range(20)), "the first stream lost inputs")
    _hold(sorted(second[0] for _, second in pairs) == list(range(20)), "the second stream lost inputs")


def threads_may_share_a_runner(runner: Runner) -> None:
    """Several threads may run batches on one runner."""
    results: dict[int, list[int]] = {}
    threads = [threading.Thread(target=_run_into, args=(results, key, runner), daemon=True) for key in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    expected = {key: [key * n for n in range(20)] for key in range(3)}
    _hold(results == expected, f"three threads with one runner got {results}")


def the_callers_context_reaches_func(runner: Runner) -> None:
    """In this process, contextvars are the caller's."""
    if runner.crosses_processes:
        return
    token = caller.set("the caller's")
    try:
        _hold(runner.run(read_context, range(5)) == ["the caller's"] * 5, "func does not see the caller's contextvars")
    finally:
        caller.reset(token)


def an_event_loop_can_use_the_runner(runner: Runner) -> None:
    """``astream`` is ``stream`` for a caller with a running event loop."""
    import asyncio

    async def collect() -> list[tuple[int, Result[int, Crash]]]:
        return [item async for item in runner.astream(odd, range(10))]

    ends = _ends(iter(asyncio.run(collect())), 10)
    _hold(ends[3] == Success(3), f"astream gave {ends[3]}")
    _hold(_crash(ends[4]).exception == "ValueError", f"astream gave {ends[4]}")


def a_runner_that_awaits_takes_coroutine_functions(runner: Runner) -> None:
    """With ``awaits``, a coroutine function is awaited."""
    if not runner.awaits:
        return
    func: Any = async_odd
    ends = _ends(runner.stream(func, range(10)), 10)
    _hold(ends[3] == Success(3), f"a coroutine function gave {ends[3]}")
    _hold(_crash(ends[4]).exception == "ValueError", f"a coroutine function gave {ends[4]}")


def a_runner_says_how_many_workers_it_has(runner: Runner) -> None:
    """``workers`` is at least one."""
    _hold(runner.workers >= 1, f"workers is {runner.workers}")


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


# ---- how the laws look at a runner --------------------------------------------------------------


def _hold(holds: bool, problem: str) -> None:
    if not holds:
        raise AssertionError(problem)


def _ends(stream: Iterator[tuple[int, Result[Any, Crash]]], count: int) -> dict[int, Result[Any, Crash]]:
    ends: dict[int, Result[Any, Crash]] = {}
    for position, result in stream:
        _hold(position not in ends, f"input {position} ended twice")
        ends[position] = result
    missing = sorted(set(range(count)) - set(ends))
    _hold(not missing, f"inputs {missing} never ended")
    _hold(len(ends) == count, f"{count} inputs have {len(ends)} outcomes")
    return ends


def _crash(end: Result[Any, Crash]) -> Crash:
    _hold(isinstance(end, Failure), f"func raised, and the input ended as {end}")
    return end.failure()


def _is_lazy(runner: Runner) -> bool:
    return type(runner).stream is not Runner.stream


def _run_into(results: dict[int, list[int]], key: int, runner: Runner) -> None:
    results[key] = runner.run(partial(times, key), range(20))

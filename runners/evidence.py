"""How the laws of a runner look at it: what they hold against it, and how long they wait for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

from returns.result import Failure, Result

from runners.protocol import Crash, Runner
from runners.specimens import times

R = TypeVar("R")

PATIENCE_S = 60.0
"""What takes longer, in seconds, is taken to hang."""


def hold(holds: bool, problem: str) -> None:
    """Raise ``AssertionError`` unless it holds."""
    if not holds:
        raise AssertionError(problem)


def ends_of(stream: Iterator[tuple[int, Result[Any, Crash]]], count: int) -> dict[int, Result[Any, Crash]]:
    """How each of ``count`` inputs ended, by position: each once."""
    ends: dict[int, Result[Any, Crash]] = {}
    for position, result in stream:
        hold(position not in ends, f"input {position} ended twice")
        ends[position] = result
    missing = sorted(set(range(count)) - set(ends))
    hold(not missing, f"inputs {missing} never ended")
    hold(len(ends) == count, f"{count} inputs have {len(ends)} outcomes")
    return ends


def crash_in(end: Result[Any, Crash]) -> Crash:
    """Why an input whose call raised has no result."""
    hold(isinstance(end, Failure), f"func raised, and the input ended as {end}")
    return end.failure()


def is_lazy(runner: Runner) -> bool:
    """Whether it has a ``stream`` of its own."""
    return type(runner).stream is not Runner.stream


def in_time(look: Callable[[], R], problem: str) -> R:
    """What ``look`` returns, in a thread that is left alone if it hangs."""
    results: list[R] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            results.append(look())
        except BaseException as error:  # noqa: BLE001 - raised below, in the thread that asked
            errors.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(PATIENCE_S)
    hold(not thread.is_alive(), f"{problem}, or takes longer than {PATIENCE_S:g} seconds")
    if errors:
        raise errors[0]
    return results[0]


def run_in_threads(runner: Runner, count: int) -> dict[int, list[int]]:
    """What ``count`` threads get from one runner at the same time; each multiplies by its own number."""
    results: dict[int, list[int]] = {}

    def work(key: int) -> None:
        results[key] = runner.run(partial(times, key), range(20))

    threads = [threading.Thread(target=work, args=(key,), daemon=True) for key in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    return results

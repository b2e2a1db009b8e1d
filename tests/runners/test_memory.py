"""What a stream holds at a time is bounded, in inputs and, where those or the results are large, in bytes."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from runners import Runner, ThreadRunner
from runners.batch import MAX_CHUNK
from runners.parcel import InPlace, Pickled, Report, work_on
from tests.runners.roster import EVERY

LARGE = 2_000_000


def same(value: Any) -> Any:
    return value


def inflate(value: int) -> bytes:
    return bytes([value % 256]) * LARGE


def small_values() -> Iterator[int]:
    yield from range(150)


def large_values() -> Iterator[bytes]:
    return map(inflate, small_values())


def most_held(runner: Runner, func: Callable[[Any], Any], values: Iterator[Any]) -> int:
    """How many inputs at most were pulled and had no result handed over."""
    pulled = most = 0

    def inputs() -> Iterator[Any]:
        nonlocal pulled
        for value in values:
            pulled += 1
            yield value

    for given, _ in enumerate(runner.stream(func, inputs())):
        most = max(most, pulled - given)
    return most


def test_of_inputs_of_two_megabytes_a_handful_is_held(every_runner: Runner) -> None:
    assert most_held(every_runner, same, large_values()) <= 6 * every_runner.workers


@pytest.mark.parametrize("name", ["sequential", "thread", "async"])
def test_of_results_of_two_megabytes_a_handful_is_held(name: str) -> None:
    """Where they are in this process; others come as they are taken."""
    runner = EVERY[name]()

    assert most_held(runner, inflate, small_values()) <= 12 * runner.workers


@pytest.mark.parametrize("wire", [InPlace(), Pickled()])
def test_large_results_come_back_from_an_executor_before_the_rest_of_their_chunk(wire: Any) -> None:
    function = inflate if isinstance(wire, InPlace) else pickle.dumps(inflate)

    report = work_on(wire, function, list(range(50)), 60.0)

    assert isinstance(report, Report)
    assert len(report.answers) == 1


def test_in_threads_two_large_inputs_are_held_for_each_worker() -> None:
    assert most_held(ThreadRunner(2), same, large_values()) <= 5
    assert most_held(ThreadRunner(8), same, large_values()) <= 17


def test_in_threads_what_is_small_again_travels_in_large_chunks_again() -> None:
    values = [*large_values(), *range(100_000)]

    assert most_held(ThreadRunner(2), same, iter(values)) > MAX_CHUNK


class Deceitful:
    def __sizeof__(self) -> int:
        raise RuntimeError("who asks?")


@pytest.mark.parametrize("name", ["thread", "sequential", "async"])
def test_a_value_that_does_not_tell_its_size_is_worked_on_all_the_same(name: str) -> None:
    values = [Deceitful() for _ in range(50)]

    assert EVERY[name]().run(same, values) == values

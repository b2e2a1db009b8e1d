"""``with runner:`` keeps workers between runs, may be nested, and serves several threads at once: on every runner."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from returns.result import Success

from runners import Runner
from tests.runners import faults
from tests.runners.processes import nothing_left_behind
from tests.runners.roster import CLUSTERS, EVERY, cluster_runner

Worker = tuple[int, int]
"""A process and a thread in it."""


def tell_worker(_: object) -> Worker:
    """Who works; long enough for every worker to get something to do."""
    time.sleep(0.002)
    return os.getpid(), threading.get_native_id()


async def tell_loop(value: object) -> Worker:
    return tell_worker(value)


def workers_of(runner: Any, runs: int, work: Callable[[Any], Any] = tell_worker) -> set[Worker]:
    return {worker for _ in range(runs) for worker in runner.run(work, range(12))}


def test_the_same_workers_serve_run_after_run(every_runner: Any) -> None:
    with nothing_left_behind(), every_runner as runner:
        workers = workers_of(runner, 5)

    assert 1 <= len(workers) <= runner.workers


def test_without_with_workers_that_are_started_live_for_one_run(every_runner: Runner) -> None:
    with nothing_left_behind():
        first, second = workers_of(every_runner, 1), workers_of(every_runner, 1)

    assert first.isdisjoint(second) or first == second == {(os.getpid(), threading.get_native_id())}


def test_with_may_be_nested_and_entered_again(every_runner: Any) -> None:
    with nothing_left_behind():
        with every_runner:
            with every_runner:
                inner = workers_of(every_runner, 2)
            outer = inner | workers_of(every_runner, 2)
        with every_runner:
            later = workers_of(every_runner, 2)

    assert len(outer) <= every_runner.workers
    assert len(later) <= every_runner.workers


def test_several_threads_at_once_share_one_warm_runner(every_runner: Any) -> None:
    with nothing_left_behind(), every_runner:
        results = run_in_threads(every_runner)

    assert results == EXPECTED


def run_in_threads(runner: Runner) -> dict[int, list[list[int]]]:
    """Three runs in each of four threads, at the same time."""
    results: dict[int, list[list[int]]] = {}

    def work(number: int) -> None:
        results[number] = [runner.run(partial(max, number), range(200)) for _ in range(3)]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


EXPECTED = {number: [[max(number, value) for value in range(200)]] * 3 for number in range(4)}


def test_a_thread_may_leave_while_another_goes_on(every_runner: Any) -> None:
    left = threading.Event()

    def enter_and_leave() -> None:
        with every_runner:
            every_runner.run(faults.square, [1])
        left.set()

    with nothing_left_behind(), every_runner:
        before = workers_of(every_runner, 1)
        thread = threading.Thread(target=enter_and_leave)
        thread.start()
        assert left.wait(30)
        thread.join()
        after = workers_of(every_runner, 1)

    assert before & after


@pytest.mark.parametrize("name", ["process", "executor-processes"])
def test_warm_workers_still_end_with_a_fault_of_one_input_only(name: str) -> None:
    with nothing_left_behind(), EVERY[name]() as runner:  # type: ignore[attr-defined]
        before = workers_of(runner, 1)
        ended = dict(runner.stream(faults.Faulty(faults.kill_itself), range(20)))
        after = workers_of(runner, 3)

    assert [position for position, end in ended.items() if end != Success(position * position)] == [7]
    assert before != after
    assert len(after) <= 2


def test_an_event_loop_stays_between_runs() -> None:
    """And so does what is bound to it, such as a client with open connections."""
    with nothing_left_behind(), EVERY["async"]() as runner:  # type: ignore[attr-defined]
        warm = workers_of(runner, 3, tell_loop)
    cold = workers_of(EVERY["async"](), 3, tell_loop)

    assert (len(warm), len(cold)) == (1, 3)


@pytest.fixture(params=CLUSTERS)
def on_cluster(request: pytest.FixtureRequest) -> Any:
    return cluster_runner(request)


@pytest.mark.cluster
def test_on_a_cluster_a_runner_may_be_entered_again_and_used_by_several_threads(on_cluster: Any) -> None:
    runner = on_cluster
    with runner, runner:
        before = workers_of(runner, 1)
        results = run_in_threads(runner)
        after = workers_of(runner, 1)

    assert results == EXPECTED
    assert before & after

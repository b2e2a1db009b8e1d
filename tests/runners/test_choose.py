"""The selection guide: every row of the document, where rows disagree, and what measuring changes."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from threading import Lock
from typing import Any

import pytest

from pipeline import step
from runners import AsyncRunner, ExecutorRunner, ProcessRunner, RunnerError, SequentialRunner, ThreadRunner, choose
from runners.choose import Facts, choose_runner, decide


@step("shout")
def shout(text: str) -> str:
    return text.upper()


@step("call")
async def call(text: str) -> str:
    return text


def facts(**known: Any) -> Facts:
    return Facts(**{"n": 1_000, "processors": 4, **known})


@pytest.mark.parametrize(
    ("known", "kind", "why"),
    [
        ({"debugging": True, "bound": "cpu"}, "sequential", "easy to follow"),
        ({"bound": "io"}, "thread", "threads wait together"),
        ({"bound": "cpu"}, "process", "side by side on 4 processors"),
        ({"n": 9}, "sequential", "9 inputs are few"),
        ({"n": 101}, "process", "the guide has processes for large batches"),
    ],
)
def test_each_row_of_the_guide_decides_where_it_stands_alone(known: dict[str, Any], kind: str, why: str) -> None:
    decided, reason = decide(facts(**known))

    assert decided == kind
    assert why in reason


@pytest.mark.parametrize(
    ("known", "kind", "why"),
    [
        ({"n": 5, "bound": "io"}, "thread", "even for a few inputs"),  # API calls, but a small dataset
        ({"n": 5_000, "bound": "io"}, "thread", "the work waits"),  # API calls, but a large dataset
        ({"n": 5, "bound": "cpu"}, "sequential", "few"),  # a transformation, but a small dataset
        ({"n": 50}, "thread", "between the guide's rows"),  # neither small nor large
        ({"n": None}, "process", "a stream of unknown work"),
        ({"n": 1, "bound": "io"}, "sequential", "nothing to do side by side"),
        ({"n": 0}, "sequential", "nothing"),
    ],
)
def test_what_the_work_waits_for_outranks_its_size(known: dict[str, Any], kind: str, why: str) -> None:
    decided, reason = decide(facts(**known))

    assert decided == kind
    assert why in reason


@pytest.mark.parametrize(
    ("known", "kind", "why"),
    [
        ({"bound": "cpu", "processors": 1}, "sequential", "there is one processor"),
        ({"processors": 1}, "thread", "but there is one processor"),
        ({"bound": "cpu", "unpicklable": "f cannot be pickled"}, "sequential", "f cannot be pickled; threads would"),
        ({"unpicklable": "f cannot be pickled"}, "thread", "but f cannot be pickled"),
        ({"is_async": True, "n": 3}, "async", "one event loop"),
    ],
)
def test_a_runner_that_cannot_help_is_not_chosen(known: dict[str, Any], kind: str, why: str) -> None:
    decided, reason = decide(facts(**known))

    assert decided == kind
    assert why in reason


@pytest.mark.parametrize(
    ("known", "kind", "why"),
    [
        ({"cost_s": 0.2, "cpu_s": 0.19}, "process", "an input takes 200.0 ms, 95% of it on the processor"),
        ({"cost_s": 0.2, "cpu_s": 0.01}, "thread", "5% of it on the processor: it waits"),
        ({"cost_s": 0.2, "cpu_s": 0.01, "bound": "cpu"}, "process", "side by side"),  # who says so knows better
        ({"n": 5, "cost_s": 2.0, "cpu_s": 2.0}, "process", "2.0 s"),  # few, but worth it
        ({"n": 5, "cost_s": 2.0, "cpu_s": 0.0}, "thread", "it waits"),
        ({"n": 5_000, "cost_s": 4e-6, "cpu_s": 4e-6}, "sequential", "4 µs"),  # many, but not worth it
        ({"n": None, "cost_s": 4e-6, "cpu_s": 4e-6}, "process", "side by side"),
        ({"cost_s": 0.002, "cpu_s": 0.002, "size": 20_000_000}, "sequential", "its 20,000,000 bytes take longer"),
        ({"cost_s": 0.002, "cpu_s": 0.002, "size": 20_000}, "process", "side by side"),
    ],
)
def test_measuring_decides_where_rows_disagree(known: dict[str, Any], kind: str, why: str) -> None:
    decided, reason = decide(facts(**known))

    assert decided == kind
    assert why in reason


class Clocks:
    """Wall and processor time that pass only in ``work``."""

    def __init__(self) -> None:
        self.wall_s = self.cpu_s = 0.0
        self.worked: list[float] = []

    def work(self, wall_s: float) -> bytes:
        self.worked.append(wall_s)
        self.wall_s += wall_s
        self.cpu_s += wall_s / 4
        if wall_s == 0.3:
            raise ValueError(wall_s)
        return bytes(1_000)


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    clocks = Clocks()
    monkeypatch.setattr(choose, "perf_counter", lambda: clocks.wall_s)
    monkeypatch.setattr(choose, "thread_time", lambda: clocks.cpu_s)
    return clocks


def test_a_sample_is_measured_by_both_clocks_and_by_its_bytes(clocks: Clocks) -> None:
    cost_s, cpu_s, size, unpicklable = choose.measured(clocks.work, [0.1, 0.2])

    assert (cost_s, cpu_s) == pytest.approx((0.15, 0.0375))
    assert 1_000 < size < 1_100
    assert unpicklable is None


def test_a_sample_is_small_short_and_may_fail(clocks: Clocks) -> None:
    def endless() -> Iterator[float]:
        while True:
            yield 0.1

    choose_runner(1_000, func=clocks.work, sample=endless())
    choose_runner(1_000, func=clocks.work, sample=[0.3, 0.4, 0.5])

    assert clocks.worked == [0.1, 0.1, 0.1, 0.3, 0.4]


@pytest.mark.parametrize(
    ("value", "result", "why"),
    [
        (1, Lock(), "a result of the sample, a lock, cannot be pickled: cannot pickle '_thread.lock' object"),
        (Lock(), 1, "an input of the sample, a lock, cannot be pickled: cannot pickle '_thread.lock' object"),
    ],
)
def test_what_a_sample_shows_cannot_cross_stays_here(
    monkeypatch: pytest.MonkeyPatch, value: object, result: object, why: str
) -> None:
    monkeypatch.setattr(choose, "_processors", lambda: 4)
    monkeypatch.setattr(choose, "pickle_function", lambda _: b"")

    chosen = choose_runner(None, "cpu", lambda _: result, sample=[value])

    assert chosen.runner == SequentialRunner()
    assert why in chosen.why


def leave(_: int) -> None:
    raise SystemExit(3)


def test_a_sample_that_exits_does_not_end_the_caller() -> None:
    assert choose_runner(500, func=leave, sample=[1]).runner == SequentialRunner()


@pytest.mark.parametrize("asked", [{"bound": "cpu"}, {"bound": "io"}, {"func": abs, "sample": [1]}, {}])
def test_one_worker_is_no_worker(asked: Any) -> None:
    chosen = choose_runner(500, **asked, max_workers=1)

    assert chosen.runner == SequentialRunner()
    assert "max_workers is 1" in chosen.why


def test_as_many_processors_are_told_as_there_are_workers() -> None:
    assert "side by side on 3 processors" in decide(facts(bound="cpu", max_workers=3))[1]
    assert "side by side on 4 processors" in decide(facts(bound="cpu", max_workers=9))[1]


def test_a_number_beyond_all_measure_is_a_number(clocks: Clocks) -> None:
    asked: list[dict[str, Any]] = [{"func": clocks.work, "sample": [0.1]}, {}]
    for known in asked:
        assert choose_runner(10**5_000, **known).runner != SequentialRunner()


def test_who_does_not_ask_is_not_measured(clocks: Clocks) -> None:
    choose_runner(1_000, func=clocks.work)
    choose_runner(1_000, func=clocks.work, sample=[0.1], debugging=True)

    assert clocks.worked == []


def test_the_runner_is_made_as_asked() -> None:
    assert choose_runner(500, "cpu" if choose._processors() > 1 else None, shout, max_workers=3).runner in (
        ProcessRunner(3),
        ThreadRunner(3),
    )
    assert choose_runner(500, "io", max_workers=3).runner == ThreadRunner(3)
    assert choose_runner(500, func=shout >> call).runner == AsyncRunner()
    assert choose_runner(500, func=call, max_workers=3).runner == AsyncRunner(3)
    assert choose_runner(3, func=shout).runner == SequentialRunner()
    assert "lambda" in choose_runner(500, "cpu", lambda text: text).why or choose._processors() == 1


def test_where_there_is_no_process_runner_a_standard_pool_takes_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("os.pidfd_open")
    monkeypatch.setattr(choose, "_processors", lambda: 4)

    runner = choose_runner(500, "cpu", max_workers=3).runner

    assert isinstance(runner, ExecutorRunner)
    assert runner.workers == 3
    assert ProcessPoolExecutor.__name__ in repr(runner)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"n": -1}, "n=-1"),
        ({"n": 5, "bound": "gpu"}, "bound='gpu'"),
        ({"n": 5, "func": 3}, "func=3"),
        ({"n": 5, "sample": [1]}, "a sample without func"),
        ({"n": "5"}, "n='5'"),
        ({"n": 500, "bound": "io", "max_workers": 0}, "max_workers=0"),
        ({"n": 5, "max_workers": 0}, "max_workers=0"),
        ({"n": 500, "bound": "cpu", "max_workers": "4"}, "max_workers='4'"),
    ],
)
def test_what_makes_no_sense_is_refused(asked: Any, told: str) -> None:
    with pytest.raises(RunnerError, match=told):
        choose_runner(**asked)

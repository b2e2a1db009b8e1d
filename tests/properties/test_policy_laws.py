"""Laws of what all inputs of a run share, on real threads and real worker processes, for any settings of the policies.

Limits, budgets and breakers hold for the run, and not for each worker. The calls themselves write down when they were.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline import CircuitBreaker, ConcurrencyLimit, Processor, RateLimit, Retry, step, to_inputs
from pipeline.policies.retry import BUDGET_FLOOR
from runners import ProcessRunner, Runner, ThreadRunner

WORKERS = 3
some = settings(
    max_examples=min(80, settings().max_examples // 6), suppress_health_check=[HealthCheck.function_scoped_fixture]
)
"""Each example is a run on real workers: fewer of them than elsewhere."""


@step("call")
def call(job: tuple[str, float, bool]) -> float:
    """Note when it began and ended; ``job`` is the log, how long the call takes, and whether it succeeds."""
    log, work_s, is_good = job
    began = time.monotonic()
    time.sleep(work_s)
    with Path(log).open("a") as file:
        file.write(f"{began} {time.monotonic()}\n")
    if not is_good:
        raise ConnectionError("down")
    return began


@pytest.fixture(scope="module", params=[ThreadRunner, ProcessRunner], ids=lambda it: it.__name__)
def runner(request: pytest.FixtureRequest) -> Iterator[Runner]:
    """Workers that stay for all examples."""
    with request.param(WORKERS) as kept:
        yield kept


def run(
    runner: Runner, folder: Path, goods: list[bool], work_s: float, **policies: Any
) -> tuple[Any, float, list[list[float]]]:
    """The result of a run, when it began, and beginning and end of each call in the order of the beginnings."""
    log = folder / f"{time.monotonic_ns()}"
    log.touch()
    began = time.monotonic()
    guarded = call.replace(**policies)
    result = Processor(pipeline=guarded, runner=runner).execute(to_inputs([(str(log), work_s, good) for good in goods]))
    return result, began, sorted([float(at) for at in line.split()] for line in log.read_text().splitlines())


@some
@given(st.floats(50, 400), st.integers(1, 4), st.integers(1, 16))
def test_no_call_starts_before_rate_and_burst_allow_it_whichever_worker_makes_it(
    runner: Runner, tmp_path: Path, per_second: float, burst: int, count: int
) -> None:
    limit = RateLimit(per_second=per_second, burst=burst)

    result, began, calls = run(runner, tmp_path, [True] * count, 0.0, rate=limit)

    assert len(result.succeeded) == len(calls) == count
    for number, (started, _) in enumerate(calls, 1):
        assert started >= began + (number - burst) / per_second


@some
@given(st.integers(1, 4), st.integers(1, 12))
def test_no_more_calls_are_in_progress_than_the_limit_whichever_workers_make_them(
    runner: Runner, tmp_path: Path, places: int, count: int
) -> None:
    result, _, calls = run(runner, tmp_path, [True] * count, 0.004, limit=ConcurrencyLimit(places))

    assert len(result.succeeded) == len(calls) == count
    for began, _ in calls:
        assert sum(other <= began < ended for other, ended in calls) <= places


@some
@given(st.floats(0, 0.5), st.integers(2, 5), st.lists(st.booleans(), max_size=20))
def test_all_workers_together_retry_no_more_than_the_budget(
    runner: Runner, tmp_path: Path, budget: float, attempts: int, others: list[bool]
) -> None:
    goods = [*others, *[False] * 20]  # enough that fail to spend any such budget, if they may
    retry = Retry(attempts=attempts, wait=0.0, budget=budget)

    result, _, calls = run(runner, tmp_path, goods, 0.0, retry=retry)

    retries, wanted = len(calls) - len(goods), goods.count(False) * (attempts - 1)
    assert min(wanted, BUDGET_FLOOR) <= retries <= min(wanted, BUDGET_FLOOR + 1 + budget * len(goods))
    assert result.metrics.steps["call"].retries == retries
    assert [not hasattr(outcome, "exception") for outcome in result.outcomes] == goods


@some
@given(st.integers(1, 5), st.integers(0, 20))
def test_once_a_breaker_is_open_no_worker_calls_and_every_input_waits_before_the_step(
    runner: Runner, tmp_path: Path, failures: int, count: int
) -> None:
    breaker = CircuitBreaker(failures=failures, reset_s=3_600)

    result, _, calls = run(runner, tmp_path, [False] * count, 0.002, breaker=breaker)

    in_flight = WORKERS - 1  # calls that had begun when the last failure opened it
    assert min(count, failures) <= len(calls) <= failures + in_flight
    assert len(result.failed) == len(calls)
    assert [waiting.payload.data[1:] for waiting in result.not_run] == [(0.002, False)] * (count - len(calls))


@some
@given(st.integers(1, 5), st.integers(1, 3), st.lists(st.booleans(), min_size=1, max_size=12))
def test_no_input_is_called_more_often_than_its_attempts(
    runner: Runner, tmp_path: Path, attempts: int, places: int, goods: list[bool]
) -> None:
    retry, limit = Retry(attempts=attempts, wait=0.0), ConcurrencyLimit(places)

    result, _, calls = run(runner, tmp_path, goods, 0.0, retry=retry, limit=limit)

    assert len(calls) == goods.count(True) + attempts * goods.count(False)
    assert [len(failed.attempts) for failed in result.failed] == [attempts] * goods.count(False)

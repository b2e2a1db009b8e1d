"""Every runner keeps the contract: one suite, never copies of it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from typing import Any

import pytest
from returns.result import Failure, Success

from runners import AsyncRunner, ExecutorRunner, Runner, ThreadRunner
from runners.crash import attempt, crash_of
from runners.streaming import StreamRunner
from runners.testing import LAWS, Law, check_runner
from tests.runners.roster import CLUSTERS, EVERY, cluster_runner

RUNNERS: dict[str, Callable[[], Runner]] = EVERY | {
    "thread-1": lambda: ThreadRunner(max_workers=1),
    "thread-64": lambda: ThreadRunner(max_workers=64),
    "async-1": lambda: AsyncRunner(max_concurrency=1),
}


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("name", RUNNERS)
def test_a_runner_keeps_the_law(name: str, law: Law) -> None:
    law(RUNNERS[name]())


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_a_runner_over_lokys_executor_keeps_the_law(loky_pool: Executor, law: Law) -> None:
    law(ExecutorRunner(loky_pool))


@pytest.fixture(params=CLUSTERS)
def make_on_cluster(request: pytest.FixtureRequest) -> Callable[[], Runner]:
    return lambda: cluster_runner(request)


@pytest.mark.cluster
def test_a_runner_on_a_cluster_keeps_every_law(make_on_cluster: Callable[[], Runner]) -> None:
    check_runner(make_on_cluster)


# ---- runners that break a law are found out ------------------------------------------------------


class Lazily(StreamRunner):
    """One after the other, as ``SequentialRunner``, and open to mistakes."""

    def stream(self, func: Any, inputs: Any) -> Any:
        for position, value in enumerate(inputs):
            yield position, self.ended(func, value)

    def ended(self, func: Any, value: Any) -> Any:
        return attempt(func, value)


class Eager(Lazily):
    """Pulls everything first, and raises what the inputs raised when the rest has ended."""

    def stream(self, func: Any, inputs: Any) -> Any:
        values, error = [], None
        try:
            for value in inputs:
                values.append(value)
        except Exception as raised:
            error = raised
        yield from super().stream(func, values)
        if error is not None:
            raise error


class Careless(Lazily):
    def ended(self, func: Any, value: Any) -> Any:
        try:
            return Success(func(value))
        except Exception as error:
            return Failure(crash_of(error))


class Twice(Lazily):
    def ended(self, func: Any, value: Any) -> Any:
        attempt(func, value)
        return attempt(func, value)


class TwiceInRun(Lazily):
    def run(self, func: Any, inputs: Any) -> Any:
        values = list(inputs)
        super().run(func, values)
        return super().run(func, values)


class Swallowing(Lazily):
    def run(self, func: Any, inputs: Any) -> Any:
        values = []
        with suppress(Exception):
            for value in inputs:
                values.append(value)
        return super().run(func, values)


@pytest.mark.parametrize(
    ("wrong", "law", "problem"),
    [
        (Eager, "streams_are_lazy_and_bounded", "more than 20000 inputs are pulled and not handed over"),
        (Careless, "any_exception_ends_one_input_only", "_Custom: "),
        (Twice, "every_input_runs_once", "run called func more than once with inputs [0, 1, 2"),
        (TwiceInRun, "every_input_runs_once", "run called func more than once with inputs [0, 1, 2"),
        (Swallowing, "what_the_inputs_raise_is_raised", "run returned [0, 1, 4, 9, 16] as if they were complete"),
    ],
)
def test_a_runner_that_breaks_a_law_is_found_out(wrong: Callable[[], Runner], law: str, problem: str) -> None:
    with pytest.raises(AssertionError) as caught:
        check_runner(wrong)

    assert f"breaks the law {law!r}: " in str(caught.value)
    assert problem in str(caught.value)

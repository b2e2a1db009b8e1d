"""Every runner keeps the contract: one suite, never copies of it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from contextvars import Context
from functools import partial
from itertools import count
from threading import Lock
from typing import Any

import pytest
from returns.result import Failure, Success

from runners import AsyncRunner, ExecutorRunner, Runner, ThreadRunner, evidence
from runners.crash import attempt, crash_of
from runners.streaming import StreamRunner
from runners.testing import (
    LAWS,
    Law,
    check_runner,
    streams_of_one_runner_may_interleave,
    the_callers_context_reaches_func,
)
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


class Forgiving(Lazily):
    def run(self, func: Any, inputs: Any) -> Any:
        return [self.mapped(func, value) for value in inputs]

    def mapped(self, func: Any, value: Any) -> Any:
        try:
            return func(value)
        except ValueError:
            raise
        except Exception:
            return None


class Apart(Lazily):
    """Its streams run outside the caller's context."""

    def stream(self, func: Any, inputs: Any) -> Any:
        return Context().run(list, super().stream(func, list(inputs)))


class Halved(Lazily):
    @property
    def workers(self) -> Any:
        return 2.5


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
        (Forgiving, "run_raises_what_func_raises", "although func raised _NeedsMore"),
        (Halved, "a_runner_says_how_many_workers_it_has", "workers is 2.5"),
        (Swallowing, "what_the_inputs_raise_is_raised", "run returned [0, 1, 4, 9, 16] as if they were complete"),
    ],
)
def test_a_runner_that_breaks_a_law_is_found_out(wrong: Callable[[], Runner], law: str, problem: str) -> None:
    with pytest.raises(AssertionError) as caught:
        check_runner(wrong)

    assert f"breaks the law {law!r}: " in str(caught.value)
    assert problem in str(caught.value)


def test_a_stream_that_loses_the_callers_context_is_found_out() -> None:
    with pytest.raises(AssertionError, match="stream does not let func see the caller's contextvars"):
        the_callers_context_reaches_func(Apart())


class Locked(Lazily):
    """One stream at a time."""

    def __init__(self) -> None:
        self.lock = Lock()

    def stream(self, func: Any, inputs: Any) -> Any:
        with self.lock:
            yield from super().stream(func, inputs)


def test_streams_that_wait_for_each_other_are_found_out_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "PATIENCE_S", 0.2)

    with pytest.raises(AssertionError, match="the second of two streams waits for the first"):
        streams_of_one_runner_may_interleave(Locked())


class Plain(Lazily):
    """Its stream is an iterator that cannot be closed."""

    def stream(self, func: Any, inputs: Any) -> Any:
        return zip(count(), map(partial(attempt, func), inputs), strict=False)


def test_a_stream_may_be_an_iterator_that_cannot_be_closed() -> None:
    check_runner(Plain)

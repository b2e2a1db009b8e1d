"""Every runner there is, for suites that hold all of them to the same.

``every_runner`` gives one runner after the other, made when its test runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial

import loky
import pytest

from runners import AsyncRunner, ExecutorRunner, ProcessRunner, Runner, SequentialRunner, ThreadRunner

IN_PLACE: dict[str, Callable[[], Runner]] = {
    "sequential": SequentialRunner,
    "thread": lambda: ThreadRunner(max_workers=2),
    "executor-threads": lambda: ExecutorRunner(partial(ThreadPoolExecutor, 2)),
}
ASYNC: dict[str, Callable[[], Runner]] = {"async": lambda: AsyncRunner(max_concurrency=4)}
APART: dict[str, Callable[[], Runner]] = {
    "process": lambda: ProcessRunner(max_workers=2),
    "executor-processes": lambda: ExecutorRunner(partial(ProcessPoolExecutor, 2)),
}
EVERY = IN_PLACE | ASYNC | APART


@pytest.fixture(params=EVERY)
def every_runner(request: pytest.FixtureRequest) -> Runner:
    """One runner of each kind."""
    return EVERY[request.param]()


@pytest.fixture(scope="module")
def loky_pool() -> Iterator[loky.process_executor.ProcessPoolExecutor]:
    """loky's own workers, which take a while to start."""
    pool = loky.get_reusable_executor(2, timeout=3600)
    yield pool
    pool.shutdown(wait=True)

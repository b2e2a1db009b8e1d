"""Every runner keeps the contract: one suite, never copies of it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor

import pytest

from runners import AsyncRunner, ExecutorRunner, Runner, ThreadRunner
from runners.testing import LAWS, Law
from tests.runners.roster import EVERY

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

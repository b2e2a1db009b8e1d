"""Every runner keeps the contract: one suite, never copies of it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor

import pytest

from runners import AsyncRunner, ExecutorRunner, Runner, ThreadRunner
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

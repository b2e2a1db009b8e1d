"""Every runner there is, for suites that hold all of them to the same.

``every_runner`` gives one runner of this machine after the other, made when its test runs;
``any_runner`` gives those on clusters as well, which are started once for all tests, on the loopback address.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from typing import Any

import loky
import pytest

from runners import (
    AsyncRunner,
    DaskRunner,
    ExecutorRunner,
    ProcessRunner,
    RayRunner,
    Runner,
    SequentialRunner,
    ThreadRunner,
)

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

CLUSTERS = ("dask", "ray")
ANY = [*EVERY, *(pytest.param(name, marks=pytest.mark.cluster) for name in CLUSTERS)]


@pytest.fixture(params=EVERY)
def every_runner(request: pytest.FixtureRequest) -> Runner:
    """One runner of each kind."""
    return EVERY[request.param]()


@pytest.fixture(params=ANY)
def any_runner(request: pytest.FixtureRequest) -> Runner:
    """One runner of each kind, clusters included."""
    return EVERY[request.param]() if request.param in EVERY else cluster_runner(request)


def cluster_runner(request: pytest.FixtureRequest, **settings: Any) -> Runner:
    """A runner on the cluster that the test's parameter names."""
    if request.param == "dask":
        return DaskRunner(request.getfixturevalue("dask_cluster"), **settings)
    request.getfixturevalue("ray_session")
    return RayRunner(**settings)


@pytest.fixture(scope="session")
def dask_cluster() -> Iterator[Any]:
    """A scheduler here, and two workers, each a process with one thread and a nanny that starts it again."""
    import dask.config

    settings = {"distributed.deploy.lost-worker-timeout": "1 hour"}  # not to give up one that is slow to come again
    with dask.config.set(settings), local_cluster(n_workers=2, host="127.0.0.1") as cluster:
        yield cluster


def local_cluster(**settings: Any) -> Any:
    """Dask with one thread a worker."""
    import distributed

    make: Any = distributed.LocalCluster
    return make(threads_per_worker=1, dashboard_address="127.0.0.1:0", **settings)


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """Ray in this process, with two workers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # read at the import: listen on the loopback address
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        import ray

        try:
            start_ray(ray)
            yield
        finally:
            ray.shutdown()


def start_ray(ray: Any, tries: int = 3) -> None:
    """Ray gives up its own start after 30 seconds, which a busy machine may need."""
    try:
        ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    except Exception:
        if not tries:
            raise
        ray.shutdown()
        start_ray(ray, tries - 1)


@pytest.fixture(scope="module")
def loky_pool() -> Iterator[loky.process_executor.ProcessPoolExecutor]:
    """loky's own workers, which take a while to start."""
    pool = loky.get_reusable_executor(2, timeout=3600)
    yield pool
    pool.shutdown(wait=True)

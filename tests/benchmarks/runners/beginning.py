"""What one runner takes to begin, in a process that has done nothing yet: import, first result, the next, and the end.

python -m tests.benchmarks.runners.beginning RUNNER

A cluster is begun with its runner, so its start is part of the first result.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from statistics import median
from time import perf_counter
from typing import Any

from tests.benchmarks.runners.child import say
from tests.benchmarks.runners.workloads import noop

TIMES = 21
"""Batches of one input each, of which the median is "again"."""


def threads() -> Any:
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(2)


def processes() -> Any:
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    return ProcessPoolExecutor(2, mp_context=get_context("fork"))


def local(name: str, *given: Any, **options: Any) -> Callable[[], AbstractContextManager[Any]]:
    """A runner by its name, which is imported when it is asked for."""

    @contextmanager
    def begun() -> Iterator[Any]:
        import runners

        with getattr(runners, name)(*given, **options) as runner:
            yield runner

    return begun


@contextmanager
def dask() -> Iterator[Any]:
    from distributed import Client, LocalCluster

    from runners import DaskRunner

    make_cluster: Any = LocalCluster
    make_client: Any = Client
    with (
        make_cluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        make_client(cluster) as client,
        DaskRunner(client) as runner,
    ):
        yield runner


@contextmanager
def ray() -> Iterator[Any]:
    import logging

    import ray

    from runners import RayRunner

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    try:
        with RayRunner() as runner:
            yield runner
    finally:
        ray.shutdown()


RUNNERS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "SequentialRunner": local("SequentialRunner"),
    "ThreadRunner": local("ThreadRunner", 2),
    "AsyncRunner": local("AsyncRunner", 2),
    "ProcessRunner, forked": local("ProcessRunner", 2, start_method="fork"),
    "ProcessRunner, fork server": local("ProcessRunner", 2, start_method="forkserver"),
    "ProcessRunner, spawned": local("ProcessRunner", 2, start_method="spawn"),
    "ExecutorRunner, threads": local("ExecutorRunner", threads),
    "ExecutorRunner, a forked ProcessPoolExecutor": local("ExecutorRunner", processes),
    "DaskRunner, a LocalCluster of two": dask,
    "RayRunner, a local Ray with two processors": ray,
}
CLUSTERS = ("DaskRunner", "RayRunner")


def main(name: str) -> None:
    began = perf_counter()
    with RUNNERS[name]() as runner:
        runner.run(noop, [0])
        first = perf_counter() - began
        again = median(timed(runner) for _ in range(TIMES))
        leaving = perf_counter()
    say({"first": first, "again": again, "end": perf_counter() - leaving})


def timed(runner: Any) -> float:
    began = perf_counter()
    runner.run(noop, [0])
    return perf_counter() - began


if __name__ == "__main__":
    main(*sys.argv[1:])

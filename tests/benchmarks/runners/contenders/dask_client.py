"""Dask: a cluster of processes on this machine, its tasks one input each, and chunks of 64; and one of threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from distributed import Client, LocalCluster

from tests.benchmarks.runners.contender import Contender, Map

local_cluster: Any = LocalCluster
make_client: Any = Client


def cluster(chunk: int, *, threads: bool) -> Callable[[int], AbstractContextManager[Map]]:
    @contextmanager
    def open_client(workers: int) -> Iterator[Map]:
        settings: dict[str, Any] = {"n_workers": 1, "threads_per_worker": workers, "processes": False}
        if not threads:
            settings = {"n_workers": workers, "threads_per_worker": 1, "processes": True}
        settings["dashboard_address"] = None
        with local_cluster(**settings) as here, make_client(here) as client:
            yield lambda func, inputs: _mapped(client, chunk, func, inputs)

    return open_client


def _mapped(client: Any, chunk: int, func: Callable[[Any], Any], inputs: list[Any]) -> list[Any]:
    # pure=False: by default equal inputs are one task.
    return client.gather(client.map(func, inputs, batch_size=chunk * 16, pure=False))  # type: ignore[no-any-return]


VARIANTS = {
    "dask": Contender(cluster(1, threads=False), cluster=True, listed=True),
    "dask threads": Contender(cluster(1, threads=True), threads=True, cluster=True, listed=True),
}

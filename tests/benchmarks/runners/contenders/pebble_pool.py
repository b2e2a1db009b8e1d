"""pebble's pools, which can kill a task, with chunks of 1 and of 64; in processes and in threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from pebble import ProcessPool, ThreadPool

from tests.benchmarks.runners.contender import Contender, Map


def of(kind: Callable[..., Any], chunk: int) -> Callable[[int], AbstractContextManager[Map]]:
    @contextmanager
    def open_pool(workers: int) -> Iterator[Map]:
        with kind(max_workers=workers) as pool:
            yield lambda func, inputs: pool.map(func, inputs, chunksize=chunk).result()

    return open_pool


VARIANTS = {
    "pebble, 1": Contender(of(ProcessPool, 1)),
    "pebble, 64": Contender(of(ProcessPool, 64)),
    "pebble threads": Contender(of(ThreadPool, 1), threads=True),
}

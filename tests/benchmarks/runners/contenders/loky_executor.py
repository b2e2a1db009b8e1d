"""loky's executor, with chunks of 1 and of 64."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from loky import ProcessPoolExecutor

from tests.benchmarks.runners.contender import Contender, Map


def in_chunks(size: int) -> Callable[[int], AbstractContextManager[Map]]:
    @contextmanager
    def open_pool(workers: int) -> Iterator[Map]:
        with ProcessPoolExecutor(workers) as pool:
            yield lambda func, inputs: pool.map(func, inputs, chunksize=size)

    return open_pool


VARIANTS = {"loky, 1": Contender(in_chunks(1)), "loky, 64": Contender(in_chunks(64))}

"""concurrent.futures.ProcessPoolExecutor, with chunks of 1, of 64, and of a quarter of the inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager

from tests.benchmarks.runners.contender import Contender, Map


def in_chunks(size: int | None) -> Callable[[int], AbstractContextManager[Map]]:
    """``None``: a quarter of the inputs."""

    @contextmanager
    def open_pool(workers: int) -> Iterator[Map]:
        with ProcessPoolExecutor(workers) as pool:
            yield lambda func, inputs: pool.map(func, inputs, chunksize=size or max(1, len(inputs) // 4))

    return open_pool


VARIANTS = {
    "ProcessPoolExecutor, 1": Contender(in_chunks(1)),
    "ProcessPoolExecutor, 64": Contender(in_chunks(64)),
    "ProcessPoolExecutor, N/4": Contender(in_chunks(None)),
}

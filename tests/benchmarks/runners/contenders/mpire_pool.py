"""mpire's pool, kept alive between maps; in processes and in threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from mpire.pool import WorkerPool

from tests.benchmarks.runners.contender import Contender, Map


def on(start_method: str) -> Callable[[int], AbstractContextManager[Map]]:
    @contextmanager
    def open_pool(workers: int) -> Iterator[Map]:
        with WorkerPool(workers, start_method=start_method, keep_alive=True) as pool:
            # A tuple is one argument only inside another tuple.
            yield lambda func, inputs: pool.imap_unordered(func, ((value,) for value in inputs), len(inputs))

    return open_pool


VARIANTS = {"mpire": Contender(on("fork")), "mpire threads": Contender(on("threading"), threads=True)}

"""joblib.Parallel, with its own choice of batches; in processes (loky) and in threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from joblib import Parallel, delayed

from tests.benchmarks.runners.contender import Contender, Map


def on(backend: str) -> Callable[[int], AbstractContextManager[Map]]:
    @contextmanager
    def open_parallel(workers: int) -> Iterator[Map]:
        with Parallel(workers, backend=backend) as parallel:
            yield lambda func, inputs: parallel(delayed(func)(value) for value in inputs)

    return open_parallel


VARIANTS = {"joblib": Contender(on("loky"), listed=True), "joblib threads": Contender(on("threading"), threads=True)}

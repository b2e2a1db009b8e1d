"""multiprocessing.Pool: ``map`` with its own choice of chunks, and ``imap`` in chunks of 64."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import Pool

from tests.benchmarks.runners.contender import Contender, Map


@contextmanager
def open_map(workers: int) -> Iterator[Map]:
    with Pool(workers) as pool:
        yield pool.map


@contextmanager
def open_imap(workers: int) -> Iterator[Map]:
    with Pool(workers) as pool:
        yield lambda func, inputs: pool.imap(func, inputs, chunksize=64)


VARIANTS = {"Pool.map": Contender(open_map, listed=True), "Pool.imap, 64": Contender(open_imap)}

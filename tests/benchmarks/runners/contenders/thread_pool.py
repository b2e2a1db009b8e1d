"""concurrent.futures.ThreadPoolExecutor: ``map``, and ``submit`` with a window of our own around it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from itertools import islice
from multiprocessing.pool import ThreadPool
from typing import Any

from tests.benchmarks.runners.contender import Contender, Map


@contextmanager
def open_map(workers: int) -> Iterator[Map]:
    with ThreadPoolExecutor(workers) as pool:
        yield pool.map


@contextmanager
def open_window(workers: int) -> Iterator[Map]:
    with ThreadPoolExecutor(workers) as pool:
        yield lambda func, inputs: _windowed(pool, 4 * workers, func, inputs)


def _windowed(pool: ThreadPoolExecutor, size: int, func: Callable[[Any], Any], inputs: list[Any]) -> Iterator[Any]:
    iterator = iter(inputs)
    running: set[Future[Any]] = {pool.submit(func, value) for value in islice(iterator, size)}
    while running:
        done, running = wait(running, return_when=FIRST_COMPLETED)
        running |= {pool.submit(func, value) for value in islice(iterator, len(done))}
        yield from (future.result() for future in done)


@contextmanager
def open_thread_pool(workers: int) -> Iterator[Map]:
    with ThreadPool(workers) as pool:
        yield pool.imap


VARIANTS = {
    "ThreadPoolExecutor.map": Contender(open_map, threads=True),
    "ThreadPoolExecutor.submit, window": Contender(open_window, threads=True),
    "ThreadPool.imap": Contender(open_thread_pool, threads=True),
}

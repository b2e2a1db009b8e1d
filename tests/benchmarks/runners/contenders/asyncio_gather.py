"""asyncio: coroutines under a semaphore, all created at once; and functions sent to threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from tests.benchmarks.runners.contender import Contender, Map
from tests.benchmarks.runners.workloads import apause, pause


@contextmanager
def open_gather(workers: int) -> Iterator[Map]:
    with asyncio.Runner() as runner:
        yield lambda func, inputs: runner.run(_gather(workers, func, inputs))


async def _gather(workers: int, func: Callable[[Any], Any], inputs: list[Any]) -> list[Any]:
    semaphore = asyncio.Semaphore(workers)

    async def one(value: Any) -> Any:
        async with semaphore:
            return await apause(value) if func is pause else func(value)

    return await asyncio.gather(*map(one, inputs))


@contextmanager
def open_threads(workers: int) -> Iterator[Map]:
    with asyncio.Runner() as runner, ThreadPoolExecutor(workers) as pool:
        yield lambda func, inputs: runner.run(_in_threads(pool, func, inputs))


async def _in_threads(pool: ThreadPoolExecutor, func: Callable[[Any], Any], inputs: list[Any]) -> list[Any]:
    loop = asyncio.get_running_loop()
    return await asyncio.gather(*(loop.run_in_executor(pool, func, value) for value in inputs))


VARIANTS = {
    "asyncio.gather": Contender(open_gather, threads=True),
    "asyncio, threads": Contender(open_threads, threads=True),
}

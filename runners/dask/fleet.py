"""One stream's part of a Dask cluster: sends chunks, fetches what came of them, and judges what a lost one means."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable
from concurrent.futures import CancelledError
from contextlib import suppress
from functools import cache, partial
from time import monotonic, sleep
from typing import Any, NamedTuple
from uuid import uuid4

from runners.dask.connection import count_threads, dask_package
from runners.errors import RunnerError
from runners.fleet import Future, Loss
from runners.parcel import Begun, NotLoaded, Report, Wire, work_on

CHUNK_S = 0.1
"""Seconds of work in a chunk: a task costs Dask about 7 ms."""
LARGE = 50_000
"""A function that pickles to more bytes is a task of its own, whose result a worker fetches once."""
SETTLE_S = 0.5
"""How long a worker process waits before it works for the first time, in seconds; its nanny looks every 0.05 s."""
LOOK_S = 5.0
"""How often a stream asks how many workers there are, in seconds."""


class Options(NamedTuple):
    """What a runner is told beside its cluster."""

    deliver_each: bool
    wait_for_workers: float


class DaskFleet:
    """One stream's part of a cluster; ``Fleet`` in ``runners.fleet`` says what each method is for."""

    def __init__(self, client: Any, wire: Wire, function: bytes, options: Options) -> None:
        self.client: Any = client
        self.loop: asyncio.AbstractEventLoop = client.loop.asyncio_loop
        self.wire: Wire = wire
        self.chunk_s: float = 0.0 if options.deliver_each else CHUNK_S
        self.patience_s: float = options.wait_for_workers
        self.name: str = f"stepslice-{uuid4().hex}"
        self.call: Callable[..., Any] = partial(_work_on, wire)
        self.tasks: dict[Future, Any] = {}
        self.sent: int = 0
        self.workers: int = count_threads(client)
        self.is_deserted: bool = False
        self.watch: Any = asyncio.run_coroutine_threadsafe(self._watch(), self.loop)
        self.function: Any = function  # or a task whose result it is
        if len(function) >= LARGE:
            self.function = self._submit(f"{self.name}-function", bytes, function)

    def submit(self, values: list[Any], budget_s: float) -> Future:
        """Send one chunk; its result comes as soon as it is there, not when the consumer asks for it."""
        self.sent += 1
        key = f"{self.name}-{self.sent}"
        task = self._submit(key, self.call, self.function, pickle.dumps(values, 5), budget_s, key)
        future = asyncio.run_coroutine_threadsafe(_fetched(task), self.loop)
        self.tasks[future] = task
        future.add_done_callback(self.tasks.pop)
        return future

    def _submit(self, key: str, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return self.client.submit(function, *arguments, key=key, pure=False)
        except dask_package().client.ClosedClientError as error:
            raise self.gone(error) from error

    def judge(self, error: BaseException) -> Loss:
        """What a future without a report means."""
        if isinstance(error, CancelledError | asyncio.CancelledError):
            return "final" if self.is_deserted or self.client.status != "running" else "cancelled"
        if isinstance(error, ImportError | AttributeError):
            raise RunnerError(
                f"a worker of Dask cannot load a chunk: {error}; are stepslice and your modules installed there?"
            ) from error
        scheduler = dask_package().scheduler
        if isinstance(error, scheduler.NoValidWorkerError | scheduler.NoWorkerError):
            return "final"
        return "shared"

    def gone(self, error: BaseException) -> RunnerError:
        """What the stream raises when there is no cluster any more."""
        if self.is_deserted:
            return RunnerError(
                f"the Dask cluster had no worker for {self.patience_s} seconds; start some, and run again"
            )
        return RunnerError(f"the Dask cluster is gone: {error}")

    def runs_here(self) -> bool:
        """Dask's own loop does all that futures wait for."""
        with suppress(RuntimeError):
            return asyncio.get_running_loop() is self.loop
        return False

    def release(self, futures: list[Any], in_a_hurry: bool) -> None:
        """Cancel what is in flight; what a worker has begun goes on to the end of its input."""
        self.watch.cancel()
        waiting = [self.tasks[future] for future in futures if future in self.tasks]
        with suppress(Exception):  # the cluster may be what has gone
            self.client.cancel(waiting)

    async def _watch(self) -> None:
        """Keep count of the workers; where there have been none for too long, give up what is in flight."""
        seen_at = monotonic()
        while not self.is_deserted:
            threads = await self.client.nthreads()
            self.workers = max(1, sum(threads.values()))
            seen_at = monotonic() if threads else seen_at
            self.is_deserted = monotonic() - seen_at > self.patience_s
            await asyncio.sleep(min(LOOK_S, self.patience_s))
        await self.client.cancel(list(self.tasks.values()))


async def _fetched(task: Any) -> Any:
    return await task


def _work_on(wire: Wire, function: bytes, values: bytes, budget_s: float, key: str) -> Report | NotLoaded | Begun:
    """``work_on`` in a worker; ``values`` are one value for Dask, which would look for its own keys inside.

    Dask lets another worker run what a dead one had, and may lose that one as well, up to four in a row.
    So there is a mark at the scheduler from when a chunk begins to when it is done.
    """
    _settle()
    mark = dask_package().Event(key)
    if mark.is_set():
        mark.clear()
        return Begun("begun there, and not heard of again")
    mark.set()
    report = work_on(wire, function, pickle.loads(values), budget_s)
    mark.clear()
    return report


@cache
def _settle() -> None:
    """Before the first chunk of a worker process.

    A worker gets tasks as soon as the scheduler knows it, a moment before its nanny takes note that it runs;
    and a nanny does not restart a worker that dies before that.
    """
    if dask_package().get_worker().nanny is not None:
        sleep(SETTLE_S)

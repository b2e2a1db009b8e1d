"""A run whose caller leaves before its end: what is in flight is taken back and recorded, and no other input begins.

    the task is cancelled,   ─▶ ``stop`` and ``bar`` ─▶ take what is in flight ─▶ commit ─▶ ``leave`` ─▶ raise again
    or the iterator closed

Under an event loop a task of its own consumes the runner, because a cancellation ends whatever it meets: so it meets
one that only waits for that task. Where all tasks are cancelled, that one takes it for the caller's leaving.
"""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable
from contextlib import aclosing
from itertools import chain
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeAlias

from returns.result import Result

from pipeline.ending import finish
from pipeline.run import RunInProgress
from pipeline.settle import Arrival
from pipeline.walk import Trace
from runners import Crash, Runner
from runners.protocol import check_loop, to_the_end

if TYPE_CHECKING:
    import asyncio

_LOGGER = logging.getLogger("pipeline")

LEFT = "its consumer left"
CANCELLED = "cancelled"

GRACE_S = 0.1
"""How long calls in flight may still end, in seconds, before a runner that can ends them; others wait for them."""

TURN_S = 0.05
"""How often, in seconds, the consumer of a stream gets a turn while nothing ends."""

Ended: TypeAlias = tuple[int, Result[Trace, Crash]]


def leave(run: RunInProgress) -> None:
    """End a run that has not ended, after what is finished was made durable; one that has ended is left alone."""
    if is_copy(run):
        return
    try:
        if not run.has_ended:
            run.stop(LEFT)
            _end(run)
    finally:
        run.recorder.abandon()


def _end(run: RunInProgress) -> None:
    try:
        for _ in run.rest():
            pass
        finish(run, success=False)
    except Exception as error:  # noqa: BLE001 - whoever leaves is told why by another exception
        run.fail(error)
    if run.broken is not None:
        _LOGGER.warning("run %s was left, and not all of it is recorded", run.context.run_id, exc_info=run.broken)


def held(run: RunInProgress) -> Iterable[Arrival]:
    """What waits for a commit, where nothing comes for a while: the consumer of a stream does not wait for the next."""
    return run.committed() if run.recorder.held and run.total is None else ()


def is_copy(run: RunInProgress) -> bool:
    """Whether this process was forked from the one that began the run, whose workers and journal are not its own."""
    return run.process != os.getpid()


def take_back(run: RunInProgress, runner: Runner, last: Ended | None, stream: Iterable[Ended | None]) -> None:
    """Take ``last``, where that has not been done, and what the stream gives of the calls in flight."""
    if is_copy(run):
        return
    run.stop(LEFT)
    run.on_leave()
    until = monotonic() + GRACE_S
    try:
        for ended in chain((last,), stream):
            if ended is not None and ended[0] in run.dispatched:
                for _ in run.take(*ended):
                    pass
            if runner.ends_calls and monotonic() > until:
                break
    except Exception as error:  # noqa: BLE001 - whoever leaves is told why by another exception
        run.fail(error)


async def keep_all(run: RunInProgress, runner: Runner, arrivals: AsyncGenerator[Arrival]) -> None:
    """Let the run keep every arrival; when the caller is cancelled, those of the calls in flight, and no others."""
    from asyncio import CancelledError, wait  # 100 ms of import that most runs never need

    async def keep() -> None:
        async with aclosing(arrivals):
            async for arrival in arrivals:
                run.keep(arrival)

    check_loop()
    consuming = _Consuming(run, runner, keep())
    try:
        await wait([consuming.task])
    except CancelledError:
        await consuming.taken_back(CANCELLED)
        raise
    consuming.raise_its_end()


async def hand_over(run: RunInProgress, runner: Runner, arrivals: AsyncGenerator[Arrival]) -> AsyncGenerator[Arrival]:
    """Every arrival, each made when it is asked for; those after a consumer has left are recorded all the same."""
    from asyncio import CancelledError

    check_loop()
    handover = _Handover(run)
    consuming = _Consuming(run, runner, handover.give(arrivals), handover.ask_for_all)
    try:
        handover.turn()
        handover.asked.release()
        while (arrival := await handover.given.get()) is not None:
            yield arrival
            handover.ask_for_another()
    except BaseException as error:
        await consuming.taken_back(CANCELLED if isinstance(error, CancelledError) else LEFT)
        raise
    finally:
        handover.timer.cancel()
    consuming.raise_its_end()


class _Handover:
    """Where arrivals are asked for and given, on one event loop; ``early`` are those given that nobody asked for."""

    def __init__(self, run: RunInProgress) -> None:
        from asyncio import Queue, Semaphore, get_running_loop

        self.run = run
        self.loop: asyncio.AbstractEventLoop = get_running_loop()
        self.asked: asyncio.Semaphore = Semaphore(0)
        self.given: asyncio.Queue[Arrival | None] = Queue()
        self.has_left: bool = False
        self.early: int = 0
        self.timer: asyncio.TimerHandle

    async def give(self, arrivals: AsyncGenerator[Arrival]) -> None:
        """Give one each time that one is asked for."""
        try:
            async with aclosing(arrivals):
                await self.asked.acquire()
                async for arrival in arrivals:
                    self.given.put_nowait(arrival)
                    if not self.has_left:
                        await self.asked.acquire()
        finally:
            self.given.put_nowait(None)

    def ask_for_another(self) -> None:
        """The consumer comes back."""
        if self.early:
            self.early -= 1
        else:
            self.asked.release()

    def ask_for_all(self) -> None:
        """Nobody comes back."""
        self.has_left = True
        self.asked.release()

    def turn(self) -> None:
        """Give what waits for a commit, and come again."""
        try:
            for arrival in held(self.run):
                self.given.put_nowait(arrival)
                self.early += 1
        except Exception as error:  # noqa: BLE001 - the consumer is told by what comes next
            self.run.fail(error)
        self.timer = self.loop.call_later(TURN_S, self.turn)


class _Consuming:
    """The task that consumes the runner. When it is asked to leave, it takes back what is in flight.

    Where the runner's ``astream`` is the library's own, to cancel the task is to ask that: so does who cancels all
    tasks. In another, calls may be awaited in that very task, and ``asyncio.timeout`` in them has to cancel it.
    """

    def __init__(
        self,
        run: RunInProgress,
        runner: Runner,
        work: Coroutine[Any, Any, None],
        on_leave: Callable[[], None] | None = None,
    ) -> None:
        from asyncio import create_task

        from runners.shielded import ShieldedTask

        self.run = run
        self.runner = runner
        self.on_leave: Callable[[], None] = on_leave or _nothing
        self.is_leaving: bool = False
        self.task: asyncio.Task[None]
        if type(runner).astream.__module__.partition(".")[0] == "runners":
            self.task = ShieldedTask(work, self.leave)
            self.end: Callable[[], object] = self.task.end
        else:
            self.task = create_task(work)
            self.end = self.task.cancel

    def leave(self) -> None:
        """Let no other input begin, and what is in flight end."""
        if self.is_leaving:
            return
        self.is_leaving = True
        self.run.stop(CANCELLED)
        self.run.on_leave()
        self.on_leave()
        if self.runner.ends_calls:
            self.task.get_loop().call_later(GRACE_S, self.end)

    def raise_its_end(self) -> None:
        """Raise what the task raised, or that it was cancelled, where its caller was not: else the rest were missed."""
        from asyncio import CancelledError

        self.task.result()
        if self.is_leaving:
            raise CancelledError("the task that consumes the runner was cancelled")

    async def taken_back(self, reason: str) -> None:
        """Leave for a reason, and come back when that has ended."""
        self.run.stop(reason)
        self.leave()
        await to_the_end(_ended(self.task))


async def _ended(task: asyncio.Task[None]) -> None:
    from asyncio import wait

    await wait([task])
    if not task.cancelled() and (error := task.exception()) is not None:
        _LOGGER.warning("a run that was left ended with an error", exc_info=error)


def _nothing() -> None:
    """There is nobody else to tell."""

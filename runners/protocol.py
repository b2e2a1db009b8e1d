"""What a runner is: something that maps a function over inputs and says how each one ended.

A runner knows nothing of pipelines.
``stream`` is the one method a built-in runner writes; ``run`` is the document's interface.
"""

from __future__ import annotations

import pickle
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterable, Iterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from returns.result import Result

from runners.crash import Crash as Crash
from runners.crash import CrashKind as CrashKind
from runners.crash import attempt

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")
R = TypeVar("R")

TURN_S = 0.1
"""How long a caller in an event loop, in seconds, may be cancelled before that is looked at."""


class Runner(ABC):
    """Maps a function over inputs. A runner of your own needs only ``run``."""

    crosses_processes: bool = False
    """Function, inputs and results are pickled, so they must pickle."""

    awaits: ClassVar[bool] = False
    """``func`` may be a coroutine function, which is then awaited."""

    pulse: ClassVar[Callable[[int, float | None], None] | None] = None
    """Where the runner can kill a hung input: a module-level function that ``func`` may call in the worker,
    with a number to remember (it comes back as ``Crash.mark``) and a time limit in seconds from now, or None."""

    ends_calls: ClassVar[bool] = False
    """Closing a stream ends the calls in flight, or leaves them to their end elsewhere, and does not wait for them."""

    @property
    def workers(self) -> int:
        """How many inputs are worked on at the same time, at most."""
        return 1

    @abstractmethod
    def run(self, func: Callable[[T], R], inputs: Iterable[T]) -> list[R]:
        """Apply ``func`` to every input and return the results in input order; what ``func`` raises is raised."""

    def stream(self, func: Callable[[T], R], inputs: Iterable[T]) -> Iterator[tuple[int, Result[R, Crash]]]:
        """Yield ``(position, result)`` for every input as it finishes: total, lazy, bounded in memory.

        This default serves runners that have only ``run``: it waits for the whole batch.
        """
        yield from enumerate(self.run(_Guarded(func), inputs))

    async def astream(
        self, func: Callable[[T], Any], inputs: Iterable[T]
    ) -> AsyncIterator[tuple[int, Result[Any, Crash]]]:
        """``stream`` for a caller that must not block its event loop; this default steps it in a thread."""
        async with aclosing(stepped_in_threads(self.ticking(func, inputs, TURN_S))) as stream:
            async for item in stream:
                yield item

    def ticking(
        self, func: Callable[[T], R], inputs: Iterable[T], every_s: float
    ) -> Iterator[tuple[int, Result[R, Crash]] | None]:
        """``stream`` that gives its consumer a turn, as ``None``, when nothing has finished for ``every_s`` seconds.

        This default gives none.
        """
        return self.stream(func, inputs)

    def dumps(self, value: object) -> bytes:
        """``value`` as it travels to a worker where the runner crosses processes; raises what pickling raises."""
        return pickle.dumps(value)

    def on_this_loop(self) -> Runner:
        """The runner whose ``stream`` awaits in the event loop that is running here, where it awaits at all."""
        return self


async def stepped_in_threads(stream: Iterator[T | None]) -> AsyncGenerator[T]:
    """``stream`` for an event loop, which is not blocked: each step of it is made in a thread.

    A ``None`` of it only says that there is nothing yet, so that a cancelled caller need not wait for long.
    """
    from asyncio import shield, to_thread  # 100 ms of import that most runs never need

    from runners.shielded import ShieldedTask

    check_loop()
    step = None
    try:
        while True:
            step = ShieldedTask(to_thread(next, stream, _END))  # done only when the thread is
            item: Any = await shield(step)
            if item is _END:
                break
            if item is not None:
                yield item
    finally:
        await to_the_end(_close(stream, step))


def check_loop() -> None:
    """Say what to do where no loop of asyncio runs, as under trio."""
    from asyncio import get_running_loop

    try:
        get_running_loop()
    except RuntimeError as error:
        raise RuntimeError(
            "a stream for an event loop needs one of asyncio, on which anyio may run; under trio, call the blocking "
            "form in a thread: await trio.to_thread.run_sync(runner.run, func, inputs)"
        ) from error


async def _close(stream: Iterator[Any], step: asyncio.Task[Any] | None) -> None:
    """A stream cannot be closed while a thread is in it, as it is where the caller was cancelled."""
    from asyncio import to_thread, wait

    if step is not None and not step.done():
        await wait([step])
    close = getattr(stream, "close", None)
    if close is not None:
        await to_thread(close)


async def to_the_end(cleaning: Coroutine[Any, Any, None]) -> None:
    """Await ``cleaning`` however often the caller is cancelled meanwhile; a cancel scope of anyio never stops to."""
    from asyncio import CancelledError, wait

    from runners.shielded import ShieldedTask

    task, cancelled = ShieldedTask(cleaning), None
    while not task.done():
        try:
            await wait([task])
        except CancelledError as error:
            cancelled = error
    task.result()
    if cancelled is not None:
        raise cancelled


_END: Any = object()


class _Guarded:
    """``func`` with what it raises as a value; picklable when ``func`` is."""

    def __init__(self, func: Callable[[Any], Any]) -> None:
        self.func = func

    def __call__(self, value: Any) -> Result[Any, Crash]:
        return attempt(self.func, value)

"""What an awaitable gives, for a caller that does not await: from an event loop of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from contextvars import copy_context
from threading import Thread
from typing import Any, TypeVar, cast

T = TypeVar("T")


def to_the_end(awaitable: Awaitable[T]) -> T:
    """What it gives or raises; where a loop is running in this thread, as in a notebook, from a loop in another.

    >>> async def double(number): return 2 * number
    >>> to_the_end(double(21))
    42
    >>> async def running(): return to_the_end(double(21))
    >>> asyncio.run(running())
    42
    """
    coroutine = awaitable if asyncio.iscoroutine(awaitable) else _awaited(awaitable)
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return cast("T", asyncio.run(coroutine))
    return cast("T", _in_thread(coroutine))


async def _awaited(awaitable: Awaitable[T]) -> T:
    return await awaitable


def _in_thread(coroutine: Coroutine[Any, Any, T]) -> T:
    ended: list[tuple[Any, BaseException | None]] = []
    context = copy_context()

    def run() -> None:
        try:
            ended.append((context.run(asyncio.run, coroutine), None))
        except BaseException as error:  # noqa: BLE001 - raised again where the caller waits
            ended.append((None, error))

    thread = Thread(target=run)
    thread.start()
    thread.join()
    answer, error = ended[0]
    if error is not None:
        raise error
    return cast("T", answer)

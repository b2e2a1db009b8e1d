"""A step's function made ready to be called where it is: with its context, in a thread, awaited, or under a pulse."""

# pyright: basic
from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeAlias

from pipeline.stepcontext import StepContext
from pipeline.walk import Waiting

Pulse: TypeAlias = Callable[[int, float | None], None]


def with_context(fn: Callable[..., Any]) -> Callable[[Any], Any]:
    """The function of a value alone, where it takes the call's context as well."""
    return lambda value: fn(value, StepContext.current())


def threaded(fn: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The function awaited, in a thread."""

    async def call(value: Any) -> Any:
        answer, error = await asyncio.to_thread(_tried, fn, value)
        if error is not None:
            raise error
        return answer

    return call


def _tried(fn: Callable[[Any], Any], value: Any) -> tuple[Any, BaseException | None]:
    """The answer or the error, as a value: a future that got ``StopIteration`` would never be done."""
    try:
        return fn(value), None
    except BaseException as error:  # noqa: BLE001 - raised again by the caller
        return None, error


def awaited(fn: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The function, whose answer is to be awaited by the caller of ``walk``."""
    return lambda value: Waiting(fn(value))


def pulsing(fn: Callable[[Any], Any], pulse: Pulse, place: int, limit_s: float | None) -> Callable[[Any], Any]:
    """The function, which tells the runner where the input is and how long it may take."""

    def call(value: Any) -> Any:
        pulse(place, limit_s)
        return fn(value)

    return call

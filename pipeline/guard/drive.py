"""Does what the generator of a guard asks for: in a thread, or on an event loop."""

# pyright: basic
from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from pipeline.errors import StopNow
from pipeline.guard.effects import Call, Effect, Effects, Raised
from pipeline.guard.guard import Guard
from pipeline.walk import goes_through

PASSING = (StopNow, asyncio.CancelledError, GeneratorExit)

SLICE_S = 0.1
"""A wait is slept in slices of so many seconds, so that a run that is stopped is not kept waiting."""


def drive(guard: Guard, effects: Effects) -> Any:
    """Do what is asked for in this thread, up to the end, and give what the generator returned."""
    reply: Any = None
    try:
        while True:
            reply = _done(guard, effects.send(reply))
    except StopIteration as end:
        return end.value
    finally:
        effects.close()


async def adrive(guard: Guard, effects: Effects) -> Any:
    """``drive`` on an event loop, which is never blocked."""
    reply: Any = None
    try:
        while True:
            reply = await _adone(guard, effects.send(reply))
    except StopIteration as end:
        return end.value
    finally:
        effects.close()


def _done(guard: Guard, effect: Effect) -> Any:
    if isinstance(effect, Call):
        try:
            return guard.call(effect.value)
        except BaseException as error:  # noqa: BLE001 - it goes on if it means the run
            return _raised(error)
    guard.pause()
    for slice_s in _slices(effect.seconds):
        if guard.stopping():
            return True
        guard.timing.sleep(slice_s)
    return guard.stopping()


async def _adone(guard: Guard, effect: Effect) -> Any:
    if isinstance(effect, Call):
        try:
            answer = guard.call(effect.value)
            return await answer if guard.waits else answer
        except BaseException as error:  # noqa: BLE001 - it goes on if it means the run
            return _raised(error)
    guard.pause()
    for slice_s in _slices(effect.seconds):
        if guard.stopping():
            return True
        await guard.timing.asleep(slice_s)
    return guard.stopping()


def _slices(seconds: float) -> Iterator[float]:
    while seconds > SLICE_S:
        yield SLICE_S
        seconds -= SLICE_S
    yield seconds


def _raised(error: BaseException) -> Raised:
    """The error as a value, unless it means the run and not this call; see ``walk``."""
    if goes_through(error, PASSING):
        raise error
    return Raised(error)

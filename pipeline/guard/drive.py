"""Does what the generator of a guard asks for: in a thread, or on an event loop."""

# pyright: basic
from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import wait
from typing import Any, TypeVar

from pipeline.errors import StopNow
from pipeline.guard.effects import Call, Do, Effect, Effects, Late, Queue, Raised
from pipeline.guard.guard import Guard
from pipeline.guard.overtime import acall_within, call_within
from pipeline.walk import goes_through

T = TypeVar("T")

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
        return _call(guard, effect.value)
    if isinstance(effect, Do):
        return effect.act()
    guard.pause()
    if isinstance(effect, Queue):
        while not wait((effect.turn,), timeout=SLICE_S).done:
            if guard.stopping():
                return True
        return False
    for slice_s in _slices(effect.seconds):
        if guard.stopping():
            return True
        guard.timing.sleep(slice_s)
    return guard.stopping()


async def _adone(guard: Guard, effect: Effect) -> Any:
    if isinstance(effect, Call):
        return await _acall(guard, effect.value)
    if isinstance(effect, Do):
        return await asyncio.to_thread(effect.act)
    guard.pause()
    if isinstance(effect, Queue):
        granted = asyncio.wrap_future(effect.turn)
        while not (await asyncio.wait((granted,), timeout=SLICE_S))[0]:
            if guard.stopping():
                return True
        return False
    for slice_s in _slices(effect.seconds):
        if guard.stopping():
            return True
        await guard.timing.asleep(slice_s)
    return guard.stopping()


def _call(guard: Guard, value: Any) -> Any:
    limit_s, began = guard.policies.timeout_s, guard.timing.monotonic()
    try:
        if limit_s is not None and not guard.kills:
            return call_within(limit_s, guard.call, value)
        return _unlimited(guard, guard.call(value))
    except BaseException as error:  # noqa: BLE001 - it goes on if it means the run
        return _late(guard, began, error) or _raised(error)


async def _acall(guard: Guard, value: Any) -> Any:
    limit_s, began = guard.policies.timeout_s, guard.timing.monotonic()
    if limit_s is not None and not guard.waits and not guard.kills:
        return await acall_within(limit_s, guard.call, value)
    limit = asyncio.timeout(limit_s if guard.waits else None)
    try:
        async with limit:
            return _unlimited(guard, await guard.call(value) if guard.waits else guard.call(value))
    except BaseException as error:  # noqa: BLE001 - it goes on if it means the run
        if limit.expired() and isinstance(error, TimeoutError):
            return _unlimited(guard, Late(escaped=False))
        if late := _late(guard, began, error):
            return late
        stop = error.__cause__  # what a coroutine cannot raise comes out of it as the cause of a RuntimeError
        return _raised(stop if isinstance(stop, StopIteration) else error)


def _unlimited(guard: Guard, answer: T) -> T:
    """The answer of a call; the runner's limit was for the call alone."""
    if guard.policies.timeout_s is not None:
        guard.pause()
    return answer


def _late(guard: Guard, began: float, error: BaseException) -> Late | None:
    """The end of a call that the runner ended by an exception in it, because the time of this call was up."""
    limit_s = guard.policies.timeout_s
    if limit_s is None or not getattr(error, "ends_worker", False) or guard.timing.monotonic() - began < limit_s:
        return None
    return _unlimited(guard, Late(escaped=False, at=error.__traceback__))


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

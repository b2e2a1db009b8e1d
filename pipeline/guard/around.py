"""The order of what stands around a call, outermost first.

    cache ─▶ breaker ─▶ concurrency limit ─▶ (rate limit ─▶ timeout ─▶ call) as often as the retry allows

A further try takes a new call from the rate limit, and keeps its place.
No call starts, a first one or a further one, once the breaker has opened; only the probe is let through.
"""

# pyright: basic
from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import msgspec

from pipeline.guard.breaker import Breaker, Ticket
from pipeline.guard.effects import Do, Effects, Queue, Sleep
from pipeline.guard.guard import Guard
from pipeline.guard.results import Found, Remembered
from pipeline.guard.supplies import Places
from pipeline.guard.tries import OPEN, STOPPED, FirstTry, IsBarred, parked, plain, tries
from pipeline.model import Note
from pipeline.snapshot import Snapshot
from pipeline.walk import Refusal, Tried

POLL_S = (0.001, 0.02)
"""Seconds between two looks for a place that another process gives back: the first, and the longest."""


def around(guard: Guard, value: Any, before: Snapshot, first: FirstTry | None = None) -> Effects:
    """One input at one step, under its policies: what the step answered, ``Tried``, or a ``Refusal``.

    ``before`` is the snapshot of ``value``, ``first`` a first try that was made already.
    """

    def limited(is_barred: IsBarred) -> Effects:
        calling = tries(guard, value, before, first, is_barred)
        return calling if guard.places is None else in_place(guard, guard.places, calling)

    has_failed = partial(_has_failed, guard)
    calling = limited(never) if guard.breaker is None else behind(guard, guard.breaker, limited, has_failed)
    return (yield from (calling if guard.remembered is None else _remembered(guard.remembered, value, calling)))


def _remembered(remembered: Remembered, value: Any, calling: Effects) -> Effects:
    found: Found = yield Do(partial(remembered.look, value))
    if found.hit:
        return Tried(found.output, (Note(remembered.step.name, "cache_hit"),))
    answer = yield from calling
    if found.key is not None and type(answer) is not Refusal:
        output = answer.answer if type(answer) is Tried else plain(answer)
        yield Do(partial(remembered.keep, found.key, output))
    return answer


def never(_tries: int) -> bool:
    """Bars nothing."""
    return False


HasFailed: TypeAlias = Callable[[Breaker, Ticket, Any], bool | None]
"""Whether an answer says that the service has failed; ``None`` where it says nothing."""


def behind(guard: Guard, breaker: Breaker, inner: Callable[[IsBarred], Effects], has_failed: HasFailed) -> Effects:
    """What ``inner`` does, unless the breaker is open."""
    ticket = breaker.arrive()
    if ticket is None:
        return parked(guard, OPEN)
    answer, failed = None, None
    try:
        answer = yield from inner(lambda tries_made: breaker.bars(ticket, tries_made))
        failed = has_failed(breaker, ticket, answer)
    finally:
        notes = breaker.end(guard.step.name, ticket, failed)
    return with_notes(answer, notes)


def _has_failed(guard: Guard, breaker: Breaker, _ticket: Ticket, answer: Any) -> bool | None:
    """Whether the service did; ``None`` where it was not asked, or nobody can say."""
    if type(answer) is not Refusal:
        return False
    return None if answer.parked is not None else guard.names(breaker.policy, answer.error)


def in_place(guard: Guard, places: Places, calling: Effects) -> Effects:
    """What ``calling`` does, in one of the places of a concurrency limit."""
    turn = places.slots.enter()
    if turn is not None:
        is_stopped = True
        try:
            is_stopped = yield Queue(turn)
        finally:
            if is_stopped:
                places.slots.withdraw(turn)
        if is_stopped:
            return parked(guard, STOPPED)
    place = None
    try:
        wait_s, longest_s = POLL_S
        while (place := places.take()) is None:
            if (yield Sleep(wait_s)):
                return parked(guard, STOPPED)
            wait_s = min(longest_s, wait_s * 2)
        return (yield from calling)
    finally:
        if place is not None:
            places.give_back(place)
        places.slots.leave()


def with_notes(answer: Any, notes: tuple[Note, ...]) -> Any:
    """The answer, and what else happened."""
    if not notes:
        return answer
    if type(answer) is Tried or type(answer) is Refusal:
        return msgspec.structs.replace(answer, attempts=(*answer.attempts, *notes))
    return Tried(plain(answer), notes)

"""The order of what stands around a call of a batch step, and what becomes of a call that fails.

    cache, input by input ─▶ breaker ─▶ concurrency limit ─▶ (rate limit ─▶ timeout ─▶ call), as often as retry allows
                               ▲                                                         │
                               └──────────── each half of the inputs ◀─── it failed ─────┘

A call is one call, whatever the number of its inputs. To a breaker, a failed call of several inputs says nothing:
its halves will. The failure of a single input counts, and so does that of a probe.
"""

# pyright: basic
from __future__ import annotations

from functools import partial
from typing import Any

from pipeline.guard.around import behind, in_place, never
from pipeline.guard.breaker import Breaker, Ticket
from pipeline.guard.effects import Do, Effects
from pipeline.guard.group import UNSETTLED, Group, Member, is_divisible
from pipeline.guard.results import Found, Remembered
from pipeline.guard.tries import STOPPED, Past, ended, one_try, parked, pause, turn
from pipeline.model import Note
from pipeline.stepcontext import FIRST_TRY, TRY
from pipeline.walk import Refusal, Stop, Tried


def together(group: Group) -> Effects:
    """Take all members of a group to their end. What is known of them already is no answer of the service."""
    remembered = group.guard.remembered
    if remembered is None:
        yield from _called(group)
        return
    keys = yield Do(partial(_look_up, remembered, group.members))
    unknown = group.pending
    if unknown:
        yield from _called(Group(group.guard, group.call, unknown))
    yield Do(partial(_keep, remembered, group.members, keys))


def _look_up(remembered: Remembered, members: list[Member]) -> list[str | None]:
    """End the members whose results are known; the keys of the others."""
    keys: list[str | None] = []
    for member in members:
        found: Found = remembered.look(member.value)
        keys.append(None if found.hit else found.key)
        if found.hit:
            member.end = found.output
            member.attempts.append(Note(remembered.step.name, "cache_hit"))
    return keys


def _keep(remembered: Remembered, members: list[Member], keys: list[str | None]) -> None:
    for member, key in zip(members, keys, strict=True):
        if key is not None and type(member.end) is not Stop:
            remembered.keep(key, member.end)


def _called(group: Group) -> Effects:
    """One call for all of them; where it fails as a whole, one for each half."""
    answer = yield from _under_policies(group)
    answer = _without_notes(group, answer)
    if type(answer) is not Refusal:
        return
    if answer.parked is not None:
        group.set_aside(answer)
    elif group.guard.stopping():
        group.set_aside(parked(group.guard, STOPPED))
    elif is_divisible(group, answer.error):
        for half in group.halves():
            yield from _called(half)
    else:
        for member in group.pending:
            group.fail(member)


def _under_policies(group: Group) -> Effects:
    guard = group.guard

    def limited(is_barred: Any) -> Effects:
        calling = _tries(group, is_barred)
        return calling if guard.places is None else in_place(guard, guard.places, calling)

    if guard.breaker is None:
        return (yield from limited(never))
    return (yield from behind(guard, guard.breaker, limited, partial(_has_failed, group)))


def _tries(group: Group, is_barred: Any) -> Effects:
    """Call until each input has an answer, or the policy gives up; further calls are for those that have none."""
    guard, past = group.guard, Past()
    try:
        while True:
            why_not = yield from turn(guard, past, is_barred)
            if why_not:
                return ended(guard, past, why_not)
            entering = [member.entering() for member in group.pending]
            answer, duration_s = yield from one_try(guard, entering, len(past.attempts) + 1)
            error = group.take(answer, duration_s)
            if error is None:
                return None
            past.add(guard.step.name, answer, error, duration_s)
            why_not = yield from pause(guard, past, is_barred)
            if why_not:
                return ended(guard, past, why_not)
    finally:
        TRY.set(FIRST_TRY)


def _has_failed(group: Group, breaker: Breaker, ticket: Ticket, answer: Any) -> bool | None:
    """Whether the service did; ``None`` where nobody can say."""
    ends = [member.end for member in group.members]
    if type(answer) is Refusal and answer.parked is not None:
        return None
    if any(end is not UNSETTLED and type(end) is not Stop for end in ends):
        return False
    errors = [answer.error] if type(answer) is Refusal else [end.error for end in ends]
    told = [group.guard.names(breaker.policy, error) for error in errors]
    failed = None if None in told else all(told)
    is_vague = bool(failed) and type(answer) is Refusal and is_divisible(group, answer.error)
    return None if is_vague and not ticket.is_probe else failed


def _without_notes(group: Group, answer: Any) -> Any:
    """The answer alone; what else happened is told with the group's first input."""
    if type(answer) is Tried:
        group.note(answer.attempts)
        return answer.answer
    if type(answer) is Refusal:
        group.note(each for each in answer.attempts if type(each) is Note)
    return answer

"""The inputs that came together at a batch step, through one call of it, in a worker.

``batch_work_of(program, place, …)`` is the function that runners map over batches, as ``work_of`` gives the one that
they map over single inputs.
"""

# pyright: basic
from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

from pipeline.engine import Program, set_aside
from pipeline.guard import Group, Member, adrive, drive, together
from pipeline.loops import to_the_end
from pipeline.model import Attempt, Note
from pipeline.stepcontext import TRY, StepContext
from pipeline.walk import Call

Pairs: TypeAlias = list[tuple[str, Any]]
"""What a worker gets: the ``input_id`` of each input, and the value that enters the step."""

End: TypeAlias = tuple[Any, int, tuple[Attempt | Note, ...]]
"""What became of an input: its output or a ``Stop``; its share of the time, in nanoseconds; what else happened."""


def batch_work_of(program: Program, place: int, on_loop: bool) -> Callable[[Pairs], Any]:
    """The function that a runner maps over batches; ``on_loop`` when it awaits what the function returns."""
    if on_loop:
        return partial(arun_batch, program, place)
    is_async = program.pipeline[place].is_async
    return partial(run_async_batch if is_async else run_batch, program, place)


def run_batch(program: Program, place: int, pairs: Pairs) -> list[End]:
    """Take the inputs through the step at ``place``. Never raises, whatever the step does."""
    group = _group(program, place, pairs, in_thread=False)
    if program.is_barred:
        group.set_aside(set_aside(pairs))
    elif pairs:
        drive(group.guard, together(group))
    return [_end(member) for member in group.members]


async def arun_batch(program: Program, place: int, pairs: Pairs, in_thread: bool = True) -> list[End]:
    """``run_batch`` on an event loop; a sync function runs in a thread."""
    group = _group(program, place, pairs, in_thread)
    if program.is_barred:
        group.set_aside(set_aside(pairs))
    elif pairs:
        await adrive(group.guard, together(group))
    return [_end(member) for member in group.members]


def run_async_batch(program: Program, place: int, pairs: Pairs) -> list[End]:
    """``run_batch`` for an async function on a runner without an event loop: in a loop of its own."""
    return to_the_end(arun_batch(program, place, pairs, in_thread=False)) if pairs else []


def _group(program: Program, place: int, pairs: Pairs, in_thread: bool) -> Group:
    step = program.pipeline[place]
    guard = program.guard_of(place, _of_pairs(program, step), in_thread)
    return Group(guard, Call(place, step, guard.call), [Member(*pair) for pair in pairs])


def _of_pairs(program: Program, step: Any) -> Callable[[Pairs], Any]:
    """The step's function, to be called with pairs."""
    fn = step.fn.stands_for
    if step.fn.wants_contexts:
        return lambda pairs: fn([value for _, value in pairs], _contexts(program, step.name, pairs))
    return lambda pairs: fn([value for _, value in pairs])


def _contexts(program: Program, step: str, pairs: Pairs) -> list[StepContext]:
    attempt, deadline = TRY.get()
    return [
        StepContext(
            run_id=program.run_id,
            input_id=input_id,
            step=step,
            idempotency_key=f"{program.scope}/{input_id}/{step}",
            attempt=attempt,
            deadline=deadline,
        )
        for input_id, _ in pairs
    ]


def _end(member: Member) -> End:
    return member.end, round(member.share_s * 1e9), tuple(member.attempts)

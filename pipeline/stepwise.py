"""One input where what a step returned is made durable before the next one starts, as a generator.

    walk ──▶ Waiting with a call    yield Keep: what enters that step; then walk on with the call
         ──▶ Waiting else           yield it, to be awaited or guarded; walk on with what is sent back
         ──▶ the last value         yield Keep: the output

It never waits itself: its driver does, in a thread or on an event loop. So there is one loop for both.
"""

# pyright: basic
from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, NamedTuple, Protocol, TypeAlias

import msgspec

from pipeline.errors import JournalError
from pipeline.walk import Answered, Call, Stop, Trace, Waiting, walk

Seat: TypeAlias = tuple[int, bytes | None]
"""Where an input is kept: its number in the journal, and what its checkpoints tell beside their data."""

Bare: TypeAlias = tuple[str, int, Any]
"""What a worker gets: ``input_id``, index of the first step to run, and the value that enters it."""

Seated: TypeAlias = tuple[str, int, Any, Seat]
"""The same with the seat, where steps are kept."""

Repeated: TypeAlias = tuple[str, int, Any, Any, dict[str, int]]
"""The same of an input whose worker died, with its seat or ``None``: and how often each step has failed so."""

Start: TypeAlias = Bare | Seated | Repeated


class Checkpoints(Protocol):
    """What keeps what finished steps returned. It pickles where workers are other processes."""

    def found(self, start: Seated | Repeated) -> tuple[int, Any]:
        """Where to start, and with what: further on, if a worker that died was on this input before."""
        ...

    def keep(self, start: Seated | Repeated, place: int, value: Any) -> None:
        """Make durable that ``value`` enters step ``place``, or that it is the output; ``JournalError`` if it fails."""
        ...

    async def akeep(self, start: Seated | Repeated, place: int, value: Any) -> None:
        """``keep`` on an event loop, which is not blocked."""
        ...


class Keep(NamedTuple):
    """What enters step ``place``, to be made durable; behind the last step, the output."""

    place: int
    value: Any


class Unkept(msgspec.Struct, frozen=True):
    """The end of an input whose checkpoint could not be made durable: the journal failed, and the run with it."""

    exception: str
    message: str

    @classmethod
    def of(cls, error: JournalError) -> Unkept:
        """The error as data, which comes back from a worker process."""
        return cls(type(error).__name__, str(error))


def stepwise(
    checkpoints: Checkpoints,
    calls: tuple[Call, ...],
    start: Start,
    clock_ns: list[int],
    let_pass: tuple[type[BaseException], ...],
) -> Generator[Keep | Waiting, Answered | None, Trace]:
    """Take an input from where it starts to its end or a stop.

    The steps that a dead worker had finished count as steps that took no time. What has no seat is not kept.
    """
    place, value = checkpoints.found(start) if len(start) > 3 and start[3] is not None else start[1:3]
    clock_ns.extend(clock_ns * (place - start[1]))
    trace = walk(calls, place, value, clock_ns, None, let_pass)
    while type(trace[0]) is Waiting:
        waiting = trace[0]
        if waiting.call is None:
            answered = yield waiting
        else:
            if waiting.place > place:
                yield Keep(waiting.place, waiting.value)
            answered = waiting.call, waiting.kept
        trace = walk(calls, waiting.place, waiting.value, clock_ns, answered, let_pass)
    if type(trace[0]) is not Stop and place < len(calls) and calls[-1].step.checkpoint:
        yield Keep(len(calls), trace[0])
    return trace


def kept_first(call: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The call, held back until what enters it is durable."""
    return lambda value: Waiting(call=call)

"""What a step may know about its own call, for steps that ask: a second argument, or ``StepContext.current()``."""

from __future__ import annotations

import logging
from contextvars import Context, ContextVar, copy_context
from inspect import currentframe
from types import CodeType, FrameType
from typing import Any, Protocol, TypeAlias

import msgspec

_LOGGER = logging.getLogger("pipeline.step")


class RunFacts(Protocol):
    """What all inputs of a run have in common, as far as a step may know it."""

    run_id: str
    scope: str
    names: tuple[str, ...]


Position: TypeAlias = tuple[RunFacts, tuple[Any, ...], list[int]]
"""Where one input is: its run, what its worker got (its id, the step it started at, the value, maybe more), and the
clock readings, one more than steps done. Readings that are gone say that the input is done."""

POSITION: ContextVar[Position | None] = ContextVar("pipeline_position", default=None)
"""The position of an input on an event loop, or of one whose step goes on in another thread (``carried``)."""

FIRST_TRY: tuple[int, float | None] = (1, None)
TRY: ContextVar[tuple[int, float | None]] = ContextVar("pipeline_try", default=FIRST_TRY)
"""The number of the try in progress, from 1, and when its time is up."""

WORKERS: set[CodeType] = set()
"""The code of the functions that take an input through its steps, and keep its position in their first local
variables. A frame that runs one of them tells where its input is, so that nobody pays who does not ask:
setting a context variable for every input costs as much as a step does."""


def here() -> Position | None:
    """The position of the input whose step is calling: the innermost, where pipelines are nested."""
    on_loop = POSITION.get()
    if on_loop is not None and not on_loop[2]:
        on_loop = None
    on_stack = _on_stack()
    if on_loop is None or on_stack is None:
        return on_loop or on_stack
    return max(on_loop, on_stack, key=_began)


def tries_before(position: Position | None, step: str) -> int:
    """How often ``step`` has failed on this input with workers that died; see ``stepwise.Repeated``."""
    return position[1][4].get(step, 0) if position is not None and len(position[1]) > 4 else 0


def carried() -> Context:
    """A copy of this context for a thread that goes on with the step: there, too, the step is told where it is."""
    context = copy_context()
    context.run(POSITION.set, here())
    return context


def _on_stack() -> Position | None:
    frame: FrameType | None = currentframe()
    while frame is not None:
        if frame.f_code in WORKERS:
            known = frame.f_locals
            return known["program"], known["start"], known["clock_ns"]
        frame = frame.f_back
    return None


def _began(position: Position) -> int:
    return position[2][0]


class StepContext(msgspec.Struct, frozen=True, kw_only=True):
    """The call a step is in.

    ``idempotency_key`` is the same for every try, resume and runner of this input and step: give it to a service
    that must not act twice. ``attempt`` starts at 1. ``deadline`` is when the try's timeout ends, on the clock of
    ``time.monotonic()``, in seconds; ``None`` without a timeout.

    >>> StepContext.current() is None
    True
    """

    run_id: str
    input_id: str
    step: str
    idempotency_key: str
    attempt: int = 1
    deadline: float | None = None

    @classmethod
    def current(cls) -> StepContext | None:
        """The context of the step that is calling, or ``None`` outside of a step.

        Threads that a sync step starts itself are not told: hand the context on to them. Tasks of an async step are.
        """
        position = here()
        if position is None:
            return None
        run, start, clock_ns = position
        place: int = start[1] + len(clock_ns) - 1
        if place >= len(run.names):
            return None
        step = run.names[place]
        attempt, deadline = TRY.get()
        attempt += tries_before(position, step)
        return cls(
            run_id=run.run_id,
            input_id=start[0],
            step=step,
            idempotency_key=f"{run.scope}/{start[0]}/{step}",
            attempt=attempt,
            deadline=deadline,
        )

    @property
    def logger(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger whose records carry ``run_id``, ``input_id`` and ``step``."""
        extra = {"run_id": self.run_id, "input_id": self.input_id, "step": self.step}
        return logging.LoggerAdapter(_LOGGER, extra)

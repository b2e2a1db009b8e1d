"""What a step may know about its own call, for steps that ask: a second argument, or ``StepContext.current()``."""

from __future__ import annotations

import logging
from contextvars import ContextVar
from typing import Protocol, TypeAlias

import msgspec

_LOGGER = logging.getLogger("pipeline.step")


class RunFacts(Protocol):
    """What all inputs of a run have in common, as far as a step may know it."""

    run_id: str
    scope: str
    names: tuple[str, ...]


Position: TypeAlias = tuple[RunFacts, str, int, list[int]]
"""Where one input is: its run, its id, the step it started at, and the clock readings, one more than steps done.
A plain tuple, because one is made for every input. The input is done when all steps are, or readings are gone."""

POSITION: ContextVar[Position | None] = ContextVar("pipeline_position", default=None)
TRY: ContextVar[tuple[int, float | None]] = ContextVar("pipeline_try", default=(1, None))


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
        """The context of the step that is calling, or ``None`` outside of a step."""
        position = POSITION.get()
        if position is None:
            return None
        run, input_id, start, clock_ns = position
        place = start + len(clock_ns) - 1
        if not clock_ns or place >= len(run.names):
            return None
        step = run.names[place]
        attempt, deadline = TRY.get()
        return cls(
            run_id=run.run_id,
            input_id=input_id,
            step=step,
            idempotency_key=f"{run.scope}/{input_id}/{step}",
            attempt=attempt,
            deadline=deadline,
        )

    @property
    def logger(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger whose records carry ``run_id``, ``input_id`` and ``step``."""
        extra = {"run_id": self.run_id, "input_id": self.input_id, "step": self.step}
        return logging.LoggerAdapter(_LOGGER, extra)

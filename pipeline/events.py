"""What happened, as data, and who may listen.

Events of one input are told together when it has left its worker, so that they are the same on every runner;
``at`` is when each thing happened (seconds since the epoch), ``sequence`` is the order in which it was told.
Data never travels in an event.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from time import time
from typing import Any, Protocol, TypeAlias

import msgspec

from pipeline.errors import StopNow
from pipeline.model import FailureKind

_LOGGER = logging.getLogger("pipeline.events")


class Happening(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field="event"):
    """What all events have in common."""

    run_id: str
    at: float
    sequence: int = 0


class RunStarted(Happening, frozen=True, kw_only=True):
    """A run begins; ``inputs`` is how many, or ``None`` for a stream."""

    processor: str
    steps: tuple[str, ...]
    inputs: int | None
    retry_count: int = 0


class InputStarted(Happening, frozen=True, kw_only=True):
    """A worker began with an input, at ``step``."""

    input_id: str
    step: str


class StepStarted(Happening, frozen=True, kw_only=True):
    """A step began on an input."""

    input_id: str
    step: str


class StepFinished(Happening, frozen=True, kw_only=True):
    """A step succeeded on an input."""

    input_id: str
    step: str
    duration_s: float


class StepRetried(Happening, frozen=True, kw_only=True):
    """A try failed and the step was called again."""

    input_id: str
    step: str
    exception: str
    message: str


class StepFailed(Happening, frozen=True, kw_only=True):
    """A step failed on an input, for good in this run."""

    input_id: str
    step: str
    kind: FailureKind
    exception: str
    message: str
    duration_s: float


class InputFinished(Happening, frozen=True, kw_only=True):
    """An input has its outcome: ``succeeded``, ``skipped``, ``failed`` or ``not_run``."""

    input_id: str
    status: str
    duration_s: float


class StepReused(Happening, frozen=True, kw_only=True):
    """The step was not called: its cache had the result of an earlier call."""

    input_id: str
    step: str


class BreakerOpened(Happening, frozen=True, kw_only=True):
    """Too many inputs in a row failed at a step, this one the last: it is called no more for a while."""

    input_id: str
    step: str


class BreakerHalfOpened(Happening, frozen=True, kw_only=True):
    """This input was let through to a step whose breaker was open, to see whether it fails still."""

    input_id: str
    step: str


class BreakerClosed(Happening, frozen=True, kw_only=True):
    """That input was answered: the step is called as before."""

    input_id: str
    step: str


class CodeChanged(Happening, frozen=True, kw_only=True):
    """An input goes on, or keeps its output, although a step it had finished has other code since.

    Told as well of a step that is new before the one where it goes on, which it did not run, or gone from there.
    """

    input_id: str
    step: str


class RunFinished(Happening, frozen=True, kw_only=True):
    """A run is over."""

    success: bool
    succeeded: int
    failed: int
    not_run: int
    duration_s: float
    stopped: str | None = None


Event: TypeAlias = (
    RunStarted
    | InputStarted
    | StepStarted
    | StepFinished
    | StepRetried
    | StepFailed
    | InputFinished
    | StepReused
    | BreakerOpened
    | BreakerHalfOpened
    | BreakerClosed
    | CodeChanged
    | RunFinished
)


class Observer(Protocol):
    """Something that is told what happens. It is called by the thread that consumes the run, one event at a time."""

    def on_event(self, event: Event, /) -> None:
        """Take one event. What this raises is logged and does no harm to the run."""
        ...


class Announcer:
    """Numbers events and tells them to every observer; does nothing when there is none.

    ``interrupt`` is asked to stop the run where Ctrl-C comes while an observer is at work.
    """

    def __init__(self, observers: Sequence[Observer], run_id: str, interrupt: Callable[[str], None]) -> None:
        self.observers: list[Observer] = list(observers)
        self.run_id = run_id
        self.interrupt = interrupt
        self.sequence: int = 0

    def tell(self, event_type: type[Any], /, at: float | None = None, **facts: Any) -> None:
        """Make one event of ``event_type``, that happened at ``at`` or else now, and hand it to the observers."""
        if not self.observers:
            return
        self.sequence += 1
        event = event_type(run_id=self.run_id, at=time() if at is None else at, sequence=self.sequence, **facts)
        for observer in list(self.observers):
            try:
                observer.on_event(event)
            except StopNow:
                raise
            except KeyboardInterrupt as signalled:  # Ctrl-C came just now, where the program handles it itself
                self.interrupt(str(signalled) or "interrupted")
            except BaseException:
                self.observers.remove(observer)
                _LOGGER.warning(
                    "observer %r raised and is not told of this run any more",
                    type(observer).__name__,
                    exc_info=True,
                    extra={"run_id": self.run_id},
                )

"""What stands in for a recorder where there is no journal, and what both are handed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar

from pipeline.metrics import Metrics
from pipeline.model import Outcome, Payload, ProcessorInput
from pipeline.stepwise import Checkpoints, Start


class Arrived(Protocol):
    """An input with its outcome, as a run hands it over."""

    @property
    def place(self) -> int:
        """Its position among the inputs."""
        ...

    @property
    def item(self) -> ProcessorInput[Any]:
        """The input."""
        ...

    @property
    def outcome(self) -> Outcome[Any]:
        """How it ended."""
        ...

    @property
    def kept(self) -> bool:
        """Whether it ended so in an earlier run."""
        ...


A = TypeVar("A", bound=Arrived)


class NoRecorder:
    """What stands in for a recorder where there is no journal: everything is handed out at once."""

    held: Sequence[Any] = ()
    keeps_steps: bool = False
    remembers: bool = False
    steps: Checkpoints | None = None
    on_lost: Callable[[], None] | None = None

    def recall(self, place: int, item: ProcessorInput[Any]) -> ProcessorInput[Any]:
        """The input as it is."""
        return item

    def remembered(self, place: int, item: ProcessorInput[Any]) -> ProcessorInput[Any]:
        """The input as it is."""
        return item

    def admit(self, place: int, item: ProcessorInput[Any]) -> None:
        """Nothing."""

    def seated(self, start: Start, place: int, payload: Payload | None) -> Start:
        """The start as it is."""
        return start

    def reached(self, place: int) -> tuple[int, Any] | None:
        """Nobody knows."""

    def record(self, arrival: A) -> Iterable[A]:
        """The arrival itself."""
        return (arrival,)

    def flush(self) -> Iterable[Any]:
        """Nothing waits."""
        return ()

    def finish(self, state: str, stopped: str | None = None, metrics: Metrics | None = None) -> None:
        """Nothing."""

    def as_recorded(self, metrics: Metrics) -> Metrics:
        """The figures as they are."""
        return metrics

    def abandon(self) -> None:
        """Nothing."""

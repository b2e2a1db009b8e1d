"""What a window asks of workers that belong to somebody else: an executor, a cluster.

``runners.window`` sends chunks to a fleet and judges with its help what a lost one means.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol, TypeAlias

from runners.errors import RunnerError
from runners.parcel import Wire

Loss: TypeAlias = Literal["own", "shared", "final", "cancelled"]


class FleetLost(Exception):
    """``submit`` cannot send: the workers are gone, and there may be others at the next try."""


class Future(Protocol):
    """What is asked of a future: standard ones, Dask's and Ray's have it."""

    def result(self) -> Any:
        """What the worker gave back; raises why there is nothing."""
        ...

    def add_done_callback(self, fn: Callable[[Any], Any], /) -> Any:
        """Call ``fn`` with the future when it is done, from any thread."""
        ...


class Fleet(Protocol):
    """The workers of one stream, and what is particular to them."""

    wire: Wire
    workers: int
    chunk_s: float
    """Seconds of work that a chunk aims at; 0: each input travels alone."""

    def submit(self, values: list[Any], budget_s: float) -> Future:
        """Send one chunk; raises ``FleetLost``, or ``RunnerError`` where sending is no longer possible."""
        ...

    def judge(self, error: BaseException) -> Loss:
        """What a future without a report means."""
        ...

    def gone(self, error: BaseException) -> RunnerError:
        """What the stream raises after a loss that is final."""
        ...

    def release(self, futures: list[Any], in_a_hurry: bool) -> None:
        """The stream ends: let go of everything, ``futures`` being those that are not done."""
        ...

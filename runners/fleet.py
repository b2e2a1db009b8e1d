"""What a window asks of workers that belong to somebody else: an executor, a cluster.

``runners.window`` sends chunks to a fleet and judges with its help what a lost one means.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import length_hint
from typing import Any, Literal, Protocol, TypeAlias

from runners.crash import Crash
from runners.errors import RunnerError, WorkerDied
from runners.message import message_of
from runners.parcel import Wire

Loss: TypeAlias = Literal["own", "shared", "final", "cancelled"]

MAX_LOSSES_IN_VAIN = 3
"""So many losses of the fleet with nothing in flight, one after the other, and it is given up."""


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

    def runs_here(self) -> bool:
        """Whether this thread is one that has to go on for a future to be done."""
        ...

    def release(self, futures: list[Any], in_a_hurry: bool) -> None:
        """The stream ends: let go of everything, ``futures`` being those that are not done."""
        ...


def a_worker_begins(fleet: Fleet) -> bool:
    """Whether a worker answers that has no input to die on; ``RunnerError`` where one after the other dies.

    Asked before an input is blamed and no worker has ever answered.
    """
    lost: Exception = FleetLost()
    for _ in range(MAX_LOSSES_IN_VAIN):
        try:
            fleet.submit([], 0.0).result()
        except RunnerError:
            raise
        except Exception as error:  # noqa: BLE001 - what it means is the fleet's to say
            lost = error
            if not isinstance(error, FleetLost) and fleet.judge(error) != "shared":
                return False
        else:
            return True
    raise RunnerError(f"workers die before they begin: {message_of(lost)}") from lost


def crash_of_loss(loss: Loss, error: BaseException) -> Crash:
    """How an input ends that is blamed for the loss."""
    if loss == "cancelled":
        return Crash(kind="cancelled", exception=type(error).__name__, message="this input was cancelled")
    how = "the workers died while this input was in flight" if loss == "final" else "worker died while on this input"
    return Crash(kind="crash", exception=WorkerDied.__name__, message=f"{how}: {message_of(error)}")


def hint_of(inputs: Iterable[Any]) -> int:
    """How many there may be, 0 where nobody knows."""
    try:
        return length_hint(inputs)
    except Exception:  # noqa: BLE001 - the caller's own code
        return 0

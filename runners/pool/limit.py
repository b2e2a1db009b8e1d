"""What a function in a worker tells the pool, and what it is told: how far it is, and that its time is up.

parent     CONDEMNED, SIGTERM     ─▶  Condemned is raised in the function
function   lets it through        ─▶  the worker ends, and the input with it
           catches it, and pulses ─▶  NOBODY: it goes on with its input, and the worker ends after that
           does neither           ─▶  SIGKILL
"""

from __future__ import annotations

from math import inf
from time import monotonic
from typing import TYPE_CHECKING

from runners.pool.slot import CONDEMNED, DEADLINE, MARK, NOBODY

if TYPE_CHECKING:
    from runners.pool.slot import Slot

# The slot of this process where it is a worker; replaced by None in processes that the function forks.
_slot: Slot | None = None
# Not empty if the current input has called `pulse`, so that its mark and limit have to be cleared after it.
pulsed: list[bool] = []
# Not empty if the current input was told that its time is up, and has not pulsed since.
_told: list[bool] = []
# Not empty if it has: what was interrupted may be half done, so no other input is to find it.
leaving: list[bool] = []


class Condemned(BaseException):
    """Raised inside the function when its time is up, so that its ``finally`` blocks run."""

    ends_worker = True
    """A function that catches everything lets this pass."""


def pulse(mark: int, limit_s: float | None = None) -> None:
    """Tell the pool how far the current input is, and until when it must have ended.

    ``mark`` is a number to remember: it comes back as ``Crash.mark``.
    ``limit_s``: seconds from now after which the worker may be killed; None takes an earlier limit away.
    A function that was told that its time is up, and ended what took too long, goes on by calling this again.
    Outside a worker this does nothing.
    """
    slot = _slot
    if slot is not None:
        if _told:
            _go_on(slot)
        pulsed[:] = (True,)
        slot[DEADLINE] = inf if limit_s is None else monotonic() + limit_s
        slot[MARK] = mark


def _go_on(slot: Slot) -> None:
    slot[DEADLINE] = inf  # first: it must not be condemned for the same limit again
    _told.clear()
    leaving[:] = (True,)
    slot[CONDEMNED] = NOBODY


def serve(slot: Slot | None) -> None:
    """This process is the worker of that slot; None: it is none."""
    global _slot
    _slot = slot


def tell() -> None:
    """Raise ``Condemned`` in the function."""
    _told[:] = (True,)
    raise Condemned

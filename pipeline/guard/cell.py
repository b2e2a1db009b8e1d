"""Four numbers that all calls of a run change together: in this process, or in the file that its processes share."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Protocol, TypeAlias

Numbers: TypeAlias = tuple[float, float, float, float]
"""What they mean is the business of whoever changes them."""

ZEROS: Numbers = (0.0, 0.0, 0.0, 0.0)
"""What a cell holds at first."""


class Cell(Protocol):
    """Where the numbers are."""

    def look(self) -> Numbers:
        """The numbers now."""
        ...

    def change(self, change: Callable[[Numbers], Numbers], /) -> Numbers:
        """Put ``change(numbers)`` in their place, with nobody between; gives the numbers before."""
        ...


class OwnCell:
    """A cell of this process."""

    def __init__(self) -> None:
        self._numbers: Numbers = ZEROS  # guarded by _lock; may be read without
        self._lock = Lock()

    def look(self) -> Numbers:
        """The numbers now."""
        return self._numbers

    def change(self, change: Callable[[Numbers], Numbers]) -> Numbers:
        """Put ``change(numbers)`` in their place, with nobody between; gives the numbers before."""
        with self._lock:
            before, self._numbers = self._numbers, change(self._numbers)
        return before

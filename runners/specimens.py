"""What the laws of a runner map: functions and inputs at module level, so that they pickle by reference."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from contextvars import ContextVar
from functools import partial
from pathlib import Path


class CountedInputs:
    """Inputs that know how many were pulled, and whether two threads pulled at once.

    Endless, unless more than ``window`` are pulled beyond those that the consumer has ``taken``:
    a stream that first pulls everything comes to an end as well, and is found out.
    """

    def __init__(self, window: int) -> None:
        self.window = window
        self.taken: int = 0
        self.pulled: int = 0
        self.pulled_too_many: bool = False
        self.pulled_at_once_by_two: bool = False
        self._pulling = threading.Lock()

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        if not self._pulling.acquire(blocking=False):
            self.pulled_at_once_by_two = True
            return 0
        self.pulled_too_many = self.pulled_too_many or self.pulled - self.taken > self.window
        if self.pulled_too_many:
            self._pulling.release()
            raise StopIteration
        self.pulled += 1
        self._pulling.release()
        return 3


class SourceBroke(Exception):
    """The source of the inputs fails."""


def breaking_inputs(count: int) -> Iterator[int]:
    """Yield ``count`` inputs, then fail."""
    yield from range(count)
    raise SourceBroke


def square(n: int) -> int:
    """Return ``n * n``."""
    return n * n


def same(value: object) -> object:
    """Return ``value``."""
    return value


def odd(n: int) -> int:
    """Return ``n`` if it is odd, else raise."""
    if n % 2 == 0:
        raise ValueError(f"{n} is even")
    return n


async def async_odd(n: int) -> int:
    """Return ``n`` if it is odd, else raise; a coroutine function."""
    return odd(n)


def times(factor: int, n: int) -> int:
    """Return ``factor * n``."""
    return factor * n


def note(folder: str, n: int) -> int:
    """Leave a mark for each call with ``n``; a worker on a machine without the folder leaves none."""
    with suppress(OSError), Path(folder, str(n)).open("ab") as file:
        file.write(b".")
    return n


caller: ContextVar[str] = ContextVar("caller", default="none")


def read_context(_: object) -> str:
    """Return what the caller has put into its context."""
    return caller.get()


class _NeedsMore(Exception):
    def __init__(self, one: int, other: int) -> None:
        super().__init__(f"{one} and {other}")


class _NoText(Exception):
    def __str__(self) -> str:
        raise KeyError("no text")


class _Unpicklable(Exception):
    def __init__(self) -> None:
        super().__init__("holds a lock", threading.Lock())


class _Custom(BaseException):
    pass


FAULTS: tuple[tuple[Callable[[], BaseException], str], ...] = (
    (partial(_NeedsMore, 1, 2), "_NeedsMore"),
    (_NoText, "_NoText"),
    (_Unpicklable, "_Unpicklable"),
    (_Custom, "_Custom"),
    (partial(SystemExit, 3), "SystemExit"),
    (StopIteration, "StopIteration"),
    (partial(ValueError, "x" * 5_000_000), "ValueError"),
)


def faulty(fault: Callable[[], BaseException], n: int) -> int:
    """Raise ``fault()`` for input 3, return any other."""
    if n == 3:
        raise fault()
    return n

"""Something costly that several use at a time: opened for the first of them, closed after the last."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")


class Lease(Generic[T]):
    """One connection for all streams of a runner, and for ``with runner:`` around them."""

    def __init__(self, close: Callable[[T], None]) -> None:
        self._close = close
        self._clear()

    def _clear(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()  # guards all below; held while opening, so that the others wait for that
        self._holders = 0
        self._open: list[T] = []

    @property
    def current(self) -> T | None:
        """What is open, if anything is."""
        return next(iter(self._open), None) if self._pid == os.getpid() else None

    def enter(self, open_one: Callable[[], T]) -> T:
        """What is open; opened now if nothing is."""
        if self._pid != os.getpid():  # a forked child has the connection, but none of the threads behind it
            self._clear()
        with self._lock:
            if not self._holders:
                self._open.append(open_one())
            self._holders += 1
            return self._open[0]

    def leave(self) -> None:
        """The last one to leave closes it; a forked child that entered in its parent closes nothing."""
        if self._pid != os.getpid():
            return
        with self._lock:
            if not self._holders:  # it was entered in the parent
                return
            self._holders -= 1
            if not self._holders:
                self._close(self._open.pop())

    @contextmanager
    def held(self, open_one: Callable[[], T]) -> Generator[T]:
        """Hold it for one stream."""
        value = self.enter(open_one)
        try:
            yield value
        finally:
            self.leave()

"""What the processes of one run share on one machine: a small file, locked by ranges of bytes.

    byte 0              1 when the run was stopped
    32 … 64 … 96        a cell for each rate limit, budget and breaker: four doubles, locked while they are changed
    from 1,048,576 on   one byte for each place of each concurrency limit, locked while a call has it; never written

The system frees the locks of a process that dies, however it dies. Locks are a process's, not a thread's:
a lock in this process excludes the threads. Closing any descriptor of a file would drop all its locks, so a process
has one for each file, and closes it only when the file was removed and nothing is locked.
"""

# pyright: basic
from __future__ import annotations

import fcntl
import logging
import os
import struct
import tempfile
import weakref
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from threading import Lock
from typing import cast

from pipeline.guard.cell import Numbers

_LOGGER = logging.getLogger("pipeline.guard")
_PLACES_AT = 1_048_576
_CELL = struct.Struct("4d")


class Shared:
    """The file in one process. ``shared_file`` makes it, ``opened`` finds it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.held: set[int] = set()  # guarded by _lock, as is every lock on the file
        self._lock = Lock()
        self._file = os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def stop(self) -> None:
        """Tell all processes that the run was stopped."""
        os.pwrite(self._file, b"\1", 0)

    def is_stopped(self) -> bool:
        """Whether the run was stopped."""
        return os.pread(self._file, 1, 0) == b"\1"

    def change(self, number: int, change: Callable[[Numbers], Numbers]) -> Numbers:
        """Put ``change(numbers)`` in the place of the cell of that number; gives the numbers before."""
        at = (1 + number) * _CELL.size
        with self._lock:
            fcntl.lockf(self._file, fcntl.LOCK_EX, _CELL.size, at)
            try:
                before = self._numbers(at)
                after = change(before)
                if after != before:
                    os.pwrite(self._file, _CELL.pack(*after), at)
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN, _CELL.size, at)
        return before

    def _numbers(self, at: int) -> Numbers:
        read = os.pread(self._file, _CELL.size, at)
        read += bytes(_CELL.size - len(read))  # a file ends behind the last cell that was changed
        return cast("Numbers", _CELL.unpack(read))

    def take(self, first: int, calls: int) -> int | None:
        """One of the ``calls`` places from ``first`` on, or ``None`` when all are taken."""
        with self._lock:
            for place in range(first, first + calls):
                if place not in self.held and self._locked(place):
                    self.held.add(place)
                    return place
        return None

    def give_back(self, place: int) -> None:
        """Free a place."""
        with self._lock:
            self.held.discard(place)
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, _PLACES_AT + place)

    def _locked(self, place: int) -> bool:
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _PLACES_AT + place)
        except OSError:
            return False
        return True

    def close_if_over(self) -> bool:
        """Close the file if its run is over."""
        with self._lock:
            is_over = not self.held and os.fstat(self._file).st_nlink == 0
            if is_over:
                os.close(self._file)
        return is_over


class FileCell:
    """A cell of the file, by its number."""

    def __init__(self, shared: Shared, number: int) -> None:
        self._shared = shared
        self._number = number

    def look(self) -> Numbers:
        """The numbers now."""
        return self._shared.change(self._number, _same)

    def change(self, change: Callable[[Numbers], Numbers]) -> Numbers:
        """Put ``change(numbers)`` in their place, with nobody between; gives the numbers before."""
        return self._shared.change(self._number, change)


def _same(numbers: Numbers) -> Numbers:
    return numbers


_open: dict[tuple[int, str], Shared] = {}  # guarded by _opening; by process, because a fork copies it
_opening = Lock()
os.register_at_fork(after_in_child=lambda: globals().update(_opening=Lock()))


def opened(path: str) -> Shared | None:
    """This process's hold on the file at ``path``; ``None`` on another machine, where there is no such file."""
    with _opening:
        for key, shared in list(_open.items()):
            if key[0] == os.getpid() and key[1] != path and shared.close_if_over():
                del _open[key]
        key = (os.getpid(), path)
        if key not in _open:
            try:
                _open[key] = Shared(path)
            except OSError as error:
                _LOGGER.warning(
                    "%s: limits, budgets and breakers hold in each process apart (%s)", path, error.strerror
                )
                return None
        return _open[key]


def shared_file(owner: object) -> str:
    """The path of a new file, which is removed when ``owner`` is collected, or at the end of the process.

    Where the process was killed, the next one to come removes it.
    """
    prefix = f"stepslice-run-{_machine()}-"
    _sweep(prefix)
    descriptor, path = tempfile.mkstemp(prefix=f"{prefix}{os.getpid()}-")
    os.close(descriptor)
    weakref.finalize(owner, _remove, path, os.getpid())
    return path


@lru_cache(maxsize=1)
def _machine() -> str:
    """A name of this machine since it started, and of its space of process numbers; folders may be shared."""
    try:
        names = [Path("/proc/sys/kernel/random/boot_id").read_text(), str(Path("/proc/self/ns/pid").readlink())]
    except OSError:
        names = [token_hex(8)]  # then nobody knows what is left behind
    return sha256("/".join(names).encode()).hexdigest()[:12]


def _sweep(prefix: str) -> None:
    """Remove what processes of this machine left behind that live no more."""
    with suppress(OSError):
        for path in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
            process = path.name.removeprefix(prefix).partition("-")[0]
            if process.isdecimal() and not _lives(int(process)):
                path.unlink(missing_ok=True)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def _remove(path: str, process: int) -> None:
    if os.getpid() == process:
        Path(path).unlink(missing_ok=True)

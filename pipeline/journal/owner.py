"""Who works on a run: this process, named so that another can tell whether it still lives.

On one machine the system knows: a process number with its start time. Across machines the heartbeat says.
"""

from __future__ import annotations

import os
import socket
from functools import lru_cache
from pathlib import Path
from secrets import token_hex

import msgspec

LEASE_S = 30.0
"""Seconds without a heartbeat after which an owner on another machine counts as dead."""

LIVE: set[str] = set()
"""Tokens of the runs in progress in this process. Guard: adding to and removing from a set are atomic."""


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """A run in progress somewhere: the machine, the process and when it started, and which run of that process."""

    machine: str
    pid: int
    started: str
    token: str

    @classmethod
    def here(cls) -> Owner:
        """A new owner in this process, alive until its token leaves ``LIVE``."""
        pid = os.getpid()
        owner = cls(machine=machine(), pid=pid, started=_started(pid), token=token_hex(8))
        LIVE.add(owner.token)
        return owner

    def is_alive(self, silent_s: float) -> bool:
        """Whether it still works; ``silent_s`` is how long ago its heartbeat was, on the database's clock.

        A heartbeat in the future tells that the clock was set back, and is no sign of life.
        """
        if self.machine != machine():
            return abs(silent_s) < LEASE_S
        if self.pid == os.getpid() and self.started == _started(self.pid):
            return self.token in LIVE
        return _started(self.pid) == self.started and _exists(self.pid)

    def __str__(self) -> str:
        return f"process {self.pid} on {self.machine.partition('/')[0]}"


def living(told: str, beat: float, now: float) -> Owner | None:
    """The owner in a row, if it lives; ``beat`` and ``now`` are in seconds of the database's clock.

    One that cannot be read has no name to wait for. Whoever it was loses its lease, and can write no more.
    """
    try:
        owner = msgspec.json.decode(told, type=Owner)
        return owner if owner.is_alive(now - beat) else None
    except (msgspec.MsgspecError, ValueError, TypeError, ArithmeticError, RecursionError):
        return None


@lru_cache(maxsize=1)
def machine() -> str:
    """The name of this machine since it started, and of its space of process numbers."""
    return "/".join((socket.gethostname(), _text("/proc/sys/kernel/random/boot_id"), _link("/proc/self/ns/pid")))


def _started(pid: int) -> str:
    """When a process started, in the system's own units; empty where the system does not say."""
    after_name = _text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    if not after_name or after_name[0] == "Z":  # a zombie has ended, and waits for its parent to notice
        return ""
    return after_name[19]


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not Path("/proc/self/stat").exists() or _started(pid) != ""


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _link(path: str) -> str:
    try:
        return str(Path(path).readlink())
    except OSError:
        return ""

"""Places for calls that run at the same time, in this process: who comes first, is served first."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future
from threading import Lock
from typing import TypeAlias

Turn: TypeAlias = "Future[None]"
"""A place in the queue: it has its result when the call has its place."""


class Slots:
    """``calls`` places, which threads and tasks of any event loop share."""

    def __init__(self, calls: int) -> None:
        self._free = calls  # guarded by _lock, as is the queue
        self._turns: deque[Turn] = deque()
        self._lock = Lock()

    def enter(self) -> Turn | None:
        """Take a place, and return ``None``; or queue for one."""
        with self._lock:
            if self._free:
                self._free -= 1
                return None
            turn: Turn = Future()
            self._turns.append(turn)
            return turn

    def leave(self) -> None:
        """Give a place to the next in the queue, or back."""
        with self._lock:
            while self._turns:
                turn = self._turns.popleft()
                if turn.set_running_or_notify_cancel():
                    turn.set_result(None)
                    return
            self._free += 1

    def withdraw(self, turn: Turn) -> None:
        """Queue no longer; where the place was just given, give it on."""
        if not turn.cancel():
            self.leave()

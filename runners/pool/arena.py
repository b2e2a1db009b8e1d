"""Memory that a worker shares with its parent, for the bodies of frames: one arena for each direction.

The sender writes a body where no unread one lies, and its frame says where.
When a body has been read, the reader says so in a frame of its own. So nobody depends on the order
in which one processor sees what another has written: all that is told goes through the socket.
A body that finds no room goes through the socket as well.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runners.pool.wire import Part

MIN_BYTES = 4096
"""Smaller bodies are joined to their frame."""
NOWHERE = -1


class Arena:
    """The sender's side: it knows which stretches may be read still."""

    def __init__(self, memory: memoryview) -> None:
        self.memory: memoryview = memory
        self._unread: deque[tuple[int, int]] = deque()  # start and end of each frame's body, in the order of sending
        self._read = 0

    def place(self, parts: Sequence[Part], size: int) -> int:
        """Write a body and return where it starts; ``NOWHERE`` if there is no room, or it is not worth it."""
        start = self._find(size) if size >= MIN_BYTES else NOWHERE
        if start == NOWHERE:
            self._unread.append((0, 0))
            return NOWHERE
        end = start
        for part in parts:
            begin, end = end, end + len(part)
            self.memory[begin:end] = part
        self._unread.append((start, end))
        return start

    def forget(self, read: int) -> None:
        """The first ``read`` bodies of all have been read."""
        for _ in range(read - self._read):
            self._unread.popleft()
        self._read = max(read, self._read)

    def _find(self, size: int) -> int:
        """The lowest place that is free, so that as little memory as possible is ever touched."""
        at = 0
        for start, end in sorted(self._unread):
            if start - at >= size:
                return at
            at = max(at, end)
        return at if len(self.memory) - at >= size else NOWHERE

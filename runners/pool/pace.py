"""How many inputs travel in one chunk: enough that the journey costs little, few enough to stay fair."""

from __future__ import annotations

CHUNK_S = 0.02
"""A chunk aims at this much work, in seconds."""
MAX_ITEMS = 4096
MAX_BYTES = 1 << 17
"""A chunk is closed when it has this many bytes, or a single larger input."""
PREFETCH_S = 0.01
"""A worker gets a second chunk in advance while an input takes less than this: its way costs about 0.1 ms."""
_WEIGHT = 0.3


class Pace:
    """Learns what an input costs and says how large the next chunk is. Starts at one, at most doubles."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._size = 1
        self.cost_s: float | None = None
        """What one input takes, in seconds; None before the first result."""
        self._item_bytes = 0.0

    def size(self, remaining: int | None) -> int:
        """The next chunk; towards a known end chunks become small, so that no worker is left with a large one."""
        if remaining is None:
            return self._size
        return max(1, min(self._size, remaining // (2 * self._workers)))

    @property
    def depth(self) -> int:
        """How many chunks a worker may have."""
        return 2 if self.cost_s is not None and self.cost_s < PREFETCH_S else 1

    def learn(self, count: int, busy_s: float) -> None:
        """``count`` inputs took ``busy_s`` seconds in a worker."""
        cost = busy_s / count
        self.cost_s = cost if self.cost_s is None else self.cost_s + _WEIGHT * (cost - self.cost_s)
        self._resize(self.cost_s)

    def learn_bytes(self, count: int, size: int) -> None:
        """``count`` inputs made ``size`` bytes."""
        self._item_bytes += _WEIGHT * (size / count - self._item_bytes)

    def _resize(self, cost_s: float) -> None:
        by_time = CHUNK_S / max(cost_s, 1e-9)
        by_bytes = MAX_BYTES / max(self._item_bytes, 1.0)
        self._size = max(1, int(min(2 * self._size, by_time, by_bytes, MAX_ITEMS)))

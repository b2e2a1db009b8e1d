"""How many inputs travel in one chunk: enough that the journey costs little, few enough to stay fair."""

from __future__ import annotations

CHUNK_S = 0.02
"""A chunk aims at this much work, in seconds."""
MAX_ITEMS = 16_384
MAX_LISTED = 65_536
"""The same where the inputs are all in memory anyway, in a list."""
MAX_BYTES = 1 << 18
"""A chunk is closed when it has this many bytes, or a single larger input."""
GATHER_S = 0.004
"""The parent lets results gather for up to this long, in seconds, while every worker has enough to do:
to wake it for each costs 0.1 ms of somebody's processor."""
PREFETCH_S = 0.01
"""A worker gets a second chunk in advance while an input takes less than this: its way costs about 0.1 ms."""
TAIL_S = 0.001
"""Towards the known end chunks become small, but not smaller than this much work, in seconds."""
_GROWTH = 4
_WEIGHT = 0.3


class Pace:
    """Learns what an input costs and says how large the next chunk is. Starts at one, at most quadruples."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._size = 1
        self.cost_s: float | None = None
        """What one input takes, in seconds; None before the first result."""
        self._item_bytes = 0.0

    def size(self, remaining: int | None) -> int:
        """The next chunk; towards a known end chunks become small, so that no worker is left with a large one."""
        if remaining is None:
            return min(self._size, MAX_ITEMS)
        least = TAIL_S / max(self.cost_s or TAIL_S, 1e-9)
        return max(1, int(min(self._size, max(remaining // (2 * self._workers), least))))

    @property
    def depth(self) -> int:
        """How many chunks a worker may have."""
        return 2 if self.cost_s is not None and self.cost_s < PREFETCH_S else 1

    def leisure_s(self, waiting: int) -> float:
        """How long nobody needs us, in seconds, if the worker with the least to do has so many inputs in advance."""
        leisure_s = min(GATHER_S, waiting * (self.cost_s or 0.0) / 4)
        return leisure_s if leisure_s > GATHER_S / 16 else 0.0

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
        self._size = max(1, int(min(_GROWTH * self._size, by_time, by_bytes, MAX_LISTED)))

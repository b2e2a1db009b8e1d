"""A clock that stands still until it is told to go on, so that no test waits."""

from __future__ import annotations

from threading import Lock


class FakeClock:
    """Time as tests want it: ``sleep`` returns at once and has passed the time it was asked for.

    It has the names of the ``time`` module (``time``, ``monotonic``, ``perf_counter``, ``sleep``), with
    ``asleep`` for event loops; called, it gives ``monotonic()``. All times are in seconds.
    Several threads may share one: every sleep moves the time of all of them, and ``slept`` keeps each, in order.

    >>> clock = FakeClock(start=1_000.0)
    >>> clock.sleep(30)
    >>> clock.advance(0.5)
    >>> clock.time(), clock.monotonic(), clock.slept
    (1030.5, 30.5, [30])
    >>> clock.advance(-1)
    Traceback (most recent call last):
        ...
    ValueError: FakeClock.advance(-1): time goes on only forward; give seconds from 0
    """

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        """``start`` is what ``time()`` gives first, in seconds since the epoch; ``monotonic()`` starts at 0."""
        self.start = start
        self.slept: list[float] = []
        self._passed = 0.0  # guarded by _lock, as are additions to `slept`
        self._lock = Lock()

    def __call__(self) -> float:
        """The same as ``monotonic()``, for code that takes a function as its clock."""
        return self.monotonic()

    def time(self) -> float:
        """Seconds since the epoch, as ``time.time()``."""
        return self.start + self._passed

    def monotonic(self) -> float:
        """Seconds since this clock was made, as ``time.monotonic()``."""
        return self._passed

    perf_counter = monotonic

    def monotonic_ns(self) -> int:
        """Nanoseconds since this clock was made."""
        return round(self._passed * 1e9)

    perf_counter_ns = monotonic_ns

    def sleep(self, seconds: float, /) -> None:
        """Let that much time pass, at once."""
        if seconds < 0:
            raise ValueError(f"FakeClock.sleep({seconds!r}): a sleep cannot be negative; give seconds from 0")
        with self._lock:
            self.slept.append(seconds)
            self._passed += seconds

    async def asleep(self, seconds: float, /) -> None:
        """``sleep`` for event loops: other tasks get a turn, and no time is spent."""
        from asyncio import sleep  # 100 ms of import that most runs never need

        self.sleep(seconds)
        await sleep(0)

    def advance(self, seconds: float) -> None:
        """Let time pass although nobody sleeps."""
        if seconds < 0:
            raise ValueError(f"FakeClock.advance({seconds!r}): time goes on only forward; give seconds from 0")
        with self._lock:
            self._passed += seconds

    def __repr__(self) -> str:
        return f"<FakeClock {self._passed:g} s after {self.start:g}>"

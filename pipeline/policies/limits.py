"""How fast, and how many at a time: limits on the calls of a step, or of several steps together."""

from __future__ import annotations

from typing import Any

import msgspec

from pipeline.policies.matching import check, is_number


class RateLimit(msgspec.Struct, frozen=True, kw_only=True):
    """At most ``per_second`` calls a second, and at most ``burst`` at once after a quiet time.

    In any ``t`` seconds at most ``burst + t * per_second`` calls start; a further try is a call as well.
    It holds for a run in all its threads, tasks and worker processes on this machine.
    Steps that give the same ``name`` share one limit.

    >>> RateLimit(per_second=50).burst
    1
    >>> RateLimit(per_second=0)
    Traceback (most recent call last):
        ...
    pipeline.errors.InvalidSetting: RateLimit cannot use per_second=0; it takes a number, more than 0
    """

    per_second: float
    burst: int = 1
    name: str | None = None

    def __post_init__(self) -> None:
        burst: Any = self.burst
        good = is_number(self.per_second) and self.per_second > 0
        check("RateLimit", "per_second", self.per_second, good, "a number, more than 0")
        check("RateLimit", "burst", burst, type(burst) is int and burst >= 1, "a number from 1")


class ConcurrencyLimit(msgspec.Struct, frozen=True):
    """At most ``calls`` at the same time; a call keeps its place while it waits between tries.

    It holds for a run in all its threads, tasks and worker processes on this machine; the place of a worker that
    dies is free again. A call that was given up after its ``timeout`` but goes on has no place.
    Steps that give the same ``name`` share one limit.

    >>> ConcurrencyLimit(8).calls
    8
    >>> ConcurrencyLimit(0)
    Traceback (most recent call last):
        ...
    pipeline.errors.InvalidSetting: ConcurrencyLimit cannot use calls=0; it takes a number from 1
    """

    calls: int
    name: str | None = None

    def __post_init__(self) -> None:
        calls: Any = self.calls
        check("ConcurrencyLimit", "calls", calls, type(calls) is int and calls >= 1, "a number from 1")


def reserve(limit: RateLimit, due: float, now: float) -> tuple[float, float]:
    """When a call that comes at ``now`` may start, and what ``due`` is after it; both in seconds, monotonic.

    ``due`` is when all calls so far would have started, had there been no bursts (the generic cell rate algorithm,
    ITU-T I.371); it starts at 0.

    >>> reserve(RateLimit(per_second=2), due=10.5, now=10.0)
    (10.5, 11.0)
    >>> reserve(RateLimit(per_second=2, burst=3), due=10.5, now=10.0)
    (10.0, 11.0)
    """
    due = max(due, now)
    start = max(now, due - (limit.burst - 1) / limit.per_second)
    return start, due + 1 / limit.per_second

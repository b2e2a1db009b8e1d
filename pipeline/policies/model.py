"""What a policy is: data, with the unit of every field."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import msgspec


class Retry(msgspec.Struct, frozen=True, kw_only=True):
    """Try a failed call again. ``attempts`` counts all tries, the first included; ``wait`` is the first delay
    in seconds, doubling up to ``max_wait`` seconds, with full jitter unless ``jitter`` is ``"none"``.
    """

    on: tuple[type[Any], ...] = (Exception,)
    attempts: int = 3
    wait: float = 0.5
    max_wait: float = 30.0
    jitter: Literal["full", "none"] = "full"
    when: Callable[[Any], bool] | None = None


class CircuitBreaker(msgspec.Struct, frozen=True, kw_only=True):
    """Stop calling after ``failures`` failures in a row; probe again after ``reset_s`` seconds."""

    failures: int = 5
    reset_s: float = 60.0
    name: str | None = None


class RateLimit(msgspec.Struct, frozen=True, kw_only=True):
    """At most ``per_second`` calls a second, ``burst`` of them at once."""

    per_second: float
    burst: int = 1
    name: str | None = None


class ConcurrencyLimit(msgspec.Struct, frozen=True):
    """At most ``calls`` calls at the same time."""

    calls: int
    name: str | None = None


class Cache(msgspec.Struct, frozen=True, kw_only=True):
    """Reuse a step's result while it is younger than ``max_age_s`` seconds."""

    max_age_s: float | None = None


class Policies(msgspec.Struct, frozen=True, kw_only=True):
    """The policies of one step; ``None`` costs nothing. ``timeout_s`` is per try, in seconds."""

    retry: Retry | None = None
    timeout_s: float | None = None
    breaker: CircuitBreaker | None = None
    rate: RateLimit | None = None
    limit: ConcurrencyLimit | None = None
    cache: Cache | None = None

    @property
    def any(self) -> bool:
        """Whether a call needs a guard at all."""
        return self != NONE


NONE = Policies()

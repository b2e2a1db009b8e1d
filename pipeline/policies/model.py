"""What stands around one step's call."""

from __future__ import annotations

from typing import Any

import msgspec

from pipeline.policies.breaker import CircuitBreaker
from pipeline.policies.cache import Cache
from pipeline.policies.limits import ConcurrencyLimit, RateLimit
from pipeline.policies.matching import check, is_number
from pipeline.policies.retry import Retry


class Policies(msgspec.Struct, frozen=True, kw_only=True):
    """The policies of one step, outermost first; ``None`` costs nothing.

    ``timeout_s`` is how long one call may take, in seconds.
    """

    cache: Cache | None = None
    breaker: CircuitBreaker | None = None
    limit: ConcurrencyLimit | None = None
    rate: RateLimit | None = None
    retry: Retry | None = None
    timeout_s: float | None = None

    def __post_init__(self) -> None:
        limit: Any = self.timeout_s
        check("a step", "timeout", limit, limit is None or (is_number(limit) and limit > 0), "seconds, more than 0")
        for name, kind in POLICIES.items():
            given = getattr(self, name)
            check("a step", name, given, given is None or isinstance(given, kind), f"a {kind.__name__}")

    @property
    def guarded(self) -> bool:
        """Whether a call under these policies may have to wait, or to be made again."""
        return self != NONE

    @property
    def waits_before(self) -> bool:
        """Whether even the first call needs more than to be made."""
        return self != Policies(retry=self.retry)


POLICIES: dict[str, type[Any]] = {
    "cache": Cache,
    "breaker": CircuitBreaker,
    "limit": ConcurrencyLimit,
    "rate": RateLimit,
    "retry": Retry,
}
NONE = Policies()

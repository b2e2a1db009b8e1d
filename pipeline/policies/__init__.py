"""Policies around a step's call, as frozen data that pickles.

Around a call they stand in one fixed order: cache → breaker → limits → retry → timeout → call.
"""

from __future__ import annotations

from pipeline.policies.model import Cache, CircuitBreaker, ConcurrencyLimit, Policies, RateLimit, Retry

__all__ = ["Cache", "CircuitBreaker", "ConcurrencyLimit", "Policies", "RateLimit", "Retry"]

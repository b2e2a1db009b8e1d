"""Policies around a step's call, as frozen data that pickles, each with the function that decides."""

from __future__ import annotations

from pipeline.policies.breaker import CircuitBreaker
from pipeline.policies.cache import Cache
from pipeline.policies.limits import ConcurrencyLimit, RateLimit
from pipeline.policies.model import Policies
from pipeline.policies.retry import Retry

__all__ = ["Cache", "CircuitBreaker", "ConcurrencyLimit", "Policies", "RateLimit", "Retry"]

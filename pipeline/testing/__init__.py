"""The kit for testing pipelines of your own: laws of resuming, faults on demand, and a clock that stands still."""

from __future__ import annotations

from pipeline.testing.clock import FakeClock

__all__ = ["FakeClock"]

"""Policies around a step's call, as frozen data that pickles."""

from __future__ import annotations

from pipeline.policies.model import Policies

__all__ = ["Policies"]

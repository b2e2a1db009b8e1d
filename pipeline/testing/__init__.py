"""The kit for testing pipelines of your own: laws of resuming, faults on demand, and a clock that stands still."""

from __future__ import annotations

from pipeline.testing import faults, laws
from pipeline.testing.check import check_resume
from pipeline.testing.clock import FakeClock
from pipeline.testing.faults import Fault, FaultRaised
from pipeline.testing.fixtures import MakeProcessor
from pipeline.testing.law import Breach, Law, LawBroken
from pipeline.testing.laws import LAWS
from pipeline.testing.outcomes import assert_outcome
from pipeline.testing.recorder import Recorded, RecordingRunner

__all__ = [
    "LAWS",
    "Breach",
    "FakeClock",
    "Fault",
    "FaultRaised",
    "Law",
    "LawBroken",
    "MakeProcessor",
    "Recorded",
    "RecordingRunner",
    "assert_outcome",
    "check_resume",
    "faults",
    "laws",
]

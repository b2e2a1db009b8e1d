"""What stands around a step's call while it runs: the policies of the step, in one fixed order.

``around`` is that order, and a generator that calls nothing and never sleeps: it yields what is to be done.
``drive`` does it, in a thread or on an event loop: so there is one loop for both.
"""

from __future__ import annotations

from pipeline.guard.drive import adrive, drive
from pipeline.guard.group import Group, Member
from pipeline.guard.guard import Guard
from pipeline.guard.guarded import guarded
from pipeline.guard.results import Caching
from pipeline.guard.shared import shared_file
from pipeline.guard.sharedbreaker import Sharing
from pipeline.guard.supplies import Budget, Supplies, check_named, supplies_in_worker
from pipeline.guard.timing import REAL, Timing
from pipeline.guard.together import together
from pipeline.guard.tries import STOPPED, SetAside

__all__ = [
    "REAL",
    "STOPPED",
    "Budget",
    "Caching",
    "Group",
    "Guard",
    "Member",
    "SetAside",
    "Sharing",
    "Supplies",
    "Timing",
    "adrive",
    "check_named",
    "drive",
    "guarded",
    "shared_file",
    "supplies_in_worker",
    "together",
]

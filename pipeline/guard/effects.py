"""What a guard asks its driver to do, and what it is told in return."""

from __future__ import annotations

from collections.abc import Callable, Generator
from types import TracebackType
from typing import Any, TypeAlias

import msgspec

from pipeline.guard.slots import Turn


class Call(msgspec.Struct, frozen=True):
    """Call the step with ``value``; the reply is what it returned, ``Raised``, or ``Late``."""

    value: Any


class Sleep(msgspec.Struct, frozen=True):
    """Wait so many seconds; the reply is whether the run was stopped meanwhile."""

    seconds: float


class Queue(msgspec.Struct, frozen=True):
    """Wait for a turn; the reply is whether the run was stopped meanwhile."""

    turn: Turn


class Do(msgspec.Struct, frozen=True):
    """Do something that may take a moment, and never raises; the reply is what it gave."""

    act: Callable[[], Any]


class Raised(msgspec.Struct, frozen=True):
    """What a call raised, as a value."""

    error: BaseException


class Late(msgspec.Struct, frozen=True):
    """A call whose time is up. ``escaped`` says that it may still be at work; ``at``, where it was, if it ended."""

    escaped: bool
    at: TracebackType | None = None


Effect: TypeAlias = Call | Sleep | Queue | Do
Effects: TypeAlias = Generator[Effect, Any, Any]

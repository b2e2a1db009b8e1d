"""How one input ended without a result: as data, made from an exception in one place for every runner."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any, Literal, TypeVar

import msgspec
from returns.primitives.container import BaseContainer
from returns.result import Failure, Result, Success

from runners.message import message_of

T = TypeVar("T")
R = TypeVar("R")

CrashKind = Literal["error", "invalid", "timeout", "crash", "cancelled"]
"""``error``: the function raised; ``invalid``: a value could not cross a process boundary;
``timeout``: its time was up; ``crash``: its worker died; ``cancelled``: the runner was told to stop."""

MAX_FRAMES = 20
"""Frames of a traceback that are kept: the innermost ones."""


class Crash(msgspec.Struct, frozen=True):
    """Why one input has no result, as data that crosses every boundary.

    ``exception`` is the type name and ``message`` its text (bounded): which input it is, says who gives the crash.
    ``frames`` are ``(file, line, function)``, outermost first, at most the innermost 20.
    ``error`` is the exception itself where it survived the way here; it never crosses a process on its own.
    ``mark`` is the last number that the function gave to ``Runner.pulse``, or -1.
    ``duration_s`` is how long the input had been running, in seconds.
    """

    kind: CrashKind
    exception: str
    message: str
    frames: tuple[tuple[str, int, str], ...] = ()
    mark: int = -1
    duration_s: float = 0.0
    error: BaseException | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return Crash, (self.kind, self.exception, self.message, self.frames, self.mark, self.duration_s)


_bare: Callable[[Any], Any] = object.__new__
_fill: Callable[[object, object], None] = BaseContainer.__dict__["_inner_value"].__set__


def success(value: R) -> Result[R, Any]:
    """``Success(value)``, without the three calls of its constructor, which cost as much as a small step.

    >>> success(1) == Success(1)
    True
    """
    made = _bare(Success)
    _fill(made, value)
    return made  # type: ignore[no-any-return]


def attempt(func: Callable[[T], R], value: T) -> Result[R, Crash]:
    """Return ``Success(func(value))``, or what ``func`` raised as a ``Failure``; ``SystemExit`` ends one input only.

    ``KeyboardInterrupt`` in the main thread is Ctrl-C, no input's failure, and goes on.

    >>> attempt(int, "1")
    <Success: 1>
    >>> attempt(int, "one").failure().exception
    'ValueError'
    """
    try:
        return success(func(value))
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
            raise
        return Failure(crash_of(error))


def crash_of(error: BaseException, kind: CrashKind = "error") -> Crash:
    """Describe ``error`` as data: its type, its text in at most 10,000 characters, and where it was raised.

    Never raises, whatever the exception does in its ``__str__``.
    The frame that caught the exception is the runner's own and is left out.

    >>> def divide(a, b): return a / b
    >>> try:
    ...     divide(1, 0)
    ... except ZeroDivisionError as error:
    ...     crash = crash_of(error)
    >>> crash.kind, crash.exception, crash.message, [function for _, _, function in crash.frames]
    ('error', 'ZeroDivisionError', 'division by zero', ['divide'])
    """
    caught = error.__traceback__
    frames = frames_of(caught and caught.tb_next)
    return Crash(kind=kind, exception=type(error).__name__, message=message_of(error), frames=frames, error=error)


def frames_of(traceback: TracebackType | None) -> tuple[tuple[str, int, str], ...]:
    """Return ``(file, line, function)`` of the innermost 20 frames, outermost first; renders nothing."""
    frames: deque[tuple[str, int, str]] = deque(maxlen=MAX_FRAMES)
    while traceback is not None:
        code = traceback.tb_frame.f_code
        frames.append((code.co_filename, traceback.tb_lineno, code.co_name))
        traceback = traceback.tb_next
    return tuple(frames)

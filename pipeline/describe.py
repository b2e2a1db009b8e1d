"""An error as bounded data: its name, its message and where it was raised.

Nothing here fails, whatever the error does when it is asked: its ``__str__`` may raise or give a megabyte.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

from pipeline.errors import StopNow
from pipeline.model import Frame

MESSAGE_LIMIT = 10_000
"""Characters of a message that are kept."""

FRAME_LIMIT = 20
"""Frames of a traceback that are kept, the innermost."""

_HERE = str(Path(__file__).parent)
_POOL = str(Path(__file__).parent.parent / "runners" / "pool")


def describe(error: Any) -> tuple[str, str]:
    """The name and the message of what a step failed with: an exception, or the value of a ``Failure``.

    >>> describe(ValueError("no total")), describe("no total")
    (('ValueError', 'no total'), ('Failure', 'no total'))
    """
    if isinstance(error, str):
        return "Failure", bounded(error)
    text = _text_of(error)
    return type(error).__name__, text if len(text) <= MESSAGE_LIMIT else bounded(text)


def bounded(text: str, limit: int = MESSAGE_LIMIT) -> str:
    """``text``, or its beginning and its full length.

    >>> bounded("a" * 12, limit=10)
    'aaaaaaaaaa... (12 characters in all)'
    """
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters in all)"


def frames_of(error: Any) -> tuple[Frame, ...]:
    """Where an exception was raised, outermost first, without this package's own frames at the outside.

    Nor are there those of the pool at the inside, where it raised an exception in a call whose time was up.
    """
    if not isinstance(error, BaseException):
        return ()
    at: TracebackType | None = error.__traceback__
    while at is not None and at.tb_frame.f_code.co_filename.startswith(_HERE):
        at = at.tb_next
    frames: list[Frame] = []
    while at is not None:
        code = at.tb_frame.f_code
        frames.append((code.co_filename, at.tb_lineno, code.co_name))
        at = at.tb_next
    while frames and frames[-1][0].startswith(_POOL):
        frames.pop()
    return tuple(frames if len(frames) <= FRAME_LIMIT else frames[-FRAME_LIMIT:])


def _text_of(error: Any) -> str:
    try:
        message = None if isinstance(error, BaseException) else getattr(error, "message", None)
        return message if isinstance(message, str) else str(error)
    except BaseException as broken:  # an error that cannot say what it is must not hide that it happened
        if isinstance(broken, StopNow) or getattr(broken, "ends_worker", False):  # a signal that came just now
            raise
        return f"<no message: {type(error).__name__}.__str__ raised {type(broken).__name__}>"

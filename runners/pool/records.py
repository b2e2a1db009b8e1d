"""A failure as plain data: what a worker makes of an exception, so that any exception can travel."""

from __future__ import annotations

import pickle
from types import TracebackType
from typing import Any

from runners.message import MAX_MESSAGE, message_of

MAX_FRAMES = 20
_MAX_ERROR_BYTES = 1_000_000

Record = list[Any]
"""``[kind, exception, message, frames, mark, duration_s, pickled error or None]``: scalars, and so always readable."""


def to_record(kind: str, error: BaseException, mark: int, duration_s: float, skip_frames: int) -> Record:
    """``error`` as a record; ``skip_frames`` outermost frames belong to the worker and are left out."""
    message = message_of(error)
    frames = frames_of(error.__traceback__, skip_frames)
    return [kind, type(error).__name__, message, frames, mark, duration_s, _pickled(error, message)]


def frames_of(traceback: TracebackType | None, skip: int) -> tuple[tuple[str, int, str], ...]:
    """``(file, line, function)`` of the innermost 20 frames, outermost first."""
    frames: list[tuple[str, int, str]] = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        frames.append((code.co_filename, traceback.tb_lineno, code.co_name))
        traceback = traceback.tb_next
    return tuple(frames[skip:][-MAX_FRAMES:])


def _pickled(error: BaseException, message: str) -> bytes | None:
    """The exception itself where it can travel. Not SystemExit and its like: they must not end the parent."""
    if not isinstance(error, Exception) or len(message) > MAX_MESSAGE:
        return None
    try:
        data = pickle.dumps(error, 5)
    except (Exception, SystemExit):  # noqa: BLE001 - user code
        return None
    return data if len(data) <= _MAX_ERROR_BYTES else None


def unpickled_error(data: bytes | None) -> BaseException | None:
    """The exception that came with a record, or None if it did not survive."""
    if data is None:
        return None
    try:
        error = pickle.loads(data)
    except (Exception, SystemExit):  # noqa: BLE001 - user code
        return None
    return error if isinstance(error, BaseException) else None

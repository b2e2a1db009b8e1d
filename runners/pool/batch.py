# pyright: basic
"""Chunks into frames and frames into results, one bad value at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from runners.message import bounded, message_of
from runners.pool.pace import MAX_BYTES
from runners.pool.records import Record, unpickled_error
from runners.pool.wire import PLAIN, RAW, Frame, Packer, Part, Unreadable, unseal
from runners.protocol import Crash

_NO_CRASHES: Mapping[int, Crash] = MappingProxyType({})
_TINY = frozenset((int, float, bool, type(None)))


class Batch(NamedTuple):
    """How the inputs at consecutive positions ended."""

    first: int
    values: Sequence[Any]
    """A result each; None where there is none."""
    crashes: Mapping[int, Crash]
    """Why there is none, by position."""

    @staticmethod
    def of_crash(position: int, crash: Crash) -> Batch:
        """A batch of one input that has no result."""
        return Batch(position, [None], {position: crash})


class Packed(NamedTuple):
    """As many values of a chunk, from its front, as go into one frame."""

    head: list[Any]
    body: list[Part]
    size: int
    """About how many bytes, where it was counted."""
    all_plain: bool
    crash: Crash | None
    """The value that follows the packed ones cannot be pickled."""


def pack(values: list[Any]) -> Packed:
    """The front of ``values``: up to 256 kB, or one larger value, or up to one that cannot be pickled."""
    if _TINY.issuperset(map(type, values)):
        return Packed(values, [], 0, all_plain=True, crash=None)
    packer = Packer()
    size = 0
    for value in values:
        kind = type(value)
        if kind in PLAIN and (kind is not bytes or len(value) < RAW):
            size += len(value) if isinstance(value, (str, bytes)) else 8
            packer.head.append(value)
        else:
            try:
                packer.add(*packer.seal(value))
            except Unreadable as error:
                return _packed(packer, size, _unpicklable_input(value, error))
        if size + packer.body_size > MAX_BYTES:
            break
    return _packed(packer, size, None)


def _packed(packer: Packer, size: int, crash: Crash | None) -> Packed:
    size += packer.body_size
    head, body = packer.take()
    return Packed(head, body, size, all_plain=tuple not in set(map(type, head)), crash=crash)


def to_batch(frame: Frame) -> Batch:
    """The results in a frame. What cannot be read is that input's failure only."""
    if frame.all_plain:
        return Batch(frame.first, frame.head, _NO_CRASHES)
    values: list[Any] = []
    crashes: dict[int, Crash] = {}
    offset = 0
    entry: Any
    for position, entry in enumerate(frame.head, frame.first):
        value = entry
        if type(entry) is tuple:
            try:
                value = unseal(entry, frame.body, offset)
            except Unreadable as error:
                value, crashes[position] = None, _unreadable_result(error)
            offset += sum(entry)
        elif type(entry) is list:
            value, crashes[position] = None, to_crash(entry)
        values.append(value)
    return Batch(frame.first, values, crashes)


def to_crash(record: Record) -> Crash:
    """A worker's record as the data that users see."""
    kind, exception, message, frames, mark, duration_s, error = record
    return Crash(kind, exception, message, frames, mark, duration_s, unpickled_error(error))


def _unpicklable_input(value: object, error: Unreadable) -> Crash:
    cause = error.__cause__ or error
    message = f"a {type(value).__qualname__} cannot be pickled, so it cannot go to a worker: {message_of(cause)}"
    return Crash(kind="invalid", exception=type(cause).__name__, message=bounded(message))


def _unreadable_result(error: Unreadable) -> Crash:
    cause = error.__cause__ or error
    message = f"its result cannot be unpickled: {message_of(cause)}"
    return Crash(kind="invalid", exception=type(cause).__name__, message=bounded(message))

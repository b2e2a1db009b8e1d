"""The rows of a journal, with a checksum each, and text that every database can hold.

``id`` of an input's row is ``batch * 2**32 + slot``: a batch is the inputs of a first run and of every run that
resumes it, a slot is an input's number within it.

Rows of which there are many are Structs that the garbage collector need not look at; the others are tuples.
"""

from __future__ import annotations

import re
from math import inf
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar
from zlib import crc32

from msgspec import Struct
from msgspec.structs import astuple

SLOTS = 2**32
"""How many inputs a batch may have."""

T = TypeVar("T", bound="Record")

Row: TypeAlias = tuple[Any, ...]


class Record(Protocol):
    """A row that knows its checksum."""

    def checksum(self) -> int:
        """Of every column."""
        ...


class Mismatch(ValueError):
    """A row whose checksum does not match; inside the journal only."""


class InputRow(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """One input. ``data`` is its encoded data; where that is ``None``, ``problem`` says why it could not be stored.

    ``place`` is its position among the inputs of the latest run, ``None`` when that run did not have it.
    """

    id: int
    place: int | None
    input_id: str
    account_id: str | None
    underwriting_id: str | None
    data: bytes | None
    fingerprint: str | None = None
    problem: str | None = None

    def row(self) -> Row:
        """The values of its columns."""
        number, place, input_id, account_id, underwriting_id, data, fingerprint, problem = astuple(self)
        return (
            number,
            place,
            _written(input_id),
            account_id and _written(account_id),
            underwriting_id and _written(underwriting_id),
            data,
            fingerprint,
            problem and _written(problem),
            self.checksum(),
        )

    def checksum(self) -> int:
        """Of every column."""
        number, place, input_id, account_id, underwriting_id, data, fingerprint, problem = astuple(self)
        size = None if data is None else len(data)
        ids = f"{number!r}, {place!r}, {input_id!r}, {account_id!r}, {underwriting_id!r}"
        return _sum(f"[{ids}, {size}, {fingerprint!r}, {problem!r}]", data)

    @classmethod
    def read(cls, row: Row) -> InputRow:
        """The record in a row; ``Mismatch`` when it is not what was written."""
        input_id, account_id, underwriting_id = map(_read, row[2:5])
        texts = (input_id or "", account_id, underwriting_id)
        found = cls(row[0], row[1], *texts, row[5], row[6], _read(row[7]))
        return _checked(found, row[-1])


class OutcomeRow(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """The latest outcome of one input: ``data`` is its output or its payload's data, ``detail`` the rest.

    ``fingerprint`` is of the input's data at that time, ``None`` for the data in the input's row.
    """

    id: int
    run: int
    status: str
    step: str | None
    data: bytes | None
    detail: bytes | None = None
    fingerprint: str | None = None
    problem: str | None = None

    def row(self) -> Row:
        """The values of its columns."""
        number, run, status, step, data, detail, fingerprint, problem = astuple(self)
        told = problem and _written(problem)
        return (number, run, status, step and _written(step), data, detail, fingerprint, told, self.checksum())

    def checksum(self) -> int:
        """Of every column."""
        number, run, status, step, data, detail, fingerprint, problem = astuple(self)
        sizes = f"{None if data is None else len(data)}, {None if detail is None else len(detail)}"
        return _sum(f"[{number!r}, {run!r}, {status!r}, {step!r}, {sizes}, {fingerprint!r}, {problem!r}]", data, detail)

    @classmethod
    def read(cls, row: Row) -> OutcomeRow:
        """The record in a row; ``Mismatch`` when it is not what was written."""
        found = cls(row[0], row[1], row[2], _read(row[3]), row[4], row[5], row[6], _read(row[7]))
        return _checked(found, row[-1])


class AttemptsRow(NamedTuple):
    """The failed tries of one input in one run."""

    id: int
    run: int
    detail: bytes

    def row(self) -> Row:
        """The values of its columns."""
        return (*self, self.checksum())

    def checksum(self) -> int:
        """Of every column."""
        return _sum(f"[{self.id!r}, {self.run!r}, {len(self.detail)}]", self.detail)

    @classmethod
    def read(cls, row: Row) -> AttemptsRow:
        """The record in a row that begins with the row's own number; ``Mismatch`` when it is not what was written."""
        return _checked(cls(row[1], row[2], row[3]), row[-1])


class RunRow(NamedTuple):
    """One run; times are in seconds.

    ``state`` is ``started``, ``succeeded``, ``failed``, ``stopped``, ``died`` or ``edited`` (nothing ran in it).
    """

    run: int
    batch: int
    run_id: str
    processor: str
    state: str
    inputs: int | None
    started_at: float
    ended_at: float | None
    detail: bytes

    def row(self) -> Row:
        """The values of its columns but its number, which the database gives."""
        texts = map(_written, self[2:4])
        return (self.batch, *texts, *self[4:], self.checksum())

    def checksum(self) -> int:
        """Of every column but its number."""
        return _sum(repr([*self[1:-1], len(self.detail)]), self.detail)

    @classmethod
    def read(cls, row: Row) -> RunRow:
        """The record in a row; ``Mismatch`` when it is not what was written."""
        found = cls(row[0], row[1], _read(row[2]) or "", _read(row[3]) or "", *row[4:9])
        return _checked(found, row[-1])


class SeenRun(NamedTuple):
    """What can be seen of a run whose row may be damaged, enough to forget it; ``is_sound`` says that it is not.

    ``seen_at`` is when it ended, or else began, in seconds; where that cannot be told, it is for ever in the future.
    """

    run: int
    batch: int
    run_id: str
    processor: str
    seen_at: float
    is_sound: bool

    @classmethod
    def read(cls, row: Row) -> SeenRun:
        """Of any row that has all columns."""
        try:
            run = RunRow.read(row)
        except (Mismatch, TypeError, ValueError):
            number, batch = (value if isinstance(value, int) else 0 for value in row[:2])
            run_id, processor = (_read(text) or "" if isinstance(text, str) else "" for text in row[2:4])
            seen_at = row[7] or row[6]
            return cls(number, batch, run_id, processor, seen_at if isinstance(seen_at, int | float) else inf, False)
        return cls(run.run, run.batch, run.run_id, run.processor, run.ended_at or run.started_at, True)


def id_of(row: Row) -> tuple[int, str]:
    """Number and ``input_id`` in a row of the two."""
    return row[0], _read(row[1]) or ""


def slot_range(batch: int) -> tuple[int, int]:
    """The ids of a batch's inputs, from the first to the one behind the last."""
    return batch * SLOTS, (batch + 1) * SLOTS


def _checked(record: T, checksum: int) -> T:
    if record.checksum() != checksum:
        raise Mismatch
    return record


def _sum(told: str, *blobs: bytes | None) -> int:
    """A checksum over the columns that hold bytes, as they are, and the list of all as Python prints it.

    In that list, bytes are their length. It is written out where there are many rows, because a list made of
    the columns, only to be printed, costs twice as much.
    """
    total = 0
    for blob in blobs:
        if blob is not None:
            total = crc32(blob, total)
    return crc32(told.encode("ascii", "backslashreplace"), total)


_UNSTORABLE = re.compile("[\\\\\x00\ud800-\udfff]")
_ESCAPED = re.compile(r"\\(?:u([0-9a-f]{4})|\\)")


def _written(text: str | None) -> str | None:
    """Text that every database can hold: NUL and lone surrogates as escapes, a backslash doubled."""
    if text is None or not _UNSTORABLE.search(text):
        return text
    return _UNSTORABLE.sub(lambda found: r"\\" if found[0] == "\\" else f"\\u{ord(found[0]):04x}", text)


def _read(text: str | None) -> str | None:
    if text is None or "\\" not in text:
        return text
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)) if found[1] else "\\", text)

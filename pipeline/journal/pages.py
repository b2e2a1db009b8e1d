"""Rows of a batch's first run that came in large groups: many in one row of the database, as they were when they came.

    rows ─▶ pages_of ─▶ page: its rows, how many, checksum      many rows at the price of one
    number ─▶ Pages.find ─▶ the page that has it ─▶ row

A page never changes. Where an input has a row in its own table as well, that row is newer, and counts.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Generic, NamedTuple, TypeVar
from zlib import crc32

import msgspec

from pipeline.journal.records import SLOTS, InputRow, Mismatch, OutcomeRow, Row

R = TypeVar("R", InputRow, OutcomeRow)

FEWEST = 16
"""Rows that make a page; fewer go into their own table, where a person finds them with a query."""

PAGE_BYTES = 250_000
"""About how many bytes a page may have, so that reading one input reads little else."""

KEPT_OPEN = 16
"""Pages whose rows are kept, because whoever reads one input mostly reads the next one next."""

BLOCK = 64
"""Numbers that share a list of where their rows are: as much memory as there are rows, whatever numbers they have."""

_ENCODER = msgspec.msgpack.Encoder()


class PageRow(NamedTuple):
    """Many rows of one batch; ``kind`` is the table that they would be in, ``rows`` how many they are."""

    batch: int
    kind: str
    rows: int
    body: bytes

    def row(self) -> Row:
        """The values of its columns but its number, which the database gives."""
        return (*self, self.checksum())

    def checksum(self) -> int:
        """Of every column but its number."""
        return crc32(
            self.body, crc32(f"{self.batch!r} {self.kind!r} {self.rows!r}".encode("ascii", "backslashreplace"))
        )


def pages_of(batch: int, kind: str, rows: Sequence[R]) -> tuple[list[PageRow], Sequence[R]]:
    """The pages that hold ``rows``, and the rows that stay apart: few, large, or with text that no page can hold."""
    if len(rows) < FEWEST:
        return [], rows
    body = _body_of(rows)
    if not body:
        return _without_unfit(batch, kind, rows)
    if len(body) <= PAGE_BYTES:
        return [PageRow(batch, kind, len(rows), body)], ()
    pages: list[PageRow] = []
    apart: list[R] = []
    for part in _parts(rows, -(-len(body) // PAGE_BYTES)):
        body = _body_of(part)
        if len(part) >= FEWEST and len(body) <= 2 * PAGE_BYTES:
            pages.append(PageRow(batch, kind, len(part), body))
        else:
            apart.extend(part)
    return pages, apart


def _without_unfit(batch: int, kind: str, rows: Sequence[R]) -> tuple[list[PageRow], Sequence[R]]:
    fit: list[R] = []
    unfit: list[R] = []
    for row in rows:
        (fit if _body_of((row,)) else unfit).append(row)
    pages, apart = pages_of(batch, kind, fit)
    return pages, unfit + list(apart)


def _parts(rows: Sequence[R], count: int) -> Iterator[Sequence[R]]:
    size = -(-len(rows) // count)
    return (rows[first : first + size] for first in range(0, len(rows), size))


def _body_of(group: Sequence[R]) -> bytes:
    try:
        return _ENCODER.encode(group)
    except UnicodeEncodeError:  # a lone surrogate, which only a row of its own can hold
        return b""


class Pages(Generic[R]):
    """The pages of one batch that hold rows of one ``kind``, found by the numbers of those rows.

    ``behind`` gives the pages after a page's number, in order, as ``(number, *page, checksum)``; ``one`` gives the
    page of a number. More of them may come: where a row is not found, they are asked for again, unless ``settled``.
    ``damaged`` are the pages that are not what was written, with how many rows each says that it has.
    """

    def __init__(
        self, batch: int, kind: type[R], behind: Callable[[int], Iterator[Row]], one: Callable[[int], Row | None]
    ) -> None:
        self.batch = batch
        self.kind: type[R] = kind
        self.behind = behind
        self.one = one
        self.settled: bool = False
        self.damaged: dict[int, int] = {}
        self._decoder: Any = msgspec.msgpack.Decoder(list[kind])  # type: ignore[valid-type]
        self._numbers: list[int] = []  # of the pages, in the order in which they came
        self._last: int = 0
        self._where: dict[int, array[int]] = {}  # by block of slots: which of the pages has each, from 1; 0: none
        self._open: OrderedDict[int, dict[int, R]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._numbers) + len(self.damaged)

    def find(self, number: int) -> R | None:
        """The row of that number; ``Mismatch`` with the number of a page that is damaged, where it may be in that."""
        page = self._page_of(number)
        if not page and not self.settled:
            self.look()
            page = self._page_of(number)
        if page:
            return self._opened(page).get(number)
        for damaged in self.damaged:
            raise Mismatch(damaged)
        return None

    def blocks(self) -> list[int]:
        """The blocks of numbers that have rows, in order."""
        return sorted(self._where)

    def rows_of(self, block: int) -> list[R]:
        """The rows of a block by number, of all pages that can be read."""
        first = self.batch * SLOTS + block * BLOCK
        found = (self._opened(page).get(number) for number, page in enumerate(self._where[block], first) if page)
        return [row for row in found if row is not None]

    def look(self) -> None:
        """Take in the pages that have come since the last look."""
        for row in self.behind(self._last):
            self._last = row[0]
            try:
                numbers = self._rows_in(row)
            except Mismatch:
                self.damaged[row[0]] = row[3] if isinstance(row[3], int) else 0
            else:
                self._numbers.append(row[0])
                self._place(numbers, len(self._numbers))

    def _place(self, numbers: Iterable[int], page: int) -> None:
        """These rows are in that page; what an earlier one has of them counts no more."""
        for number in numbers:
            block, place = divmod(number - self.batch * SLOTS, BLOCK)
            if block not in self._where:
                self._where[block] = array("I", bytes(4 * BLOCK))
            self._where[block][place] = page

    def _page_of(self, number: int) -> int:
        block, place = divmod(number - self.batch * SLOTS, BLOCK)
        return self._where[block][place] if block in self._where else 0

    def _opened(self, page: int) -> dict[int, R]:
        """The rows of a page; none when it was pruned a moment ago."""
        if page not in self._open:
            row = self.one(self._numbers[page - 1])
            self._open[page] = {} if row is None else self._rows_in(row)
            if len(self._open) > KEPT_OPEN:
                self._open.popitem(last=False)
        self._open.move_to_end(page)
        return self._open[page]

    def _rows_in(self, row: Row) -> dict[int, R]:
        """The rows of a page by their numbers; ``Mismatch`` with its number when it is not what was written."""
        try:
            page = PageRow(*row[1:5])
            rows: list[R] = self._decoder.decode(page.body) if page.checksum() == row[5] else []
        except (TypeError, IndexError, ValueError, msgspec.MsgspecError) as error:
            raise Mismatch(row[0]) from error
        if len(rows) != page.rows or any(each.id // SLOTS != self.batch for each in rows):
            raise Mismatch(row[0])
        return {each.id: each for each in rows}

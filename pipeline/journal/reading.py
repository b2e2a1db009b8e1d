"""The rows of a journal read back from any SQL database: those of its tables, and those that are in pages."""

from __future__ import annotations

from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterator
from heapq import merge
from typing import Any, TypeVar

from pipeline.errors import JournalDamaged
from pipeline.journal.database import Database
from pipeline.journal.pages import Pages
from pipeline.journal.records import (
    SLOTS,
    AttemptsRow,
    InputRow,
    Mismatch,
    OutcomeRow,
    Row,
    RunRow,
    SeenRun,
    id_of,
    slot_range,
)
from pipeline.shown import quoted

R = TypeVar("R", RunRow, InputRow, OutcomeRow, AttemptsRow)
P = TypeVar("P", InputRow, OutcomeRow)

AT_A_TIME = 1_000
"""Rows that are read at a time."""

PAGES_AT_A_TIME = 8

LAST = 2**63 - 1
"""More than any number of a run."""

PAGED_BATCHES = 4
"""Batches of which it is remembered where their rows are."""

KINDS: dict[type[Any], str] = {InputRow: "inputs", OutcomeRow: "outcomes"}
"""The table that rows are in, which is also what a page calls them."""

_CURES: dict[str, str] = {
    "inputs": "give the inputs again: execute(inputs, context=ExecutionContext(previous_run_id=...))",
    "outcomes": 'let such inputs start over: on_bad_payload="restart"',
}
"""What helps, beside a copy, where a row of a table is damaged; for all others, to forget the run."""

NO_OUTPUT = ("failed", "not_run", "checkpoint")
"""What an outcome may be that has no output."""


class SqlReader(Database):
    """The reading half of a journal over a database; see ``protocol`` for what it promises."""

    @abstractmethod
    def recover(self) -> None:
        """Find the runs whose owners are dead."""

    # runs

    def find(self, processor: str, run_id: str | None = None) -> RunRow | None:
        """A run by its row_id, or the latest of a processor; ``None`` when there is none."""
        self.recover()
        written = RunRow(0, 0, run_id or "", processor, "", None, 0, None, b"").row()
        row = self._one("latest_run", written[2]) if run_id is None else self._one("run", written[1])
        return None if row is None else self._read(RunRow, "runs", row)

    def run(self, number: int) -> RunRow:
        """A run by its number."""
        return self._read(RunRow, "runs", self._one("run_by_number", number) or (number,))

    def latest(self, batch: int, before: int | None = None) -> RunRow:
        """The latest run of a batch, or the latest before another."""
        row = self._one("latest_run_of_batch", batch, LAST if before is None else before)
        return self._read(RunRow, "runs", row or ())

    def runs(self) -> list[RunRow]:
        """All runs, the earliest first."""
        return [self._read(RunRow, "runs", row) for row in self._rows("runs")]

    def _sound_run(self, number: int) -> RunRow | None:
        """A run by its number, if its row is what was written."""
        row = self._one("run_by_number", number)
        try:
            return None if row is None else RunRow.read(row)
        except (Mismatch, TypeError, ValueError):
            return None

    def _seen(self) -> list[SeenRun]:
        """What can be seen of all runs, the earliest first, also where rows are damaged."""
        return [SeenRun.read(row) for row in self._rows("runs")]

    # one input

    def input(self, number: int) -> InputRow | None:
        """One input."""
        row = self._one("input", number)
        return self._in_a_page(InputRow, number) if row is None else self._read(InputRow, "inputs", row)

    def outcome(self, number: int) -> OutcomeRow | None:
        """The latest outcome of one input."""
        row = self._one("outcome", number)
        return self._in_a_page(OutcomeRow, number) if row is None else self._read(OutcomeRow, "outcomes", row)

    def checkpoint(self, number: int, run: int) -> OutcomeRow | None:
        """What a run that keeps steps has written of one input: it is in no page."""
        row = self._one("outcome", number)
        found = None if row is None else self._read(OutcomeRow, "outcomes", row)
        return None if found is None or found.run != run else found

    def attempts(self, number: int) -> list[AttemptsRow]:
        """The failed tries of one input, the earliest first."""
        return [self._read(AttemptsRow, "attempts", row) for row in self._rows("attempts", number)]

    # all inputs of a batch

    def inputs(self, batch: int) -> Iterator[InputRow]:
        """The inputs of a batch by slot."""
        for row in self._latest(InputRow, "inputs", batch):
            yield row if isinstance(row, InputRow) else self._read(InputRow, "inputs", row)

    def input_ids(self, batch: int) -> Iterator[tuple[int, str]]:
        """Id and ``input_id`` of every input of a batch."""
        for row in self._latest(InputRow, "input_ids", batch):
            yield (row.id, row.input_id) if isinstance(row, InputRow) else id_of(row)

    def places(self, batch: int) -> Iterator[int]:
        """The ids of the latest run's inputs, in its order."""
        if not self._pages(InputRow, batch):
            return iter([row[0] for row in self._rows("places", *slot_range(batch))])
        placed = [(row.place, row.id) for row in self.inputs(batch) if row.place is not None]
        return iter([number for _, number in sorted(placed)])

    def outcomes(self, batch: int) -> Iterator[OutcomeRow]:
        """The latest outcomes of a batch by slot."""
        for row in self._latest(OutcomeRow, "outcomes", batch):
            yield row if isinstance(row, OutcomeRow) else self._read(OutcomeRow, "outcomes", row)

    def failures(self, batch: int) -> Iterator[Row]:
        """Id, step and detail of every input of a batch that failed, unchecked; not those in pages that are damaged."""
        pages = self._pages(OutcomeRow, batch)
        for row in _newest(self._rows_of("failed", batch), self._readable(pages)):
            found = (row.id, row.status, row.step, row.detail) if isinstance(row, OutcomeRow) else row
            if found[1] == "failed":
                yield found[0], found[2], found[3]

    def succeeded(self, batch: int) -> int:
        """How many inputs of a batch have an output; a row that is damaged counts, for it is there."""
        pages = self._pages(OutcomeRow, batch)
        if not pages:
            (count,) = self._one("succeeded", *slot_range(batch)) or (0,)
            return int(count)
        rows = _newest(self._rows_of("outcomes", batch), self._readable(pages))
        found = sum((row.status if isinstance(row, OutcomeRow) else row[2]) not in NO_OUTPUT for row in rows)
        return found + sum(pages.damaged.values())

    # rows

    def _latest(self, kind: type[P], query: str, batch: int) -> Iterator[Row | P]:
        """The rows that a query finds in the table, and those of its pages that no row in the table is newer than."""
        pages = self._pages(kind, batch)
        for number in pages.damaged:
            raise self._damaged_page(kind, number)
        yield from _newest(self._rows_of(query, batch), self._readable(pages))

    def _rows_of(self, query: str, batch: int) -> Iterator[Row]:
        first, behind = slot_range(batch)
        while rows := self._rows(query, first, behind, AT_A_TIME):
            for row in rows:
                if row[0] < first:  # in a damaged file rows may lead back to earlier ones, for ever
                    raise self._repeated(query, row[0])
                yield row
                first = row[0] + 1

    def _read(self, kind: type[R], table: str, row: Row) -> R:
        try:
            return kind.read(row)
        except (Mismatch, TypeError, ValueError) as error:
            which = f"{table} (run {quoted(row[2])})" if kind is RunRow and len(row) > 2 else table
            raise self._damaged(which, row[0] if row else None, table) from error

    def _damaged(self, table: str, number: object, holds: str = "") -> JournalDamaged:
        return JournalDamaged(
            f"{self.name}: row {number if isinstance(number, int) else '?'} of {table} is not what was written; "
            f"{self.restore}, or {_CURES.get(holds or table, 'prune the run and give its inputs again')}"
        )

    def _damaged_page(self, kind: type[Any], number: object) -> JournalDamaged:
        return self._damaged("pages", number, "outcomes" if kind is OutcomeRow else "")

    def _repeated(self, table: str, number: int) -> JournalDamaged:
        return JournalDamaged(f"{self.name}: row {number} of {table} comes again; {self.restore}")

    # pages

    def _forget(self) -> None:
        super()._forget()
        self._known: OrderedDict[tuple[int, type[Any]], Pages[Any]] = OrderedDict()  # guarded by the connection's lock
        self._settled: set[int] = set()

    def _connect(self) -> None:
        self._known.clear()  # it may be another file of that name
        self._settled.clear()
        super()._connect()

    def _expect_pages(self, batch: int, come: bool) -> None:
        """Whether pages come to a batch from now on: once a second run has begun, none do."""
        for kind in KINDS:
            self._known.pop((batch, kind), None)
        (self._settled.discard if come else self._settled.add)(batch)

    def _in_a_page(self, kind: type[P], number: int) -> P | None:
        try:
            return self._use(lambda _: self._known_pages(kind, number // SLOTS).find(number))
        except Mismatch as error:
            raise self._damaged_page(kind, *error.args) from error

    def _pages(self, kind: type[P], batch: int) -> Pages[P]:
        """The pages of a batch, with all that have come until now."""

        def looked(_: object) -> Pages[P]:
            pages = self._known_pages(kind, batch)
            pages.look()
            return pages

        return self._use(looked)

    def _known_pages(self, kind: type[P], batch: int) -> Pages[P]:
        """Where the rows of a batch are; a page never changes, so what is known stays true."""
        known = self._known.pop((batch, kind), None)
        if known is None:
            known = Pages(batch, kind, self._pages_behind(KINDS[kind], batch), lambda page: self._one("page", page))
            known.look()
        known.settled = batch in self._settled
        self._known[batch, kind] = known
        while len(self._known) > PAGED_BATCHES * len(KINDS):
            self._known.popitem(last=False)
        return known

    def _pages_behind(self, table: str, batch: int) -> Callable[[int], Iterator[Row]]:
        def behind(page: int) -> Iterator[Row]:
            while rows := self._rows("pages", batch, table, page, PAGES_AT_A_TIME):
                for row in rows:
                    if row[0] <= page:
                        raise self._repeated("pages", row[0])
                    yield row
                    page = row[0]

        return behind

    def _readable(self, pages: Pages[P]) -> Iterator[P]:
        """The rows of pages by slot; others may use the connection in between."""
        for block in pages.blocks():
            yield from self._rows_in(pages, block)

    def _rows_in(self, pages: Pages[P], block: int) -> list[P]:
        try:
            return self._use(lambda _: pages.rows_of(block))
        except Mismatch as error:
            raise self._damaged_page(pages.kind, *error.args) from error


def _newest(in_table: Iterator[Row], in_pages: Iterator[P]) -> Iterator[Row | P]:
    """Rows of both by their numbers; where both have one, that of the table."""
    number = None
    both: Iterator[Any] = merge(in_table, in_pages, key=_number_of)
    for row in both:
        if _number_of(row) != number:
            yield row
        number = _number_of(row)


def _number_of(row: Row | InputRow | OutcomeRow) -> int:
    return row[0] if isinstance(row, tuple) else row.id

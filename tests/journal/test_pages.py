"""Rows of a first run that come in large groups lie in pages: they are found there, and newer rows count instead."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import Processor, ProcessorInput, Skipped, SqliteJournal, step, to_inputs
from pipeline.errors import JournalDamaged
from pipeline.journal import pages
from pipeline.journal.pages import PAGE_BYTES, PageRow, Pages, pages_of
from pipeline.journal.protocol import Durability
from pipeline.journal.records import SLOTS, InputRow, Mismatch, OutcomeRow, Row
from pipeline.journal.sql import SqlJournal
from tests.journal.roster import SHARED, Stores

KINDS = ["memory", *SHARED]
MANY = 100

broken: set[int] = set()
ran: list[int] = []

each_journal = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    broken.clear()
    ran.clear()


@step("check")
def check(value: int) -> int:
    ran.append(value)
    if value in broken:
        raise ValueError(f"{value} is broken")
    return value + 1


def processor(journal: Any) -> Processor[int, int, list[int]]:
    return Processor(name="numbers", pipeline=check, journal=journal)


def inputs(values: range = range(MANY)) -> list[ProcessorInput[int]]:
    return list(to_inputs(values, key=str))


def grouping(store: Any, durability: Durability = "input") -> SqlJournal:
    """A journal in which all outcomes of a run make one group."""
    journal: SqlJournal = store(durability)
    journal.group_s, journal.is_shared = 60.0, False
    return journal


def kinds_of_pages(journal: SqlJournal) -> list[str]:
    return [row[2] for kind in ("inputs", "outcomes") for row in journal._rows("pages", 1, kind, 0, 100)]


@each_journal
def test_what_lies_in_pages_is_resumed_like_any_other(make_store: Stores, kind: str) -> None:
    journal = grouping(make_store(kind))
    broken.update({3, 50})
    first = processor(journal).execute(inputs())
    broken.clear()
    ran.clear()

    plan = processor(journal).plan(first.run_id)
    again = processor(journal).resume()

    assert kinds_of_pages(journal) == ["inputs", "outcomes"]
    assert [planned.input_id for planned in plan if planned.action == "run"] == ["3", "50"]
    assert (again.output, ran) == ([value + 1 for value in range(MANY)], [3, 50])
    assert processor(journal).resume().output == again.output


@each_journal
def test_a_row_is_newer_than_a_page(make_store: Stores, kind: str) -> None:
    journal = grouping(make_store(kind))
    broken.update(range(MANY))
    processor(journal).execute(inputs())
    broken.remove(7)
    processor(journal).resume()

    statuses = {row.id % SLOTS: row.status for row in journal.outcomes(1)}
    one, other = journal.outcome(SLOTS + 7), journal.outcome(SLOTS + 8)

    assert [number for number, status in statuses.items() if status == "succeeded"] == [7]
    assert (one and one.status, other and other.status) == ("succeeded", "failed")
    assert journal.succeeded(1) == 1


@each_journal
def test_a_later_group_of_a_stream_is_found_by_who_looked_before(make_store: Stores, kind: str) -> None:
    journal = grouping(make_store(kind))
    stream = processor(journal).stream(inputs(range(2_000)))
    next(stream)
    early, late = journal.outcome(SLOTS + 5), journal.outcome(SLOTS + 1_500)

    assert len([*stream]) == 1_999
    found = journal.outcome(SLOTS + 1_500)

    assert early is not None
    assert late is None
    assert found is not None
    assert journal.succeeded(1) == 2_000


@each_journal
def test_inputs_that_leave_come_and_change_are_those_of_the_latest_run(make_store: Stores, kind: str) -> None:
    store = make_store(kind)
    first = processor(grouping(store)).execute(inputs())
    context = first.retry_context()
    changed = ProcessorInput(input_id="20", data=2_000)
    processor(store()).execute([*inputs(range(20)), changed, *inputs(range(90, 110))], context)
    ran.clear()

    result = processor(store()).resume()

    assert result.output == [*range(1, 21), 2_001, *range(91, 111)]
    assert not ran


@each_journal
def test_a_payload_that_an_input_brings_does_not_outlive_its_outcome(make_store: Stores, kind: str) -> None:
    broken.add(5)
    elsewhere = processor(None).execute(inputs())
    broken.clear()
    store = make_store(kind)
    processor(grouping(store)).execute(elsewhere.retry_inputs())
    ran.clear()

    result = processor(store()).resume()

    assert (result.success, ran) == (True, [])


@each_journal
def test_what_is_kept_by_steps_is_in_no_page(make_store: Stores, kind: str) -> None:
    journal = grouping(make_store(kind), "step")
    processor(journal).execute(inputs())

    assert kinds_of_pages(journal) == []
    assert journal.succeeded(1) == MANY


# damage


@each_journal
def test_a_page_that_changed_is_never_taken_for_values(make_store: Stores, kind: str) -> None:
    store = make_store(kind)
    journal = grouping(store)
    broken.update({3, 50})
    processor(journal).execute(inputs())
    broken.clear()
    store.execute("UPDATE pages SET checksum = checksum + 1 WHERE kind = 'outcomes'")

    with pytest.raises(JournalDamaged, match=r"row \d+ of pages is not what was written; restore"):
        list(store().outcomes(1))
    again = processor(store()).resume()

    assert {(failed.step, failed.kind) for failed in again.failed} == {("resume", "invalid")}
    assert "of pages is not what was written" in again.failed[0].message
    assert len(again.failed) == MANY
    assert not ran[MANY:]


@each_journal
def test_one_damaged_page_costs_only_inputs_that_no_other_page_has(make_store: Stores, kind: str) -> None:
    store = make_store(kind)
    assert len([*processor(grouping(store)).stream(inputs(range(1_500)))]) == 1_500
    ran.clear()
    last = "SELECT max(page) FROM pages WHERE kind = 'outcomes'"
    store.execute(f"UPDATE pages SET checksum = checksum + 1 WHERE page = ({last})")

    again = processor(store()).resume()

    assert [failed.input_id for failed in again.failed] == [str(n) for n in range(1_024, 1_500)]
    assert all(isinstance(outcome, Skipped) for outcome in again.outcomes[:1_024])
    assert not ran


@each_journal
def test_a_page_that_is_gone_is_missed(make_store: Stores, kind: str) -> None:
    store = make_store(kind)
    processor(grouping(store)).execute(inputs())
    store.execute("DELETE FROM pages WHERE kind = 'outcomes'")

    with pytest.raises(JournalDamaged, match=r"100 of the 100 outputs of run .* are gone"):
        processor(store()).resume()


@each_journal
def test_damaged_inputs_are_named_before_anything_runs(make_store: Stores, kind: str) -> None:
    store = make_store(kind)
    processor(grouping(store)).execute(inputs())
    store.execute("UPDATE pages SET row_count = row_count - 1 WHERE kind = 'inputs'")
    ran.clear()

    with pytest.raises(JournalDamaged, match="row 1 of pages is not what was written"):
        processor(store()).resume()
    assert not ran


def test_pages_that_lead_back_to_earlier_ones_are_damage_and_no_endless_loop(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "runs.db")
    processor(journal).execute(inputs())
    journal.close()
    fresh = SqliteJournal(tmp_path / "runs.db")
    rows = fresh._rows

    def twice(name: str, *parameters: Any) -> list[Row]:
        return rows(name, *parameters) * (2 if name == "pages" else 1)

    with patch.object(fresh, "_rows", twice), pytest.raises(JournalDamaged, match="row 1 of pages comes again"):
        list(fresh.inputs(1))
    fresh.close()


@each_journal
def test_pruning_removes_pages(make_store: Stores, kind: str) -> None:
    journal = grouping(make_store(kind))
    processor(journal).execute(inputs())
    assert kinds_of_pages(journal)

    journal.prune(keep_last=0)

    assert kinds_of_pages(journal) == []


def test_ids_that_no_page_can_hold_get_rows_of_their_own(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "runs.db")
    strange = [
        ProcessorInput(input_id=f"{place}{'' if place % 3 else chr(0xD800)}", data=place) for place in range(MANY)
    ]
    processor(journal).execute(strange)

    result = processor(journal).resume()
    journal.close()

    assert [outcome.input_id for outcome in result.outcomes] == [item.input_id for item in strange]
    connection = sqlite3.connect(tmp_path / "runs.db")
    assert connection.execute("SELECT count(*) FROM inputs").fetchone() == (34,)
    connection.close()


# pages alone


def input_rows(batch: int, sizes: list[int]) -> list[InputRow]:
    return [InputRow(batch * SLOTS + n, n, str(n), None, "u", b"x" * size) for n, size in enumerate(sizes)]


def pages_in(batch: int, stored: dict[int, Row]) -> Pages[InputRow]:
    def behind(page: int) -> Iterator[Row]:
        return (row for number, row in stored.items() if number > page)

    return Pages(batch, InputRow, behind, stored.get)


sizes = st.lists(st.sampled_from([0, 1, 500, PAGE_BYTES // 3, PAGE_BYTES + 1]), max_size=60)


@settings(max_examples=60)
@given(sizes, st.integers(1, 20))
def test_every_row_is_found_again_in_a_page_or_apart(sizes: list[int], fewest: int) -> None:
    rows = input_rows(3, sizes)
    with patch.object(pages, "FEWEST", fewest):
        made, apart = pages_of(3, "inputs", rows)
    found = pages_in(3, {number: (number, *page.row()) for number, page in enumerate(made, 1)})
    found.look()
    in_pages = [row for block in found.blocks() for row in found.rows_of(block)]

    assert sorted([*in_pages, *apart], key=lambda row: row.id) == rows
    assert [found.find(row.id) for row in rows if row not in apart] == [row for row in rows if row not in apart]
    assert found.find(4 * SLOTS - 1) is None
    assert all(len(page.body) <= 2 * PAGE_BYTES for page in made)


def test_in_a_later_page_a_row_is_newer() -> None:
    rows = input_rows(3, [1] * 20)
    changed = [InputRow(row.id, row.place, row.input_id, None, "u", b"new") for row in rows[:16]]
    made = [page for group in (rows, changed) for page in pages_of(3, "inputs", group)[0]]
    found = pages_in(3, {number: (number, *page.row()) for number, page in enumerate(made, 1)})

    assert [found.find(row.id) for row in rows] == [*changed, *rows[16:]]


@pytest.mark.parametrize(
    "change",
    [
        lambda page: page._replace(batch=4),
        lambda page: page._replace(rows=19),
        lambda page: page._replace(body=page.body[:-1]),
        lambda page: page._replace(body=b"\xdd\xff\xff\xff\xff"),
        lambda page: page._replace(body=b"\x91\x93\x01\x02\x03"),
    ],
)
def test_a_page_that_is_hostile_though_its_checksum_is_right_is_refused(change: Any) -> None:
    (page,), _ = pages_of(3, "inputs", input_rows(3, [1] * 20))
    hostile: PageRow = change(page)
    found = pages_in(hostile.batch, {1: (1, *hostile.row())})

    with pytest.raises(Mismatch):
        found.find(hostile.batch * SLOTS)
    assert found.damaged == {1: hostile.rows}


def test_a_page_of_another_table_is_refused() -> None:
    (page,), _ = pages_of(3, "inputs", input_rows(3, [1] * 20))
    found: Pages[OutcomeRow] = Pages(3, OutcomeRow, lambda _: iter([(1, *page.row())]), lambda _: None)

    with pytest.raises(Mismatch):
        found.find(3 * SLOTS)

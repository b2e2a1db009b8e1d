"""What every earlier version wrote is read by this one; what a later one will write is refused by its version."""

from __future__ import annotations

import shutil
import sqlite3
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pipeline import ExecutionContext, codec
from pipeline.codec import CodecError
from pipeline.codec.envelope import CURRENT
from pipeline.errors import JournalError
from pipeline.journal import SqliteJournal
from pipeline.journal.statements import schema
from tests.journal.fixtures import make

HERE = Path(__file__).with_name("fixtures")
JOURNALS = sorted(HERE.glob("journal-*.db"))
LETTERS = sorted(HERE.glob("letters-*.jsonl"))
SEALED = sorted(HERE.glob("*-*.bin"))


@pytest.fixture(autouse=True)
def repaired(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rates that were missing are there now."""
    make.ran.clear()
    for currency, rate in (("USD", "0.5"), ("GBP", "2")):
        monkeypatch.setitem(make.RATES, currency, Decimal(rate))


def copy_of(path: Path, folder: Path) -> Path:
    return Path(shutil.copy(path, folder / "runs.db"))


def version_of(path: Path) -> int:
    connection = sqlite3.connect(path)
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    connection.close()
    return int(version)


def one_output_each() -> list[Any]:
    return make.processor(None).execute(make.INPUTS).output or []


def test_there_is_a_file_of_every_format() -> None:
    assert [path.name for path in JOURNALS] == [f"journal-{n + 1}.db" for n in range(len(schema("sqlite_schema")))]
    assert LETTERS
    assert len(SEALED) == 2


@pytest.mark.parametrize("path", JOURNALS, ids=lambda path: path.stem)
def test_an_old_journal_is_migrated_and_gone_on_with(path: Path, tmp_path: Path) -> None:
    journal = SqliteJournal(copy_of(path, tmp_path))
    found = journal.find("amounts")
    assert found is not None
    context = ExecutionContext(previous_run_id=found.run_id)

    again = make.processor(journal).execute(make.INPUTS, context)

    assert found.state == "died"
    in_flight = ["convert EUR"] if path.stem == "journal-3" else ["parse 2026-11-26 9 EUR", "convert EUR"]
    assert make.ran == ["convert USD", *in_flight]
    assert again.output == one_output_each()
    assert [run.state for run in journal.runs()] == ["failed", "died", "succeeded"]
    journal.close()
    assert version_of(tmp_path / "runs.db") == len(schema("sqlite_schema"))


@pytest.mark.parametrize("path", JOURNALS, ids=lambda path: path.stem)
def test_an_old_journal_is_planned_and_resumed_by_itself(path: Path, tmp_path: Path) -> None:
    journal = SqliteJournal(copy_of(path, tmp_path))
    first = journal.runs()[0].run_id

    plan = [(planned.input_id, planned.steps) for planned in make.processor(journal).plan(first)]
    output = make.processor(journal).resume(first).output
    journal.close()

    known = [("plain", ()), ("fails", ("convert",)), ("nul \x00, back\\slash, \ud800", ())]
    in_flight = [("in flight when it was killed", ("convert",))] if path.stem == "journal-3" else []
    assert plan == [*known, *in_flight]
    assert output == one_output_each()[: len(plan)]


@pytest.mark.parametrize("path", JOURNALS, ids=lambda path: path.stem)
def test_a_later_journal_is_refused_by_both_versions_and_left_as_it_is(path: Path, tmp_path: Path) -> None:
    ours = len(schema("sqlite_schema"))
    later = copy_of(path, tmp_path)
    with sqlite3.connect(later) as connection:
        connection.execute(f"PRAGMA user_version = {ours + 1}")
    connection.close()
    before = later.read_bytes()

    journal = SqliteJournal(later)
    with pytest.raises(JournalError, match=rf"version {ours + 1} of .* reads up to {ours}; upgrade"):
        journal.find("amounts")

    journal.close()
    assert later.read_bytes() == before


@pytest.mark.parametrize("path", LETTERS, ids=lambda path: path.stem)
def test_old_dead_letters_go_on_where_they_failed(path: Path) -> None:
    amounts = make.processor(None)

    again = amounts.execute(amounts.read_failures(path))

    assert make.ran == ["convert USD", "convert GBP"]
    assert again.output == one_output_each()[1:3]


@pytest.mark.parametrize("path", SEALED, ids=lambda path: path.stem)
def test_old_sealed_bytes_are_opened_and_later_ones_refused(path: Path) -> None:
    sealed, cipher = path.read_bytes(), make.Backwards()
    later = codec.Envelope(version=CURRENT.version + 1).seal(b"{}")

    assert codec.unseal(sealed, cipher) == b'{"n":1}'
    with pytest.raises(CodecError, match=r"format version \d+, and this version of stepslice reads up to \d+"):
        codec.unseal(later, cipher)

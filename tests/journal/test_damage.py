"""Files cut short, and flipped bits: an exact earlier state, or an error that names the file; never a wrong value."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from unittest.mock import patch

import pytest

from pipeline import ProcessorInput, to_inputs
from pipeline.errors import JournalDamaged
from pipeline.journal import SqliteJournal
from tests.journal.damage import Specimen, cuts, flips, processor, runs_of, tally

ERRORS = {
    "error naming the file",
    "error naming the file and the row",
    "rows are gone: refused by the file's name",
}
FINE = {"unchanged", "an earlier state"}

each_way = pytest.mark.parametrize("paged", [False, True], ids=["rows", "pages"])


@each_way
def test_a_file_cut_short_is_an_earlier_state_or_an_error(tmp_path: Path, paged: bool) -> None:
    for killed in (False, True):
        folder = tmp_path / str(killed)
        folder.mkdir()
        verdicts = tally(specimen := Specimen(folder, killed, paged), cuts(specimen, 8_192))

        assert set(verdicts) <= FINE | ERRORS, verdicts


@each_way
def test_a_flipped_bit_is_never_taken_for_a_value(tmp_path: Path, paged: bool) -> None:
    for killed in (False, True):
        folder = tmp_path / str(killed)
        folder.mkdir()
        verdicts = tally(specimen := Specimen(folder, killed, paged), flips(specimen, 400))

        assert set(verdicts) <= FINE | ERRORS, verdicts


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("UPDATE outcomes SET id = 99 * id WHERE id = (SELECT min(id) FROM outcomes)", "1 of the 8 outputs"),
        ("DELETE FROM inputs WHERE id = (SELECT max(id) FROM inputs WHERE id < 2 * 4294967296)", "1 of the 8 inputs"),
        ("UPDATE outcomes SET status = CAST(x'7375e3' AS TEXT)", "row 4294967296 of outcomes is not what was written"),
    ],
)
def test_what_is_gone_or_cannot_be_read_is_named(tmp_path: Path, sql: str, told: str) -> None:
    specimen = Specimen(tmp_path, killed=False)
    specimen.reader.close()
    connection = sqlite3.connect(specimen.path)
    with connection:
        connection.execute(sql)
    connection.close()
    journal = SqliteJournal(specimen.path)

    with pytest.raises(JournalDamaged, match=rf"runs\.db: .*{told}"):
        raise_what_the_plan_says(journal)
    journal.close()


def raise_what_the_plan_says(journal: SqliteJournal) -> None:
    """The plan, and where it refuses an input, that as an error."""
    for planned in processor(journal).plan(runs_of(journal, "numbers")[-1]):
        if planned.action == "refuse":
            raise JournalDamaged(planned.reason)


def test_two_inputs_of_one_id_are_no_gap(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "runs.db")
    twice = [ProcessorInput(input_id="same", data=value) for value in (1, 2)]
    processor(journal).execute(twice)

    again = processor(journal).resume()
    journal.close()

    assert [outcome.input_id for outcome in again.outcomes] == ["same", "same"]


def test_rows_that_lead_back_to_earlier_ones_are_damage_and_no_endless_loop(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "runs.db")
    processor(journal).execute(to_inputs(range(3), key=str))
    (run,) = journal.runs()
    rows = [row.row() for row in journal.outcomes(run.batch)]

    with patch.object(journal, "_rows", return_value=[rows[1], rows[0]]), pytest.raises(JournalDamaged, match="again"):
        list(journal.outcomes(run.batch))
    journal.close()

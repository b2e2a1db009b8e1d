"""Files cut short, and flipped bits: an exact earlier state, or an error that names the file; never a wrong value."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from pipeline import Processor, ProcessorInput, step, to_inputs
from pipeline.errors import JournalDamaged, UnknownRun
from pipeline.journal import SqliteJournal
from tests.journal.damage import Specimen, cuts, flips, processor, runs_of, tally
from tests.journal.roster import Store

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


@step("one")
def one(value: int) -> int:
    return value


def with_a_damaged_run(store: Store) -> tuple[Processor[Any], str, Processor[Any], str]:
    """Two processors with a run each; the row of the first is not what was written."""
    first, other = (Processor(name=name, pipeline=one, journal=store()) for name in ("first", "other"))
    ids = [which.execute(to_inputs([1])).run_id for which in (first, other)]
    store.execute(f"UPDATE runs SET inputs = 7 WHERE run_id = '{ids[0]}'")
    return first, ids[0], other, ids[1]


def test_a_damaged_row_of_a_run_is_named_and_leaves_the_others_alone(store: Store) -> None:
    first, damaged, other, run_id = with_a_damaged_run(store)

    with pytest.raises(JournalDamaged, match=rf"row \d+ of runs \(run '{damaged}'\) is not what was written; restore"):
        first.resume()
    with pytest.raises(UnknownRun, match="no run 'nope' of processor 'other'"):
        other.resume("nope")

    assert other.resume(run_id).output == [1]
    assert store().prune(run_id=damaged).batches == 1
    assert [run.processor for run in store().runs()] == ["other", "other"]


def test_a_damaged_row_of_a_run_keeps_no_other_from_being_pruned(store: Store) -> None:
    _, _, other, run_id = with_a_damaged_run(store)

    assert store().prune(run_id=run_id).batches == 1
    other.execute(to_inputs([1]))
    other.execute(to_inputs([1]))

    assert store().prune(keep_last=1).batches == 1
    assert store().prune(older_than_s=3_600).batches == 0
    assert store().prune(keep_last=0).batches == 2


def test_a_damaged_run_takes_the_place_of_no_other_that_is_kept(store: Store) -> None:
    first, *_ = with_a_damaged_run(store)
    kept = first.execute(to_inputs([1])).run_id
    first.execute(to_inputs([1]))
    store.execute("UPDATE runs SET inputs = 7 WHERE run = (SELECT max(run) FROM runs)")

    pruned = store().prune(keep_last=1)

    assert pruned.batches == 1
    assert store().find("first", kept) is not None


@pytest.mark.parametrize("batch", ["(SELECT batch FROM runs WHERE processor = 'other')", "99"])
def test_a_damaged_run_that_names_the_batch_of_another_is_forgotten_without_that(store: Store, batch: str) -> None:
    _, damaged, other, run_id = with_a_damaged_run(store)
    store.execute(f"UPDATE runs SET batch = {batch} WHERE run_id = '{damaged}'")

    pruned = store().prune(run_id=damaged)

    assert (pruned.batches, pruned.runs) == (0, 1)
    assert [run.run_id for run in store().runs()] == [run_id]
    assert other.resume(run_id).output == [1]


def test_a_damaged_run_whose_batch_is_no_number_is_forgotten(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "runs.db")
    run_id = Processor(name="first", pipeline=one, journal=journal).execute(to_inputs([1])).run_id
    journal._use(lambda connection: connection.execute("UPDATE runs SET batch = 'x'"))

    pruned = journal.prune(run_id=run_id)
    left = journal.runs()
    journal.close()

    assert (pruned.runs, left) == (1, [])


def test_a_damaged_run_that_is_in_progress_is_not_forgotten(store: Store) -> None:
    journal, told = store(), list[int]()

    @step("prune")
    def prune(value: int) -> int:
        store.execute("UPDATE runs SET batch = 99")
        told.append(journal.prune(run_id=journal._seen()[0].run_id).runs)
        return value

    Processor(name="first", pipeline=prune, journal=journal).execute(to_inputs([1]))

    assert told == [0]


def test_a_damaged_row_of_a_run_whose_process_died_keeps_no_other_waiting(store: Store) -> None:
    first, damaged, other, _ = with_a_damaged_run(store)
    store.execute("UPDATE batches SET owner_run = 1, owner = 'nobody' WHERE processor = 'first'")

    assert other.resume().output == [1]
    with pytest.raises(JournalDamaged, match=damaged):
        first.resume()
    assert store().prune(run_id=damaged).batches == 1


def test_a_damaged_file_is_to_be_moved_away_with_its_log(tmp_path: Path) -> None:
    (tmp_path / "runs.db").write_bytes(b"no database" * 1_000)

    with pytest.raises(
        JournalDamaged, match=r"restore the file from a copy \(first move it away, with its -wal and -shm"
    ):
        SqliteJournal(tmp_path / "runs.db").runs()


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

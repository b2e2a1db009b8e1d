"""Real SQLite on a disk that fails at any operation: what was acknowledged is there, and nothing else runs again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline import ExecutionContext, Processor
from pipeline.errors import JournalError, RunFailed
from pipeline.journal import SqliteJournal
from tests.journal.crashes import (
    ERRORS,
    EXPECTED,
    POWER,
    SETTINGS,
    Machine,
    Setting,
    add,
    choices,
    double,
    fall,
    inputs,
    operations_of,
    schedule,
)
from tests.journal.disk import Disk, Fault, in_place, nothing


@pytest.mark.parametrize("setting", SETTINGS[3::2], ids=str)
def test_whatever_operation_a_crash_hits_the_rest_goes_on(tmp_path: Path, setting: Setting) -> None:
    for at, operation in enumerate(operations_of(tmp_path, setting)):
        choice = choices(setting, at)[at % len(choices(setting, at))]
        fall(tmp_path, setting, Fault(at, POWER[at % 3], len(operation.data) * (at % 7) // 7), choice)


@pytest.mark.parametrize("setting", [SETTINGS[1], SETTINGS[3], SETTINGS[9]], ids=str)
def test_nothing_is_acknowledged_after_a_write_or_a_sync_has_failed(tmp_path: Path, setting: Setting) -> None:
    """``NotingJournal`` refuses a write after one that failed. What it acknowledged outlasts a loss of power."""
    for at, operation in enumerate(operations_of(tmp_path, setting)):
        machine = Machine(tmp_path, setting)
        machine.boot([Fault(at, ERRORS[at % 4], len(operation.data) // 2)])
        machine.boot([Fault(at % 60, "before")], choices(setting, at)[0])
        machine.finish()


def test_what_a_failed_sync_left_in_doubt_does_not_carry_what_comes_after(tmp_path: Path) -> None:
    """The next process finds the log as it should be; on the platter it ends where the sync failed."""
    setting = Setting(crash="power", sync="power")
    syncs = [at for at, operation in enumerate(operations_of(tmp_path, setting)) if operation.kind == "sync"]
    acknowledged = []
    for at in syncs:
        machine = Machine(tmp_path, setting)
        machine.boot([Fault(at, "broken")])
        machine.boot([Fault(60, "before")], nothing)
        acknowledged.append(machine.acknowledged)
        machine.finish()

    assert max(acknowledged) >= 5


@pytest.mark.parametrize("seed", range(100))
def test_any_number_of_crashes_in_a_row_loses_nothing(tmp_path: Path, seed: int) -> None:
    schedule(tmp_path, seed)


def test_the_end_of_a_run_that_cannot_be_recorded_does_not_cost_its_result(tmp_path: Path) -> None:
    setting = Setting(way="batch")
    errors: list[Any] = []
    for at in range(len(operations_of(tmp_path, setting))):
        disk = Disk(faults=[Fault(at, "full")])
        with in_place(disk):
            journal = SqliteJournal(tmp_path / "runs.db")
            journal.group_s, journal.is_shared = 60.0, False  # no thread of its own writes in between
            try:
                Processor(name="numbers", pipeline=double >> add, journal=journal).execute(inputs())
            except RunFailed as error:
                errors.append(error)
            except JournalError:  # the run could not begin
                continue

    assert [[outcome.output for outcome in error.result.outcomes] for error in errors] == [EXPECTED] * len(errors)
    assert errors[-1].result.output == EXPECTED
    assert all("database or disk is full" in str(error) for error in errors)


def test_a_failure_while_the_schema_is_made_is_told_as_it_is(tmp_path: Path) -> None:
    for at in range(7, 20):
        with in_place(Disk(faults=[Fault(at, "full")])), pytest.raises(JournalError, match="the disk is full"):
            SqliteJournal(tmp_path / "runs.db").runs()


def test_space_that_was_freed_is_used_at_once(tmp_path: Path) -> None:
    disk = Disk()
    with in_place(disk):
        journal = SqliteJournal(tmp_path / "runs.db")
        journal.runs()
        disk.switch_on([Fault(12, "full")])  # the run has begun by then
        journal.is_shared = False  # no thread of its own writes in between
        numbers = Processor(name="numbers", pipeline=double >> add, journal=journal)
        with pytest.raises(RunFailed, match=r"runs\.db: database or disk is full \(SQLITE_FULL\)"):
            list(numbers.stream(inputs()))
        disk.full = False
        found = journal.find("numbers")
        assert found is not None

        again = numbers.execute(inputs(), ExecutionContext(previous_run_id=found.run_id))

    assert again.output == EXPECTED

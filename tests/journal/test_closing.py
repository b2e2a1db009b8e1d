"""A connection is closed in time, whoever forgets to close the journal, and never by a process that inherited it."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline import MemoryJournal, Processor, SqliteJournal, step, to_inputs
from pipeline.journal.sql import SqlJournal
from tests.journal.roster import Store


@step("halve")
def halve(n: int) -> float:
    return n / 2


def connected_to(journal: SqlJournal) -> Any:
    return journal._use(lambda connection: connection)


def is_open(connection: Any) -> bool:
    try:
        connection.execute("SELECT 1")
    except Exception:
        return False
    return True


def open_files() -> int:
    return len([*Path("/dev/fd").iterdir()])


def used(journal: SqlJournal) -> None:
    Processor(name="numbers", pipeline=halve, journal=journal).execute(to_inputs([1, 2]))


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_a_journal_that_nobody_closed_is_closed_with_its_last_reference(kind: str, tmp_path: Path) -> None:
    journal = MemoryJournal() if kind == "memory" else SqliteJournal(tmp_path / "runs.db")
    used(journal)
    connection = connected_to(journal)

    del journal
    gc.collect()

    assert not is_open(connection)


def test_closing_twice_is_closing_once_and_the_next_use_opens_another(store: Store) -> None:
    journal = store()
    first = connected_to(journal)

    journal.close()
    journal.close()
    second = connected_to(journal)

    kept = first is second  # in memory, where closing would forget
    assert is_open(second)
    assert kept or not is_open(first)


def test_a_process_leaves_no_connection_to_its_last_breath(tmp_path: Path) -> None:
    program = (
        "from pathlib import Path\n"
        "from pipeline import Processor, SqliteJournal, step, to_inputs\n"
        "journal = SqliteJournal('runs.db')\n"
        "numbers = Processor(name='numbers', pipeline=step('half')(abs), journal=journal)\n"
        "numbers.execute(to_inputs([1, 2]))\n"
        "assert Path('runs.db-wal').exists()\n"
    )

    ended = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", program], cwd=tmp_path, capture_output=True, text=True
    )

    assert (ended.returncode, ended.stderr) == (0, "")
    assert [file.name for file in tmp_path.iterdir()] == ["runs.db"]  # what was written ahead is in the file


def test_a_child_leaves_open_what_its_parent_opened(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "runs.db")
    used(journal)
    child = os.fork()
    if child == 0:
        try:
            files = open_files()
            journal.close()
            del journal
            gc.collect()
            os._exit(files - open_files())
        finally:
            os._exit(255)

    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0
    used(journal)
    journal.close()

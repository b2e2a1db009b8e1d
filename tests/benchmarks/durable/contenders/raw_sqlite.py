"""The rows that our journal writes, by hand: all inputs in one transaction, outcomes in groups, in our schema.

The rows are made before; what is timed is what SQLite takes to store them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline import SqliteJournal
from pipeline.journal.records import InputRow, OutcomeRow
from pipeline.journal.waiting import GROUP_ROWS
from tests.benchmarks.durable.contender import Contender, Work

INPUTS = 20_000


@contextmanager
def opened(folder: Path) -> Iterator[Work]:
    path = folder / "runs.db"
    journal = SqliteJournal(path)
    journal.runs()
    journal.close()
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous = NORMAL")
    inputs, outcomes = rows(INPUTS)

    def work(count: int, first: int) -> None:
        for start in range(0, count, GROUP_ROWS):
            in_one(connection, "put_outcome", moved(outcomes[start : start + GROUP_ROWS], first * 1_000))
        in_one(connection, "put_input", moved(inputs[:count], first * 1_000))

    yield work
    connection.close()


def rows(count: int) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    inputs = [InputRow(n, n, str(n), None, None, str(n).encode()).row() for n in range(count)]
    outcomes = [OutcomeRow(n, 1, "succeeded", None, str(n + 3).encode()).row() for n in range(count)]
    return inputs, outcomes


def moved(many: list[tuple[Any, ...]], by: int) -> list[tuple[Any, ...]]:
    return [(row[0] + by, *row[1:]) for row in many]


def in_one(connection: sqlite3.Connection, name: str, many: list[tuple[Any, ...]]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(SqliteJournal.sql[name], many)
    connection.execute("COMMIT")


VARIANTS = {"raw sqlite3, the same rows": Contender(opened, INPUTS, "finished inputs")}

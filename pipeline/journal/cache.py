"""Results of steps with a ``Cache``, in a table beside the runs: it may be lost or dropped, and costs only calls."""

from __future__ import annotations

from threading import Lock
from typing import Any

from pipeline import codec
from pipeline.guard.results import Kept
from pipeline.journal.database import Database

PRUNE_EVERY = 64
"""At the first result of a step that a process keeps, and after so many, it looks whether the oldest have to go."""

_MAKE = """CREATE TABLE IF NOT EXISTS results (
    id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, step TEXT NOT NULL,
    kept_at REAL NOT NULL, body BLOB NOT NULL)"""
_INDEX = "CREATE INDEX IF NOT EXISTS results_by_step ON results (step)"
_GET = "SELECT kept_at, body FROM results WHERE key = ?"
_PUT = "INSERT OR REPLACE INTO results (key, step, kept_at, body) VALUES (?, ?, ?, ?)"
_PRUNE = """DELETE FROM results WHERE id IN (SELECT id FROM (
    SELECT id, sum(length(body)) OVER (ORDER BY id DESC) AS size FROM results WHERE step = ?) WHERE size > ?)"""


_counts: dict[tuple[str, str], int] = {}  # guarded by _counting
_counting = Lock()


class KeptResults(Database):
    """The part of a SQLite journal that keeps results; the table is made when the first one comes.

    The bodies are sealed as all stored data: with a checksum, and encrypted when the journal has a cipher.
    """

    def kept_result(self, key: str) -> Kept | None:
        """The result of that key; ``CodecError`` when it is damaged."""
        with self._using() as connection:
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'results'").fetchone():
                return None
            row: Any = connection.execute(_GET, (key,)).fetchone()
        return None if row is None else Kept(row[0], codec.unseal(row[1], self.cipher))

    def keep_result(self, step: str, key: str, kept: Kept, max_size: int) -> None:
        """Keep a result; every now and then, forget the oldest ones of the step beyond ``max_size`` bytes."""
        body = codec.seal(kept.body, self.cipher)
        with self._transaction() as connection:
            connection.execute(_MAKE)
            connection.execute(_INDEX)
            connection.execute(_PUT, (key, step, kept.at, body))
            if self._nth(step) % PRUNE_EVERY == 1:
                connection.execute(_PRUNE, (step, max_size))

    def _nth(self, step: str) -> int:
        """How many results of a step this process has kept."""
        with _counting:
            _counts[self.name, step] = count = _counts.get((self.name, step), 0) + 1
        return count


def results_of(journal: object, across_processes: bool) -> KeptResults | None:
    """The results in a journal, if it keeps any; one in memory has none for other processes."""
    if not isinstance(journal, KeptResults) or (across_processes and journal.name == ":memory:"):
        return None
    return journal

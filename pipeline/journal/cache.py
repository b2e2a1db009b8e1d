"""Results of steps with a ``Cache``, in a table beside the runs: it may be lost or dropped, and costs only calls."""

from __future__ import annotations

from threading import Lock
from typing import Any

from pipeline import codec
from pipeline.guard.results import Kept
from pipeline.journal.database import Database

PRUNE_EVERY = 64
"""At the first result of a step that a process keeps, and after so many, it looks whether the oldest have to go."""

_counts: dict[tuple[str, str], int] = {}  # guarded by _counting
_counting = Lock()


class KeptResults(Database):
    """The part of a journal that keeps results.

    The bodies are sealed as all stored data: with a checksum, and encrypted when the journal has a cipher.
    """

    def kept_result(self, key: str) -> Kept | None:
        """The result of that key; ``CodecError`` when it is damaged."""
        row = self._use(lambda connection: self._one("result", key) if self._has_results(connection) else None)
        return None if row is None else Kept(row[0], codec.unseal(row[1], self.cipher))

    def keep_result(self, step: str, key: str, kept: Kept, max_size: int) -> None:
        """Keep a result; every now and then, forget the oldest ones of the step beyond ``max_size`` bytes."""
        body = codec.seal(kept.body, self.cipher)

        def put(connection: Any) -> None:
            self._make_results(connection)
            connection.execute(self.sql["put_result"], (key, step, kept.at, body))

        self._transact(put)
        if self._nth(step) % PRUNE_EVERY == 1:
            self._transact(lambda connection: connection.execute(self.sql["prune_results"], (step, max_size)))

    def _has_results(self, connection: Any) -> bool:
        """Whether there is a table of results."""
        return True

    def _make_results(self, connection: Any) -> None:
        """Make the table of results, where the schema does not."""

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

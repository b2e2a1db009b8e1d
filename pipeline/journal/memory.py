"""The journal of tests and short programs: the same rows and rules, gone when the process ends."""

from __future__ import annotations

import sqlite3
from typing import NoReturn

from pipeline.codec import Cipher
from pipeline.journal.protocol import Durability
from pipeline.journal.sqlite import SqliteJournal, connected, settle


class MemoryJournal(SqliteJournal):
    """Remembers runs while the process lives: resume after a failure, not after a kill.

    It stores and refuses what the durable journals do, so that a test shows what they would.
    """

    is_shared = False

    def __init__(self, durability: Durability = "input", *, cipher: Cipher | None = None) -> None:
        super().__init__(":memory:", durability, cipher=cipher)
        self.path = self.name = ":memory:"

    def _open(self) -> sqlite3.Connection:
        connection = connected(self.path)
        settle(connection, self.path, self.sync)
        return connection

    def _is_usable(self, connection: sqlite3.Connection) -> bool:
        return True

    def close(self) -> None:
        """Nothing: what it holds is in the connection."""

    def __reduce__(self) -> NoReturn:
        raise TypeError("a MemoryJournal lives in one process; use SqliteJournal(path) with worker processes")

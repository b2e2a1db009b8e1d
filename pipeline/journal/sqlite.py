"""The journal in one SQLite file: nothing to install, any number of threads and processes of one machine."""

from __future__ import annotations

import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import cache, partial
from itertools import chain
from pathlib import Path

from pipeline.codec import Cipher
from pipeline.errors import JournalDamaged, JournalError
from pipeline.journal.breakers import KeptBreakers
from pipeline.journal.cache import KeptResults
from pipeline.journal.database import is_of_the_system
from pipeline.journal.owner import LIVE
from pipeline.journal.ownfile import identity, make_private
from pipeline.journal.protocol import Change, Durability, Lease, Sync
from pipeline.journal.records import Row, RunRow
from pipeline.journal.sql import SqlJournal
from pipeline.journal.statements import schema, statements

APPLICATION_ID = 0x53534C43
"""``SSLC``, in the file's header: whose file it is."""

BUSY_S = 60.0
"""Seconds to wait for another writer."""

_RESULTS = """CREATE TABLE IF NOT EXISTS results (
    id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, step TEXT NOT NULL,
    kept_at REAL NOT NULL, body BLOB NOT NULL)"""
_RESULTS_BY_STEP = "CREATE INDEX IF NOT EXISTS results_by_step ON results (step)"
"""Made when the first result comes; it may be dropped, and costs only calls."""

TOGETHER = 32
"""Rows that one statement inserts where there are so many: a quarter of their price is the statement's."""

_BREAKERS = """CREATE TABLE IF NOT EXISTS breakers (
    name TEXT PRIMARY KEY, failures INTEGER NOT NULL, opened_at REAL, probe_at REAL) WITHOUT ROWID"""
"""Made when the first failure comes; it may be dropped, and then all breakers are closed."""

INSPECTED_BYTES = 64_000_000
"""Up to this size a file's structure is checked before a run in it is gone on with: about a second."""

RESTORE = "restore the file from a copy (first move it away, with its -wal and -shm)"
"""What SQLite has not yet written into the damaged file would be taken for the copy's."""

_DAMAGE = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_ERROR", "UnicodeDecodeError")
"""What SQLite says of a damaged file; our statements are right, so one it cannot run means a damaged schema.

Not where it speaks of a transaction: that is of the connection alone.
"""

_IO_CURE = "; the system cannot write or read the file: look at its disk, a quota and `ulimit -f`, then resume"

_NOW = "((julianday('now') - 2440587.5) * 86400.0)"


class SqliteJournal(SqlJournal, KeptResults, KeptBreakers):
    """Remembers runs in the file at ``path``, which is created for its owner alone to read.

    ``sync="process"`` survives kill -9, ``"power"`` the loss of power too, at the price of a disk flush every 50 ms.
    The file lies on a disk of this machine: SQLite's locks do not hold on network file systems.
    """

    sql: Mapping[str, str] = statements(now=_NOW)
    restore = RESTORE
    _inspected = False

    def __init__(
        self,
        path: str | os.PathLike[str],
        durability: Durability = "input",
        *,
        sync: Sync = "process",
        cipher: Cipher | None = None,
    ) -> None:
        self.path: str = str(Path(path).absolute())
        super().__init__(self.path, durability, sync, cipher)

    def _forget(self) -> None:
        super()._forget()
        self._file: tuple[int, int] | None = None
        self._leased: set[str] = set()

    def _open(self) -> sqlite3.Connection:
        make_private(self.path)
        connection = connected(self.path)
        try:
            settle(connection, self.path, self.sync)
        except BaseException:
            connection.close()
            raise
        self._file = identity(self.path)
        return connection

    def _is_usable(self, connection: sqlite3.Connection) -> bool:
        """Whether the file is still there: SQLite goes on writing into one that was deleted, until it is closed.

        A run that began in it cannot go on in another, even if that is a copy.
        """
        is_there = identity(self.path) == self._file
        if self._leased and not is_there:
            raise JournalError(f"{self.path} was deleted or replaced while a run was in progress; it ends here")
        return is_there

    def begin(self, run: RunRow, previous: RunRow | None, changes: Callable[[Lease], Iterable[Change]]) -> Lease:
        """Record a new run, its owner and its inputs in one transaction; ``RunOwned`` when the batch has a live one."""
        lease = super().begin(run, previous, changes)
        try:
            self._leased.add(lease.token)
        except BaseException:  # a signal's handler raised: nobody has the lease
            LIVE.discard(lease.token)
            raise
        return lease

    def end(self, lease: Lease, run: RunRow) -> None:
        """Record how a run ended and give the lease back; ``RunOwned`` when it was lost."""
        try:
            super().end(lease, run)
        finally:
            self._leased.discard(lease.token)

    def join(self, lease: Lease) -> None:
        """Make sure that a worker process reaches the run; a missing file is not made."""
        if not Path(self.path).exists():
            raise JournalError(
                f"{self.path} is not on this worker's machine, so it cannot keep steps there; "
                "use durability='input', or a PostgresJournal"
            )
        super().join(lease)
        self._leased.add(lease.token)

    def _begin(self, connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")

    def _has_begun(self, connection: sqlite3.Connection) -> bool:
        return connection.in_transaction

    def _many(self, connection: sqlite3.Connection, sql: str, rows: list[Row]) -> None:
        together = len(rows) - len(rows) % TOGETHER
        for first in range(0, together, TOGETHER):
            values = tuple(chain.from_iterable(rows[first : first + TOGETHER]))
            connection.execute(_of_many_rows(sql), values)
        connection.executemany(sql, rows[together:])

    def _has_results(self, connection: sqlite3.Connection) -> bool:
        return bool(connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'results'").fetchone())

    def _make_results(self, connection: sqlite3.Connection) -> None:
        connection.execute(_RESULTS)
        connection.execute(_RESULTS_BY_STEP)

    def _has_breakers(self, connection: sqlite3.Connection) -> bool:
        return bool(connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'breakers'").fetchone())

    def _make_breakers(self, connection: sqlite3.Connection) -> None:
        connection.execute(_BREAKERS)

    def find(self, processor: str, run_id: str | None = None) -> RunRow | None:
        """A run by its id, or the latest of a processor; the first to ask has the file's structure checked."""
        if not self._inspected:
            self._use(lambda connection: _inspect(connection, self.path))
            self._inspected = True
        return super().find(processor, run_id)

    def _mapped(self, error: Exception) -> Exception:
        is_foreign = isinstance(error, sqlite3.Error | UnicodeDecodeError) or is_of_the_system(error)
        return mapped(error, self.path) if is_foreign else error

    def _advice(self) -> str:
        return f"to give the space back to the system: sqlite3 {self.path} VACUUM"


@cache
def _of_many_rows(sql: str) -> str:
    """The statement that inserts one row, for ``TOGETHER`` of them.

    >>> _of_many_rows("INSERT INTO t VALUES (?, ?) ON CONFLICT DO NOTHING").count("(?, ?)") == TOGETHER
    True
    """
    row = re.search(r"\(\?(?:, \?)*\)", sql)
    if row is None:
        raise ValueError(f"no row of parameters in {sql!r}")
    return sql.replace(row[0], ", ".join([row[0]] * TOGETHER))


def _inspect(connection: sqlite3.Connection, path: str) -> None:
    """Find pages that lead past their rows: a lookup that goes astray there says that the row does not exist."""
    (size,) = connection.execute("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size").fetchone()
    if path == ":memory:" or size > INSPECTED_BYTES:
        return
    (problem,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if problem != "ok":
        raise JournalDamaged(f"{path}: {problem}; {RESTORE}")


def mapped(error: Exception, path: str) -> Exception:
    """What SQLite or the system said, with the path and a cure."""
    code = getattr(error, "sqlite_errorname", "") or type(error).__name__
    if code.startswith(_DAMAGE) and "transaction" not in str(error):
        return JournalDamaged(f"{path}: {error} ({code}); {RESTORE}")
    cure = {
        "SQLITE_FULL": "; the disk is full: free some space and resume",
        "SQLITE_BUSY": f"; another process has been writing for {BUSY_S:.0f} s",
        "SQLITE_CANTOPEN": "; does its folder exist, and may you write there?",
    }.get(code, _IO_CURE if code.startswith("SQLITE_IOERR") else "")
    return JournalError(f"{path}: {error} ({code}){cure}")


def connected(path: str) -> sqlite3.Connection:
    """A connection that waits for other writers and begins transactions only when told."""
    connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    connection.text_factory = partial(str, encoding="utf-8", errors="surrogateescape")  # damaged: for the checksum
    connection.execute("PRAGMA trusted_schema = OFF")
    return connection


def settle(connection: sqlite3.Connection, path: str, sync: Sync) -> None:
    """Bring the settings and the schema of a file to those of this version."""
    steps = schema("sqlite_schema")
    version = _version(connection, path, len(steps))
    if version == 0:
        connection.execute("PRAGMA page_size = 16384")
    if path != ":memory:":
        _write_ahead(connection)
    connection.execute(f"PRAGMA synchronous = {'FULL' if sync == 'power' else 'NORMAL'}")
    if version < len(steps):
        _migrate(connection, path)
    if sync == "power":
        _leave_no_doubt(connection)


_WHOSE = """SELECT (SELECT application_id FROM pragma_application_id),
    (SELECT user_version FROM pragma_user_version), (SELECT count(*) FROM sqlite_master)"""
"""In one statement, so that a file that somebody else is making is seen as it was before or as it is after."""


def _version(connection: sqlite3.Connection, path: str, ours: int) -> int:
    application, version, tables = connection.execute(_WHOSE).fetchone()
    if application != APPLICATION_ID and (tables or application):
        raise JournalError(f"{path} is a database of something else; name a file of its own for the journal")
    if version > ours:
        raise JournalError(
            f"{path} was written in version {version} of the journal's format, and this version of stepslice "
            f"reads up to {ours}; upgrade stepslice"
        )
    return int(version)


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Switch to WAL; SQLite does not wait for other connections that are doing the same."""
    deadline = time.monotonic() + BUSY_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname != "SQLITE_BUSY" or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _leave_no_doubt(connection: sqlite3.Connection) -> None:
    """Write what the log holds into the file, and start the log anew.

    A process fails to sync the log and ends. The system takes the pages for written all the same, shows them to the
    next process, and never writes them. Its commits would follow them in the log, and be lost with them.
    """
    connection.execute("PRAGMA fullfsync = ON")  # where the system's fsync leaves the data in the drive's cache
    connection.execute("PRAGMA checkpoint_fullfsync = ON")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _migrate(connection: sqlite3.Connection, path: str) -> None:
    """Lift the schema to this version in one transaction; whoever comes second finds it done."""
    steps = schema("sqlite_schema")
    connection.execute("BEGIN IMMEDIATE")
    try:
        for step in steps[_version(connection, path, len(steps)) :]:
            for statement in step:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(steps)}")
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):  # SQLite has rolled back already after most errors; those are the ones to tell
            connection.execute("ROLLBACK")
        raise

"""The journal in a PostgreSQL database: any number of threads, processes and machines.

Who takes part holds one connection, and opens it again when it was lost between two transactions. A run whose
transaction fails ends with an error: what was committed before is kept, and a resume goes on from there.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from time import monotonic
from types import ModuleType
from typing import Any
from weakref import WeakSet

from pipeline.codec import Cipher
from pipeline.errors import InvalidSetting, JournalDamaged, JournalError
from pipeline.journal.breakers import KeptBreakers
from pipeline.journal.cache import KeptResults
from pipeline.journal.database import is_of_the_system
from pipeline.journal.protocol import Durability, Sync
from pipeline.journal.records import Row
from pipeline.journal.sql import SqlJournal
from pipeline.journal.statements import schema as steps_of
from pipeline.journal.statements import statements

IDLE_S = 5.0
"""Seconds after which an unused connection is tried before it is trusted: servers and routers drop idle ones."""

BUSY_S = 60
"""Seconds to wait for another writer of the same batch."""

SILENT_S = 30
"""Seconds after which the server ends a transaction whose process is stopped or gone without a word."""

_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_NOW = "extract(epoch FROM clock_timestamp())::double precision"
_BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
_SETTINGS = """SELECT set_config('synchronous_commit', %s, false), set_config('lock_timeout', %s, false),
    set_config('statement_timeout', '0', false), set_config('idle_in_transaction_session_timeout', %s, false)"""
_ENCODING = "SELECT current_setting('server_encoding')"
_FORMAT = "SELECT to_regclass(%s) IS NOT NULL"
_SCHEMA = "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = %s)"
_ALONE = "SELECT pg_advisory_xact_lock(hashtext(%s))"

_CONNECTION = {  # what libpq is told where the DSN is silent: notice within about a minute that the other side is gone
    "connect_timeout": 10,
    "keepalives_idle": 20,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
    "fallback_application_name": "stepslice",
}

_CURES = {  # by SQLSTATE or the first letters of one, the more exact first
    "25006": "this server only reads; name the primary: target_session_attrs=read-write in the DSN chooses it",
    "28": "check the user and the password of the DSN, and the server's pg_hba.conf",
    "3D000": "create that database, or name another in the DSN",
    "40": "another transaction was in the way; resume",
    "42501": "GRANT CREATE ON DATABASE to this user, or CREATE and USAGE on a schema that exists, or own its tables",
    "42P07": "that schema holds other tables; name one for the journal alone: schema='...'",
    "53100": "the server's disk is full: free some space and resume",
    "53200": "the server is out of memory: resume when it has some",
    "53300": "the server has no connection left: raise max_connections, or let fewer processes take part",
    "55P03": f"another process has been writing this batch for {BUSY_S} s",
    "57": "the server is stopping or starting: resume when it is there",
}

_LOST = "does the server run, and are database, user and password right? What was committed is kept: then resume"

_DAMAGED = ("XX001", "XX002")
"""The server's own words for a damaged table or index."""


class PostgresJournal(SqlJournal, KeptResults, KeptBreakers):
    """Remembers runs in the database that ``dsn`` names, in the tables of one ``schema``, which is made if missing.

    Needs psycopg 3: ``pip install 'stepslice[postgres]'``. ``dsn`` is what libpq takes, as
    ``postgresql://user@host/database``; what it leaves out comes from the ``PG...`` variables and ``~/.pgpass``.
    Journals with different schemas in one database know nothing of each other.

    ``sync="power"`` survives kill -9 of your processes and of the server, and the loss of power; ``"process"`` does
    not wait for the server's disk: a server that crashes may take back what it acknowledged in the last second.

    It pickles as its settings, the DSN with its password among them; its name and its errors show no password.

    >>> PostgresJournal("postgresql://me:secret@db.example.org/batches")
    <PostgresJournal postgresql://me@db.example.org/batches schema stepslice>
    >>> PostgresJournal("postgresql://db.example.org/batches", schema="my runs")
    Traceback (most recent call last):
        ...
    pipeline.errors.InvalidSetting: schema='my runs': use up to 63 of a-z, 0-9 and _, not a digit first
    """

    def __init__(
        self,
        dsn: str = "",
        durability: Durability = "input",
        *,
        schema: str = "stepslice",
        sync: Sync = "power",
        cipher: Cipher | None = None,
    ) -> None:
        if not _NAME.fullmatch(schema):
            raise InvalidSetting(f"schema={schema!r}: use up to 63 of a-z, 0-9 and _, not a digit first")
        self.dsn: str = dsn
        self.schema: str = schema
        self.sql: Mapping[str, str] = statements(
            prefix=f'"{schema}".', now=_NOW, parameter="%s", lock="FOR UPDATE", share="FOR SHARE"
        )
        super().__init__(f"{_without_password(dsn)} schema {schema}", durability, sync, cipher)

    def _forget(self) -> None:
        super()._forget()
        self._used_at = monotonic()

    # connections

    def _open(self) -> Any:
        psycopg = _psycopg()
        connection = psycopg.connect(_with_defaults(self.dsn), autocommit=True, client_encoding="utf8")
        try:
            self._settle(connection)
        except BaseException:
            connection.close()
            raise
        _CONNECTED.add(self)
        return connection

    def _let_go(self) -> None:
        """In a forked child: the connection is the parent's, and must not outlive it at the server.

        A transaction of a parent that was killed would go on, with its locks, as long as a child has the socket open.
        It is not closed, so that its number is not given to another file while libpq still has it.
        """
        if self._connection is not None and not self._connection.closed:
            nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
            os.dup2(nowhere, self._connection.fileno(), inheritable=False)
            os.close(nowhere)

    def _is_usable(self, connection: Any) -> bool:
        idle_s, self._used_at = monotonic() - self._used_at, monotonic()
        return not connection.closed and (idle_s < IDLE_S or _answers(connection))

    def _begin(self, connection: Any) -> None:
        connection.execute(_BEGIN)

    def _has_begun(self, connection: Any) -> bool:
        return bool(connection.info.transaction_status)  # IDLE is 0

    def _many(self, connection: Any, sql: str, rows: list[Row]) -> None:
        before = sys.exception()
        try:
            with connection.cursor() as cursor:
                cursor.executemany(sql, rows)
        except Exception as error:
            interruption = _beneath(error, before)
            if interruption is not None:
                raise interruption from None
            raise

    # the schema

    def _settle(self, connection: Any) -> None:
        """Bring the settings of a connection and the tables to those of this version."""
        (encoding,) = connection.execute(_ENCODING).fetchone()
        if encoding != "UTF8":
            raise JournalError(f"{self.name}: the database's encoding is {encoding}; make one with ENCODING 'UTF8'")
        synchronous = "on" if self.sync == "power" else "off"
        connection.execute(_SETTINGS, (synchronous, f"{BUSY_S}s", f"{SILENT_S}s"))
        if self._version(connection) < len(steps_of("postgres_schema")):
            self._migrate(connection)

    def _version(self, connection: Any) -> int:
        (found,) = connection.execute(_FORMAT, (f'"{self.schema}".format',)).fetchone()
        if not found:
            return 0
        ours = len(steps_of("postgres_schema"))
        (version,) = connection.execute(self.sql["format"]).fetchone()
        if version > ours:
            raise JournalError(
                f"{self.name} was written in version {version} of the journal's format, and this version of stepslice "
                f"reads up to {ours}; upgrade stepslice"
            )
        return int(version)

    def _migrate(self, connection: Any) -> None:
        """Lift the tables to this version in one transaction; whoever comes second waits, and finds it done."""
        steps = steps_of("postgres_schema")
        with connection.transaction():
            connection.execute(_ALONE, (f"stepslice {self.schema}",))
            (there,) = connection.execute(_SCHEMA, (self.schema,)).fetchone()
            if not there:
                connection.execute(f'CREATE SCHEMA "{self.schema}"')
            for step in steps[self._version(connection) :]:
                for statement in step:
                    connection.execute(statement.replace("{prefix}", f'"{self.schema}".'))
            connection.execute(self.sql["forget_format"])
            connection.execute(self.sql["put_format"], (len(steps),))

    # what it says

    def _mapped(self, error: Exception) -> Exception:
        if not isinstance(error, _psycopg().Error) and not is_of_the_system(error):
            return error
        state = getattr(error, "sqlstate", None) or ""
        told = f"{self.name}: {' '.join(str(error).split())}{f' (SQLSTATE {state})' if state else ''}"
        if state in _DAMAGED:
            return JournalDamaged(f"{told}; {self.restore}")
        cures = (cure for start, cure in _CURES.items() if state.startswith(start))
        cure = next(cures, "") if state else _LOST
        return JournalError(f"{told}; {cure}" if cure else told)

    def _advice(self) -> str:
        tables = ", ".join(f"{self.schema}.{table}" for table in ("inputs", "outcomes", "attempts"))
        return f"PostgreSQL uses the space again; to give it back to the system when nothing runs: VACUUM FULL {tables}"


_CONNECTED: WeakSet[PostgresJournal] = WeakSet()


def _let_go_of_all() -> None:
    for journal in [*_CONNECTED]:
        journal._let_go()  # pyright: ignore[reportPrivateUsage]


os.register_at_fork(after_in_child=_let_go_of_all)


def _beneath(error: BaseException | None, before: BaseException | None) -> BaseException | None:
    """What a signal's handler raised in the midst of a pipeline, of which psycopg then says that it is busy."""
    while error is not None and error is not before:
        is_alarm = isinstance(error, TimeoutError) and not is_of_the_system(error)
        if is_alarm or not isinstance(error, Exception):
            return error
        error = error.__context__
    return None


def _answers(connection: Any) -> bool:
    try:
        connection.execute("SELECT 1")
    except _psycopg().Error:
        return False
    return True


def _psycopg() -> ModuleType:
    """psycopg, imported when the first journal is made."""
    try:
        import psycopg
    except ImportError as error:
        raise ModuleNotFoundError(
            "PostgresJournal needs psycopg 3, which is not installed: pip install 'stepslice[postgres]'",
            name="psycopg",
        ) from error
    return psycopg


def _without_password(dsn: str) -> str:
    """What a DSN names, for people; ``InvalidSetting`` when it is none, without repeating what may be a secret."""
    conninfo = _psycopg().conninfo
    try:
        told = conninfo.conninfo_to_dict(dsn)
    except _psycopg().Error:
        cure = "write 'postgresql://user@host/database' or 'host=... dbname=...'"
        raise InvalidSetting(f"dsn is not what libpq takes; {cure}") from None
    user = f"{told['user']}@" if "user" in told else ""
    port = f":{told['port']}" if "port" in told else ""
    return f"postgresql://{user}{told.get('host', '')}{port}/{told.get('dbname', '')}"


def _with_defaults(dsn: str) -> str:
    conninfo = _psycopg().conninfo
    return str(conninfo.make_conninfo(**(_CONNECTION | conninfo.conninfo_to_dict(dsn))))

"""Every journal there is, for suites that hold all of them to the same.

``store`` gives one place after the other where runs may be kept, new for each test; calling it gives a journal there.
"""

from __future__ import annotations

import os
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from pipeline import MemoryJournal, PostgresJournal, SqliteJournal
from pipeline.journal import pages
from pipeline.journal.protocol import Durability
from pipeline.journal.sql import SqlJournal
from tests.journal.servers import Proxy, Server, programs


class Store(ABC):
    """A place where runs are kept, and every journal that was made on it."""

    code: str
    """Python that makes such a journal, for a program of its own in ``folder``."""

    def __init__(self) -> None:
        self.made: list[SqlJournal] = []

    def __call__(self, durability: Durability = "input") -> SqlJournal:
        """A journal on it, with a connection of its own."""
        self.made.append(self.journal(durability))
        return self.made[-1]

    @abstractmethod
    def journal(self, durability: Durability) -> SqlJournal: ...

    @abstractmethod
    def execute(self, sql: str) -> None:
        """Change behind the journals' back what is stored."""

    @abstractmethod
    def dump(self) -> bytes:
        """All that is stored, as far as text in it can be found."""

    def close(self) -> None:
        for journal in self.made:
            journal.close()


class InMemory(Store):
    code = "MemoryJournal()"

    def __init__(self) -> None:
        super().__init__()
        self.only = MemoryJournal()

    def journal(self, durability: Durability) -> SqlJournal:
        self.only.durability = durability
        return self.only

    def execute(self, sql: str) -> None:
        self.only._use(lambda connection: connection.execute(sql))

    def dump(self) -> bytes:
        return self.only._use(lambda connection: bytes(connection.serialize()))


class InSqlite(Store):
    code = "SqliteJournal('runs.db')"

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.path = folder / "runs.db"

    def journal(self, durability: Durability) -> SqlJournal:
        return SqliteJournal(self.path, durability)

    def execute(self, sql: str) -> None:
        connection = sqlite3.connect(self.path)
        connection.execute(sql)
        connection.commit()
        connection.close()

    def dump(self) -> bytes:
        return b"".join(file.read_bytes() for file in self.path.parent.glob("runs.db*"))


class InPostgres(Store):
    def __init__(self, dsn: str) -> None:
        super().__init__()
        self.dsn = dsn
        self.schema = f"test_{uuid4().hex}"
        self.code = f"PostgresJournal({dsn!r}, schema={self.schema!r})"

    def journal(self, durability: Durability = "input") -> SqlJournal:
        return PostgresJournal(self.dsn, durability, schema=self.schema)

    def one(self, sql: str) -> Any:
        """The first column of the first row."""
        with psycopg.connect(self.dsn, options=f"-c search_path={self.schema}") as connection:
            return (connection.execute(sql.encode()).fetchone() or [None])[0]

    def execute(self, sql: str) -> None:
        with psycopg.connect(self.dsn, autocommit=True, options=f"-c search_path={self.schema}") as connection:
            connection.execute(sql.encode())

    def dump(self) -> bytes:
        with psycopg.connect(self.dsn) as connection:
            tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", [self.schema])
            queries = [f'SELECT * FROM "{self.schema}"."{name}"'.encode() for (name,) in tables]
            return "".join(repr(connection.execute(query).fetchall()) for query in queries).encode()

    def close(self) -> None:
        super().close()
        drop(self.dsn, self.schema)


def drop(dsn: str, schema: str) -> None:
    """Forget a schema, and all in it."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE'.encode())


@pytest.fixture
def server() -> Iterator[Server]:
    """A PostgreSQL that the test may stop; in CI its programs are there, or the test fails."""
    found = programs()
    if found is None:
        refuse = pytest.fail if "CI" in os.environ else pytest.skip
        refuse("no pg_ctl: install PostgreSQL, as Debian's 'postgresql' does")
    made = Server(found)
    made.start()
    yield made
    made.close()


@pytest.fixture
def proxy(postgres_dsn: str) -> Iterator[Proxy]:
    """A way to the server that the test may cut."""
    made = Proxy(postgres_dsn)
    yield made
    made.cut()


Stores = Callable[[str], Store]
SHARED = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]
EVERY = ["memory", "sqlite, pages", *SHARED]


@pytest.fixture
def make_store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stores]:
    """Makes a store of a kind, which is gone when the test ends; ``pages``: even a single row gets a page."""
    made: list[Store] = []

    def make(kind: str) -> Store:
        if kind.endswith("pages"):
            monkeypatch.setattr(pages, "FEWEST", 1)
        if kind == "postgres":
            made.append(InPostgres(request.getfixturevalue("postgres_dsn")))
        else:
            made.append(InMemory() if kind == "memory" else InSqlite(tmp_path))
        return made[-1]

    yield make
    for store in made:
        store.close()


@pytest.fixture(params=EVERY)
def store(request: pytest.FixtureRequest, make_store: Stores) -> Store:
    """A place of each kind."""
    return make_store(request.param)


@pytest.fixture(params=SHARED)
def shared_store(request: pytest.FixtureRequest, make_store: Stores) -> Store:
    """A place of each kind that several processes may share."""
    return make_store(request.param)


@pytest.fixture
def journal(store: Store) -> SqlJournal:
    """A journal of each kind."""
    return store()


@pytest.fixture
def shared_journal(shared_store: Store) -> SqlJournal:
    """A journal of each kind that several processes may share."""
    return shared_store()

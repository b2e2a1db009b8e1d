"""A disk that a test holds in its hands: the files of real SQLite, what the system shows of them and what is durable.

    SqliteJournal ─▶ Connection ─▶ SQLite (apsw) ─▶ VFS ─▶ Disk ─┬ faults: the power goes, it is full,
                                                                 │         an error, an answer that got lost
                                                                 └ after_power_cut(): what is left of its files

Only locks and shared memory are the system's, on an empty file of the same name.
"""

# ruff: noqa: N802 - SQLite's names of what it asks of a system

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Literal, NamedTuple, cast
from unittest.mock import patch

import apsw

Kind = Literal["before", "after", "torn", "full", "error", "lost", "broken"]


class PowerCut(BaseException):
    """The machine is off: nothing that the program does now reaches the disk."""


class Fault(NamedTuple):
    """What happens at the operation number ``at``; ``offset`` is how many bytes of a write get through.

    The power goes ``before`` it, ``after`` it or within it (``torn``). The disk is ``full`` from then on; it gives
    one ``error``, or one after it did what was asked (``lost``), or nothing but errors (``broken``).
    """

    at: int
    kind: Kind
    offset: int = 0


class Operation(NamedTuple):
    """Something that changes a file; ``size`` is that of a write's data, or what a file is cut to."""

    kind: Literal["write", "truncate", "sync", "delete"]
    name: str
    offset: int = 0
    data: bytes = b""

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name.rpartition('/')[2]} {self.offset}+{len(self.data)}>"


class File:
    """What the system shows of a file, and what is durable of it: ``base``, then each operation that may not be.

    Of the ``later`` operations those are certain that a sync has confirmed; a sync that failed leaves them in doubt
    for ever, because a system takes pages that it could not write for written (as Linux does).
    """

    def __init__(self, content: bytes = b"") -> None:
        self.shown = bytearray(content)
        self.base = bytes(content)
        self.later: list[tuple[Operation, bool]] = []
        self.unsynced: list[Operation] = []
        self.synced_with_folder = False  # SQLite syncs the folder with the first sync of a log or journal it makes

    def apply(self, operation: Operation) -> None:
        _apply(self.shown, operation)
        self.unsynced.append(operation)

    def confirm(self, certain: bool) -> None:
        self.later += [(operation, certain) for operation in self.unsynced]
        self.unsynced = []
        if all(certain for _, certain in self.later):
            self.base, self.later = bytes(self.shown), []

    def left(self, chance: Choice) -> bytes:
        """What is there after the power was cut: each operation that no sync confirmed is whole, torn, or lost."""
        content = bytearray(self.base)
        for operation, certain in [*self.later, *((operation, False) for operation in self.unsynced)]:
            if certain:
                _apply(content, operation)
            elif (kept := chance(operation)) is not None:
                _apply(content, operation._replace(data=operation.data[:kept]))
        return bytes(content)


Choice = Callable[[Operation], "int | None"]
"""How many bytes of an operation that was not synced are durable all the same; ``None`` for none."""


def nothing(operation: Operation) -> None:
    """Nothing was written that had not to be."""


def everything(operation: Operation) -> int:
    """All was written."""
    return len(operation.data)


def by_chance(chance: random.Random) -> Choice:
    """Some were, in any order, and some in part, by sectors."""

    def choose(operation: Operation) -> int | None:
        kept = chance.choice((None, len(operation.data), chance.randrange(len(operation.data) // 512 + 1) * 512))
        return None if operation.kind == "truncate" and kept is None else kept

    return choose


def _apply(content: bytearray, operation: Operation) -> None:
    if operation.kind == "truncate":
        del content[operation.offset :]
    elif operation.data:
        content.extend(bytes(max(0, operation.offset - len(content))))
        content[operation.offset : operation.offset + len(operation.data)] = operation.data


class Disk:
    """A disk of some files, with the ``faults`` to come. ``operations`` are all that were asked for since it is on."""

    def __init__(self, files: dict[str, bytes] | None = None, faults: Sequence[Fault] = ()) -> None:
        self.files: dict[str, File] = {name: File(content) for name, content in (files or {}).items()}
        self.deleted: dict[str, File] = {}
        self.switch_on(faults)

    def switch_on(self, faults: Sequence[Fault] = ()) -> None:
        """A program starts; on a disk that it finds as the last one left it, with what is in doubt still in doubt."""
        self.faults = {fault.at: fault for fault in faults}
        self.operations: list[Operation] = []
        self.off = self.full = self.broken = False
        self.failed_at: int | None = None

    @property
    def is_in_doubt(self) -> bool:
        """Whether a sync has failed, and what it should have written may be lost for ever."""
        return any(not certain for file in self.files.values() for _, certain in file.later)

    def after_power_cut(self, choice: Choice) -> dict[str, bytes]:
        """What the platter holds; a deletion may be undone."""
        ghosts = {name: file for name, file in self.deleted.items() if choice(Operation("delete", name)) is None}
        return {name: file.left(choice) for name, file in {**ghosts, **self.files}.items()}

    # what SQLite asks for

    def open(self, name: str) -> File:
        if self.off:
            raise apsw.CantOpenError
        return self.files.setdefault(name, File())

    def delete(self, name: str, durably: bool) -> None:
        def act(operation: Operation) -> None:
            file = self.files.pop(name, None)
            if file is not None and not durably:
                self.deleted[name] = file

        self._do(Operation("delete", name), act)

    def change(self, file: File, operation: Operation) -> None:
        if self.full and operation.offset + len(operation.data) > len(file.shown) and operation.kind == "write":
            raise _full()
        self._do(operation, file.apply)

    def sync(self, file: File, name: str) -> None:
        def act(_: Operation) -> None:
            file.confirm(True)
            if file.synced_with_folder:
                self.deleted.clear()
                file.synced_with_folder = False

        self._do(Operation("sync", name), act, lambda _: file.confirm(False))

    def _do(
        self, operation: Operation, act: Callable[[Operation], None], fail: Callable[[Operation], None] | None = None
    ) -> None:
        fault = self.faults.get(len(self.operations))
        self.operations.append(operation)
        if self.off or self.broken:
            raise _io_error(operation)
        if fault is None:
            act(operation)
            return
        if self.failed_at is None:
            self.failed_at = len(self.operations) - 1
        part = operation._replace(data=operation.data[: fault.offset])
        if fault.kind in ("after", "lost"):
            act(operation)
        elif fault.kind in ("torn", "full") and operation.kind == "write":
            act(part)
        elif fault.kind in ("error", "broken") and fail is not None:
            fail(operation)
        self.off, self.broken = fault.kind in ("before", "after", "torn"), fault.kind == "broken"
        self.full = fault.kind == "full"
        if self.full and operation.kind != "write":
            act(operation)
            return
        raise _full() if self.full else _io_error(operation)


def _full() -> apsw.Error:
    return _error(apsw.FullError("database or disk is full"), apsw.SQLITE_FULL)


def _io_error(operation: Operation) -> apsw.Error:
    codes = {"write": apsw.SQLITE_IOERR_WRITE, "truncate": apsw.SQLITE_IOERR_TRUNCATE, "sync": apsw.SQLITE_IOERR_FSYNC}
    return _error(apsw.IOError(f"a fault at {operation}"), codes.get(operation.kind, apsw.SQLITE_IOERR_DELETE))


def _error(error: Any, code: int) -> apsw.Error:
    error.extendedresult = code
    return cast("apsw.Error", error)


# SQLite's side


def _quiet(self: object, etype: Any, evalue: Any, etraceback: Any) -> bool:
    """Nothing is printed: what is raised reaches the caller through SQLite."""
    return True


class _InMemory:
    disk: Disk
    file: File
    name: str

    def xRead(self, amount: int, offset: int) -> bytes:
        return bytes(self.file.shown[offset : offset + amount])

    def xWrite(self, data: Any, offset: int) -> None:
        self.disk.change(self.file, Operation("write", self.name, offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:
        self.disk.change(self.file, Operation("truncate", self.name, newsize))

    def xSync(self, flags: int) -> None:
        self.disk.sync(self.file, self.name)

    def xFileSize(self) -> int:
        return len(self.file.shown)


class _Database(_InMemory, apsw.VFSFile):
    """The main file: the system has its locks and its shared memory."""

    excepthook = _quiet

    def __init__(self, disk: Disk, name: str, real: Any, flags: list[int]) -> None:
        self.disk, self.file, self.name = disk, disk.open(name), name
        super().__init__("", real, flags)


class _Beside(_InMemory):
    """The write-ahead log, or a rollback journal."""

    excepthook = _quiet

    def __init__(self, disk: Disk, name: str) -> None:
        made = name not in disk.files
        self.disk, self.file, self.name = disk, disk.open(name), name
        self.file.synced_with_folder |= made

    def xClose(self) -> None: ...
    def xLock(self, level: int) -> None: ...
    def xUnlock(self, level: int) -> None: ...
    def xCheckReservedLock(self) -> bool:
        return False

    def xFileControl(self, op: int, ptr: int) -> bool:
        return False

    def xSectorSize(self) -> int:
        return 4096

    def xDeviceCharacteristics(self) -> int:
        return int(apsw.SQLITE_IOCAP_POWERSAFE_OVERWRITE)


class _System(apsw.VFS):
    """The system that SQLite runs on: the disk that is in it now."""

    excepthook = _quiet

    NAME = "held"
    disk: Disk

    def __init__(self) -> None:
        super().__init__(self.NAME, "")

    def xOpen(self, name: Any, flags: list[int]) -> Any:
        if name is None:  # a temporary file, which nothing has to survive
            return super().xOpen(name, flags)
        path = name if isinstance(name, str) else name.filename()
        if flags[0] & apsw.SQLITE_OPEN_MAIN_DB:
            return _Database(self.disk, path, name, flags)
        flags[1] = flags[0]
        return _Beside(self.disk, path)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        self.disk.delete(filename, syncdir)

    def xAccess(self, pathname: str, flags: int) -> bool:
        return pathname in self.disk.files


class Connection:
    """What ``sqlite3.Connection`` is to a journal, over SQLite on the disk."""

    def __init__(self, disk: Disk, path: str, checkpoint_pages: int | None) -> None:
        self.disk = disk
        with self._telling():
            self.database = apsw.Connection(path, vfs=_System.NAME)
        if checkpoint_pages is not None:
            self.execute(f"PRAGMA wal_autocheckpoint = {checkpoint_pages}")

    @property
    def in_transaction(self) -> bool:
        return self.database.in_transaction

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> Rows:
        with self._telling():
            rows = list(self.database.execute(sql, tuple(parameters)))
        return Rows(rows, self.database.changes())

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        with self._telling():
            self.database.executemany(sql, [tuple(row) for row in rows])

    def close(self) -> None:
        with self._telling():
            self.database.close(True)

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Errors as the standard library's; when the power is off, nothing is left to tell them to."""
        try:
            yield
        except (apsw.Error, OSError) as error:
            if self.disk.off:
                raise PowerCut from None
            code = getattr(error, "extendedresult", 0)
            told = sqlite3.OperationalError(str(error))
            told.sqlite_errorname = str(
                apsw.mapping_extended_result_codes.get(code) or apsw.mapping_result_codes.get(code & 255, "")
            )
            raise told from error


class Rows(NamedTuple):
    """What a statement gave."""

    rows: list[Any]
    rowcount: int

    def fetchone(self) -> Any:
        return self.rows[0] if self.rows else None

    def fetchall(self) -> list[Any]:
        return self.rows


_installed: list[_System] = []


@contextmanager
def in_place(disk: Disk, checkpoint_pages: int | None = None) -> Iterator[Disk]:
    """Journals that open their files in here open them on the disk; every connection is closed at the end."""
    if not _installed:
        _installed.append(_System())
    _installed[0].disk = disk
    made: list[Connection] = []

    def connected(path: str) -> Connection:
        made.append(Connection(disk, path, checkpoint_pages))
        made[-1].execute("PRAGMA trusted_schema = OFF")
        return made[-1]

    try:
        with patch("pipeline.journal.sqlite.connected", connected):
            yield disk
    finally:
        disk.off = True
        for connection in made:
            with suppress(PowerCut, sqlite3.Error):
                connection.close()

"""A connection to a SQL database that the threads of one process share, and transactions on it."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from threading import RLock
from typing import Any, Self, TypeVar
from weakref import finalize

from pipeline.codec import Cipher
from pipeline.errors import InvalidSetting, JournalError
from pipeline.journal.protocol import Durability, Sync
from pipeline.journal.records import Row

T = TypeVar("T")

_OF_A_PROCESS = ("_lock", "_connection", "_at_its_end", "_inside", "_process", "_known", "_settled", "_file", "_leased")

_OF_PARENTS: list[Any] = []
"""Connections that a process inherited: they stay open, for to close one writes into what its owner is at work on."""


class Database(ABC):
    """A connection of this process, which every thread shares under a lock.

    It pickles as its settings: a worker process opens a connection of its own. Whoever forgets to close it loses
    nothing: the connection is closed with the last reference, or when the process ends.
    """

    sql: Mapping[str, str]
    is_shared: bool = True
    restore: str = "restore the database from a copy"

    def __init__(self, name: str, durability: Durability, sync: Sync, cipher: Cipher | None) -> None:
        if durability not in ("input", "step"):
            raise InvalidSetting(f"durability={durability!r}: choose 'input' (what is in flight runs again) or 'step'")
        if sync not in ("process", "power"):
            raise InvalidSetting(f"sync={sync!r}: choose 'process' (survives kill -9) or 'power'")
        self.name = name
        self.durability: Durability = durability
        self.sync: Sync = sync
        self.cipher = cipher
        self.group_s: float = 0.05 if sync == "power" else 0.01
        self._forget()

    def _forget(self) -> None:
        """Know of no connection; one that a parent process opened is left to it."""
        self._lock = RLock()
        self._connection: Any = None
        self._at_its_end: Callable[[], object] = bool
        self._inside: bool = False
        self._process = os.getpid()

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key not in _OF_A_PROCESS}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._forget()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    # what a database brings

    @abstractmethod
    def _open(self) -> Any:
        """A connection to a database of the current schema."""

    @abstractmethod
    def _begin(self, connection: Any) -> None:
        """Start a transaction that may write."""

    @abstractmethod
    def _mapped(self, error: Exception) -> Exception:
        """A foreign exception as one of ours, or itself."""

    @abstractmethod
    def _many(self, connection: Any, sql: str, rows: list[Row]) -> None:
        """Run a statement for every row."""

    @abstractmethod
    def _has_begun(self, connection: Any) -> bool:
        """Whether a connection is in a transaction."""

    def _is_usable(self, connection: Any) -> bool:
        """Whether a connection that is in no transaction still works, as far as can be told."""
        return True

    # transactions

    # A handler may raise wherever Python looks for signals, and that is also on the way into and out of a context
    # manager written in Python, whose rest then waits for its memory to be collected. What is locked or begun here
    # is unlocked and ended by the very frame that did it.

    def _use(self, work: Callable[[Any], T]) -> T:
        """What ``work`` gives for the connection of this process, which no other thread uses meanwhile.

        The connection is given up when the database fails, so that the next use reads anew.
        """
        if self._process != os.getpid():
            self._forget()
        with self._lock:
            try:
                if self._connection is not None and not self._inside:
                    self._look_after(self._connection)
                if self._connection is None:
                    self._connect()
                return work(self._connection)
            except Exception as error:
                ours = self._mapped(error)
                if ours is error:
                    raise
                self.close()
                raise ours from error

    def _look_after(self, connection: Any) -> None:
        self._roll_back(connection)  # a handler may have raised while that was being done
        if not self._is_usable(connection):
            self.close()

    def _connect(self) -> None:
        self._connection = connection = self._open()
        self._at_its_end = finalize(self, _closed, connection, self._process)

    def _transact(self, work: Callable[[Any], T]) -> T:
        """What ``work`` gives, once all that it did is committed; nothing of it is there where it raises."""
        return self._use(lambda connection: self._within(connection, work))

    def _within(self, connection: Any, work: Callable[[Any], T]) -> T:
        if self._inside:  # a stream that nobody closed ends whenever its memory is collected
            raise JournalError(f"{self.name} is in the midst of a transaction")
        self._inside = True
        try:
            self._begin(connection)
            done = work(connection)
            connection.execute("COMMIT")
        except BaseException:
            self._roll_back(connection)
            raise
        finally:
            self._inside = False
        return done

    def _roll_back(self, connection: Any) -> None:
        try:
            if self._has_begun(connection):
                connection.execute("ROLLBACK")
        except Exception:  # noqa: BLE001 - the failure that led here is the one to tell
            self.close()

    def close(self) -> None:
        """Close the connection of this process; the next use opens one again."""
        if self._process != os.getpid():
            self._forget()
        with self._lock:  # another thread may be in the midst of a heartbeat
            self._connection = None
            self._at_its_end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _rows(self, name: str, *parameters: Any) -> list[Row]:
        return self._use(lambda connection: list(connection.execute(self.sql[name], parameters).fetchall()))

    def _one(self, name: str, *parameters: Any) -> Row | None:
        return next(iter(self._rows(name, *parameters)), None)

    def _changed(self, connection: Any, name: str, *parameters: Any) -> bool:
        return bool(connection.execute(self.sql[name], parameters).rowcount)


def is_of_the_system(error: Exception) -> bool:
    """Whether the system could not do something; a ``TimeoutError`` without a number is of a signal's handler.

    >>> is_of_the_system(OSError(28, "No space left on device")), is_of_the_system(TimeoutError("a minute is over"))
    (True, False)
    """
    return isinstance(error, OSError) and error.errno is not None


def _closed(connection: Any, process: int) -> None:
    """Close a connection in the process that opened it."""
    if process != os.getpid():
        _OF_PARENTS.append(connection)
        return
    with suppress(Exception):  # what was committed is committed
        connection.close()

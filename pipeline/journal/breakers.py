"""The states of shared circuit breakers, in a table beside the runs: it may be lost, and then all are closed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from pipeline.errors import InvalidSetting
from pipeline.journal.database import Database
from pipeline.policies.breaker import BreakerState
from pipeline.step import Step


class KeptBreakers(Database):
    """The part of a journal that keeps the states of breakers."""

    def breaker(self, name: str) -> BreakerState:
        """The state of one; closed, where nothing is known of it."""
        row = self._use(lambda connection: self._one("breaker", name) if self._has_breakers(connection) else None)
        return BreakerState() if row is None else _state_of(row)

    def change_breaker(self, name: str, change: Callable[[BreakerState, float], BreakerState]) -> BreakerState:
        """Put ``change(state, now)``, on the database's clock, in the place of a state; gives the state before.

        Nobody changes it in between.
        """

        def changed(connection: Any) -> BreakerState:
            self._make_breakers(connection)
            connection.execute(self.sql["new_breaker"], (name,))
            row: Any = connection.execute(self.sql["locked_breaker"], (name,)).fetchone()
            before = _state_of(row)
            after = change(before, row[3])
            if after != before:
                row = (after.failures, after.opened_at, after.probe_at, name)
                connection.execute(self.sql["put_breaker"], row)
            return before

        return self._transact(changed)

    def _has_breakers(self, connection: Any) -> bool:
        """Whether there is a table of breakers."""
        return True

    def _make_breakers(self, connection: Any) -> None:
        """Make the table of breakers, where the schema does not."""


def _state_of(row: Any) -> BreakerState:
    failures, opened_at, probe_at = row[:3]
    return BreakerState(failures, opened_at, probing=probe_at is not None, probe_at=probe_at)


def has_shared(steps: Iterable[Step[Any, Any, Any]]) -> bool:
    """Whether a step has a shared breaker."""
    return any(step.policies.breaker is not None and step.policies.breaker.shared for step in steps)


def check_shared(steps: Iterable[Step[Any, Any, Any]], journal: object, across_processes: bool) -> None:
    """Raise ``InvalidSetting`` where a shared breaker has no journal to be shared in.

    >>> from pipeline import CircuitBreaker, step
    >>> check_shared([step("call", breaker=CircuitBreaker(shared=True))(abs)], None, across_processes=False)
    Traceback (most recent call last):
        ...
    pipeline.errors.InvalidSetting: a CircuitBreaker(shared=True) is kept in a journal; give the processor
    journal=SqliteJournal('runs.db')
    """
    if has_shared(steps) and breakers_of(journal, across_processes) is None:
        given = "" if journal is None else f", and {journal!r} cannot keep it for other processes"
        raise InvalidSetting(
            f"a CircuitBreaker(shared=True) is kept in a journal{given}; give the processor "
            "journal=SqliteJournal('runs.db')"
        )


def breakers_of(journal: object, across_processes: bool) -> KeptBreakers | None:
    """The states in a journal, if it keeps any; one in memory has none for other processes."""
    if not isinstance(journal, KeptBreakers) or (across_processes and journal.name == ":memory:"):
        return None
    return journal

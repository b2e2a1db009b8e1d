"""Teams that outlive a stream: kept inside ``with runner:``, and lent to one stream at a time."""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from threading import RLock
from weakref import WeakSet

from runners.pool.team import Team


class Staff:
    """Lends teams. Streams of several threads get a team each; what comes back is kept while somebody is inside."""

    def __init__(self, make_team: Callable[[], Team]) -> None:
        self._make_team = make_team
        self._inside = 0  # guarded by the lock, like the idle teams
        self._clear()

    def _clear(self) -> None:
        self._pid = os.getpid()
        # Who holds it may be the one that collects an abandoned stream, whose team then comes back.
        self._lock = RLock()
        self._idle: list[Team] = []

    def enter(self) -> None:
        """From here on teams are kept."""
        self._notice_fork()
        with self._lock:
            self._inside += 1

    def leave(self) -> None:
        """The last one to leave ends the workers."""
        self._notice_fork()
        with self._lock:
            self._inside -= 1
            teams = [] if self._inside else self._idle[:]
            del self._idle[: len(teams)]
        for team in teams:
            team.close()

    @contextmanager
    def borrow(self) -> Generator[Team, None, None]:
        """A team for one stream; it is closed afterwards unless it is kept."""
        self._notice_fork()
        with self._lock:
            team = self._idle.pop() if self._idle else self._make_team()
        _teams.add(team)
        try:
            yield team
        finally:
            if not self._keeps(team):
                team.close()

    def _notice_fork(self) -> None:
        """In a forked child: the teams are the parent's, and another thread may have had the lock."""
        if self._pid != os.getpid():
            self._clear()

    def _keeps(self, team: Team) -> bool:
        with self._lock:
            if self._inside:
                self._idle.append(team)
            return bool(self._inside)


# Teams that may have workers. An interpreter that ends with a stream half read must not wait for them.
_teams: WeakSet[Team] = WeakSet()


@atexit.register
def _close_teams() -> None:
    for team in list(_teams):
        team.close()

"""Shows other machines that the runs of this process live, also while a step takes its time and nothing is written.

    run begins ─▶ start ─▶ one thread for all of them ─▶ every ``BEAT_S``: beat ─▶ run ends ─▶ stop

A thread may starve beside Python code that computes, but not for as long as a lease lasts. It writes nothing that
anybody waits for. A process that forks waits until no beat is on its way, so that no lock of a database is copied as
held: a process with this thread may be forked as if it were not there.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from threading import Condition, Lock, Thread
from typing import ClassVar

from pipeline.journal.owner import LEASE_S

BEAT_S = LEASE_S / 3
"""Seconds from one beat to the next: an owner may miss two."""

IDLE_S = 10.0
"""Seconds after which the thread ends that has no run to beat for."""


class Heart:
    """What is called every ``BEAT_S`` seconds for each run in progress, by the token of its owner."""

    def __init__(self) -> None:
        self._changed: Condition = Condition()  # guards all below
        self._beats: dict[str, Callable[[], object]] = {}
        self._thread: Thread | None = None

    def start(self, token: str, beat: Callable[[], object]) -> None:
        """Call ``beat`` from now on; it must not raise."""
        with self._changed:
            self._beats[token] = beat
            if self._thread is None:
                self._thread = Beating(target=self._beat, name="stepslice heartbeat", daemon=True)
                self._thread.start()
            self._changed.notify()

    def stop(self, token: str) -> None:
        """Call it no more."""
        with self._changed:
            self._beats.pop(token, None)

    def _beat(self) -> None:
        while True:
            with self._changed:
                if not self._beats and not self._changed.wait(IDLE_S):
                    self._thread = None
                    return
                self._changed.wait_for(lambda: not self._beats, BEAT_S)
                beats = [*self._beats.items()]
            for token, beat in beats:
                with _AT_REST:
                    if token in self._beats:
                        beat()


class Beating(Thread):
    """The thread."""

    forks_safely: ClassVar[bool] = True
    """A process with this thread may be forked: see ``runners.pool.launch``."""


HEART = Heart()
_AT_REST = Lock()


def _in_child() -> None:
    _AT_REST.release()
    HEART.__init__()  # type: ignore[misc]  # the thread and its runs are the parent's


os.register_at_fork(before=_AT_REST.acquire, after_in_parent=_AT_REST.release, after_in_child=_in_child)

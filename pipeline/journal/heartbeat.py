"""What a journal does while a step takes its time and nothing arrives, in a thread for all runs of this process.

    run begins ─▶ start ─▶ every few seconds, ``HEART``: show other machines that the run lives     ─▶ run ends ─▶ stop
                           every 0.1 s, ``LATE``: write what waits for others to be committed with it

A thread may starve beside Python code that computes, but not for as long as a lease lasts, and nobody waits for what
it writes: an outcome that is handed out was committed by whoever hands it out. A process that forks waits until no
beat is on its way, so that no lock of a database is copied as held: a process with these threads may be forked as if
they were not there.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from threading import Condition, Lock, RLock, Thread
from typing import ClassVar

from pipeline.journal.owner import LEASE_S, LIVE

BEAT_S = LEASE_S / 3
"""Seconds from one beat to the next: an owner may miss two."""

LATE_S = 0.1
"""Seconds between two looks for outcomes that wait for others which do not come."""

IDLE_S = 10.0
"""Seconds after which the thread ends that has no run to beat for."""


class Heart:
    """What is called every ``every_s`` seconds (``BEAT_S``) for each run in progress, by the token of its owner.

    A run whose owner is not ``LIVE`` any more is over, also where nobody came to say so.
    """

    def __init__(self, every_s: float | None = None) -> None:
        self.every_s = every_s
        # Guards all below. Taken itself, for a handler that raises may break into a condition's way to it; and by who
        # collects an abandoned stream under it, which ends that run.
        self._lock = RLock()
        self._changed: Condition = Condition(self._lock)
        self._beats: dict[str, Callable[[], object]] = {}
        self._thread: Thread | None = None

    def start(self, token: str, beat: Callable[[], object]) -> None:
        """Call ``beat`` from now on; it must not raise."""
        with self._lock:
            self._beats[token] = beat
            if self._thread is None:
                self._thread = Beating(target=self._beat, name="stepslice heartbeat", daemon=True)
                try:
                    self._thread.start()
                except BaseException:  # a signal's handler raised: whether it began or not, the next run starts one
                    self._thread = None
                    raise
            self._changed.notify()

    def stop(self, token: str) -> None:
        """Call it no more."""
        with self._lock:
            self._beats.pop(token, None)

    def _beat(self) -> None:
        while True:
            with self._lock:
                if not self._beats and not self._changed.wait(IDLE_S):
                    self._thread = None
                    return
                self._changed.wait_for(lambda: not self._beats, self.every_s or BEAT_S)
                for token in self._beats.copy().keys() - LIVE:
                    self._beats.pop(token, None)
                beats = self._beats.copy()
            for token, beat in beats.items():
                with _AT_REST:
                    if token in self._beats:
                        beat()


class Beating(Thread):
    """The thread."""

    forks_safely: ClassVar[bool] = True
    """A process with this thread may be forked: see ``runners.pool.launch``."""


HEART = Heart()
LATE = Heart(LATE_S)
_AT_REST = Lock()


def _in_child() -> None:
    _AT_REST.release()
    for heart in (HEART, LATE):
        heart.__init__(heart.every_s)  # type: ignore[misc]  # the thread and its runs are the parent's


os.register_at_fork(before=_AT_REST.acquire, after_in_parent=_AT_REST.release, after_in_child=_in_child)

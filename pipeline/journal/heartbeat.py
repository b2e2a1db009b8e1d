"""Shows other machines that the runs of this process live, also while a step takes its time and nothing is written.

    run begins ─▶ start ─▶ one thread for all of them ─▶ every ``BEAT_S``: beat ─▶ run ends ─▶ stop

A thread may starve beside Python code that computes, but not for as long as a lease lasts. It writes nothing that
anybody waits for: a beat that fails is told by the next write of the run.
"""

from __future__ import annotations

import logging
import os
from threading import Event, Lock, Thread

from pipeline.journal.owner import LEASE_S
from pipeline.journal.protocol import Journal, Lease

BEAT_S = LEASE_S / 3
"""Seconds from one beat to the next: an owner may miss two."""

_LOGGER = logging.getLogger("pipeline.journal")


class Heart:
    """The leases of this process that are shown to be alive. Guard: ``_lock``."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Know of no lease: in a forked child, they are its parent's."""
        self._lock = Lock()
        self._beating: dict[str, tuple[Journal, Lease]] = {}
        self._thread: Thread | None = None
        self._never = Event()

    def start(self, journal: Journal, lease: Lease) -> None:
        """Beat for a lease until it is given back."""
        with self._lock:
            self._beating[lease.token] = (journal, lease)
            if self._thread is None:
                self._thread = Thread(target=self._beat_on, name="stepslice heartbeat", daemon=True)
                self._thread.start()

    def stop(self, lease: Lease) -> None:
        """Leave a lease alone."""
        with self._lock:
            self._beating.pop(lease.token, None)

    def _beat_on(self) -> None:
        while not self._never.wait(BEAT_S):
            with self._lock:
                if not self._beating:
                    self._thread = None
                    return
                beating = list(self._beating.values())
            for journal, lease in beating:
                if lease.token in self._beating:
                    _beat(journal, lease)


def _beat(journal: Journal, lease: Lease) -> None:
    try:
        journal.beat(lease)
    except Exception:
        _LOGGER.warning("no heartbeat of run %d in %s", lease.run, journal.name, exc_info=True)


HEART = Heart()
os.register_at_fork(after_in_child=HEART.forget)

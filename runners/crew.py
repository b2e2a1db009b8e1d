"""Threads that stay warm between jobs: a job takes an idle one, or a new one is started.

There is no queue of jobs, so two streams of one runner never wait for each other, not even when they are nested.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

Job = Callable[[], object]


class Crew:
    """Starts jobs on threads of its own; ``with crew:`` keeps the threads between jobs, and may be nested."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._lock = threading.Lock()  # guards the two below
        self._idle: list[SimpleQueue[Job | None]] = []
        self._holders = 0

    def start(self, job: Job) -> None:
        """Let a thread call ``job``, which must not raise; returns at once."""
        with self._lock:
            inbox = self._idle.pop() if self._idle else None
        if inbox is not None:
            inbox.put(job)
        else:
            inbox = SimpleQueue()
            inbox.put(job)
            threading.Thread(target=self._work, args=(inbox,), name=self.name, daemon=True).start()

    def __enter__(self) -> Crew:
        with self._lock:
            self._holders += 1
        return self

    def __exit__(self, *exc_info: object) -> None:
        with self._lock:
            self._holders -= 1
            leaving = [] if self._holders else self._idle
            if leaving:
                self._idle = []
        for inbox in leaving:
            inbox.put(None)

    def _work(self, inbox: SimpleQueue[Job | None]) -> None:
        while (job := inbox.get()) is not None:
            job()
            del job
            with self._lock:
                if not self._holders:
                    return
                self._idle.append(inbox)

"""Threads that stay warm between jobs: a job takes an idle one, or a new one is started.

There is no queue of jobs, so two streams of one runner never wait for each other, not even when they are nested.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from queue import SimpleQueue
from typing import TypeAlias

from runners.errors import tells_to_end

Inbox: TypeAlias = "SimpleQueue[Callable[[], object] | None]"


class Crew:
    """Starts jobs on threads of its own; ``with crew:`` keeps the threads between jobs, and may be nested."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._clear()

    def _clear(self) -> None:
        self._pid = os.getpid()
        # Guards all below. Who holds it may be the one that collects an abandoned stream, and so leaves for it.
        self._lock = threading.RLock()
        self._holders = 0
        self._threads: dict[Inbox, threading.Thread] = {}
        self._idle: list[Inbox] = []

    def start(self, job: Callable[[], object]) -> Inbox:
        """Let a thread call ``job``, which must not raise; returns at once. Only inside ``with crew:``."""
        with self._lock:
            inbox = self._idle.pop() if self._idle else self._hire()
        inbox.put(job)
        return inbox

    def abandon(self, inboxes: Iterable[Inbox]) -> None:
        """Never wait for these threads: what they are on may not end. Each ends after that."""
        for inbox in inboxes:
            with self._lock:
                self._threads.pop(inbox, None)
                if inbox in self._idle:
                    self._idle.remove(inbox)
            inbox.put(None)

    def __enter__(self) -> None:
        if self._pid != os.getpid():  # a forked child has the list, but none of the threads
            self._clear()
        with self._lock:
            self._holders += 1

    def __exit__(self, kind: type[BaseException] | None, *exc_info: object) -> None:
        if self._pid != os.getpid():
            return
        with self._lock:
            if not self._holders:  # it was entered in the parent
                return
            self._holders -= 1
            leaving = {} if self._holders else self._threads
            if leaving:
                self._threads, self._idle = {}, []
        for inbox in leaving:
            inbox.put(None)
        # Told to end by a signal, do not wait for what may never finish: the threads are daemons.
        if not tells_to_end(kind) and threading.current_thread() not in leaving.values():
            for thread in leaving.values():
                thread.join()

    def _hire(self) -> Inbox:
        inbox: Inbox = SimpleQueue()
        thread = threading.Thread(target=self._work, args=(inbox,), name=self.name, daemon=True)
        try:
            thread.start()
        except BaseException:  # a signal's handler raised: if it began, it ends
            inbox.put(None)
            raise
        self._threads[inbox] = thread
        return inbox

    def _work(self, inbox: Inbox) -> None:
        while (job := inbox.get()) is not None:
            job()
            del job  # an idle thread keeps nothing alive
            with self._lock:
                if inbox in self._threads:
                    self._idle.append(inbox)

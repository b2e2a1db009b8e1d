"""The threads behind ``asyncio.to_thread``, which need not end for the process to end.

Python waits for those of its own pools before it ends, whatever they are on.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from runners.crew import Crew

T = TypeVar("T")


class DaemonThreads(ThreadPoolExecutor):
    """As many threads as Python's own pool has by default; ``hurried`` says not to wait for them at the end."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.hurried: bool = False
        self._crew = Crew(name)
        self._crew.__enter__()
        self._lock = threading.Lock()  # guards the two below
        self._calls: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._busy = 0
        self._at_work = set[int]()  # idents of the threads

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Call it in a thread."""
        future: Future[T] = Future()
        with self._lock:
            self._calls.append((future, partial(fn, *args, **kwargs)))
            if self._busy == self._max_workers:
                return future
            self._busy += 1
        try:
            self._crew.start(self._serve)
        except RuntimeError:  # the system gives no more threads: those that run will do, if there are any
            with self._lock:
                self._busy -= 1
                if not self._busy:
                    self._calls.clear()
                    raise
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the threads."""
        self._crew.__exit__(SystemExit if self.hurried or not wait else None)

    def runs_here(self) -> bool:
        """Whether this is one of its threads, at work."""
        return threading.get_ident() in self._at_work

    def _serve(self) -> None:
        self._at_work.add(threading.get_ident())
        while True:
            with self._lock:
                if not self._calls:
                    self._busy -= 1
                    self._at_work.discard(threading.get_ident())
                    return
                future, call = self._calls.popleft()
            _answer(future, call)
            del future, call


def _answer(future: Future[Any], call: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        answer = call()
    except BaseException as error:  # noqa: BLE001 - it is the caller's
        future.set_exception(error)
    else:
        future.set_result(answer)

"""Many inputs at a time, in threads of this process.

::

    inputs ─▶ one lock ─▶ worker: a chunk of about 2 ms of work ─▶ SimpleQueue ─▶ the consumer's own generator
                ▲                                                                      │
                └──────────── at most `window` inputs pulled and not yet handed over ◀─┘
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextvars import copy_context
from itertools import islice
from queue import SimpleQueue
from time import perf_counter
from typing import Generic, TypeVar

from returns.result import Failure, Result, Success

from runners.crash import crash_of
from runners.crew import Crew
from runners.protocol import Crash
from runners.streaming import StreamRunner

T = TypeVar("T")
R = TypeVar("R")

CHUNK_S = 0.002
"""Seconds of work that a worker pulls at once: long enough to make the lock cheap, short enough to be fair."""

MAX_CHUNK = 4096


class ThreadRunner(StreamRunner):
    """Works on up to ``max_workers`` inputs at a time, in threads of this process.

    For work that waits: network, files, databases, and C code that releases the interpreter lock.
    Nothing is pickled; the caller's contextvars reach ``func``, each worker in a copy of its own.
    ``max_workers`` defaults to the number of processors + 4, at most 32.

    >>> runner = ThreadRunner(max_workers=4)
    >>> runner.run(int, ["1", "2"])
    [1, 2]
    >>> dict(runner.stream(int, ["1", "two"]))[1].failure().message
    "invalid literal for int() with base 10: 'two'"
    """

    def __init__(self, max_workers: int | None = None) -> None:
        if max_workers is not None and max_workers < 1:
            raise ValueError(f"ThreadRunner needs at least one worker, not max_workers={max_workers!r}")
        self._max_workers = max_workers or min(32, (os.cpu_count() or 1) + 4)
        self._crew = Crew("ThreadRunner")

    @property
    def workers(self) -> int:
        """How many inputs are worked on at the same time, at most."""
        return self._max_workers

    def stream(self, func: Callable[[T], R], inputs: Iterable[T]) -> Iterator[tuple[int, Result[R, Crash]]]:
        """Yield ``(position, result)`` for every input as it finishes; closing it waits for what is in flight."""
        with self._crew:
            batch = _Batch(func, inputs, self._max_workers)
            context = copy_context()
            for _ in range(self._max_workers):
                self._crew.start(_in_context(context.copy().run, batch.work))
            try:
                yield from batch.answers()
            finally:
                batch.close()

    def __enter__(self) -> ThreadRunner:
        self._crew.__enter__()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._crew.__exit__(*exc_info)

    def __reduce__(self) -> tuple[type[ThreadRunner], tuple[int]]:
        return ThreadRunner, (self._max_workers,)

    def __repr__(self) -> str:
        return f"ThreadRunner(max_workers={self._max_workers})"


def _in_context(run: Callable[[Callable[[], None]], None], work: Callable[[], None]) -> Callable[[], None]:
    return lambda: run(work)


class _Batch(Generic[T, R]):
    """One stream: what its workers and its consumer share."""

    def __init__(self, func: Callable[[T], R], inputs: Iterable[T], workers: int) -> None:
        self.func = func
        self.inputs = enumerate(inputs)
        self.working = workers
        self.finished: SimpleQueue[tuple[int, Result[R, Crash]] | None] = SimpleQueue()
        self.room = threading.Condition()  # guards the iterator and all below
        self.size = 1
        self.pulled = 0
        self.taken = 0  # written by the consumer only
        self.waiting = 0
        self.exhausted = False
        self.error: BaseException | None = None

    def answers(self) -> Iterator[tuple[int, Result[R, Crash]]]:
        while self.working:
            answer = self.finished.get()
            if answer is None:
                self.working -= 1
                continue
            self.taken += 1
            if self.waiting:
                self._wake()
            yield answer
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        """Stop pulling and wait for the inputs in flight."""
        with self.room:
            self.exhausted = True
            self.room.notify_all()
        while self.working:
            if self.finished.get() is None:
                self.working -= 1

    def work(self) -> None:
        size, func, put = 1, self.func, self.finished.put
        while chunk := self._pull(size):
            started = perf_counter()
            for position, value in chunk:
                try:
                    result: Result[R, Crash] = Success(func(value))
                except BaseException as error:  # noqa: BLE001 - SystemExit, too, is the end of one input only
                    result = Failure(crash_of(error))
                put((position, result))
            size = _next_size(size, perf_counter() - started)
        put(None)

    def _pull(self, size: int) -> list[tuple[int, T]]:
        with self.room:
            while not self.exhausted and self.pulled - self.taken > 2 * self.working * size:
                self.waiting += 1
                self.room.wait()
                self.waiting -= 1
            if self.exhausted:
                return []
            chunk: list[tuple[int, T]] = []
            try:
                chunk.extend(islice(self.inputs, size))
            except BaseException as error:  # noqa: BLE001 - the consumer raises it, after the outcomes so far
                self.error = error
            self.exhausted = len(chunk) < size
            self.pulled += len(chunk)
            return chunk

    def _wake(self) -> None:
        with self.room:
            self.room.notify_all()


def _next_size(size: int, took_s: float) -> int:
    if took_s < CHUNK_S / 2:
        return min(2 * size, MAX_CHUNK)
    return max(size // 2, 1) if took_s > 2 * CHUNK_S else size

"""One batch in threads: what its workers and its consumer share.

Each worker owns a chunk (a deque) and takes its inputs from the left; a starved worker steals from the right.
Popping from a deque is atomic, so every input is worked on exactly once.
Results go to one deque; the bell rings once a chunk, and the consumer looks around if it stays silent.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from math import inf
from queue import Empty, SimpleQueue
from sys import getsizeof
from time import perf_counter
from typing import Any, Generic, Self, TypeVar

from runners.crash import Crash, crash_of
from runners.errors import tells_to_end
from runners.streaming import NOTICE_S

T = TypeVar("T")
R = TypeVar("R")

CHUNK_S = 0.002
"""Seconds of work in a chunk: long enough to make the lock cheap, short enough to be fair."""

MAX_CHUNK = 1024
MAX_WINDOW = 8192
"""Inputs, of all workers together: with the smallest inputs a few megabytes."""

CHUNK_BYTES = 1 << 18
"""Large inputs, or results, make small chunks and so a small window: judged by one of each chunk."""

LOOK_S = 0.02
"""Seconds after which who waits looks around: for results inside a chunk, for inputs to steal."""


class Raised:
    """What ``func`` raised, in the place of a result; a class of our own, as ``func`` may return anything."""

    __slots__ = ("crash",)

    def __init__(self, crash: Crash) -> None:
        self.crash: Crash = crash


class Batch(Generic[T, R]):
    """The inputs of one run, their results, and the window between the two."""

    def __init__(self, func: Callable[[T], R], inputs: Iterable[T], workers: int) -> None:
        self.func = func
        self.workers: int = workers
        # A lone worker has nobody to help it out of a source that blocks in the middle of a chunk.
        self.one_by_one: bool = workers == 1 and not isinstance(inputs, list | tuple | range)
        self.max_chunk: int = max(1, min(MAX_CHUNK, MAX_WINDOW // (2 * workers)))

        self.pulling: threading.Lock = threading.Lock()  # guards the iterator, `pulled`, `exhausted` and `error`
        self.inputs: enumerate[Any] = enumerate(inputs)
        self.pulled: int = 0
        self.input_bytes: int = 0  # about the largest lately, as is the next; of those who write, either may win
        self.result_bytes: int = 0
        self.exhausted: bool = False
        self.closed: bool = False
        self.error: BaseException | None = None

        self.chunks: list[deque[tuple[int, T]]] = []  # every worker appends its own
        self.finished: deque[tuple[int, Any]] = deque()  # (position, result or Raised)
        self.raised: bool = False  # set before the first `Raised` is in `finished`
        self.bell: SimpleQueue[None] = SimpleQueue()  # a chunk is done, or a worker has ended

        # Guards `started` and `ended`. Taken itself: a handler that raises may break into the condition's way to it.
        # A worker may take it that has it, and collects this stream and so closes it.
        self.seats: threading.RLock = threading.RLock()
        self.room: threading.Condition = threading.Condition(self.seats)  # whoever waits for room waits here
        self.started: int = 0
        self.ended: int = 0
        self.wake_at: float = inf  # what `taken` has to reach for that
        self.taken: int = 0  # written by the consumer only
        self.process: int = os.getpid()
        self.at_work: set[int] = set()  # idents of the workers' threads

    # ---- the consumer's side ----

    def answers(self, recruit: Callable[[], None], every_s: float | None = None) -> Iterator[list[tuple[int, Any]]]:
        """Start the first worker and yield what inputs came to, all that is there; then raise what the iterable raised.

        Answers count as taken, and make room for more inputs, when the consumer comes back.
        With ``every_s`` there is an empty list when nothing came for so many seconds.
        A worker that collects a stream that was left alone, and reads on, gets what is there: it would wait for itself.
        """
        self._start_worker(recruit)
        take = self.finished.popleft
        while True:
            is_over = self.ended >= self.started  # looked at first: what those who have ended left is there by now
            while there := len(self.finished):
                yield [take() for _ in range(there)]
                self.taken += there
                if self.taken >= self.wake_at:
                    self._wake()
            if is_over or self._is_read_by_a_worker():
                break
            self._listen(every_s)
            if every_s is not None and not self.finished:
                yield []
        if self.error is not None:
            raise self.error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc_info: object) -> None:
        """Pull no more, drop what is pulled and not begun, and wait for the inputs in flight.

        Told to end by a signal, it waits for nobody, nor in a forked copy of the process, which has not the threads,
        nor in a worker of its own, which may be the one that collects a stream that was left alone.
        Else it looks again and again: a signal's handler may have raised just as the bell was heard.
        """
        if self.process != os.getpid():
            return
        self.closed = self.exhausted = True
        for chunk in self.chunks:
            chunk.clear()
        self._wake()
        if not tells_to_end(kind) and not self._is_read_by_a_worker():
            while self.ended < self.started:
                self._hear(LOOK_S)

    def _is_read_by_a_worker(self) -> bool:
        return threading.get_ident() in self.at_work

    def _listen(self, every_s: float | None) -> None:
        """Wait for the bell. A slow input inside a chunk must not hold back the finished ones before it."""
        self._hear(min(every_s or LOOK_S, LOOK_S) if any(self.chunks) else every_s or NOTICE_S)

    def _hear(self, within_s: float) -> None:
        with suppress(Empty):
            self.bell.get(timeout=within_s)

    def _wake(self) -> None:
        with self.seats:
            self.wake_at = inf
            self.room.notify_all()

    # ---- the workers' side ----

    def work(self, recruit: Callable[[], None]) -> None:
        """Be one worker, until no input is left; a worker that found work starts the next one."""
        size, chunk = 1, deque[tuple[int, T]]()
        self.at_work.add(threading.get_ident())
        self.chunks.append(chunk)
        while (began := self._refill(chunk, size)) is not None:
            if self.started < self.workers:
                self._start_worker(recruit)
            self._work_on(chunk)
            took_s = (perf_counter() - began) * (size if self.one_by_one else 1)
            largest = max(self.input_bytes, self.result_bytes, 1)
            size = min(_next_size(size, took_s), self.max_chunk, max(1, CHUNK_BYTES // largest))
        with self.seats:
            self.ended += 1
        self.at_work.discard(threading.get_ident())
        self.bell.put(None)

    def _start_worker(self, recruit: Callable[[], None]) -> None:
        is_counted = False
        try:
            with self.seats:
                if self.exhausted or self.started >= self.workers:
                    return
                self.started += 1
                is_counted = True
            recruit()
        except RuntimeError:  # the system gives no more threads: those that run will do, if there are any
            with self.seats:
                self.started -= 1
                self.workers = self.started
            if not self.workers:
                raise
        except BaseException:  # a signal's handler raised: whether this one begins or not, nobody waits for it
            with self.seats:
                self.started -= is_counted
            raise

    def _work_on(self, chunk: deque[tuple[int, T]]) -> None:
        func, take, done = self.func, chunk.popleft, self.finished.append
        result: object = None
        try:
            while True:
                position, value = take()
                try:
                    result = func(value)
                    done((position, result))
                except BaseException as error:  # noqa: BLE001 - SystemExit, too, is the end of one input only
                    self.raised = True
                    done((position, Raised(crash_of(error))))
        except IndexError:  # the chunk is empty; what `func` raises does not come here
            self.result_bytes = _weighed(self.result_bytes, result)  # first: who hears the bell may make room
            self.bell.put(None)

    def _refill(self, chunk: deque[tuple[int, T]], size: int) -> float | None:
        """Get inputs for one chunk, pulled or stolen; return when that began, or None if nothing is left."""
        wait_s = LOOK_S
        while not self.exhausted:
            if self._is_full(size):
                if self._steal(chunk):
                    return perf_counter()
                self._wait_for_room(size)
            elif self.pulling.acquire(timeout=wait_s):
                began = perf_counter()
                try:
                    self._pull(chunk, size)
                finally:
                    self.pulling.release()
                if chunk:
                    return began
            elif self._steal(chunk):  # who pulls is stuck in the source: work on what it has so far
                return perf_counter()
            else:
                wait_s = min(2 * wait_s, 1.0)
        return perf_counter() if self._steal(chunk) else None

    def _pull(self, chunk: deque[tuple[int, T]], size: int) -> None:
        if self.exhausted or self._is_full(size):  # looked at again, now that nobody else pulls
            return
        wanted = 1 if self.one_by_one else size
        end = self.pulled + wanted
        item: tuple[int, Any] = (self.pulled - 1, None)
        try:
            for item in islice(self.inputs, wanted):
                chunk.append(item)
        except BaseException as error:  # noqa: BLE001 - the consumer raises it, after the answers so far
            self.error = error
        self.input_bytes = _weighed(self.input_bytes, item[1])
        self.pulled = item[0] + 1
        if self.pulled < end:
            self.exhausted = True
        if self.closed:
            chunk.clear()

    def _is_full(self, size: int) -> bool:
        return self.pulled - self.taken + size > 2 * self.workers * size

    def _wait_for_room(self, size: int) -> None:
        with self.seats:
            self.wake_at = min(self.wake_at, self.pulled - self.workers * size)
            # Looked at again: the consumer counts first and then reads `wake_at`, here it is the other way round.
            if not self.exhausted and self._is_full(size):
                self.room.wait(10 * LOOK_S)

    def _steal(self, chunk: deque[tuple[int, T]]) -> bool:
        for other in self.chunks:
            try:
                chunk.append(other.pop())
            except IndexError:
                continue
            return True
        return False


def _weighed(before: int, value: object) -> int:
    """About how large the largest was lately, now that there is ``value``."""
    try:
        return max(before // 2, getsizeof(value))
    except Exception:  # noqa: BLE001 - it may have a __sizeof__ of its own
        return before


def _next_size(size: int, took_s: float) -> int:
    if took_s < CHUNK_S / 2:
        return 2 * size
    return max(size // 2, 1) if took_s > 2 * CHUNK_S else size

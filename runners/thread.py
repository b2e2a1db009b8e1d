"""Many inputs at a time, in threads of this process.

::

    inputs ─▶ one lock ─▶ worker: a chunk of about 2 ms of work ─▶ finished ─▶ the consumer's own generator
                ▲          starved: steals from other chunks                       │
                └────────── waits while the window is full ◀─── taken ─────────────┘

A worker pulls, so a slow source of inputs keeps nobody from delivering; a full window lets it wait.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any, Self, TypeVar

from returns.result import Failure, Result

from runners.batch import Batch, Raised
from runners.crash import success
from runners.crew import Crew, Inbox
from runners.errors import RunnerError, is_count
from runners.protocol import Crash
from runners.streaming import StreamRunner, raise_crash

T = TypeVar("T")
R = TypeVar("R")


class ThreadRunner(StreamRunner):
    """Works on up to ``max_workers`` inputs at a time, in threads of this process.

    For work that waits: network, files, databases, and C code that releases the interpreter lock.
    Nothing is pickled; the caller's contextvars reach ``func``, each worker has a copy of its own.
    ``max_workers`` defaults to the number of processors + 4, at most 32; a thread starts when there is work for it.
    ``with runner:`` keeps the threads, and what they hold in ``threading.local``, between runs.

    >>> runner = ThreadRunner(max_workers=4)
    >>> runner.run(int, ["1", "2"])
    [1, 2]
    >>> dict(runner.stream(int, ["1", "two"]))[1].failure().message
    "invalid literal for int() with base 10: 'two'"
    """

    def __init__(self, max_workers: int | None = None) -> None:
        if max_workers is not None and not is_count(max_workers):
            raise RunnerError(f"ThreadRunner cannot use max_workers={max_workers!r}; it takes a number from 1")
        self._max_workers = max_workers or min(32, (os.cpu_count() or 1) + 4)
        self._crew = Crew("ThreadRunner")

    @property
    def workers(self) -> int:
        """How many inputs are worked on at the same time, at most."""
        return self._max_workers

    def stream(self, func: Callable[[T], R], inputs: Iterable[T]) -> Iterator[tuple[int, Result[R, Crash]]]:
        """Yield ``(position, result)`` for every input as it finishes.

        At most about twice as many inputs as are being worked on are pulled and not yet handed over,
        and small ones that take next to no time in chunks of up to 1,024 inputs or 256 kB a worker.
        Closing the stream pulls no more and waits for the inputs in flight.
        """
        return self._results(Batch(func, inputs, self._max_workers))

    def ticking(
        self, func: Callable[[T], R], inputs: Iterable[T], every_s: float
    ) -> Iterator[tuple[int, Result[R, Crash]] | None]:
        """``stream`` with a turn for the consumer, as ``None``, when nothing has finished for ``every_s`` seconds."""
        batch = Batch(func, inputs, self._max_workers)
        with self._working(batch) as recruit:
            for answers in batch.answers(recruit, every_s):
                yield from _opened(answers) if answers else (None,)

    def run(self, func: Callable[[T], R], inputs: Iterable[T]) -> list[R]:
        """Apply ``func`` to every input and return the results in input order; what ``func`` raises is raised."""
        batch, results = Batch(func, inputs, self._max_workers), dict[int, Any]()
        failed: tuple[int, Raised] | None = None
        with self._working(batch) as recruit:
            for answers in batch.answers(recruit):
                results.update(answers)
                failed = _first_raised(answers) if batch.raised else None
                if failed is not None:
                    break
        if failed is not None:
            raise_crash(failed[0], failed[1].crash)
        return [results[position] for position in range(len(results))]

    def _results(self, batch: Batch[T, R]) -> Iterator[tuple[int, Result[R, Crash]]]:
        with self._working(batch) as recruit:
            for answers in batch.answers(recruit):
                yield from _opened(answers)

    @contextmanager
    def _working(self, batch: Batch[T, R]) -> Generator[Callable[[], None]]:
        """How the batch gets threads. They are waited for, unless a signal ends it: they are on what may never end."""
        context, inboxes = copy_context(), list[Inbox]()

        def recruit() -> None:
            copy = context.copy()
            inboxes.append(self._crew.start(lambda: copy.run(batch.work, recruit)))

        with self._crew:
            try:
                with batch:
                    yield recruit
            except (KeyboardInterrupt, SystemExit):
                self._crew.abandon(inboxes)
                raise

    def __enter__(self) -> Self:
        self._crew.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc_info: object) -> None:
        self._crew.__exit__(kind)

    def __reduce__(self) -> tuple[type[ThreadRunner], tuple[int]]:
        return ThreadRunner, (self._max_workers,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ThreadRunner) and self._max_workers == other._max_workers

    def __hash__(self) -> int:
        return hash((ThreadRunner, self._max_workers))

    def __repr__(self) -> str:
        return f"ThreadRunner(max_workers={self._max_workers})"


def _opened(answers: Iterable[tuple[int, Any]]) -> Iterator[tuple[int, Result[Any, Crash]]]:
    for position, value in answers:
        yield position, Failure(value.crash) if type(value) is Raised else success(value)


def _first_raised(answers: Iterable[tuple[int, object]]) -> tuple[int, Raised] | None:
    return next(((position, value) for position, value in answers if type(value) is Raised), None)

"""The process runner: a function over inputs in several processes, where a death costs exactly one input."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from typing import Any, ClassVar, Self, TypeVar, get_args

import msgspec
from returns.result import Failure, Result

from runners.crash import success
from runners.errors import RunnerError, is_count, is_seconds
from runners.pool.batch import Batch
from runners.pool.feed import Feed
from runners.pool.launch import StartMethod
from runners.pool.limit import pulse
from runners.pool.loop import Limits, Stream
from runners.pool.picklable import name_of, pickle_function
from runners.pool.staff import Staff
from runners.pool.team import Team
from runners.pool.worker import FLUSH_S, Settings
from runners.protocol import Crash
from runners.streaming import StreamRunner, raise_crash

T = TypeVar("T")
R = TypeVar("R")


class ProcessRunner(StreamRunner):
    """Runs a picklable function in worker processes; a killed or hung worker costs exactly the input it was on.

    ``max_workers``: how many processes; default: as many as this process may use processors.
    ``start_method``: ``"fork"``, ``"forkserver"`` or ``"spawn"``.
    By default a worker is forked where this process has exactly one thread, and comes from a fork server elsewhere:
    a fork is quick, but copies the locks that other threads hold, which then are never released.
    ``timeout``: seconds that one input may take before its worker is killed and replaced.
    ``crash_retries``: how often an input whose worker died runs again, alone; for machines
    where the kernel's memory killer may have hit an innocent worker.
    ``max_memory``: bytes of address space that a worker may take beyond what it starts with;
    an input that needs more ends with ``MemoryError``.
    ``deliver_each``: send every result before the next input starts, so that nothing finished ever runs again.
    By default results leave after each millisecond of work, and that much may run again when a worker dies.

    ``with runner:`` keeps the workers for the next batch. Several threads may use one runner at once.

    >>> runner = ProcessRunner(max_workers=2)
    >>> runner.run(abs, [-1, 2, -3])
    [1, 2, 3]
    >>> [type(result).__name__ for _, result in sorted(runner.stream(int, ["7", "?"]))]
    ['Success', 'Failure']
    """

    crosses_processes = True
    ends_calls: ClassVar[bool] = True
    pulse: ClassVar[Callable[[int, float | None], None] | None] = staticmethod(pulse)

    def __init__(
        self,
        max_workers: int | None = None,
        start_method: StartMethod | None = None,
        timeout: float | None = None,
        crash_retries: int = 0,
        max_memory: int | None = None,
        *,
        deliver_each: bool = False,
    ) -> None:
        _check("max_workers", max_workers, max_workers is None or is_count(max_workers), "a number from 1")
        methods = ", ".join(get_args(StartMethod))
        _check("start_method", start_method, start_method is None or start_method in get_args(StartMethod), methods)
        _check("timeout", timeout, timeout is None or is_seconds(timeout), "seconds, more than 0")
        _check("crash_retries", crash_retries, crash_retries == 0 or is_count(crash_retries), "a number from 0")
        in_bytes = max_memory is None or (is_count(max_memory) and max_memory < 2**60)
        _check("max_memory", max_memory, in_bytes, "a whole number of bytes, below 2**60")
        if not hasattr(os, "pidfd_open"):
            raise RunnerError(
                f"ProcessRunner needs Linux 5.3 or later, and this is {sys.platform}; "
                "use ThreadRunner, or ExecutorRunner with a ProcessPoolExecutor"
            )
        self._options = _Options(
            max_workers=max_workers or len(os.sched_getaffinity(0)),
            start_method=start_method,
            timeout=timeout,
            crash_retries=crash_retries,
            max_memory=max_memory,
            deliver_each=deliver_each,
        )
        self._staff = Staff(self._make_team)

    @property
    def workers(self) -> int:
        """How many processes there are at most."""
        return self._options.max_workers

    def stream(self, func: Callable[[T], R], inputs: Iterable[T]) -> Iterator[tuple[int, Result[R, Crash]]]:
        """Yield ``(position, result)`` for every input as it finishes; never raises what ``func`` raises.

        What ``inputs`` raises is raised after everything pulled before it has been yielded.
        Raises ``RunnerError`` at once if ``func`` cannot be pickled, and on the first result if no worker can load it.
        """
        return _results(self._batches(func, inputs))

    def ticking(
        self, func: Callable[[T], R], inputs: Iterable[T], every_s: float
    ) -> Iterator[tuple[int, Result[R, Crash]] | None]:
        """``stream`` with a turn for the consumer, as ``None``, when nothing has finished for ``every_s`` seconds."""
        return _results(self._batches(func, inputs, every_s))

    def run(self, func: Callable[[T], R], inputs: Iterable[T]) -> list[R]:
        """Apply ``func`` to every input and return the results in input order.

        The first failure to arrive stops the run: the exception of ``func`` is raised where it survived,
        else ``InputFailed``, which names the input.
        """
        results: list[Any] = []
        with closing(self._batches(func, inputs)) as batches:
            for first, values, crashes in batches:
                for position, crash in crashes.items():
                    raise_crash(position, crash)
                missing = first + len(values) - len(results)
                if missing > 0:
                    results.extend([None] * missing)
                results[first : first + len(values)] = values
        return results

    def _batches(
        self, func: Callable[[T], R], inputs: Iterable[T], every_s: float | None = None
    ) -> Generator[Batch, None, None]:
        return self._work(name_of(func), pickle_function(func), Feed(inputs), every_s)

    def _work(self, name: str, function: bytes, feed: Feed, every_s: float | None) -> Generator[Batch, None, None]:
        limits = Limits(self._options.timeout, self._options.crash_retries, every_s)
        with self._staff.borrow() as team:
            yield from Stream(team, name, function, feed, limits).batches()

    def _make_team(self) -> Team:
        options = self._options
        worker = Settings(0.0 if options.deliver_each else FLUSH_S, options.max_memory)
        return Team(options.max_workers, options.start_method, worker)

    def __enter__(self) -> Self:
        """Keep workers from here on until the outermost ``with`` ends."""
        self._staff.enter()
        return self

    def __exit__(self, *exception: object) -> None:
        self._staff.leave()

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self._options,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ProcessRunner) and self._options == other._options

    def __hash__(self) -> int:
        return hash(self._options)

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={getattr(self._options, name)!r}" for name in self._options.__struct_fields__)
        return f"ProcessRunner({given})"


class _Options(msgspec.Struct, frozen=True):
    max_workers: int
    start_method: StartMethod | None
    timeout: float | None
    crash_retries: int
    max_memory: int | None
    deliver_each: bool


def _rebuild(options: _Options) -> ProcessRunner:
    return ProcessRunner(**msgspec.structs.asdict(options))


def _results(batches: Generator[Batch, None, None]) -> Iterator[Any]:
    with closing(batches):
        for first, values, crashes in batches:
            if not values:
                yield None
            for position, value in enumerate(values, first):
                crash = crashes.get(position)
                yield position, success(value) if crash is None else Failure(crash)


def _check(name: str, value: object, is_good: bool, wanted: str) -> None:
    if not is_good:
        raise RunnerError(f"ProcessRunner cannot use {name}={value!r}; it takes {wanted}")

"""Any executor of ``concurrent.futures`` as a runner: the standard pools, loky's, or one of your own."""

from __future__ import annotations

import os
import signal
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Executor, wait
from contextvars import Context, copy_context
from typing import Any, Self, TypeVar

from returns.result import Result

from runners.errors import RunnerError, is_count, tells_to_end
from runners.fleet import FleetLost, Future, Loss
from runners.parcel import InPlace, NotLoaded, Pickled, Report, Wire, work_on
from runners.pool.picklable import pickle_function
from runners.pool.unguarded import check_guard
from runners.protocol import Crash
from runners.streaming import StreamRunner
from runners.supply import Source, Supply, dumps_for, end_forsaken, is_thread_of, is_thread_pool, name_of, size_of
from runners.window import Window

T = TypeVar("T")
R = TypeVar("R")

CHUNK_S = 0.02
"""Seconds of work in a chunk: a future costs about 0.1 ms in a process pool."""


class ExecutorRunner(StreamRunner):
    """Works on inputs in an executor that you bring, or in those that a function of yours makes.

    ``executor``: an ``Executor``, which stays yours to shut down;
    or a function that makes one, such as ``partial(ProcessPoolExecutor, 4)`` or loky's ``get_reusable_executor``.
    What the function made is shut down at the end of the stream, or of ``with runner:``.
    ``max_workers``: how many inputs the executor works on at a time; read from the executor where it tells.
    ``crosses_processes``: whether values have to be pickled; default: yes, except in a ``ThreadPoolExecutor``.
    ``deliver_each``: let every input travel alone, so that nothing finished ever runs again.

    When a worker dies, a process pool breaks: all that is in flight is lost, and it is not said on which input
    the worker was, nor which inputs it had begun or finished. What can be known, and what is done:

    - **With a function**, a new executor takes over. What had come back stays.
      What was in flight runs again: chunk by chunk, and in the chunk that breaks a pool again input by input,
      with nothing else in flight, so that only the input that kills its worker ends as a ``crash``.
      It is tried up to three times, its neighbours up to three times; where it was the only input in flight, once.
      A worker that something else kills (the kernel, for want of memory) is so only blamed on an input
      that it dies on when that input runs alone.
    - **With an executor**, nothing can take over. Each input in flight ends as a ``crash``,
      and ``RunnerError`` is raised after that: inputs not yet sent are not lost, but they do not run.
    - Two streams of one executor share its deaths: run them apart to know whose it was.

    Values travel in chunks of up to about 20 ms of work. With loky, functions and classes of a script cross as well.
    An executor cannot end a hung call: where calls may hang, use ``ProcessRunner``.

    >>> from concurrent.futures import ThreadPoolExecutor
    >>> with ThreadPoolExecutor(4) as executor:
    ...     ExecutorRunner(executor).run(int, ["1", "2"])
    [1, 2]
    >>> dict(ExecutorRunner(ThreadPoolExecutor).stream(int, ["1", "two"]))[1].failure().exception
    'ValueError'
    """

    def __init__(
        self,
        executor: Source,
        *,
        max_workers: int | None = None,
        crosses_processes: bool | None = None,
        deliver_each: bool = False,
    ) -> None:
        if not isinstance(executor, Executor) and not callable(executor):
            raise RunnerError(f"ExecutorRunner cannot use {executor!r}; give an Executor, or a function that makes one")
        if max_workers is not None and not is_count(max_workers):
            raise RunnerError(f"ExecutorRunner cannot use max_workers={max_workers!r}; it takes a number from 1")
        self._source: Source = executor
        self._max_workers: int | None = max_workers
        self._deliver_each: bool = deliver_each
        self._crossing: bool | None = crosses_processes
        self.crosses_processes: bool = not is_thread_pool(executor) if crosses_processes is None else crosses_processes
        self._held: Supply | None = None
        self._clear()

    def _clear(self) -> None:
        self._pid = os.getpid()
        self._lock: threading.Lock = threading.Lock()  # guards the two below
        self._holders: int = 0
        self._elsewhere: Supply | None = self._held  # kept: an executor that is collected calls what it does not have
        self._held = None

    def _notice_fork(self) -> None:
        """In a forked child: what is held has its threads and workers in the parent."""
        if self._pid != os.getpid():
            self._clear()

    @property
    def workers(self) -> int:
        """How many inputs are worked on at the same time, at most, as far as the executor tells."""
        return self._max_workers or size_of(self._source) or os.cpu_count() or 1

    def stream(self, func: Callable[[T], R], inputs: Iterable[T]) -> Iterator[tuple[int, Result[R, Crash]]]:
        """Yield ``(position, result)`` for every input as it finishes.

        Closing the stream cancels what has not begun and waits for what has.
        Raises ``RunnerError`` at once if ``func`` has to be pickled and cannot be.
        """
        return self._on_executor(func, inputs, None)

    def ticking(
        self, func: Callable[[T], R], inputs: Iterable[T], every_s: float
    ) -> Iterator[tuple[int, Result[R, Crash]] | None]:
        """``stream`` with a turn for the consumer, as ``None``, when nothing has finished for ``every_s`` seconds."""
        return self._on_executor(func, inputs, every_s)

    def _on_executor(self, func: Callable[[Any], Any], inputs: Iterable[Any], every_s: float | None) -> Iterator[Any]:
        if not self.crosses_processes:
            return self._stream(_InThreads, InPlace(), func, inputs, every_s)
        check_guard()
        wire = Pickled(dumps_for(self._source))
        return self._stream(_InProcesses, wire, pickle_function(func, wire.dumps), inputs, every_s)

    def _stream(
        self, fleet: type[_Fleet], wire: Wire, function: Any, inputs: Iterable[Any], every_s: float | None
    ) -> Iterator[Any]:
        self._notice_fork()
        supply = self._held or Supply(self._source)
        chunk_s = 0.0 if self._deliver_each else CHUNK_S
        owned = supply is not self._held
        with Window(fleet(supply, wire, function, self.workers, chunk_s, owned), inputs) as window:
            yield from window.results(every_s)

    def dumps(self, value: object) -> bytes:
        """``value`` as it travels: with loky, what a script defines crosses by value."""
        return dumps_for(self._source)(value)

    def __enter__(self) -> Self:
        """Keep one executor from here on until the outermost ``with`` ends."""
        self._notice_fork()
        with self._lock:
            self._holders += 1
            self._held = self._held or Supply(self._source)
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc_info: object) -> None:
        """The outermost one shuts the executor down; when a signal ends it, in a hurry."""
        self._notice_fork()
        with self._lock:
            if not self._holders:  # it was entered in the parent
                return
            self._holders -= 1
            leaving = None if self._holders else self._held
            if leaving:
                self._held = None
        if leaving:
            leaving.close(in_a_hurry=tells_to_end(kind))

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, self._settings()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ExecutorRunner) and self._settings() == other._settings()

    def __hash__(self) -> int:
        return hash(self._settings())

    def __repr__(self) -> str:
        name = type(self._source).__name__ if isinstance(self._source, Executor) else name_of(self._source)
        return f"ExecutorRunner({name}, max_workers={self.workers})"

    def _settings(self) -> tuple[Source, int | None, bool | None, bool]:
        return self._source, self._max_workers, self._crossing, self._deliver_each


def _rebuild(source: Source, max_workers: int | None, crossing: bool | None, deliver_each: bool) -> ExecutorRunner:
    return ExecutorRunner(source, max_workers=max_workers, crosses_processes=crossing, deliver_each=deliver_each)


class _Fleet(ABC):
    """One stream's part of an executor; ``Fleet`` in ``window`` says what each method is for."""

    def __init__(self, supply: Supply, wire: Wire, function: Any, workers: int, chunk_s: float, owned: bool) -> None:
        self.supply: Supply = supply
        self.wire: Wire = wire
        self.function: Any = function
        self.workers: int = workers
        self.chunk_s: float = chunk_s
        self.owned: bool = owned
        self.executor: Executor | None = None

    def submit(self, values: list[Any], budget_s: float) -> Future:
        executor = self.executor = self.supply.executor()
        try:
            future = executor.submit(*self.call(values, budget_s))
            if getattr(executor, "_broken", False):
                end_forsaken(executor)
            return future
        except BrokenExecutor as error:
            if not self.supply.makes:
                raise self.gone(error) from error
            self.supply.drop(executor)
            raise FleetLost(str(error)) from error
        except RuntimeError as error:
            raise RunnerError(f"{type(executor).__name__} takes no more work: {error}") from error

    @abstractmethod
    def call(self, values: list[Any], budget_s: float) -> tuple[Any, ...]:
        """Function and arguments of the call that works on one chunk."""

    def judge(self, error: BaseException) -> Loss:
        if isinstance(error, CancelledError):
            return "cancelled"
        if not isinstance(error, BrokenExecutor):
            return "own"
        if not self.supply.makes:
            return "final"
        if self.executor is not None:
            self.supply.drop(self.executor)
        return "shared"

    def gone(self, error: BaseException) -> RunnerError:
        return RunnerError(
            f"the executor has broken: {error}; give ExecutorRunner a function that makes executors, "
            "such as partial(ProcessPoolExecutor, 4), and another one takes over"
        )

    def runs_here(self) -> bool:
        return self.executor is not None and is_thread_of(self.executor)

    def release(self, futures: list[Any], in_a_hurry: bool) -> None:
        if self.executor is not None and is_thread_of(self.executor):
            self._release_in_its_thread(self.executor, futures)
            return
        if self.owned and in_a_hurry and self.supply.makes:
            # Its workers are killed now. Until Python 3.12 the thread of a broken pool trips over a cancelled future.
            self.supply.close(in_a_hurry)
            return
        running = [future for future in futures if not future.cancel()]
        if self.owned:
            self.supply.close()
        elif not in_a_hurry:
            wait(running)

    def _release_in_its_thread(self, executor: Executor, futures: list[Any]) -> None:
        """The thread of a pool may be the one that collects a stream that was left alone, and must go on."""
        for future in futures:
            future.cancel()
        if self.owned:
            self.supply.drop(executor)


class _InThreads(_Fleet):
    """Workers are threads: every chunk sees the caller's contextvars, in a copy of its own."""

    def __init__(self, *settings: Any) -> None:
        super().__init__(*settings)
        self.context: Context = copy_context()

        self.at_work: set[int] = set()  # idents of its threads: one may collect a stream that was left alone

    def call(self, values: list[Any], budget_s: float) -> tuple[Any, ...]:
        return self.context.copy().run, self.work, values, budget_s

    def work(self, values: list[Any], budget_s: float) -> Report | NotLoaded:
        self.at_work.add(threading.get_ident())
        try:
            return work_on(self.wire, self.function, values, budget_s)
        finally:
            self.at_work.discard(threading.get_ident())

    def runs_here(self) -> bool:
        return threading.get_ident() in self.at_work

    def release(self, futures: list[Any], in_a_hurry: bool) -> None:
        for future in futures:
            future.cancel()
        super().release(futures, in_a_hurry or self.runs_here())


class _InProcesses(_Fleet):
    """Workers are elsewhere, and everything that travels pickles."""

    def call(self, values: list[Any], budget_s: float) -> tuple[Any, ...]:
        return _work_apart, os.getpid(), self.wire, self.function, values, budget_s


def _work_apart(parent: int, wire: Wire, function: Any, values: list[Any], budget_s: float) -> Report | NotLoaded:
    """``work_on`` in a worker process, which leaves Ctrl-C to the caller: it reaches both when typed at a terminal.

    SIGTERM is how its pool ends it, and must not come to a handler that was the caller's when the worker was forked.
    """
    if os.getpid() != parent and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    return work_on(wire, function, values, budget_s)

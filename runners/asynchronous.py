"""Many coroutines at a time, in one event loop."""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, ClassVar, Self, TypeVar

from returns.result import Result

from runners.daemons import DaemonThreads
from runners.errors import RunnerError, is_count, tells_to_end
from runners.flight import Answer, Flight
from runners.protocol import Crash, Runner, check_loop, to_the_end
from runners.streaming import NOTICE_S, StreamRunner
from runners.thread import ThreadRunner

T = TypeVar("T")
R = TypeVar("R")


class AsyncRunner(StreamRunner):
    """Awaits a coroutine function for up to ``max_concurrency`` inputs at a time.

    ``run`` and ``stream`` have an event loop of their own in a background thread,
    so they work wherever they are called, also while a loop is running in the caller's thread.
    ``astream`` uses the running loop. Any other function runs in up to ``max_concurrency`` threads.
    Nothing is pickled; every input has its own copy of the caller's contextvars.
    Closing a stream cancels what is in flight; an input whose own task is cancelled ends with kind ``cancelled``.
    ``with runner:`` keeps the loop between runs, and so what is bound to it, such as an HTTP client.

    >>> async def parse(text):
    ...     return int(text)
    >>> runner = AsyncRunner(max_concurrency=10)
    >>> runner.run(parse, ["1", "2"])
    [1, 2]
    >>> dict(runner.stream(parse, ["1", "two"]))[1].failure().exception
    'ValueError'
    """

    awaits: ClassVar[bool] = True
    ends_calls: ClassVar[bool] = True

    def __init__(self, max_concurrency: int = 100) -> None:
        if not is_count(max_concurrency):
            raise RunnerError(f"AsyncRunner cannot use max_concurrency={max_concurrency!r}; it takes a number from 1")
        self._max_concurrency = max_concurrency
        self._loop = _LoopThread()
        self._threads = ThreadRunner(max_concurrency)

    @property
    def workers(self) -> int:
        """How many inputs are worked on at the same time, at most."""
        return self._max_concurrency

    def stream(self, func: Callable[[T], R], inputs: Iterable[T]) -> Iterator[tuple[int, Result[R, Crash]]]:
        """Yield ``(position, result)`` for every input as it finishes; closing it cancels what is in flight."""
        if not is_coroutine_function(func):
            return self._threads.stream(_Plain(func), inputs)
        return self._stream(func, inputs)

    def ticking(
        self, func: Callable[[T], R], inputs: Iterable[T], every_s: float
    ) -> Iterator[tuple[int, Result[R, Crash]] | None]:
        """``stream`` with a turn for the consumer, as ``None``, when nothing has finished for ``every_s`` seconds."""
        if not is_coroutine_function(func):
            return self._threads.ticking(_Plain(func), inputs, every_s)
        return self._stream(func, inputs, every_s)

    def on_this_loop(self) -> Runner:
        """The same runner, but ``stream`` awaits in the event loop that is running here, and is for other threads."""
        bound = AsyncRunner(self._max_concurrency)
        bound._loop = _GivenLoop(asyncio.get_running_loop())
        return bound

    async def astream(
        self, func: Callable[[T], Any], inputs: Iterable[T]
    ) -> AsyncIterator[tuple[int, Result[Any, Crash]]]:
        """``stream`` in the running event loop; cancelling the consumer cancels what is in flight."""
        if not is_coroutine_function(func):
            async for plain_answer in self._threads.astream(_Plain(func), inputs):
                yield plain_answer
            return
        check_loop()
        answers: asyncio.Queue[Answer | None] = asyncio.Queue()
        flight = Flight(asyncio.get_running_loop(), func, inputs, self._max_concurrency, answers.put_nowait)
        flight.take_off()
        try:
            while (answer := await answers.get()) is not None:
                flight.taken()
                yield answer
        finally:
            if not flight.landed:
                flight.close()
                await to_the_end(_ended(flight, answers))
            flight.feeder.join()
        if flight.error is not None:
            raise flight.error

    def _stream(self, func: Callable[[Any], Any], inputs: Iterable[Any], every_s: float | None = None) -> Iterator[Any]:
        answers: SimpleQueue[Answer | None] = SimpleQueue()
        with self._loop.running() as loop:
            flight = Flight(loop, func, inputs, self._max_concurrency, answers.put)
            with _waited_for(flight, answers):
                while (answer := _next_of(answers, every_s)) is not None:
                    if answer is _NOTHING:
                        yield None
                        continue
                    flight.taken()
                    yield answer
        if flight.error is not None:
            raise flight.error

    def __enter__(self) -> Self:
        self._loop.enter()
        self._threads.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc_info: object) -> None:
        self._threads.__exit__(kind, *exc_info)
        self._loop.leave()

    def __reduce__(self) -> tuple[type[AsyncRunner], tuple[int]]:
        return AsyncRunner, (self._max_concurrency,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AsyncRunner) and self._max_concurrency == other._max_concurrency

    def __hash__(self) -> int:
        return hash((AsyncRunner, self._max_concurrency))

    def __repr__(self) -> str:
        return f"AsyncRunner(max_concurrency={self._max_concurrency})"


def is_coroutine_function(func: Callable[..., Any]) -> bool:
    """Return whether a call of ``func`` is to be awaited; partials and objects with an async ``__call__`` count.

    >>> class Fetch:
    ...     async def __call__(self, url): ...
    >>> is_coroutine_function(partial(Fetch(), "/")), is_coroutine_function(len)
    (True, False)
    """
    while isinstance(func, partial):
        func = func.func
    return inspect.iscoroutinefunction(func) or inspect.iscoroutinefunction(getattr(func, "__call__", None))  # noqa: B004


class _Plain:
    """``func``, which must not turn out to return a coroutine: in its thread, nobody would await that."""

    def __init__(self, func: Callable[[Any], Any]) -> None:
        self.func = func

    def __call__(self, value: Any) -> Any:
        result = self.func(value)
        if inspect.iscoroutine(result):
            result.close()
            raise TypeError(f"{self.func!r} returned a coroutine; give AsyncRunner the coroutine function itself")
        return result


@contextmanager
def _waited_for(flight: Flight, answers: SimpleQueue[Answer | None]) -> Generator[None]:
    """Cancel what is in flight at the end, and wait for that; but not if a signal ends it, for that may never end.

    A forked copy of the process has neither the loop's thread nor the feeder's.
    """
    process = os.getpid()
    flight.take_off()
    try:
        yield
    except BaseException as error:
        if process != os.getpid():
            raise
        if not flight.landed:
            flight.close()
            # A stream that was left alone may be collected in a thread of its own, which must go on for it to end.
            if tells_to_end(type(error)) or _runs_here(flight.loop) or threading.current_thread() is flight.feeder:
                raise
            while answers.get() is not None:
                pass
        flight.feeder.join()
        raise
    flight.feeder.join()


def _runs_here(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False


async def _ended(flight: Flight, answers: asyncio.Queue[Answer | None]) -> None:
    while await answers.get() is not None:
        pass
    await asyncio.to_thread(flight.feeder.join)  # the source may take its time, but not the loop's


_NOTHING: Any = object()


def _next_of(answers: SimpleQueue[Answer | None], every_s: float | None) -> Any:
    while True:
        try:
            return answers.get(timeout=every_s or NOTICE_S)
        except Empty:
            if every_s is not None:
                return _NOTHING


class _LoopThread:
    """An event loop in a thread, there while somebody holds it."""

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.RLock()  # guards all below; an abandoned stream that is collected under it leaves
        self._holders = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._daemons: DaemonThreads | None = None

    @contextmanager
    def running(self) -> Generator[asyncio.AbstractEventLoop]:
        # A coroutine of this very loop that calls the runner blocks the loop: it must wait for another one.
        holder = _LoopThread() if self._thread is threading.current_thread() else self
        loop = holder.enter()
        try:
            yield loop
        except (KeyboardInterrupt, SystemExit):
            holder.hurry()
            raise
        finally:
            holder.leave()

    def hurry(self) -> None:
        """Told to end by a signal, do not wait for what may never finish: the threads are daemons."""
        if self._daemons is not None:
            self._daemons.hurried = True

    def enter(self) -> asyncio.AbstractEventLoop:
        if self._pid != os.getpid():  # a forked child has the loop, but not its thread
            self._clear()
        with self._lock:
            self._holders += 1
            if self._loop is None:
                ready: SimpleQueue[asyncio.AbstractEventLoop] = SimpleQueue()
                self._daemons = DaemonThreads("AsyncRunner")
                run_loop = partial(_run_loop, ready, self._daemons)
                self._thread = threading.Thread(target=run_loop, name="AsyncRunner", daemon=True)
                self._thread.start()
                self._loop = ready.get()
            return self._loop

    def leave(self) -> None:
        if self._pid != os.getpid():
            return
        with self._lock:
            self._holders -= 1 if self._holders else 0  # a forked child may leave what its parent entered
            if self._holders or self._loop is None or self._thread is None:
                return
            loop, thread, daemons = self._loop, self._thread, self._daemons
            self._loop = self._thread = self._daemons = None
        if daemons is not None and daemons.runs_here():  # it collects a stream that was left alone, and must go on
            daemons.hurried = True
        loop.call_soon_threadsafe(loop.stop)
        if thread is not threading.current_thread() and (daemons is None or not daemons.hurried):
            thread.join()


class _GivenLoop(_LoopThread):
    """An event loop that somebody else runs."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._given = loop

    def enter(self) -> asyncio.AbstractEventLoop:
        return self._given

    def leave(self) -> None:
        """Nothing: it is not ours to stop."""


def _run_loop(ready: SimpleQueue[asyncio.AbstractEventLoop], daemons: DaemonThreads) -> None:
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        loop.set_default_executor(daemons)
        ready.put(loop)
        loop.run_forever()

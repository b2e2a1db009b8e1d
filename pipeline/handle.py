"""A run that was started and goes on in the background: look at it, cancel it, wait for its result."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from math import inf
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic, perf_counter
from types import TracebackType
from typing import Any, Generic, Self

import msgspec
from typing_extensions import TypeVar

from pipeline.errors import RunInterrupted, StopNow
from pipeline.interrupts import asking_to_stop
from pipeline.leaving import LEFT, leave
from pipeline.result import ProcessingResult
from pipeline.run import RunInProgress

NOTICE_S = 0.5
"""How long ``result`` waits at a time, in seconds."""

T_co = TypeVar("T_co", covariant=True, default=Any)
R_co = TypeVar("R_co", covariant=True, default=Any)


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a run is. ``done`` of ``total`` inputs have their outcome; the others wait or are in flight.

    ``elapsed_s`` is in seconds since the start, up to the end. ``stopped`` says why the run ends early, if it does.
    """

    run_id: str
    total: int
    done: int
    succeeded: int
    skipped: int
    failed: int
    not_run: int
    elapsed_s: float
    stopped: str | None = None
    finished: bool = False


class RunHandle(Generic[T_co, R_co]):
    """A run in progress, as ``Processor.start`` gives it. Every method may be called from any thread.

    As a context manager it waits at the end of the block; an exception in the block cancels the run.

    >>> from pipeline import Processor, step, to_inputs
    >>> processor = Processor(pipeline=step("parse")(int))
    >>> with processor.start(to_inputs(["1", "two"])) as run:
    ...     result = run.result(timeout=60)
    >>> result.success, run.progress().done, run.progress().failed
    (False, 2, 1)
    """

    def __init__(self, work: Callable[[RunInProgress], ProcessingResult[T_co, R_co]]) -> None:
        self._run: RunInProgress
        self._work = work
        self._has_ended: bool = False  # set after all below is written
        self._bell: SimpleQueue[None] = SimpleQueue()  # rings then: a signal's handler may leave an event's lock taken
        self._result: ProcessingResult[T_co, R_co] | None = None
        self._error: BaseException | None = None
        self._elapsed_s: float | None = None
        self._raised = False
        self._whose: SimpleQueue[None] = SimpleQueue()
        self._whose.put(None)

    def _goes_on_in_a_thread(self, run: RunInProgress) -> None:
        self._run = run
        context, answers = copy_context(), SimpleQueue[BaseException | None]()
        # Not a daemon: a program that ends without waiting still finishes its batch.
        thread = Thread(target=lambda: context.run(self._to_the_end), name=f"run {self.run_id}", daemon=False)
        Thread(target=_start, args=(thread, answers), daemon=True).start()
        refused = answers.get()
        if refused is not None:
            raise refused

    def _is_ours(self) -> bool:
        """Whether the run is for who asks first, the thread or whoever could not start it, to leave."""
        try:
            self._whose.get_nowait()
        except Empty:
            return False
        return True

    @property
    def run_id(self) -> str:
        """The identifier of the run."""
        return self._run.context.run_id or ""

    def progress(self) -> Progress:
        """How far the run is now."""
        run, finished = self._run, self._has_ended
        counts = dict(run.meter.counts)
        elapsed_s = self._elapsed_s
        return Progress(
            run_id=self.run_id,
            total=run.total or 0,
            done=sum(counts.values()),
            **counts,
            elapsed_s=perf_counter() - run.began if elapsed_s is None else elapsed_s,
            stopped=run.stopped,
            finished=finished,
        )

    def cancel(self, reason: str = "cancelled") -> None:
        """Dispatch no more inputs; what is in flight finishes, the rest is ``NotRun`` with this reason.

        Returns at once. The result is as of any run that ended early: ``retry`` goes on with it.
        """
        if not self._has_ended:
            self._run.stop(reason)

    def result(self, timeout: float | None = None) -> ProcessingResult[T_co, R_co]:
        """Wait for the end and return the result, or raise what ``execute`` would have raised.

        ``TimeoutError`` when the run is not over after ``timeout`` seconds; it goes on, ask again.
        Ctrl-C and SIGTERM while the main thread waits here stop the run as they stop ``execute``.
        """
        try:
            with asking_to_stop(self._run.interrupt):
                if not self._has_ended_within(timeout):
                    raise TimeoutError(f"run {self.run_id} is still in progress after {timeout} s; it goes on")
        except StopNow as signalled:
            raise RunInterrupted(f"{signalled}; what was in flight is not waited for") from None
        self._raised = True
        if self._error is not None:
            raise self._error
        assert self._result is not None  # noqa: S101 - an ended run has one or the other
        return self._result

    def _has_ended_within(self, timeout: float | None) -> bool:
        """Waits a little at a time: a signal that comes just before a wait begins is handled only after it."""
        until = inf if timeout is None else monotonic() + timeout
        while not self._has_ended:
            if monotonic() > until:
                return False
            with suppress(Empty):
                self._bell.get(timeout=min(NOTICE_S, max(0.0, until - monotonic())))
                self._bell.put(None)  # for others who wait
        return True

    def _to_the_end(self) -> None:
        if not self._is_ours():
            return
        try:
            try:
                self._result = self._work(self._run)
            finally:
                leave(self._run)
        except BaseException as error:  # noqa: BLE001 - whoever asks for the result gets it
            self._error = error
        self._elapsed_s = perf_counter() - self._run.began
        self._has_ended = True
        self._bell.put(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            self.cancel(f"cancelled by {kind.__name__}")
            self._has_ended_within(None)
        elif not self._raised:
            self.result()

    def __repr__(self) -> str:
        at = self.progress()
        state = "finished" if at.finished else at.stopped or "in progress"
        return f"<RunHandle {self.run_id}: {state}, {at.done} of {at.total} done>"


def started(
    begin: Callable[[], RunInProgress], work: Callable[[RunInProgress], ProcessingResult[T_co, R_co]]
) -> RunHandle[T_co, R_co]:
    """A run that ``begin`` gives, and that ``work`` brings to its end in a thread of its own."""
    handle = RunHandle(work)
    run = begin()
    try:  # nothing is called in between, where a signal's handler could raise: a run that began is left
        handle._goes_on_in_a_thread(run)  # pyright: ignore[reportPrivateUsage]
        return handle
    except BaseException:
        run.stop(LEFT)
        if handle._is_ours():  # pyright: ignore[reportPrivateUsage]
            leave(run)
        raise


def _start(thread: Thread, answers: SimpleQueue[BaseException | None]) -> None:
    """Start a thread from one in which no signal's handler raises: then the new one could wait for ever to begin."""
    try:
        thread.start()
    except BaseException as error:  # noqa: BLE001 - such as: the system gives no more threads
        answers.put(error)
    else:
        answers.put(None)

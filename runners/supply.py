"""Where an executor comes from, what can be known of it, and how another takes its place."""

from __future__ import annotations

import atexit
import os
import pickle
import signal
import threading
from collections.abc import Callable
from concurrent.futures import (
    BrokenExecutor,
    Executor,
    Future,
    InvalidStateError,
    ThreadPoolExecutor,
)
from contextlib import suppress
from functools import partial
from typing import Any, TypeAlias

from runners.byvalue import dumped_by
from runners.errors import RunnerError

TIDY_S = 2.0
"""How long a pool whose workers were killed is waited for, in seconds."""
FORSAKEN_S = 5.0
"""Seconds that the thread of a broken pool has to tell all whom it knows."""

Source: TypeAlias = "Executor | Callable[[], Executor]"


class Supply:
    """The executor that is in use, and another one when it has broken, if it came from a function."""

    def __init__(self, source: Source) -> None:
        self.makes: bool = not isinstance(source, Executor)
        self._source = source
        self._lock = threading.Lock()  # guards the one below
        self._executor: Executor | None = None

    def executor(self) -> Executor:
        """The one in use; made when it is first asked for."""
        with self._lock:
            if self._executor is None:
                executor: Any = self._source if isinstance(self._source, Executor) else self._source()
                if not isinstance(executor, Executor):
                    raise RunnerError(
                        f"{name_of(self._source)} of ExecutorRunner made {executor!r}, which is no Executor"
                    )
                _check_interpreters(executor)
                _check_threads(executor)
                self._executor = executor
            return self._executor

    def drop(self, broken: Executor) -> None:
        """It is not to be used again; several may say so of the same one."""
        with self._lock:
            if not self.makes or self._executor is not broken:
                return
            self._executor = None
        broken.shutdown(wait=False)

    def close(self, in_a_hurry: bool = False) -> None:
        """Shut it down, if a function made it; in a hurry, its processes are killed and nobody waits."""
        with self._lock:
            executor, self._executor = self._executor, None
        if executor is None or not self.makes:
            return
        if in_a_hurry:
            _end_now(executor)
        else:
            _shut_down(executor)


def is_thread_pool(source: Source) -> bool:
    """Whether its workers share objects with this thread, as far as that can be known before it is made."""
    made = _unwrapped(source)
    kind: Any = type(made) if isinstance(made, Executor) else made
    is_threads = isinstance(kind, type) and issubclass(kind, ThreadPoolExecutor)
    return is_threads and not _has_interpreters(kind)


def _has_interpreters(kind: Any) -> bool:
    """Its workers are threads that share no objects; it is there from Python 3.14 on."""
    return any(base.__module__ == "concurrent.futures.interpreter" for base in kind.__mro__)


def _check_interpreters(executor: Executor) -> None:
    """Not every compiled module loads in an interpreter that is not the first: found out before work is sent."""
    if not _has_interpreters(type(executor)):
        return
    try:
        executor.submit(exec, "import runners.executor").result()
    except Exception as error:
        raise RunnerError(
            f"the interpreters of {type(executor).__name__} cannot import what a worker needs: {error}; "
            "use ProcessRunner, or ThreadRunner on a Python without a global lock"
        ) from error


def _check_threads(executor: Any) -> None:
    """A forked child has a copy of the executor, and none of the threads that would work or see to the workers."""
    if not isinstance(executor, ThreadPoolExecutor) and not hasattr(executor, "_executor_manager_thread"):
        return
    threads = [getattr(executor, "_executor_manager_thread", None), *getattr(executor, "_threads", ())]
    begun = [thread for thread in threads if thread is not None]
    flags = getattr(executor, "_flags", None)  # loky's
    is_over = any(getattr(executor, name, False) for name in ("_broken", "_shutdown", "_shutdown_thread"))
    is_over = is_over or any(getattr(flags, name, False) for name in ("broken", "shutdown"))
    if begun and not is_over and not any(thread.is_alive() for thread in begun):
        raise RunnerError(
            f"{type(executor).__name__} has its threads in another process, of which this one was forked; "
            "give ExecutorRunner a function that makes a new executor, and this process has its own"
        )


def size_of(source: Any) -> int | None:
    """How many workers it has, where it tells."""
    given = source.keywords.get("max_workers", next(iter(source.args), None)) if _is_partial(source) else None
    size = getattr(source, "_max_workers", given)
    return size if isinstance(size, int) else None


def dumps_for(source: Source) -> Callable[[Any], bytes]:
    """How values are pickled for its workers."""
    made = _unwrapped(source)
    if (type(made) if isinstance(made, Executor) else made).__module__.startswith("loky"):
        return dumps_by_value
    return pickle.dumps


def dumps_by_value(value: object) -> bytes:
    """Pickling for workers that do not import the script they work for; loky and Dask bring what it needs."""
    from cloudpickle import Pickler  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

    return dumped_by(Pickler, value)


def name_of(source: Any) -> str:
    """What to call it."""
    made = _unwrapped(source)
    return getattr(made, "__qualname__", None) or repr(made)


def _unwrapped(source: Any) -> Any:
    return _unwrapped(source.func) if _is_partial(source) else source


def _is_partial(source: Any) -> bool:
    return isinstance(source, partial)


def is_thread_of(executor: Executor) -> bool:
    """Whether this is the thread in which a pool sees to its processes."""
    return threading.current_thread() is getattr(executor, "_executor_manager_thread", None)


def end_forsaken(executor: Any) -> None:
    """End the futures that nobody will: until Python 3.12 a pool of processes may break in the midst of a ``submit``.

    Its thread has told all whom it knew by then, or tripped over the one that came.
    """
    thread = getattr(executor, "_executor_manager_thread", None)
    if thread is not None:
        thread.join(FORSAKEN_S)
    pending: dict[Any, Any] = getattr(executor, "_pending_work_items", None) or {}
    for item in [*pending.values()]:
        with suppress(InvalidStateError):
            item.future.set_exception(BrokenExecutor(str(executor._broken)))


# Those whose workers are being waited for. An interpreter that ends all the same must not wait for them again.
_closing: list[Executor] = []


def _shut_down(executor: Executor) -> None:
    """Wait for its workers; but not if a signal breaks that off, for they may be on what never ends."""
    _closing.append(executor)
    try:
        executor.shutdown()
    except (KeyboardInterrupt, SystemExit):
        _end_now(executor)
        raise
    finally:
        _closing.remove(executor)


def _end_now(executor: Executor) -> None:
    """Kill the workers of a process pool, for which it has no method before Python 3.14.

    Its thread then has little to do, and is waited for: Python would end in the midst of that, with a traceback.
    """
    processes: dict[int, Any] = getattr(executor, "_processes", None) or {}
    thread: threading.Thread | None = getattr(executor, "_executor_manager_thread", None)
    _replace_cancelled(executor)
    for process in list(processes.values()):
        _kill(process)
    executor.shutdown(wait=False)
    if thread is not None and thread.is_alive() and processes:
        thread.join(TIDY_S)


def _replace_cancelled(executor: Executor) -> None:
    """Until Python 3.12 the thread of a pool whose workers are killed trips over a future that was cancelled."""
    pending: dict[int, Any] = getattr(executor, "_pending_work_items", None) or {}
    for item in list(pending.values()):
        if item.future.cancelled():
            item.future = _Unwanted()


class _Unwanted(Future[Any]):
    """Nobody waits for it, and its call does not begin."""

    def set_running_or_notify_cancel(self) -> bool:
        return False


def _kill(process: Any) -> None:
    try:
        process.kill()
    except AttributeError:  # one of loky's, which can only be asked to end
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)


@atexit.register
def _end_those_that_close() -> None:
    for executor in _closing:
        _end_now(executor)


os.register_at_fork(after_in_child=_closing.clear)

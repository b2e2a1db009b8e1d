"""Starting a worker's process: by fork, by a fork server, or by a fresh interpreter.

Which one, where the user leaves it to us: a fork copies the locks that other threads hold at that moment,
and nobody will release the copies. So we fork only where this process has exactly one thread; that is fast and safe.
Elsewhere a fork server, which has no threads, does it for us. ``spawn`` is never needed, but may be asked for.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import DupFd
from pathlib import Path
from socket import socket
from typing import Any, Literal

from runners.pool import worker
from runners.pool.bounds import HELD_BACK
from runners.pool.slot import open_slot
from runners.pool.unguarded import WORKER, check_guard

_ROOM = 16
"""More descriptors than starting a process takes."""

_PRELOADED = "runners.pool.served"

StartMethod = Literal["fork", "forkserver", "spawn"]


def default_start_method() -> StartMethod:
    """``fork`` where this process has a single thread, else ``forkserver``."""
    return "fork" if sys.platform == "linux" and count_threads() == 1 else "forkserver"


def count_threads() -> int:
    """Threads of this process, including those that Python did not start.

    A thread that says ``forks_safely`` holds nothing while a process is forked, and is not counted.
    """
    safe = sum(bool(getattr(thread, "forks_safely", False)) for thread in threading.enumerate())
    return sum(1 for _ in Path("/proc/self/task").iterdir()) - safe


class _Descriptor:
    """A file descriptor that arrives in the new process, however that is started."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __reduce__(self) -> tuple[Any, ...]:
        return _received, (DupFd(self.number),)


def _received(duplicate: Any) -> _Descriptor:
    return _Descriptor(duplicate.detach())


def start_process(
    method: StartMethod, settings: worker.Settings, sock: int, slot: int, parent: int, hangup: int
) -> BaseProcess:
    """Start a worker with these file descriptors, which stay open here."""
    context: BaseContext = multiprocessing.get_context(method)
    descriptors = [_Descriptor(number) for number in (sock, slot, parent, hangup)]
    make_process: Callable[..., BaseProcess] = getattr(context, "Process")  # noqa: B009 - absent from the type's stub
    process = make_process(target=_serve, args=(settings, *descriptors), name=WORKER)
    check_guard()
    _check_room()
    if method != "fork":
        resource_tracker.ensure_running()  # it would let signals through again
    if method == "forkserver":
        _ensure_fork_server()
    with _main_that_can_be_found(), _signals_held_back(), warnings.catch_warnings():
        if count_threads() == 1:  # Python warns of threads that fork safely, too
            warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
        process.start()
    return process


def _ensure_fork_server() -> None:
    server: Any = getattr(forkserver, "_forkserver", None)
    modules = getattr(server, "_preload_modules", ["__main__"])
    if getattr(server, "_forkserver_pid", None) is None and _PRELOADED not in modules:
        multiprocessing.set_forkserver_preload([*modules, _PRELOADED])
    with _signals_held_back():
        forkserver.ensure_running()


@contextmanager
def _signals_held_back() -> Generator[None, None, None]:
    """A signal to the whole group must not hit a process that does not know yet what to do about it.

    Nor may a handler raise here in the midst of a fork: Python drops what is raised there, and a lock that is taken
    for the fork may stay taken. Where another thread gets the signal, no mask helps: it is noted, and sent again.
    """
    noted: list[int] = []
    with ExitStack() as afterwards:  # each of these is done, whatever a handler raises meanwhile
        afterwards.callback(_send, noted)
        before = signal.pthread_sigmask(signal.SIG_BLOCK, HELD_BACK)
        afterwards.callback(signal.pthread_sigmask, signal.SIG_SETMASK, before)
        if threading.current_thread() is threading.main_thread():
            for number in HELD_BACK:
                _note_instead(number, noted, afterwards)
        yield


def _send(numbers: list[int]) -> None:
    for number in numbers:
        signal.raise_signal(number)


def _note_instead(number: signal.Signals, noted: list[int], afterwards: ExitStack) -> None:
    handler = signal.getsignal(number)
    if callable(handler):
        afterwards.callback(signal.signal, number, handler)
        signal.signal(number, lambda number, _frame: noted.append(number))


def _check_room() -> None:
    """Fail before ``multiprocessing`` begins: when descriptors run out half way, it leaves open what it has opened."""
    taken: list[int] = []
    try:
        taken.extend(os.pidfd_open(os.getpid()) for _ in range(_ROOM))
    finally:
        for number in taken:
            os.close(number)


def _serve(settings: worker.Settings, *descriptors: _Descriptor) -> None:
    sock, slot, parent, hangup = (descriptor.number for descriptor in descriptors)
    worker.main(settings, socket(fileno=sock), open_slot(slot), parent, hangup)


def _forget_fork_server() -> None:
    """A forked process inherits Python's note of a fork server that is its parent's child, and then waits for it.

    It inherits the locks of both helpers as well, which another thread may have held.
    """
    server: Any = getattr(forkserver, "_forkserver", None)
    tracker: Any = getattr(resource_tracker, "_resource_tracker", None)
    for helper, new_lock in ((server, threading.Lock), (tracker, threading.RLock)):
        if hasattr(helper, "_lock"):
            helper._lock = new_lock()
    if getattr(server, "_forkserver_pid", None) is not None:
        modules = server._preload_modules
        os.close(server._forkserver_alive_fd)
        server.__init__()
        server.set_forkserver_preload(modules)


os.register_at_fork(after_in_child=_forget_fork_server)


@contextmanager
def _main_that_can_be_found() -> Generator[None, None, None]:
    """Hide a ``__main__.__file__`` that does not exist, such as ``<stdin>``, from those who would open it."""
    main = sys.modules.get("__main__")
    file = getattr(main, "__file__", None)
    if main is None or file is None or Path(file).exists():
        yield
        return
    del main.__file__
    try:
        yield
    finally:
        main.__file__ = file

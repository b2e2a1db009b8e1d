"""Ways in which one input can ruin a worker, importable by workers that did not inherit them."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn


class Faulty:
    """Squares its input, save those in ``on``: there it does what ``fault`` does."""

    def __init__(self, fault: Callable[[], Any], on: frozenset[int] = frozenset({7})) -> None:
        self.fault = fault
        self.on = on

    def __call__(self, value: int) -> Any:
        return self.fault() if value in self.on else value * value


def square(value: int) -> int:
    return value * value


def identity(value: Any) -> Any:
    return value


def kill_itself() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("a killed process does not go on")


def segfault() -> None:
    signal.signal(signal.SIGSEGV, signal.SIG_DFL)
    ctypes.string_at(0)


def exit_at_once() -> NoReturn:
    os._exit(3)


def exit_politely() -> NoReturn:
    sys.exit(4)


def interrupt() -> NoReturn:
    raise KeyboardInterrupt("from inside")


class Strange(BaseException):
    """Not an Exception."""


def raise_strange() -> NoReturn:
    raise Strange("odd")


def raise_memory_error() -> NoReturn:
    raise MemoryError("none left")


def recurse() -> None:
    recurse()


def hang() -> NoReturn:
    while True:
        time.sleep(0.5)


def hang_busily() -> NoReturn:
    while True:
        pass


def hang_deaf() -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    hang()


def hang_stopped() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def return_unpicklable() -> object:
    return threading.Lock()


class Poison:
    """Pickles, but does not unpickle."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _refuse, ()


def _refuse() -> NoReturn:
    raise ValueError("this is poison")


def return_poison() -> Poison:
    return Poison()


class PoisonousExit:
    """Unpickling it would end the process."""

    def __reduce__(self) -> tuple[Any, ...]:
        return sys.exit, (9,)


def return_exit() -> PoisonousExit:
    return PoisonousExit()


class LockedError(Exception):
    """Does not pickle."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.lock = threading.Lock()


def raise_unpicklable() -> NoReturn:
    raise LockedError("locked in")


class NeedyError(Exception):
    """Does not unpickle: its ``__init__`` needs more than it keeps in ``args``."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code}: {text}")


def raise_needy() -> NoReturn:
    raise NeedyError(5, "needy")


class MuteError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def raise_mute() -> NoReturn:
    raise MuteError


def raise_huge() -> NoReturn:
    raise ValueError("x" * 50_000_000)


def hog() -> int:
    return len(bytearray(4_000_000_000))


def close_descriptors() -> None:
    os.closerange(3, 4096)


def fork_a_sleeper() -> int:
    """Leave a child behind; returns its process id."""
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    return child


def fork_and_both_return() -> str:
    """The child goes on in the worker's own code."""
    os.fork()
    return "forked"


def write_to_stdout() -> str:
    print("hello from a worker", flush=True)
    os.write(1, b"raw bytes\n")
    return "written"


def note_and_square(folder: Path, value: int) -> int:
    """Leave a mark that outlives this process, for counting executions."""
    with (folder / f"{value}").open("ab", buffering=0) as file:
        file.write(b".")
    return value * value


def spin(duration_s: float) -> None:
    """Use the processor for so long."""
    end = time.perf_counter() + duration_s
    while time.perf_counter() < end:
        pass


def hang_on(_: int) -> None:
    hang()


def hold_interpreter() -> None:
    """No other thread of the process runs meanwhile, which is longer than anybody waits."""
    re.match(r"(a+)+$", "a" * 60 + "b")


def hold_interpreter_on(_: int) -> None:
    hold_interpreter()


# Replaced in the parent: a copy that a fork made while a thread held it would never be released.
shared_lock = threading.Lock()


def use_shared_lock(value: int) -> int:
    with shared_lock:
        return value

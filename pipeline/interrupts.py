"""Ctrl-C and SIGTERM while a run is in progress: the first asks it to stop, the second stops it now."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from pipeline.errors import StopNow

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def asking_to_stop(stop: Callable[[str], None]) -> Generator[None]:
    """Call ``stop(reason)`` at the first signal, raise ``StopNow`` at the second.

    Only the main thread may handle signals; elsewhere, and where a program set its own handler, nothing changes.
    A stream that was begun there and ends in another thread leaves the handler, which then does what was done before.
    A process that is forked meanwhile inherits the handler, but not the run: SIGINT is its parent's, SIGTERM ends it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    seen, owner, is_over = 0, os.getpid(), False

    def on_signal(number: int, _frame: FrameType | None) -> None:
        nonlocal seen
        if is_over:
            _as_before(before[signal.Signals(number)], number)
            return
        if os.getpid() != owner:
            _in_a_copy(number)
            return
        seen += 1
        if seen > 1:
            raise StopNow(f"stopped by a second {signal.Signals(number).name}")
        stop(f"interrupted by {signal.Signals(number).name}")

    ours = [number for number in SIGNALS if signal.getsignal(number) in (signal.default_int_handler, signal.SIG_DFL)]
    before = {number: signal.signal(number, on_signal) for number in ours}
    try:
        yield
    finally:
        is_over = True
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)


def _as_before(handler: Any, number: int) -> None:
    signal.signal(number, handler)
    signal.raise_signal(number)


def _in_a_copy(number: int) -> None:
    if number == signal.SIGTERM:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

"""Ctrl-C and SIGTERM while a run is in progress: the first asks it to stop, the second stops it now."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from inspect import currentframe
from time import sleep
from types import FrameType
from typing import Any

from pipeline.errors import StopNow

SIGNALS = (signal.SIGINT, signal.SIGTERM)

AGAIN_S = 0.001
"""How often, in seconds, a signal that is left to the program is sent, until that can handle it."""


class OnSignal:
    """The handler of one run. ``seen`` counts its signals, and ``before`` has the handlers in whose place it is.

    With ``comes_again``, what it has seen is for the program to handle, after the run.
    """

    def __init__(self, stop: Callable[[str], None]) -> None:
        self.stop = stop
        self.owner: int = os.getpid()
        self.seen: int = 0
        self.first: int = 0
        self.is_over: bool = False
        self.comes_again: bool = False
        self.closing: FrameType | None = None
        self.before: dict[int, Any] = {}

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Call ``stop`` at the first signal, raise ``StopNow`` at the second."""
        if self.is_over:
            self._leave_to_the_program(number, frame)
            return
        if os.getpid() != self.owner:
            _in_a_copy(number)
            return
        self.seen += 1
        self.first = self.first or number
        if self.seen > 1:
            raise StopNow(f"stopped by a second {signal.Signals(number).name}")
        self.stop(f"interrupted by {signal.Signals(number).name}")

    def give_back(self) -> None:
        """Put back the handlers, and let the program handle what it is to handle."""
        self.is_over = True
        again = self.first if self.comes_again and os.getpid() == self.owner else 0
        if threading.current_thread() is not threading.main_thread():
            if again:
                os.kill(os.getpid(), again)
            return
        for number in self.before.keys() - {again}:
            if self._handles(number):  # else the program has another by now
                signal.signal(number, self.before[number])
        if again:
            self.closing = _outermost_of_ours()
            threading.Thread(target=self._send, name="signal").start()

    def _leave_to_the_program(self, number: int, frame: FrameType | None) -> None:
        """Not while the generators of the run are being closed: what is raised in one that nobody has is lost."""
        while frame is not None:
            if frame is self.closing:
                return
            frame = frame.f_back
        self.closing = None
        signal.signal(number, _as_before(self, number))
        signal.raise_signal(number)

    def _handles(self, number: int) -> bool:
        handler: object = signal.getsignal(number)
        return handler is self

    def _send(self) -> None:
        """Again and again, until it comes outside of the generators; once, where the program has a handler by then."""
        is_ours = True
        while is_ours:
            is_ours = self._handles(self.first)
            if self.closing is None:  # looked at last: it came, and then the handler was put back
                return
            os.kill(os.getpid(), self.first)
            sleep(AGAIN_S)


@contextmanager
def asking_to_stop(stop: Callable[[str], None]) -> Generator[OnSignal]:
    """Call ``stop(reason)`` at the first signal, raise ``StopNow`` at the second.

    Only the main thread may handle signals; elsewhere, and where a program set its own handler, nothing changes.
    A stream that was begun there and ends in another thread leaves the handler, which then does what was done before.
    A process that is forked meanwhile inherits the handler, but not the run: SIGINT is its parent's, SIGTERM ends it.
    """
    on_signal = OnSignal(stop)
    if threading.current_thread() is not threading.main_thread():
        yield on_signal
        return
    give_back_signals()
    ours = [number for number in SIGNALS if signal.getsignal(number) in (signal.default_int_handler, signal.SIG_DFL)]
    on_signal.before = {number: signal.getsignal(number) for number in ours}
    for number in ours:
        signal.signal(number, on_signal)
    try:
        yield on_signal
    finally:
        on_signal.give_back()


def give_back_signals() -> None:
    """Put back what a stream that ended in another thread had to leave; what is left to the program comes now."""
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            handler = signal.getsignal(number)
            if isinstance(handler, OnSignal) and handler.closing is not None:
                handler(number, currentframe())
            elif isinstance(handler, OnSignal) and handler.is_over:
                signal.signal(number, _as_before(handler, number))


def _as_before(handler: Any, number: int) -> Any:
    while isinstance(handler, OnSignal) and handler.is_over:
        handler = handler.before[number]
    return handler


def _in_a_copy(number: int) -> None:
    if number == signal.SIGTERM:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


def _outermost_of_ours() -> FrameType | None:
    frame = currentframe()
    while frame is not None and frame.f_back is not None and _is_ours(frame.f_back):
        frame = frame.f_back
    return frame


def _is_ours(frame: FrameType) -> bool:
    return frame.f_globals.get("__name__", "").partition(".")[0] in ("pipeline", "contextlib")

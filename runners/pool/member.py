"""One worker as its parent sees it: a process, a socket, a slot, and the chunks it has."""

from __future__ import annotations

import os
import select
import signal
import socket
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from itertools import count
from math import inf
from multiprocessing.process import BaseProcess
from time import monotonic
from typing import TYPE_CHECKING, Any

from runners.pool import slot as slots
from runners.pool.arena import Arena
from runners.pool.feed import Chunk
from runners.pool.launch import StartMethod, start_process
from runners.pool.slot import RUNNING, arenas_behind, clear_slot, close_slot, create_slot, open_slot
from runners.pool.wire import MAX_PARTS, Frame, Inbox, Part, drop_sent
from runners.pool.worker import EXIT_NO_MEMORY, EXIT_UNREACHABLE, Settings

if TYPE_CHECKING:
    from runners.pool.slot import Slot

GRACE_S = 0.5
"""Between SIGTERM and SIGKILL, in seconds: time for the function's ``finally`` blocks."""
_REAP_S = 2.0
_UNKNOWN = 255
_SOCKET_BYTES = 1 << 20

# Every worker of this process, so that a forked copy of it can let go of them. Only replaced entry by entry.
_members: dict[int, Member] = {}
_numbers = count()


class Member:
    """A worker that was started. ``chunks`` are those it has not answered completely, in the order of sending."""

    def __init__(self, method: StartMethod, settings: Settings) -> None:
        self.number: int = next(_numbers)
        self.chunks: deque[Chunk] = deque()
        self.function: object = None
        """Identity of the stream whose function it has."""
        self.ready = False
        """It has answered at least once."""
        self.condemned: int | None = None
        """Position of the input whose time is up."""
        self.kill_at: float = inf
        self.outgoing: list[memoryview] = []
        self.closed: bool = False
        """Nothing more will come from it."""
        self.ended: int = -1
        """Descriptor that is readable once the process has ended."""
        self.answers: int = 0
        """How many frames with results have come."""
        self.answered: int = 0
        """How many chunks have all their results."""
        self._held = ExitStack()  # what this side has open
        self._start(method, settings)

    def _start(self, method: StartMethod, settings: Settings) -> None:
        with ExitStack() as theirs:
            try:
                self._open_and_launch(method, settings, theirs)
            except BaseException:
                self.forget()
                raise

    def _open_and_launch(self, method: StartMethod, settings: Settings, theirs: ExitStack) -> None:
        """``theirs`` is what only the worker needs. Each descriptor is noted where it is opened: the next may fail."""
        self.sock: socket.socket
        self.lifeline: int
        self.sock, sock = socket.socketpair()
        self._held.callback(self.sock.close)
        theirs.callback(sock.close)
        self.sock.setblocking(False)
        for end in (self.sock, sock):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BYTES)
        descriptor = _closed_by(theirs, create_slot())
        hangup, self.lifeline = os.pipe()
        _closed_by(theirs, hangup)
        _closed_by(self._held, self.lifeline)
        parent = _closed_by(theirs, os.pidfd_open(os.getpid()))
        self.slot: Slot = open_slot(descriptor)
        to_worker, from_worker = arenas_behind(self.slot)
        self._held.callback(close_slot, self.slot, to_worker, from_worker)
        clear_slot(self.slot)
        self.arena: Arena = Arena(to_worker)
        self._inbox = Inbox(from_worker)
        _members[self.number] = self
        self.process: BaseProcess = start_process(method, settings, sock.fileno(), descriptor, parent, hangup)
        self.pid: int = self.process.pid or 0
        self.ended = _closed_by(self._held, self._descriptor_of_process())

    def _descriptor_of_process(self) -> int:
        try:
            return os.pidfd_open(self.pid)
        except OSError:
            self.process.kill()
            self.process.join()
            raise

    @property
    def is_able(self) -> bool:
        """It can take another chunk."""
        return not self.closed and self.condemned is None and not (self.chunks and self.chunks[0].alone)

    @property
    def waiting(self) -> int:
        """How many inputs it has beside the one it is on."""
        return sum(len(chunk.values) for chunk in self.chunks) - 1

    def begin(self, stream: object) -> None:
        """It is to work for another stream; it has nothing to do at the moment."""
        self.function = stream
        clear_slot(self.slot)

    def has_ended_by(self, until: float) -> bool:
        """Wait until then, on the clock of ``time.monotonic``, for the process to end."""
        poll = select.poll()
        poll.register(self.ended, select.POLLIN)
        return bool(poll.poll(max(0.0, until - monotonic()) * 1000))

    def send(self, parts: list[Part]) -> None:
        """Send as much as the socket takes now; the rest is in ``outgoing``."""
        self.outgoing += map(memoryview, parts)
        self.push()

    def push(self) -> None:
        """Send what could not be sent before."""
        try:
            while self.outgoing:
                drop_sent(self.outgoing, self.sock.sendmsg(self.outgoing[:MAX_PARTS]))
        except BlockingIOError:
            pass
        except OSError:
            self.outgoing.clear()  # it is dying; what it leaves behind is found out when it has ended

    def frames(self) -> Iterator[Frame]:
        """What has arrived, without waiting."""
        while True:
            while (frame := self._inbox.next_frame()) is not None:
                yield frame
            try:
                if self.closed or not self._inbox.receive(self.sock):
                    self.closed = True
                    return
            except BlockingIOError:
                return
            except OSError:
                self.closed = True
                return

    def limit(self, timeout: float | None) -> float:
        """When the current input must have ended, on the clock of ``time.monotonic``; infinite if it need not."""
        return self._current(timeout)[1]

    def overdue(self, timeout: float | None, now: float) -> int | None:
        """Position of the current input, if that should have ended by ``now``."""
        position, limit = self._current(timeout)
        return int(position) if now >= limit else None

    def _current(self, timeout: float | None) -> tuple[float, float]:
        """Position and limit of the current input."""
        slot = self.slot
        position, start, deadline = slot[slots.POSITION], slot[slots.START], slot[slots.DEADLINE]
        if slot[slots.PHASE] != RUNNING or slot[slots.POSITION] != position:
            return position, inf
        return position, deadline if timeout is None else min(deadline, start + timeout)

    def next_look(self, timeout: float | None) -> float:
        """When it has to be looked at again even if it says nothing."""
        return self.kill_at if self.condemned is not None else min(self.kill_at, self.limit(timeout))

    def last_words(self) -> tuple[int, float, int, float]:
        """Position, phase, mark and start of what it did last."""
        slot = self.slot
        return int(slot[slots.POSITION]), slot[slots.PHASE], int(slot[slots.MARK]), slot[slots.START]

    def condemn(self, position: int, now: float) -> None:
        """Ask it to end, because the time of the input there is up; ``kill_at`` is when to stop asking."""
        self.condemned = position
        self.kill_at = now + GRACE_S
        self.slot[slots.CONDEMNED] = position + 1.0
        self._signal(signal.SIGTERM)

    def pardon(self) -> None:
        """The input ended after all."""
        self.slot[slots.CONDEMNED] = slots.NOBODY
        self.condemned = None
        self.kill_at = inf

    def pardon_if_it_goes_on(self) -> None:
        """Where the function ended what took too long by itself, and has told so."""
        if self.condemned is not None and self.slot[slots.CONDEMNED] == slots.NOBODY:
            self.pardon()

    def kill(self) -> None:
        """End it and what its function started."""
        self.kill_at = inf
        self._signal(signal.SIGKILL)
        self._kill_group()

    def _kill_group(self) -> None:
        """Until the worker is reaped, its number cannot be anybody else's."""
        with suppress(OSError):
            os.killpg(self.pid, signal.SIGKILL)

    def _signal(self, number: int) -> None:
        with suppress(OSError):
            signal.pidfd_send_signal(self.ended, number)

    def hang_up(self) -> None:
        """Let it end by itself."""
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)

    def reap(self) -> int | None:
        """Its exit code, or minus the signal. It must have ended, or been killed."""
        self._kill_group()
        self.process.join(_REAP_S)
        code = self.process.exitcode
        if code is None and self.has_ended_by(monotonic()):  # the kernel reaps where a program ignores SIGCHLD
            popen: Any = getattr(self.process, "_popen", None)
            popen.returncode = _UNKNOWN  # else Python keeps the process, and two descriptors, for ever
        self.forget()
        with suppress(ValueError):
            self.process.close()
        return code

    def forget(self) -> None:
        """Let go of it without touching the process."""
        _members.pop(self.number, None)
        self._held.close()


def _closed_by(stack: ExitStack, number: int) -> int:
    stack.callback(os.close, number)
    return number


def describe(code: int | None) -> str:
    """An exit code in words."""
    if code is None:
        return "in an unknown way"
    if code == EXIT_UNREACHABLE:
        return f"exit code {code}, its connection to the parent was closed"
    if code == EXIT_NO_MEMORY:
        return f"exit code {code}, it had too little memory for an input or a result"
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def _let_go_after_fork() -> None:
    """In a forked copy of this process: the workers are not ours, and our copies of the sockets keep them alive."""
    for member in list(_members.values()):
        member.forget()


os.register_at_fork(after_in_child=_let_go_after_fork)

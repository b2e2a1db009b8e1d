# pyright: basic
"""The worker's side: read a chunk, apply the function to each input, let the results leave.

What runs here, besides the function: this loop in the main thread, and one thread that ends the process
when the parent is gone and sends finished results that would otherwise wait behind a slow input.
Nothing here needs the rest of the package, so that a worker is up quickly.
"""

from __future__ import annotations

import gc
import os
import pickle
import select
import signal
import threading
from collections.abc import Callable
from math import inf
from socket import socket
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

from runners.pool import limit
from runners.pool import slot as slots
from runners.pool.arena import Arena
from runners.pool.bounds import HELD_BACK, end_on_hangup, ignore, limit_memory
from runners.pool.limit import Condemned
from runners.pool.pace import MAX_BYTES
from runners.pool.records import to_record
from runners.pool.slot import (
    CONDEMNED,
    DEADLINE,
    LEAVING,
    MARK,
    PHASE,
    POSITION,
    RUNNING,
    SENDING,
    START,
    WAITING,
    arenas_behind,
)
from runners.pool.wire import (
    CHUNK,
    LARGE,
    PLAIN,
    RAW,
    READY,
    REFUSED,
    RESULTS,
    Frame,
    Inbox,
    Packer,
    Unreadable,
    send_all,
    to_parts,
    unseal,
)

if TYPE_CHECKING:
    from runners.pool.slot import Slot

FLUSH_S = 0.001
"""Results leave after this much work, in seconds: what a crash can make run again."""
HOLD_S = 0.1
"""Finished results wait at most this long, in seconds, behind an input that is still running."""
EXIT_NO_MEMORY = 72
"""Exit code of a worker that has too little memory to read an input or to send a result."""
LIGHT = PLAIN - {bytes}
"""Types whose instances are never sealed."""
EXIT_UNREACHABLE = 71
"""Exit code of a worker that can no longer write to its parent."""


class Settings(NamedTuple):
    """How a worker behaves: seconds of work after which results leave, and bytes it may take beyond its start."""

    flush_s: float
    max_memory: int | None


def main(settings: Settings, sock: socket, slot: Slot, parent: int, hangup: int) -> None:
    """Serve chunks until the parent closes the connection."""
    limit.serve(slot)
    worker = _Worker(sock, slot, settings)
    os.setpgid(0, 0)  # what the function starts ends together with the worker
    end_on_hangup(hangup)
    signal.signal(signal.SIGINT, ignore)  # Ctrl-C is for the parent to decide on
    signal.signal(signal.SIGTERM, worker.end_if_condemned)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_BACK)
    os.register_at_fork(after_in_child=worker.abandon)
    threading.Thread(target=_watch, args=(parent, worker), name="pool-watch", daemon=True).start()
    if settings.max_memory is not None:
        limit_memory(settings.max_memory)
    gc.freeze()
    try:
        worker.serve()
    except MemoryError:
        os._exit(EXIT_NO_MEMORY)
    except (OSError, ValueError):
        # The connection is unusable (the function closed it), or this is a process that the function forked.
        os._exit(EXIT_UNREACHABLE)


def _watch(parent: int, worker: _Worker) -> None:
    """Send results that are held up; and end when the parent has ended.

    The second is for a pipe that did not hang up: the parent was gone before we asked for the signal,
    or some process that it forked still has its end. ``parent`` is a process descriptor: nobody can hold that open.
    """
    poll = select.poll()
    poll.register(parent, select.POLLIN)
    while not poll.poll(HOLD_S * 1000):
        worker.flush_held()
    os.killpg(0, signal.SIGKILL)


class _Worker:
    def __init__(self, sock: socket, slot: Slot, settings: Settings) -> None:
        self.sock = sock
        self.slot = slot
        self.flush_s = settings.flush_s
        self.func: Any = None
        self.outbox = Packer()
        self.first = 0  # position of the outbox's first entry; guarded by `sending`
        self.all_plain = True  # guarded by `sending`
        self.flushed_at = monotonic()
        self.sending = threading.Lock()  # the main thread and the watching one both send
        from_parent, to_parent = arenas_behind(slot)
        self.inbox = Inbox(from_parent)
        self.arena = Arena(to_parent)  # guarded by `sending`

    def serve(self) -> None:
        inbox = self.inbox
        while True:
            frame = inbox.next_frame()
            if frame is None:
                if not inbox.receive(self.sock):
                    return
            elif frame.kind == CHUNK:
                self.serve_chunk(frame)
            else:
                self.read_function(frame)

    def read_function(self, frame: Frame) -> None:
        try:
            self.func = pickle.loads(frame.head[0])
        except BaseException as error:  # noqa: BLE001 - importing runs user code
            self.func = None
            record = to_record("invalid", error, -1, 0.0, 1)
            send_all(self.sock, to_parts(REFUSED, 0, 0.0, [record], [], all_plain=False))
        else:
            send_all(self.sock, to_parts(READY, 0, 0.0, [], [], all_plain=True))

    def serve_chunk(self, chunk: Frame) -> None:
        if self.func is None:
            return
        with self.sending:
            self.arena.forget(chunk.read)
        try:
            self.run_chunk(self.func, chunk)
            self.flush()
        except Condemned:
            self.leave()
        self.slot[PHASE] = WAITING

    def run_chunk(self, func: Callable[[Any], Any], chunk: Frame) -> None:
        """Apply the function to each input; this is the hot loop."""
        pulsed, slot, append, flush_s = limit.pulsed, self.slot, self.outbox.head.append, self.flush_s
        offset, position = 0, float(chunk.first)  # as the slot keeps it: storing an int takes longer
        any_sealed, light = not chunk.all_plain, None
        self.first = chunk.first
        self.flushed_at = now = monotonic()
        flush_at = now + flush_s
        slot[START] = now
        slot[PHASE] = RUNNING
        for entry in chunk.head:
            slot[START] = now
            slot[POSITION] = position
            try:
                if any_sealed and type(entry) is tuple:
                    begin, offset = offset, offset + sum(entry)
                    value = func(unseal(entry, chunk.body, begin))
                else:
                    value = func(entry)
                kind = type(value)
                if kind is light:  # as the one before, in most cases
                    append(value)
                elif kind in LIGHT:
                    light = kind
                    append(value)
                elif self.add_heavy(value):
                    flush_at = 0.0
            except BaseException as error:  # noqa: BLE001 - whatever it raises is that input's own end
                self.add_failure(error, now)
            if pulsed:
                pulsed.clear()
                slot[DEADLINE] = inf
                slot[MARK] = slots.NO_MARK
                if limit.leaving:
                    self.leave(LEAVING)
            position += 1.0
            now = monotonic()
            if now >= flush_at:
                self.flush()
                now = monotonic()
                flush_at = now + flush_s
                slot[START] = now
                slot[PHASE] = RUNNING

    def add_heavy(self, value: object) -> bool:
        """Pack it; whether it must leave at once. Large ones must not wait: the function may use a buffer again."""
        if type(value) is bytes and len(value) < RAW:
            self.outbox.head.append(value)
            return False
        try:
            entry, parts = self.outbox.seal(value)
        except Unreadable as error:
            raise _ResultUnreadable from error.__cause__
        with self.sending:
            self.all_plain = False
            self.outbox.add(entry, parts)
            return sum(entry) >= LARGE or self.outbox.body_size >= MAX_BYTES

    def add_failure(self, error: BaseException, start: float) -> None:
        if isinstance(error, Condemned) or self.is_condemned():
            raise Condemned
        kind, cause, skip = "error", error, 1
        if isinstance(error, Unreadable) and error.__cause__ is not None:
            kind, cause, skip = "invalid", error.__cause__, 99
        record = to_record(kind, cause, int(self.slot[MARK]), monotonic() - start, skip)
        if kind == "invalid":
            what = "its result cannot be pickled" if isinstance(error, _ResultUnreadable) else "it cannot be unpickled"
            record[2] = f"{what}: {record[2]}"
        with self.sending:
            self.all_plain = False
            self.outbox.head.append(record)

    def flush(self) -> None:
        """Send what is finished. While it is on its way, a death is not the fault of one certain input."""
        self.slot[PHASE] = SENDING
        with self.sending:
            now = monotonic()
            self.send_outbox(now - self.flushed_at)
            self.flushed_at = monotonic()

    def flush_held(self) -> None:
        """Called by the watching thread: send results that the main thread is too busy to send."""
        if self.outbox.head and monotonic() - self.flushed_at >= HOLD_S and self.sending.acquire(blocking=False):
            try:
                self.send_outbox(0.0)
            except (OSError, ValueError):
                pass  # the main thread will find out at the right input
            except MemoryError:  # they are gone, and run again
                os._exit(EXIT_NO_MEMORY)
            finally:
                self.sending.release()

    def send_outbox(self, busy_s: float) -> None:
        all_plain, self.all_plain = self.all_plain, True
        head, body = self.outbox.take()
        if head:
            first, self.first = self.first, self.first + len(head)
            parts = to_parts(RESULTS, first, busy_s, head, body, all_plain=all_plain, arena=self.arena)
            send_all(self.sock, parts)

    def end_if_condemned(self, signum: int, frame: object) -> None:
        """A SIGTERM to a whole process group is the parent's to handle; one after our time is up is for us."""
        if self.is_condemned() and self.slot[PHASE] == RUNNING and not self.sending.locked():
            limit.tell()

    def is_condemned(self) -> bool:
        """Whether the time of the current input is up; that of an earlier one may have been."""
        return self.slot[CONDEMNED] == self.slot[POSITION] + 1.0

    def leave(self, phase: float = SENDING) -> None:
        """Time is up, or was: what is finished still leaves, then the process ends."""
        self.flush()
        self.slot[PHASE] = phase
        os._exit(0)

    def abandon(self) -> None:
        """In a process that the function forked: it is not the worker, whatever it goes on to do."""
        limit.serve(None)
        if signal.getsignal(signal.SIGTERM) == self.end_if_condemned:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if signal.getsignal(signal.SIGINT) is ignore:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        self.sock.close()
        self.slot.release()
        self.arena.memory.release()


class _ResultUnreadable(Unreadable):
    """The value that cannot be pickled is the function's result."""

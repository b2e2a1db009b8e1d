"""How values travel between parent and worker: frames over one socket.

A frame is a header, a *head* and a *body*::

    header  what it is, how many values, the position of the first, the seconds they took, the two lengths,
            where in the arena the body is (or that it follows), and how many bodies of the other side were read
    head    one pickled list with an entry for every value:
              a scalar                    the value itself
              (length, buffer lengths)    a sealed value: its own pickle, in the body, then its buffers
              (0, length)                 bytes of 1 kB and more, in the body as they are
              [kind, exception, ...]      a failure, as a record
    body    the sealed values, one after the other

A head has nothing in it that could fail to unpickle, and each sealed value is on its own,
so one value that cannot be read costs its neighbours nothing and nobody has to guess which one it was.
Bytes of 64 kB and more, and buffers that pickle out of band, are handed over without a copy.
A body of 4 kB and more travels through shared memory (see ``arena``), save one with buffers,
which the values that are made of it go on to use.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator
from socket import socket
from struct import Struct
from typing import Any, NamedTuple

from runners.pool.arena import NOWHERE, Arena

FUNCTION = 1
"""To the worker: the pickled function for all chunks that follow."""
CHUNK = 2
"""To the worker: inputs at consecutive positions."""
READY = 3
"""To the parent: the function was read."""
REFUSED = 4
"""To the parent: the function could not be read; the head is one record."""
RESULTS = 5
"""To the parent: results and failures at consecutive positions."""

PLAIN = frozenset((int, float, str, bytes, bool, type(None), complex))
"""Types whose instances always pickle and unpickle."""

LARGE = 65_536
"""From this size on, in bytes, a value is sent at once and uncopied."""

RAW = 1024
"""From this size on, in bytes, ``bytes`` are no part of a pickle."""

MAX_PARTS = 256
"""How many pieces one system call takes."""

_HEADER = Struct("<BBxxxxxxQQdQQqQ")
_ALL_PLAIN = 1
_HAS_BUFFERS = 2

Part = bytes | bytearray | memoryview
Entry = tuple[int, ...]


class Unreadable(Exception):
    """A value that cannot be pickled or unpickled; ``__cause__`` says why."""


class Frame(NamedTuple):
    """A frame that has arrived. ``head`` is readable at once, the sealed values in ``body`` through ``unseal``."""

    kind: int
    all_plain: bool
    size: int
    first: int
    busy_s: float
    head: list[Any]
    body: memoryview
    read: int = 0


class _Sink:
    """What a pickler writes to: it hands over the large objects themselves instead of copies."""

    __slots__ = ("write",)

    def __init__(self, parts: list[Part]) -> None:
        self.write = parts.append


class Packer:
    """The entries of one frame, collected value by value."""

    def __init__(self) -> None:
        self.head: list[Any] = []
        self.body: list[Part] = []
        self.body_size: int = 0
        self._parts: list[Part] = []
        self._buffers: list[pickle.PickleBuffer] = []
        self._pickler = pickle.Pickler(_Sink(self._parts), 5, buffer_callback=self._buffers.append)

    def seal(self, value: object) -> tuple[Entry, list[Part]]:
        """The entry and the body parts of a value that is not plain; raises ``Unreadable``."""
        if type(value) is bytes:
            return (0, len(value)), [value]
        try:
            self._pickler.dump(value)
            raw = [_steady(buffer.raw()) for buffer in self._buffers]
            sealed = self._parts[:]
        except (Exception, SystemExit) as error:
            raise Unreadable from error
        finally:
            self._parts.clear()
            self._buffers.clear()
            self._pickler.clear_memo()
        return (sum(map(len, sealed)), *map(len, raw)), [*sealed, *raw]

    def add(self, entry: Entry, parts: list[Part]) -> None:
        """Append a sealed value."""
        self.head.append(entry)
        self.body += parts
        self.body_size += sum(entry)

    def take(self) -> tuple[list[Any], list[Part]]:
        """Everything so far, which is then no longer here. Appending to the head meanwhile is allowed."""
        head, body = self.head[:], self.body[:]
        del self.head[: len(head)]
        self.body.clear()
        self.body_size = 0
        return head, body


def _steady(buffer: memoryview) -> Part:
    """A small buffer may wait before it is sent, and its owner may use it again meanwhile: that one is copied."""
    return buffer if len(buffer) >= LARGE else bytes(buffer)


def unseal(entry: Entry, body: memoryview, offset: int) -> Any:
    """The value whose sealed form starts at ``offset``; raises ``Unreadable``."""
    end = offset + entry[0]
    if not entry[0]:
        return bytes(body[offset : offset + entry[1]])
    try:
        return pickle.loads(body[offset:end], buffers=_cut(body, end, entry[1:]))
    except (Exception, SystemExit) as error:
        raise Unreadable from error


def _cut(body: memoryview, offset: int, sizes: Iterable[int]) -> Iterator[memoryview]:
    for size in sizes:
        yield body[offset : offset + size]
        offset += size


def to_parts(
    kind: int,
    first: int,
    busy_s: float,
    head: list[Any],
    body: list[Part],
    *,
    all_plain: bool,
    arena: Arena | None = None,
    read: int = 0,
) -> list[Part]:
    """A frame as the pieces to send, small ones joined. ``all_plain``: there is neither a sealed value nor a record.

    The body goes into ``arena`` if it may; ``read`` is how many frames with bodies have been read here.
    """
    head_parts: list[Part] = []
    pickle.Pickler(_Sink(head_parts), 5).dump(head)
    flags = _ALL_PLAIN if all_plain else _HAS_BUFFERS if _any_buffers(head) else 0
    sizes = sum(map(len, head_parts)), sum(map(len, body))
    place = NOWHERE if arena is None else arena.place(body, 0 if flags & _HAS_BUFFERS else sizes[1])
    header = _HEADER.pack(kind, flags, len(head), first, busy_s, *sizes, place, read)
    return _joined([header, *head_parts, *(body if place == NOWHERE else ())])


def _any_buffers(head: list[Any]) -> bool:
    return any(type(entry) is tuple and len(entry) > 1 and entry[0] for entry in head)


def _joined(parts: list[Part]) -> list[Part]:
    joined: list[Part] = []
    small: list[Part] = []
    for part in parts:
        if len(part) < LARGE:
            small.append(part)
        else:
            joined += [b"".join(small), part]
            small.clear()
    return [*joined, b"".join(small)] if small else joined


def send_all(sock: socket, parts: list[Part]) -> None:
    """Send all of it, waiting as long as it takes."""
    rest = [memoryview(part) for part in parts]
    if len(rest) == 1:  # as nearly always where results leave one by one
        drop_sent(rest, sock.send(rest[0]))
    while rest:
        drop_sent(rest, sock.sendmsg(rest[:MAX_PARTS]))


def drop_sent(parts: list[memoryview], sent: int) -> None:
    """Remove the first ``sent`` bytes from ``parts``."""
    while parts and sent >= len(parts[0]):
        sent -= len(parts.pop(0))
    if sent:
        parts[0] = parts[0][sent:]


class Inbox:
    """Bytes that arrived, and the whole frames in them."""

    _SIZE = 1 << 18
    _KEPT = 1 << 23

    def __init__(self, arena: memoryview) -> None:
        self._arena = arena
        self._buffer = bytearray(self._SIZE)
        self._start = 0
        self._end = 0
        self._wanted = _HEADER.size

    def receive(self, sock: socket) -> int:
        """Read once; 0 means that the other side has closed. A frame's body does not outlive the next call."""
        self._make_room()
        with memoryview(self._buffer) as view:
            count = sock.recv_into(view[self._end :])
        self._end += count
        return count

    def next_frame(self) -> Frame | None:
        """The next frame that is here completely."""
        available = self._end - self._start
        self._wanted = _HEADER.size
        if available < self._wanted:
            return None
        header = _HEADER.unpack_from(self._buffer, self._start)
        kind, flags, count, first, busy_s, head_size, body_size, place, read = header
        self._wanted += head_size + (body_size if place == NOWHERE else 0)
        if available < self._wanted:
            return None
        view = memoryview(self._buffer)
        head_start, end = self._start + _HEADER.size, self._start + self._wanted
        head = pickle.loads(view[head_start : head_start + head_size])
        body = view[end - body_size : end] if place == NOWHERE else self._arena[place : place + body_size]
        self._start = end
        if flags & _HAS_BUFFERS:
            self._leave_memory_to_the_frame()
        return Frame(kind, flags == _ALL_PLAIN, count, first, busy_s, head, body, read)

    def _leave_memory_to_the_frame(self) -> None:
        """Its values will point into the buffer, so that what comes next needs another one."""
        rest = self._buffer[self._start : self._end]
        self._buffer = bytearray(max(self._SIZE, len(rest)))
        self._buffer[: len(rest)] = rest
        self._start, self._end = 0, len(rest)

    def _make_room(self) -> None:
        """Space for the frame that is coming in: behind what is here, else at the front, else in a larger buffer."""
        pending = self._end - self._start
        if pending == 0:
            self._start = self._end = 0
        size = len(self._buffer)
        if self._start + self._wanted <= size <= max(self._KEPT, self._wanted):
            return
        fits = self._wanted <= size <= self._KEPT
        target = self._buffer if fits else bytearray(max(self._SIZE, self._wanted))
        target[:pending] = self._buffer[self._start : self._end]
        self._buffer, self._start, self._end = target, 0, pending

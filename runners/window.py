"""Bounded in-flight, lazily fed, over futures: the loop of every runner whose workers belong to somebody else.

::

    inputs ─▶ pull ─▶ chunk ─▶ fleet.submit ─▶ future ─▶ done ─▶ settle ─▶ (position, result)
                        ▲                                          │
                        ├──── what the worker had no time for ◀────┤
                        └──── suspects, each again and alone ◀─────┘ a worker died

It is a generator in the consumer's thread, and has no thread of its own; futures put themselves into ``done``.

Whose fault is a death? An executor says only that a worker died, not on which input. So:

=============================  ==================================================================
the loss is known to be        then
=============================  ==================================================================
this chunk's alone             one input: blamed. Several: each goes on its own
of all that is in flight       one input in flight: blamed. Else they are *suspects*: when nothing
                               else is in flight, each chunk runs alone, and one that is lost then
                               runs input by input, until the guilty one is blamed
final                          everything in flight is blamed, and the stream raises
=============================  ==================================================================
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from queue import Empty, SimpleQueue
from time import perf_counter
from typing import Any, NamedTuple, TypeAlias

from returns.result import Failure, Result

from runners.crash import Crash
from runners.errors import RunnerError, tells_to_end
from runners.fleet import MAX_LOSSES_IN_VAIN, Fleet, FleetLost, Future, Loss, a_worker_begins, crash_of_loss, hint_of
from runners.message import message_of
from runners.parcel import Begun, NotLoaded, Report, described, is_sealed
from runners.streaming import NOTICE_S

MAX_CHUNK = 4096
MAX_WINDOW = 8192
"""Inputs in flight, of all workers together."""
MAX_CHUNK_BYTES = 1 << 20
MAX_WINDOW_BYTES = 1 << 26
PULL_S = 0.005
"""A chunk is sent when pulling it took so long, in seconds, however small it is."""

Ended: TypeAlias = "tuple[int, Result[Any, Crash]]"


class Chunk(NamedTuple):
    """Inputs that travel together. ``alone``: nothing else is in flight; ``narrowed``: it was lost alone."""

    items: list[tuple[int, Any]]
    size: int
    alone: bool = False
    narrowed: bool = False


class Window(AbstractContextManager["Window"]):
    """One stream over a fleet."""

    def __init__(self, fleet: Fleet, inputs: Iterable[Any]) -> None:
        self.fleet: Fleet = fleet
        self.source: Iterable[Any] = inputs
        self.inputs: Iterator[tuple[int, Any]] = enumerate(inputs)
        self.hint: int = hint_of(inputs)
        self.pulled: int = 0
        self.exhausted: bool = False
        self.error: BaseException | None = None  # raised when everything in flight has ended
        self.size: int = 1
        self.cost_s: float | None = None
        self.bytes: int = 0
        self.in_flight: dict[int, tuple[Chunk, Future]] = {}
        self.sent: int = 0
        self.losses_in_vain: int = 0
        self.has_heard: bool = False  # a worker has answered
        self.renewing: bool = False  # the fleet is lost, and what is in flight will turn out to be
        self.done: SimpleQueue[int] = SimpleQueue()  # numbers of chunks; futures add from any thread
        self.again: deque[Chunk] = deque()
        self.suspects: deque[Chunk] = deque()
        self.unsent: list[Ended] = []
        self.process: int = os.getpid()

    def results(self, every_s: float | None = None) -> Iterator[Any]:
        """Every input as it ends; then raises what the iterable raised.

        With ``every_s`` there is a ``None`` when nothing has ended for so many seconds.
        A thread of the fleet that collects a stream that was left alone, and reads on, gets what has ended.
        """
        while self._send_some() or self.in_flight or self.unsent:
            while self.unsent:
                yield self.unsent.pop()
            if self.in_flight:
                if self.done.empty() and self.fleet.runs_here():  # it would wait for itself
                    return
                done = self._next_done(every_s)
                if done is None:
                    if every_s is not None:
                        yield None
                    continue
                ended = self._settled(*done)
                self._send_some()
                yield from ended
        if self.error is not None:
            raise self.error

    def __exit__(self, kind: type[BaseException] | None, *exc_info: object) -> None:
        """Let go of the workers; in a forked copy of the process they are the parent's."""
        if self.process == os.getpid():
            self.fleet.release([future for _, future in self.in_flight.values()], in_a_hurry=tells_to_end(kind))

    # ---- out ----

    def _send_some(self) -> bool:
        """Fill the window, at least by one chunk, but do not let finished ones wait; whether any was sent."""
        before = self.sent
        while self._has_room() and (self.done.empty() or self.sent == before):
            chunk = self._next_chunk()
            if chunk is None:
                break
            self._send(chunk)
        return self.sent > before

    def _has_room(self) -> bool:
        if self.suspects or self.renewing or self._one_is_alone():
            return not self.in_flight
        return len(self.in_flight) < self._depth() and (not self.in_flight or self.bytes < MAX_WINDOW_BYTES)

    def _one_is_alone(self) -> bool:
        return len(self.in_flight) == 1 and next(iter(self.in_flight.values()))[0].alone

    def _depth(self) -> int:
        """How many chunks may be in flight: one that waits for every worker, or one in all where inputs are slow."""
        slow = self.cost_s is not None and self.cost_s > max(self.fleet.chunk_s, 0.01)
        return self.fleet.workers + (1 if slow else self.fleet.workers)

    def _next_chunk(self) -> Chunk | None:
        if self.suspects:
            return self._next_suspect()
        if self.again:
            return self.again.popleft()
        return None if self.exhausted else self._pull()

    def _next_suspect(self) -> Chunk:
        chunk = self.suspects.popleft()
        if chunk.narrowed and len(chunk.items) > 1:
            self.suspects.appendleft(chunk._replace(items=chunk.items[1:]))
            chunk = chunk._replace(items=chunk.items[:1])
        return chunk._replace(alone=True)

    def _pull(self) -> Chunk | None:
        items: list[tuple[int, Any]] = []
        size, wanted, until = 0, self._wanted(), perf_counter() + PULL_S
        try:
            for position, value in self.inputs:
                self.pulled += 1
                size += self._pack_into(items, position, value)
                if len(items) + len(self.unsent) >= wanted or size > MAX_CHUNK_BYTES or perf_counter() > until:
                    break
            else:
                self.exhausted = True
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the source's own; raised when all before has ended
            self.error, self.exhausted = error, True
        return Chunk(items, size) if items else None

    def _wanted(self) -> int:
        """How many inputs the next chunk gets: fewer towards a known end, so that no worker is left with many."""
        limit = min(MAX_CHUNK, max(1, MAX_WINDOW // (2 * self.fleet.workers)))
        if self.hint:
            limit = min(limit, max(1, (self.hint - self.pulled) // (2 * self.fleet.workers)))
        return min(self.size, limit)

    def _pack_into(self, items: list[tuple[int, Any]], position: int, value: Any) -> int:
        try:
            packed = self.fleet.wire.pack(value)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - pickling runs user code
            problem = f"a {type(value).__name__} cannot be pickled, so it cannot go to a worker"
            self.unsent.append((position, Failure(described(problem, error))))
            return 0
        items.append((position, packed))
        return _size_of(packed)

    def _send(self, chunk: Chunk) -> None:
        number = self.sent
        budget_s = 5 * self.fleet.chunk_s
        try:
            future = self.fleet.submit([packed for _, packed in chunk.items], budget_s)
        except FleetLost as lost:
            self._put_back(chunk, lost)
            return
        except RunnerError as error:  # nothing takes work any more; what is in flight may still end
            self._give_up(error)
            return
        self.sent += 1
        self.renewing = False
        self.in_flight[number] = chunk, future
        self.bytes += chunk.size
        future.add_done_callback(lambda _: self.done.put(number))

    def _put_back(self, chunk: Chunk, lost: FleetLost) -> None:
        """It has not begun, so nothing is to blame on it."""
        self.renewing = True
        self.losses_in_vain += 1
        if self.losses_in_vain > MAX_LOSSES_IN_VAIN:
            raise RunnerError(f"workers die before they begin: {message_of(lost)}") from lost.__cause__
        (self.suspects if chunk.alone else self.again).appendleft(chunk)

    # ---- in ----

    def _next_done(self, every_s: float | None) -> tuple[Chunk, Future] | None:
        try:
            chunk, future = self.in_flight.pop(self.done.get(timeout=every_s or NOTICE_S))
        except Empty:
            return None
        self.bytes -= chunk.size
        return chunk, future

    def _settled(self, chunk: Chunk, future: Future) -> list[Ended]:
        """How inputs of ``chunk`` ended; those that did not go again."""
        try:
            report: Report | NotLoaded | Begun = future.result()
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
            return self._lost(chunk, self.fleet.judge(error), error)
        if isinstance(report, NotLoaded):
            raise RunnerError(f"a worker cannot load the function: {report.reason}; can the worker import its module?")
        if isinstance(report, Begun):
            self.has_heard = True
            return self._lost(chunk, "shared", RuntimeError(report.where))
        return self._answered(chunk, report)

    def _answered(self, chunk: Chunk, report: Report) -> list[Ended]:
        self.losses_in_vain, self.has_heard = 0, True
        count = len(report.answers)
        self._learn(count, report.busy_s)
        opened = self.fleet.wire.opened
        ended = [(item[0], opened(answer)) for item, answer in zip(chunk.items, report.answers, strict=False)]
        if count < len(chunk.items):
            self.size = max(1, min(self.size, count))
            rest = chunk._replace(items=chunk.items[count:])
            (self.suspects if chunk.alone else self.again).appendleft(rest)
        return ended

    def _learn(self, count: int, busy_s: float) -> None:
        cost_s = busy_s / max(count, 1)
        self.cost_s = cost_s if self.cost_s is None else self.cost_s + 0.3 * (cost_s - self.cost_s)
        self.size = max(1, int(min(2 * self.size, self.fleet.chunk_s / max(self.cost_s, 1e-9), MAX_CHUNK)))

    def _lost(self, chunk: Chunk, loss: Loss, error: BaseException) -> list[Ended]:
        if loss == "final":
            self._give_up(self.fleet.gone(error))
        certain = loss in ("final", "cancelled") or (len(chunk.items) == 1 and (loss == "own" or self._only(chunk)))
        if certain and loss == "shared" and not self.has_heard:
            self.has_heard = a_worker_begins(self.fleet)
        if certain:
            self._release_siblings(chunk)
            return [(position, Failure(crash_of_loss(loss, error))) for position, _ in chunk.items]
        if loss == "own":
            self.again.extendleft(Chunk([item], _size_of(item[1])) for item in reversed(chunk.items))
        else:
            self.suspects.append(chunk._replace(narrowed=chunk.alone))
        return []

    def _give_up(self, error: RunnerError) -> None:
        self.error = self.error or error
        self.exhausted = True
        self.again.clear()
        self.suspects.clear()

    def _only(self, chunk: Chunk) -> bool:
        """Nothing else can have been hit by the same loss."""
        return chunk.alone or not (self.in_flight or self.suspects)

    def _release_siblings(self, chunk: Chunk) -> None:
        """The guilty one is found: what was with it in its chunk is ordinary again."""
        if chunk.narrowed and self.suspects and self.suspects[0].narrowed:
            self.again.append(self.suspects.popleft()._replace(alone=False, narrowed=False))


def _size_of(packed: Any) -> int:
    value = packed[0] if is_sealed(packed) and packed else packed
    return len(value) if isinstance(value, bytes | str) else 8

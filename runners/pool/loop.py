"""The parent's one loop. It runs in the consumer's own thread, whenever the consumer asks for the next result.

Each turn: give every worker something to do, wait until somebody answers, hand on what arrived,
bury who died, and look at the slots for inputs whose time is up.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from time import monotonic, sleep
from typing import NamedTuple

from runners.errors import RunnerError, WorkerDied
from runners.pool import blame
from runners.pool.batch import Batch, Packed, pack, to_batch
from runners.pool.feed import Chunk, Feed
from runners.pool.member import Member
from runners.pool.pace import Pace
from runners.pool.slot import WAITING
from runners.pool.team import Team
from runners.pool.wire import CHUNK, FUNCTION, REFUSED, RESULTS, Frame, to_parts
from runners.protocol import Crash

TICK_S = 0.1
"""The slots are looked at this often, in seconds: the function may set itself a limit at any time."""
NOTHING = Batch(0, (), {})
"""A turn for the consumer."""
CLOSED_S = 1.0
"""How long a worker may live on after its socket has closed, in seconds."""

_LOGGER = logging.getLogger("runners")


class Limits(NamedTuple):
    """What the user allows an input: seconds, and further tries after its worker died.

    ``every_s`` is how many seconds the consumer waits at most before it is given a turn.
    """

    timeout: float | None
    crash_retries: int
    every_s: float | None = None


class Stream:
    """One function over one batch of inputs, on one team."""

    def __init__(self, team: Team, name: str, function: bytes, feed: Feed, limits: Limits) -> None:
        self.team = team
        self.name = name
        self.function = function
        self.feed = feed
        self.limits = limits
        self.pace: Pace = Pace(team.size)
        self.tries: Counter[int] = Counter()
        self.identity: object = object()  # what workers remember it by: they must not keep its inputs

    def batches(self) -> Iterator[Batch]:
        """Every input's end, in the order of finishing; then what the inputs raised, if they did."""
        try:
            yield from self.hand_out()
            while self.team.busy or not self.feed.is_done:
                self.let_results_gather()
                for member, ended in self.team.wait(self.until_next_limit()):
                    yield from self.collect(member)
                    if ended:
                        yield from self.bury(member)
                yield from self.enforce_limits()
                if self.limits.every_s is not None:
                    yield NOTHING
                yield from self.hand_out()
        finally:
            self.team.stop_busy()
        if self.feed.error is not None:
            raise self.feed.error

    # Giving

    def hand_out(self) -> Iterator[Batch]:
        """Give chunks to whoever has room; what comes out are inputs that cannot be sent."""
        while self.team.has_room(self.pace.depth):
            chunk = self.feed.next_chunk(self.pace.size(self.feed.remaining()))
            if chunk is None:
                return
            member = self.team.pick(1 if chunk.alone else self.pace.depth)
            if member is None:
                self.feed.give_back([chunk])
                return
            yield from self.give(member, chunk)

    def give(self, member: Member, chunk: Chunk) -> Iterator[Batch]:
        """Send the front of a chunk; what does not fit in one frame goes back to the feed."""
        packed = pack(chunk.values)
        end = chunk.first + len(packed.head)
        if packed.crash is not None:
            yield Batch.of_crash(end, packed.crash)
            self.feed.give_back([chunk.cut(end + 1, chunk.end, alone=chunk.alone)])
        else:
            self.feed.give_back([chunk.cut(end, chunk.end, alone=chunk.alone)])
        if packed.head:
            self.send(member, chunk.cut(chunk.first, end, alone=chunk.alone, deaths=chunk.deaths), packed)

    def send(self, member: Member, chunk: Chunk, packed: Packed) -> None:
        """To one worker, after the function if it does not have that yet."""
        if member.function is not self.identity:
            member.begin(self.identity)
            member.send(to_parts(FUNCTION, 0, 0.0, [self.function], [], all_plain=True))
        member.arena.forget(member.answered)
        parts = to_parts(
            CHUNK,
            chunk.first,
            0.0,
            packed.head,
            packed.body,
            all_plain=packed.all_plain,
            arena=member.arena,
            read=member.answers,
        )
        self.pace.learn_bytes(len(chunk.values), packed.size or sum(map(len, parts)))
        member.chunks.append(chunk)
        member.send(parts)

    # Receiving

    def let_results_gather(self) -> None:
        """Sleep while nobody needs anything: what leaves a worker meanwhile is safe, and one look is enough for it."""
        if len(self.team.members) == self.team.size or not self.feed.is_open:
            leisure_s = self.pace.leisure_s(min((m.waiting for m in self.team.members if m.chunks), default=0))
            if leisure_s and leisure_s < self.until_next_limit():
                sleep(leisure_s)

    def collect(self, member: Member) -> Iterator[Batch]:
        """What has arrived from one worker."""
        for frame in member.frames():
            if frame.kind == REFUSED:
                raise self.refusal(frame)
            if not member.ready:
                self.team.welcome(member)
            if frame.kind == RESULTS:
                self.settle(member, frame)
                yield to_batch(frame)
        if member.closed:  # it takes nothing more, so its end is what is waited for, though it had nothing to do
            self.team.stop_listening(member)
            member.kill_at = min(member.kill_at, monotonic() + CLOSED_S)

    def settle(self, member: Member, frame: Frame) -> None:
        """Note that these inputs are done."""
        chunk = member.chunks[0]
        chunk.drop(frame.size)
        member.answers += 1
        if not chunk.values:
            member.chunks.popleft()
            member.answered += 1
        if frame.busy_s:
            self.pace.learn(frame.size, frame.busy_s)
        if member.condemned is not None and member.condemned < chunk.first:
            member.pardon()

    def refusal(self, frame: Frame) -> RunnerError:
        """Why no worker can load the function."""
        _, exception, message, *_ = frame.head[0]
        return RunnerError(
            f"{self.name} cannot be loaded in a worker process: {exception}: {message}; define it at the top level "
            "of a module that workers can import (one typed into an interpreter or piped in needs start_method='fork')"
        )

    # Ends

    def bury(self, member: Member) -> Iterator[Batch]:
        """Blame the input that a dead worker was on; everything else that it had goes to others."""
        member.pardon_if_it_goes_on()
        chunks, condemned = list(member.chunks), member.condemned
        position, phase, mark, start = member.last_words()
        if condemned is not None and condemned != position:
            phase = WAITING  # we killed it for an input that ended in time after all: nobody is to blame
        how = self.team.bury(member)
        _LOGGER.debug("worker %d ended: %s", member.pid, how, extra={"worker_pid": member.pid})
        verdict = blame.judge(chunks, position, phase, was_ready=member.ready)
        self.feed.give_back(verdict.again)
        if verdict.culprit is None:
            return
        duration_s = max(0.0, monotonic() - start) if verdict.culprit == position else 0.0
        if condemned is not None:
            yield Batch.of_crash(position, _timed_out(mark, duration_s))
        elif self.tries[verdict.culprit] < self.limits.crash_retries:
            self.tries[verdict.culprit] += 1
            self.feed.give_back([_suspect(chunks, verdict.culprit)])
        else:
            yield Batch.of_crash(verdict.culprit, _crashed(how, mark, duration_s))

    def enforce_limits(self) -> Iterator[Batch]:
        """Condemn workers whose input should have ended, after a last look at what they have sent."""
        for member in list(self.team.members):
            now = monotonic()
            member.pardon_if_it_goes_on()
            if now >= member.kill_at:
                member.kill()
            elif member.condemned is None and member.overdue(self.limits.timeout, now) is not None:
                yield from self.collect(member)
                position = member.overdue(self.limits.timeout, now)
                if position is not None:
                    member.condemn(position, now)

    def until_next_limit(self) -> float:
        """How long to wait, in seconds, for something to happen."""
        until = min((member.next_look(self.limits.timeout) for member in self.team.members), default=0.0)
        return min(self.limits.every_s or TICK_S, TICK_S, until - monotonic())


def _suspect(chunks: list[Chunk], position: int) -> Chunk:
    chunk = chunks[0]
    return chunk.cut(position, position + 1, alone=True, deaths=chunk.deaths)


def _timed_out(mark: int, duration_s: float) -> Crash:
    message = f"this input was still running after {duration_s:.2f} s, beyond its limit; its worker was killed"
    return Crash(kind="timeout", exception="TimeoutError", message=message, mark=mark, duration_s=duration_s)


def _crashed(how: str, mark: int, duration_s: float) -> Crash:
    message = f"worker died: {how} while on this input"
    return Crash(kind="crash", exception=WorkerDied.__name__, message=message, mark=mark, duration_s=duration_s)

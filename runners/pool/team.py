"""The workers of one stream: started when there is something for them to do, replaced when they die."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from contextlib import suppress
from time import monotonic

from runners.errors import RunnerError
from runners.pool.launch import StartMethod, default_start_method
from runners.pool.member import Member, describe
from runners.pool.unguarded import EXIT_UNGUARDED, unguarded
from runners.pool.worker import EXIT_NO_MEMORY, Settings

_HANG_UP_S = 1.0
_READ = select.POLLIN | select.POLLHUP
_MAX_FAILED_STARTS = 3
_MAX_KILLED_STARTS = 20


class Team:
    """At most ``size`` workers. Used by one thread at a time."""

    def __init__(self, size: int, method: StartMethod | None, settings: Settings) -> None:
        self.size = size
        self.members: list[Member] = []
        self._method: StartMethod | None = method
        self._settings = settings
        self._poll = select.poll()
        self._by_descriptor: dict[int, Member] = {}
        self._owner = os.getpid()
        self._failed_starts = 0
        self._killed_starts = 0

    @property
    def busy(self) -> bool:
        """Somebody still has an answer to give."""
        return any(member.chunks for member in self.members)

    def has_room(self, depth: int) -> bool:
        """Somebody could take a chunk, if need be somebody new."""
        if len(self.members) < self.size:
            return True
        return any(member.is_able and len(member.chunks) < depth for member in self.members)

    def pick(self, depth: int) -> Member | None:
        """Who takes the next chunk: somebody idle, else somebody new, else whoever has less than ``depth``."""
        able = [member for member in self.members if member.is_able]
        best = min(able, key=lambda member: len(member.chunks), default=None)
        if best is not None and not best.chunks:
            return best
        if len(self.members) < self.size:
            return self._start()
        return best if best is not None and len(best.chunks) < depth else None

    def _start(self) -> Member:
        try:
            member = Member(self._method or default_start_method(), self._settings)
        except AssertionError as error:  # what multiprocessing says of a daemonic process, such as a Pool's worker
            raise RunnerError(
                f"cannot start a worker process here: {error}; use ThreadRunner in such a process"
            ) from error
        except (OSError, EOFError) as error:
            raise RunnerError(f"cannot start a worker process: {error}; try a smaller max_workers") from error
        self.members.append(member)
        for descriptor in (member.sock.fileno(), member.ended):
            self._by_descriptor[descriptor] = member
            self._poll.register(descriptor, _READ)
        return member

    def wait(self, duration_s: float) -> Iterator[tuple[Member, bool]]:
        """Who has something to say within ``duration_s`` seconds, and whether it has ended."""
        for member in self.members:
            wish = _READ | select.POLLOUT if member.outgoing else _READ
            if not member.closed:
                self._poll.modify(member.sock.fileno(), wish)
        events = self._poll.poll(max(0.0, duration_s) * 1000)
        for descriptor, event in events:
            speaker = self._by_descriptor.get(descriptor)
            if speaker is None:
                continue  # it was buried on an earlier event of this turn
            if event & select.POLLOUT:
                speaker.push()
            yield speaker, descriptor == speaker.ended

    def stop_listening(self, member: Member) -> None:
        """Its socket has closed: only its end is still of interest."""
        self._ignore(member.sock.fileno())

    def _ignore(self, descriptor: int) -> None:
        """Listen to it no more; nor may anybody have, where a signal's handler broke into the start of a worker."""
        if self._by_descriptor.pop(descriptor, None) is not None:
            with suppress(KeyError):
                self._poll.unregister(descriptor)

    def bury(self, member: Member) -> str:
        """Remove a worker that has ended; how it ended, in words."""
        self.stop_listening(member)
        self._ignore(member.ended)
        self.members.remove(member)
        code = member.reap()
        if not member.ready:
            self._count_failed_start(code)
        return describe(code)

    def _count_failed_start(self, code: int | None) -> None:
        if code == EXIT_UNGUARDED:
            raise unguarded()
        if code == EXIT_NO_MEMORY and self._settings.max_memory is not None:
            raise RunnerError(
                f"max_memory={self._settings.max_memory} is too small for the function: a worker that reads it "
                "runs out of memory; give it more, or a smaller function"
            )
        if code is None or code < 0:
            self._killed_starts += 1
        else:
            self._failed_starts += 1
        if self._failed_starts >= _MAX_FAILED_STARTS or self._killed_starts >= _MAX_KILLED_STARTS:
            raise RunnerError(
                f"workers end before they can start ({describe(code)}); what they wrote to stderr says why"
            )

    def welcome(self, member: Member) -> None:
        """Its first answer: starting works."""
        member.ready = True
        self._failed_starts = self._killed_starts = 0

    def stop_busy(self) -> None:
        """Nobody wants the answers any more."""
        if self._owner == os.getpid():
            self._stop([member for member in self.members if member.chunks or not member.is_able])

    def close(self) -> None:
        """End all workers: the idle ones by themselves, the others at once."""
        if self._owner != os.getpid():
            return
        self.stop_busy()
        for member in self.members:
            member.hang_up()
        until = monotonic() + _HANG_UP_S
        for member in self.members:
            member.has_ended_by(until)
        self._stop(list(self.members))

    def _stop(self, members: list[Member]) -> None:
        for member in members:
            member.kill()
        for member in members:
            member.ready = True  # whatever its end, it is no failed start
            self.bury(member)

"""One input on its way through the stages of a pipeline with batch steps: where it is, and what it took so far."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from time import perf_counter_ns
from typing import Any, cast

import msgspec
from returns.result import Failure, Result, Success

from pipeline.batchcall import End
from pipeline.model import Attempt, Note
from pipeline.snapshot import Snapshot
from pipeline.stepwise import Start
from pipeline.walk import Stop, Trace
from runners import Crash


class Journey:
    """One input on its way through the stages. ``result`` is there when it has ended, here or before."""

    def __init__(self, position: int, start: Start, first: Snapshot) -> None:
        self.position = position
        self.input_id: str = start[0]
        self.index: int = start[1]
        self.value: Any = start[2]
        self.began: int = self.index
        self.first: Snapshot = first
        self.clock_ns: list[int] = []
        self.attempts: tuple[Attempt | Note, ...] = ()
        self.result: Result[Trace, Crash] | None = None

    def enters(self, end: int) -> bool:
        """Whether a stage that ends before the step at ``end`` has something to do for it."""
        return self.result is None and self.index < end

    def takes(self, result: Result[Trace, Crash], end: int, names: tuple[str, ...]) -> None:
        """It went one by one through the steps up to ``end``."""
        if type(result) is not Success:
            self.crashes(result.failure(), names)
            return
        answer, readings, attempts = cast("Trace", result.unwrap())
        self._spent(after - before for before, after in pairwise(readings))
        self._reached(answer, attempts, end)

    def takes_share(self, share: End) -> None:
        """It went through a batch step with others."""
        answer, share_ns, attempts = share
        self._spent([share_ns])
        self._reached(answer, attempts, self.index + 1)

    def crashes(self, crash: Crash, names: tuple[str, ...]) -> None:
        """Infrastructure failed: the input goes on later from where it came to in this run."""
        if self.index == self.began:
            self.result = Failure(crash)
            return
        at = names[crash.mark] if 0 <= crash.mark < len(names) else names[self.index]
        message = crash.message if at == names[self.index] else f"{crash.message} (in step {at!r})"
        self._spent([round(crash.duration_s * 1e9)])
        self._ended(
            Stop(
                index=self.index,
                exception=crash.exception,
                message=message,
                data=self.value,
                kind=crash.kind,
                retryable=crash.kind != "invalid",
                frames=crash.frames,
            )
        )

    def set_aside(self, reason: str, names: tuple[str, ...]) -> None:
        """The run was stopped while it waited between two stages."""
        told = f"set aside before step {names[self.index]!r}: {reason}"
        self._ended(Stop(index=self.index, exception="", message="", data=self.value, parked=told))

    def finish(self) -> Result[Trace, Crash]:
        """How it ended."""
        return self.result or Success((self.value, self.clock_ns or [perf_counter_ns()], self.attempts))

    def _reached(self, answer: Any, attempts: tuple[Attempt | Note, ...], end: int) -> None:
        if type(answer) is Stop:
            self._ended(msgspec.structs.replace(answer, attempts=(*answer.attempts, *attempts)))
        else:
            self.value, self.index, self.attempts = answer, end, (*self.attempts, *attempts)

    def _ended(self, stop: Stop) -> None:
        stop = msgspec.structs.replace(stop, attempts=(*self.attempts, *stop.attempts), first=self.first)
        self.result = Success((stop, self.clock_ns or [perf_counter_ns()], ()))

    def _spent(self, durations_ns: Iterable[int]) -> None:
        """Time in steps; what it waited for others, or for its next stage, is not told."""
        self.clock_ns = self.clock_ns or [perf_counter_ns()]
        for duration_ns in durations_ns:
            self.clock_ns.append(self.clock_ns[-1] + duration_ns)

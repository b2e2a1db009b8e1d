"""A pipeline with batch steps, cut into stages: how inputs meet at a batch step, on every runner alike.

    starts ─▶ the steps before ─▶ up to max_size, ─▶ the batch step, ─▶ the steps behind ─▶ …
              one by one          or max_wait_s      batch by batch     one by one

Every stage is one stream of the runner, over what the stage before it gives. So a stage is pulled by the one behind
it, and the last one by the consumer: nothing is computed ahead of what the windows of the runner hold, no worker waits
for another input, and what a worker's death costs is seen here, where the halves of its batch can go again.

An input that has ended, or starts behind a stage, goes through it as an empty call, and so does a moment in which
nothing came: so the consumer gets its turn.
What only one thread does at a time is in ``Stages``: a stage's source may be pulled by a thread of the runner.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from itertools import pairwise
from time import monotonic, perf_counter
from typing import Any, TypeAlias, cast

from returns.result import Result, Success

from pipeline import snapshot
from pipeline.batchcall import End, batch_work_of
from pipeline.batchstep import Batched, is_batched
from pipeline.compose import Pipeline
from pipeline.engine import IDLE, Program, work_of
from pipeline.journey import Journey
from pipeline.snapshot import IMMUTABLE
from pipeline.stepwise import Start
from pipeline.walk import Trace
from runners import Crash, Runner, SequentialRunner

LOOKS = 4
"""How often a batch that waits is looked at, in the time that it may wait."""

TURN_S = 0.02
"""How often, in seconds, the consumer is given a turn by a runner that can end calls."""

Journeys: TypeAlias = "Generator[Journey | None]"
"""Inputs as they come out of a stage; ``None`` is a moment in which none did."""


def has_batches(pipeline: Pipeline[Any, Any, Any]) -> bool:
    """Whether inputs meet in this pipeline."""
    return any(is_batched(step.fn) for step in pipeline)


def stages_of(pipeline: Pipeline[Any, Any, Any]) -> list[tuple[int, int]]:
    """The places at which each stage starts and ends: a batch step alone, and the steps between two of them.

    Even where the first step is a batch step there is a stage before it: the runner may then wait for the inputs.

    >>> from pipeline import batch_step, step
    >>> embed = batch_step("embed")(lambda texts: texts)
    >>> stages_of(step("load")(str) >> step("strip")(str.strip) >> embed >> step("store")(str))
    [(0, 2), (2, 3), (3, 4)]
    """
    cuts = {0, len(pipeline)}
    for place, step in enumerate(pipeline):
        cuts |= {place, place + 1} if is_batched(step.fn) else set()
    ordered = sorted(cuts)
    first = [(0, 0)] if len(pipeline) and is_batched(pipeline[0].fn) else []
    return first + list(pairwise(ordered))


class Stages:
    """The stages of one run over ``runner``. ``stopped`` says why the run was stopped, if it was."""

    def __init__(self, runner: Runner, program: Program, stopped: Callable[[], str | None]) -> None:
        self.runner = runner
        self.program = program
        self.stopped = stopped
        self.closed: bool = False  # set by the consumer, read by the sources
        self.broken_into: KeyboardInterrupt | None = None  # written where the signal comes first
        self.pulling_s: float = 0.0  # that the source of the inputs took; written by whoever pulls it

    def results(self, starts: Iterable[Start]) -> Generator[tuple[int, Result[Trace, Crash]] | None]:
        """As ``runner.ticking`` gives: every input of ``starts`` with its end, as they finish."""
        journeys = self._begun(starts)
        for start, end in stages_of(self.program.pipeline):
            journeys = self._stage(start, end, journeys)
        try:
            for journey in journeys:
                yield None if journey is None else (journey.position, journey.finish())
        finally:
            self.closed = True
            self._close(journeys)

    def _begun(self, starts: Iterable[Start]) -> Journeys:
        copies = not self.runner.crosses_processes
        began = perf_counter()
        for position, start in enumerate(starts):
            self.pulling_s += perf_counter() - began
            value = start[2]
            first = snapshot.take(value) if copies and type(value) not in IMMUTABLE else None
            yield Journey(position, start, first)
            began = perf_counter()
            if self.closed:
                return

    def _stage(self, start: int, end: int, journeys: Journeys) -> Journeys:
        pipeline = self.program.pipeline
        following = pipeline[end].fn if end < len(pipeline) else None
        look_s = _look_s(following) if is_batched(following) else None
        batched = pipeline[start].fn if start < end else None
        if is_batched(batched):
            return self._together(start, self._batches(batched, start, journeys), look_s, journeys)
        return self._one_by_one(start, end, journeys, look_s)

    # one by one

    def _one_by_one(self, start: int, end: int, journeys: Journeys, look_s: float | None) -> Journeys:
        """Each input through the steps from ``start`` up to ``end``."""
        sent: dict[int, Journey | None] = {}  # the source adds, this takes away

        def source() -> Iterator[Start]:
            for number, journey in enumerate(journeys):
                if journey is not None and start:
                    self._set_aside_if_stopped(journey)
                sent[number] = journey
                enters = journey is not None and journey.enters(end)
                yield (journey.input_id, journey.index, journey.value) if journey is not None and enters else IDLE

        work = work_of(self.program.part(start, end), on_loop=self.runner.awaits)
        stream, is_turn = self._stream(work, source(), look_s), _turns(look_s)
        try:
            for arrived in stream:
                if arrived is None:
                    if is_turn():
                        yield None
                    continue
                number, result = arrived
                journey = sent.pop(number)
                if journey is not None and journey.enters(end):
                    journey.takes(result, end, self.program.names)
                yield journey
        finally:
            self._close(stream, journeys)

    # together

    def _batches(self, batched: Batched, place: int, journeys: Journeys) -> Iterator[list[Journey]]:
        """The inputs that a call gets; one alone that the step is nothing for; none, where none came."""
        waiting: list[Journey] = []
        since = 0.0
        for journey in journeys:
            if journey is not None:
                self._set_aside_if_stopped(journey)
                if journey.enters(place + 1):
                    since = since if waiting else self._now()
                    waiting.append(journey)
                else:
                    yield [journey]
            if waiting and self._is_due(batched, waiting, since):
                yield from self._sent(waiting)
                waiting = []
            elif journey is None:
                yield []
        yield from self._sent(waiting)

    def _is_due(self, batched: Batched, waiting: list[Journey], since: float) -> bool:
        limit_s = batched.max_wait_s
        is_late = limit_s is not None and self._now() - since >= limit_s
        return len(waiting) >= batched.max_size or is_late or self.stopped() is not None

    def _sent(self, waiting: list[Journey]) -> Iterator[list[Journey]]:
        if self.closed or not waiting:
            return
        for journey in waiting:
            self._set_aside_if_stopped(journey)
        yield from [waiting] if waiting[0].result is None else ([journey] for journey in waiting)

    def _now(self) -> float:
        """The clock of batches that wait, in seconds.

        Where one thread does everything, only the time counts in which it waits for inputs: while it works on
        another one, nobody could make the call.
        """
        return self.pulling_s if isinstance(self.runner, SequentialRunner) else monotonic()

    def _together(
        self, place: int, batches: Iterator[list[Journey]], look_s: float | None, journeys: Journeys | None = None
    ) -> Journeys:
        """Each batch through the step at ``place``; where its worker died or hung, each half of it."""
        sent: dict[int, list[Journey]] = {}  # the source adds, this takes away

        def source() -> Iterator[list[tuple[str, Any]]]:
            for number, batch in enumerate(batches):
                sent[number] = batch
                yield [(each.input_id, each.value) for each in batch if each.enters(place + 1)]

        stream = self._stream(batch_work_of(self.program, place, self.runner.awaits), source(), look_s)
        is_turn = _turns(look_s)
        try:
            for arrived in stream:
                if arrived is None:
                    if is_turn():
                        yield None
                    continue
                number, result = arrived
                batch = sent.pop(number)
                if len(batch) > 1 and _is_lost(result):
                    yield from self._together(place, self._halves(batch), None)
                else:
                    yield from self._settled(batch, result, place)
        finally:
            self._close(stream, journeys)

    def _halves(self, batch: list[Journey]) -> Iterator[list[Journey]]:
        middle = len(batch) // 2
        yield from self._sent(batch[:middle])
        yield from self._sent(batch[middle:])

    def _settled(self, batch: list[Journey], result: Result[Any, Crash], place: int) -> Iterator[Journey | None]:
        entered = [journey for journey in batch if journey.enters(place + 1)]
        if isinstance(result, Success):
            for journey, share in zip(entered, cast("list[End]", result.unwrap()), strict=True):
                journey.takes_share(share)
        else:
            for journey in entered:
                journey.crashes(result.failure(), self.program.names)
        yield from batch or (None,)

    # both

    def _stream(
        self, work: Callable[[Any], Any], source: Iterator[Any], look_s: float | None
    ) -> Iterator[tuple[int, Result[Any, Crash]] | None]:
        if look_s is None and not self.runner.ends_calls:
            return self.runner.stream(work, source)
        return self.runner.ticking(work, source, look_s or TURN_S)

    def _close(self, *streams: Any) -> None:
        """Where a second Ctrl-C is why, they are told, so that they wait for nobody.

        A thread may still be in one then: that one is told when it is collected.
        """
        why = sys.exception()
        if isinstance(why, KeyboardInterrupt):
            self.broken_into = why
        for stream in streams:
            if self.broken_into is not None:
                with suppress(AttributeError, ValueError, KeyboardInterrupt):
                    stream.throw(self.broken_into)
            elif hasattr(stream, "close"):
                stream.close()

    def _set_aside_if_stopped(self, journey: Journey) -> None:
        reason = self.stopped()
        if reason is not None and journey.enters(len(self.program.names)):
            journey.set_aside(reason, self.program.names)


def _is_lost(result: Result[Any, Crash]) -> bool:
    """Whether the worker of a batch died or hung, or a value of it did not survive the way."""
    return type(result) is not Success and result.failure().kind != "cancelled"


def _look_s(batched: Batched) -> float | None:
    return None if batched.max_wait_s is None else max(0.001, batched.max_wait_s / LOOKS)


def _turns(look_s: float | None) -> Callable[[], bool]:
    """Whether a turn that a runner gives is to go on to the consumer: each is an empty call of the stages behind."""
    if look_s is not None:
        return lambda: True
    due = monotonic() + TURN_S

    def is_turn() -> bool:
        nonlocal due
        now = monotonic()
        if now < due:
            return False
        due = now + TURN_S
        return True

    return is_turn

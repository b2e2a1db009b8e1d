"""How long a run took, and where: the document's monitoring metrics (section 7). Durations are in seconds.

``Meter`` is the running count while outcomes arrive; ``Metrics`` is what it says at the end.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from operator import sub
from typing import Any

import msgspec

from pipeline.model import Failed, Note, NotRun, Outcome, Skipped, Succeeded

FOLD_AT = 512
"""Readings of inputs that are held before they are added to their steps: together they cost a third."""

SAMPLE = 65_536
"""Durations of a step that are kept at most: of more calls, every second one, every fourth and so on."""

_RAN = (Succeeded, Failed, NotRun)
"""A tuple, because a union of types made for every outcome costs as much as looking at one."""

_TAGS: dict[type[Any], str] = {kind: str(kind.__struct_config__.tag) for kind in (Succeeded, Skipped, Failed, NotRun)}


class StepMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """One step over all inputs. ``count`` is how often it ran, ``failures`` how often it ended an input.

    ``p50_s`` and ``p95_s`` are nearest-rank percentiles: the smallest duration that at least that share of the calls
    did not exceed; beyond 65,536 calls, of an even sample of them. ``retries`` counts failed tries after which the
    step was called again; ``cache_hits`` how often it was not called, because its cache had the result; ``count``
    includes those, but not what ran in a worker that died: nothing comes back of that, and it may have run again.
    """

    count: int = 0
    failures: int = 0
    retries: int = 0
    cache_hits: int = 0
    total_s: float = 0.0
    mean_s: float = 0.0
    p50_s: float = 0.0
    p95_s: float = 0.0
    max_s: float = 0.0


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """A run in figures.

    ``success_rate`` is the share of inputs with an output, ``retry_rate`` the share that went on from a payload,
    ``throughput`` the inputs worked on per second, ``efficiency`` busy time over wall time times workers (0 to 1),
    ``busy_s`` the time spent inside steps by all workers together.
    """

    duration_s: float = 0.0
    busy_s: float = 0.0
    inputs: int = 0
    succeeded: int = 0
    skipped: int = 0
    failed: int = 0
    not_run: int = 0
    retried: int = 0
    success_rate: float = 0.0
    retry_rate: float = 0.0
    throughput: float = 0.0
    efficiency: float = 0.0
    workers: int = 1
    steps: dict[str, StepMetrics] = {}


class Durations:
    """The durations of one step's calls, in nanoseconds: count, sum and maximum of all, and an even sample."""

    def __init__(self) -> None:
        self.count: int = 0
        self.total_ns: int = 0
        self.max_ns: int = 0
        self.sample: array[int] = array("q")
        self._every = 1

    def extend(self, durations_ns: list[int]) -> None:
        """Take in the next calls."""
        self.sample.extend(durations_ns[-self.count % self._every :: self._every])
        self.count += len(durations_ns)
        self.total_ns += sum(durations_ns)
        self.max_ns = max(self.max_ns, max(durations_ns))
        while len(self.sample) >= SAMPLE:
            del self.sample[1::2]
            self._every *= 2


class Meter:
    """Counts outcomes as they arrive. Guard: only the thread that consumes the run's stream writes it."""

    def __init__(self, names: Sequence[str]) -> None:
        self.durations_ns: dict[str, Durations] = {name: Durations() for name in names}
        self.failures: dict[str, int] = dict.fromkeys(names, 0)
        self.retries: dict[str, int] = dict.fromkeys(names, 0)
        self.cache_hits: dict[str, int] = dict.fromkeys(names, 0)
        self.counts: dict[str, int] = dict.fromkeys(_TAGS.values(), 0)
        self.retried: int = 0
        self._readings: dict[tuple[str, ...], list[tuple[int, ...]]] = {}

    def count(self, outcome: Outcome[Any], retried: bool, kept: bool = False) -> None:
        """Take one outcome in; ``retried``: it went on from a payload; ``kept``: it is of an earlier run."""
        self.counts[_TAGS[type(outcome)]] += 1
        self.retried += retried
        if kept or not isinstance(outcome, _RAN):
            return
        if outcome.steps:
            held = self._readings.get(outcome.steps)
            if held is None:
                held = self._readings[outcome.steps] = []
            held.append(outcome.clock_ns)
            if len(held) >= FOLD_AT:
                self._fold()
        if outcome.attempts or type(outcome) is Failed:
            self._count_tries(outcome)

    def _count_tries(self, outcome: Succeeded[Any] | Failed | NotRun) -> None:
        for attempt in outcome.attempts:
            if attempt.step in self.retries:
                self.retries[attempt.step] += 1
        if isinstance(outcome, Failed) and outcome.step in self.failures:
            self.failures[outcome.step] += 1
            deciding = outcome.attempts[-1].step if outcome.attempts else ""
            if deciding in self.retries:
                self.retries[deciding] -= 1

    def _fold(self) -> None:
        """Add the readings that are held to the durations of their steps."""
        alike, self._readings = self._readings, {}
        for steps, readings in alike.items():
            columns = list(zip(*readings, strict=True))
            for step, before, after in zip(steps, columns, columns[1:], strict=False):
                self.durations_ns[step].extend([*map(sub, after, before)])

    def note(self, notes: Sequence[Note]) -> None:
        """Take in what else happened at the steps of an input."""
        for note in notes:
            self.cache_hits[note.step] += note.what == "cache_hit"

    def metrics(self, duration_s: float, workers: int) -> Metrics:
        """What the run came to after ``duration_s`` seconds on ``workers`` workers."""
        self._fold()
        steps = {name: self._step(name) for name in self.durations_ns}
        busy_s = sum(step.total_s for step in steps.values())
        inputs = sum(self.counts.values())
        ran = self.counts["succeeded"] + self.counts["failed"]
        good = self.counts["succeeded"] + self.counts["skipped"]
        return Metrics(
            duration_s=duration_s,
            busy_s=busy_s,
            inputs=inputs,
            **self.counts,
            retried=self.retried,
            success_rate=good / inputs if inputs else 1.0,
            retry_rate=self.retried / inputs if inputs else 0.0,
            throughput=ran / duration_s if duration_s > 0 else 0.0,
            efficiency=min(1.0, busy_s / (duration_s * workers)) if duration_s > 0 else 0.0,
            workers=workers,
            steps=steps,
        )

    def _step(self, name: str) -> StepMetrics:
        durations = self.durations_ns[name]
        base = {"failures": self.failures[name], "retries": self.retries[name], "cache_hits": self.cache_hits[name]}
        if not durations.count:
            return StepMetrics(**base)
        ordered = sorted(durations.sample)
        return StepMetrics(
            count=durations.count,
            **base,
            total_s=durations.total_ns / 1e9,
            mean_s=durations.total_ns / 1e9 / durations.count,
            p50_s=_nearest_rank(ordered, 50),
            p95_s=_nearest_rank(ordered, 95),
            max_s=durations.max_ns / 1e9,
        )


def _nearest_rank(ordered: Sequence[int], percent: int) -> float:
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)] / 1e9

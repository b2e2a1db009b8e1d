"""How long a run took, and where: the document's monitoring metrics (section 7). Durations are in seconds.

``Meter`` is the running count while outcomes arrive; ``Metrics`` is what it says at the end.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

import msgspec

from pipeline.model import Failed, Note, Outcome, Succeeded


class StepMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """One step over all inputs. ``count`` is how often it ran, ``failures`` how often it ended an input.

    ``p50_s`` and ``p95_s`` are nearest-rank percentiles: the smallest duration that at least that share of the calls
    did not exceed. ``retries`` counts failed tries after which the step was called again;
    ``cache_hits`` how often it was not called, because its cache had the result; ``count`` includes those.
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


class Meter:
    """Counts outcomes as they arrive. Guard: only the thread that consumes the run's stream writes it."""

    def __init__(self, names: Sequence[str]) -> None:
        self.durations_ns: dict[str, array[int]] = {name: array("q") for name in names}
        self.failures: dict[str, int] = dict.fromkeys(names, 0)
        self.retries: dict[str, int] = dict.fromkeys(names, 0)
        self.cache_hits: dict[str, int] = dict.fromkeys(names, 0)
        self.counts: dict[str, int] = {"succeeded": 0, "skipped": 0, "failed": 0, "not_run": 0}
        self.retried: int = 0

    def count(self, outcome: Outcome[Any], retried: bool, kept: bool = False) -> None:
        """Take one outcome in; ``retried``: it went on from a payload; ``kept``: it is of an earlier run."""
        self.counts[str(outcome.__struct_config__.tag)] += 1
        self.retried += retried
        if kept or not isinstance(outcome, Succeeded | Failed):
            return
        clock_ns = outcome.clock_ns
        for place, (step, after) in enumerate(zip(outcome.steps, clock_ns[1:], strict=False)):
            self.durations_ns[step].append(after - clock_ns[place])
        for attempt in outcome.attempts:
            if attempt.step in self.retries:
                self.retries[attempt.step] += 1
        if isinstance(outcome, Failed) and outcome.step in self.failures:
            self.failures[outcome.step] += 1
            self.retries[outcome.step] -= 1 if outcome.attempts else 0

    def note(self, notes: Sequence[Note]) -> None:
        """Take in what else happened at the steps of an input."""
        for note in notes:
            self.cache_hits[note.step] += note.what == "cache_hit"

    def metrics(self, duration_s: float, workers: int) -> Metrics:
        """What the run came to after ``duration_s`` seconds on ``workers`` workers."""
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
        ordered = sorted(self.durations_ns[name])
        base = {"failures": self.failures[name], "retries": self.retries[name], "cache_hits": self.cache_hits[name]}
        if not ordered:
            return StepMetrics(**base)
        total_s = sum(ordered) / 1e9
        return StepMetrics(
            count=len(ordered),
            **base,
            total_s=total_s,
            mean_s=total_s / len(ordered),
            p50_s=_nearest_rank(ordered, 50),
            p95_s=_nearest_rank(ordered, 95),
            max_s=ordered[-1] / 1e9,
        )


def _nearest_rank(ordered: Sequence[int], percent: int) -> float:
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)] / 1e9

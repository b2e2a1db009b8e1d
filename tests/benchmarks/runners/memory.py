"""Millions of inputs from a generator through one local runner: how far this process grows.

python -m tests.benchmarks.runners.memory RUNNER COUNT
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from time import perf_counter

from runners import AsyncRunner, ExecutorRunner, ProcessRunner, Runner, SequentialRunner, ThreadRunner
from tests.benchmarks.runners.child import forget_peak, peak, say
from tests.benchmarks.runners.workloads import endless, noop

RUNNERS: dict[str, Callable[[], Runner]] = {
    "SequentialRunner": SequentialRunner,
    "ThreadRunner": lambda: ThreadRunner(2),
    "ProcessRunner": lambda: ProcessRunner(2),
    "AsyncRunner": AsyncRunner,
    "ExecutorRunner, threads": lambda: ExecutorRunner(partial(ThreadPoolExecutor, 2)),
    "ExecutorRunner, processes": lambda: ExecutorRunner(partial(ProcessPoolExecutor, 2)),
}
SETTLED = 20_000
"""Inputs after which workers, buffers and windows have their size: growth counts from there."""


def growth(runner: Runner, count: int) -> int:
    """Bytes by which this process grew at its highest, while so many inputs passed through."""
    before = 0
    for seen, _ in enumerate(runner.stream(noop, endless(count))):
        if seen == SETTLED:
            before = forget_peak()
    return peak() - before


def main(runner: str, count: str) -> None:
    began = perf_counter()
    grown = growth(RUNNERS[runner](), int(count))
    say({"grown": grown, "seconds": perf_counter() - began})


if __name__ == "__main__":
    main(*sys.argv[1:])

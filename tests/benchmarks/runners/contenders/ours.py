"""Ours: results as a list, and streamed; each runner where it belongs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from runners import AsyncRunner, ProcessRunner, Runner, ThreadRunner
from tests.benchmarks.runners.contender import Contender, Map
from tests.benchmarks.runners.workloads import apause, pause


def as_list(make: Callable[[int], Any]) -> Callable[[int], AbstractContextManager[Map]]:
    @contextmanager
    def open_runner(workers: int) -> Iterator[Map]:
        with make(workers) as runner:
            yield runner.run

    return open_runner


def streamed(make: Callable[[int], Any]) -> Callable[[int], AbstractContextManager[Map]]:
    @contextmanager
    def open_runner(workers: int) -> Iterator[Map]:
        with make(workers) as runner:
            yield lambda func, inputs: (result.unwrap() for _, result in runner.stream(func, inputs))

    return open_runner


def each_delivered(workers: int) -> Any:
    return ProcessRunner(workers, deliver_each=True)


@contextmanager
def open_async(workers: int) -> Iterator[Map]:
    yield lambda func, inputs: _awaited(AsyncRunner(workers), func, inputs)


def _awaited(runner: Runner, func: Callable[[Any], Any], inputs: list[Any]) -> Iterable[Any]:
    return runner.run(apause if func is pause else func, inputs)


VARIANTS = {
    "ours": Contender(as_list(ProcessRunner), listed=True),
    "ours, stream": Contender(streamed(ProcessRunner)),
    "ours, deliver_each": Contender(as_list(each_delivered), listed=True),
    "ours, threads": Contender(as_list(ThreadRunner), threads=True),
    "ours, threads, stream": Contender(streamed(ThreadRunner), threads=True),
    "ours, async": Contender(open_async, threads=True),
}

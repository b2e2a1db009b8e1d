"""joblib.Memory: a cached function for each step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.benchmarks.durable.contender import Contender, Work
from tests.benchmarks.durable.steps import increment


def first_step(value: int) -> int:
    return increment(value)


def second(value: int) -> int:
    return increment(value)


def third(value: int) -> int:
    return increment(value)


@contextmanager
def opened(folder: Path) -> Iterator[Work]:
    memory: Any = import_module("joblib").Memory(str(folder), verbose=0)
    one, two, three = map(memory.cache, (first_step, second, third))

    def work(count: int, first: int) -> None:
        for value in range(first, first + count):
            assert three(two(one(value))) == value + 3

    yield work


VARIANTS = {"joblib.Memory": Contender(opened, 200, "finished steps")}

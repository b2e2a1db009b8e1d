"""diskcache: a memoised function for each step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.benchmarks.durable.contender import Contender, Work
from tests.benchmarks.durable.steps import NAMES, increment


@contextmanager
def opened(folder: Path) -> Iterator[Work]:
    cache: Any = import_module("diskcache").Cache(str(folder))
    first_step, second, third = (cache.memoize(name=name)(increment) for name in NAMES)

    def work(count: int, first: int) -> None:
        for value in range(first, first + count):
            assert third(second(first_step(value))) == value + 3

    yield work
    cache.close()


VARIANTS = {"diskcache": Contender(opened, 500, "finished steps")}

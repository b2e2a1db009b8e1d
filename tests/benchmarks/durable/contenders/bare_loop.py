"""A loop that remembers nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks.durable.contender import Contender, Work
from tests.benchmarks.durable.steps import increment


@contextmanager
def opened(_folder: Path) -> Iterator[Work]:
    yield work


def work(count: int, first: int) -> None:
    for value in range(first, first + count):
        try:
            assert increment(increment(increment(value))) == value + 3
        except ValueError:
            continue


VARIANTS = {"bare loop": Contender(opened, 100_000, "-")}

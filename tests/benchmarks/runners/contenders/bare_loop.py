"""No workers at all: what the function itself takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.benchmarks.runners.contender import Contender, Map


@contextmanager
def open_loop(workers: int) -> Iterator[Map]:
    yield loop


def loop(func: Callable[[Any], Any], inputs: list[Any]) -> list[Any]:
    return [func(value) for value in inputs]


VARIANTS = {"bare loop": Contender(open_loop, listed=True)}

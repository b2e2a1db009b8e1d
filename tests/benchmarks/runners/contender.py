"""What a contender is: a way to open workers, and then to map a function over inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

Map = Callable[[Callable[[Any], Any], list[Any]], Iterable[Any]]
"""All results, in whatever order: as a list, or one by one."""


class Contender(NamedTuple):
    """One way to do it."""

    open: Callable[[int], AbstractContextManager[Map]]
    threads: bool = False
    """For work that waits."""
    cluster: bool = False
    """It has processes that work even while nobody asks."""
    listed: bool = False
    """It has no result to show before it has them all."""

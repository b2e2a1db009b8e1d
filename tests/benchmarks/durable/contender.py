"""What a contender is: a way to open a store in a folder, and then to take inputs through three steps with it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

Work = Callable[[int, int], None]
"""Take so many inputs, numbered from the second figure on, through the steps; it has ended when all is remembered."""


class Contender(NamedTuple):
    """One way to do it. ``inputs`` is how many it takes in a round: some need a thousand times as long as others."""

    open: Callable[[Path], AbstractContextManager[Work]]
    inputs: int
    promise: str
    """What is not done twice after a kill -9."""
    serves: bool = False
    """It has a server that works even while nobody asks."""

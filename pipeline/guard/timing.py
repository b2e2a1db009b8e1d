"""The clocks, the sleep and the chance that guards use: real ones, or a test's."""

from __future__ import annotations

import asyncio
import random
import time as clocks
from collections.abc import Awaitable, Callable
from typing import NamedTuple


class Timing(NamedTuple):
    """Where time and chance come from. All but ``draw`` are as in ``pipeline.testing.FakeClock``."""

    monotonic: Callable[[], float] = clocks.monotonic
    time: Callable[[], float] = clocks.time
    sleep: Callable[[float], None] = clocks.sleep
    asleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    draw: Callable[[], float] = random.random


REAL = Timing()

"""The clock that stands still."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipeline.testing import FakeClock


def test_sleeping_passes_the_time_at_once() -> None:
    clock = FakeClock()
    before = clock.time()

    clock.sleep(3_600)

    assert (clock.time() - before, clock.monotonic(), clock(), clock.monotonic_ns()) == (
        3_600,
        3_600,
        3_600,
        36 * 10**11,
    )


def test_an_async_sleep_lets_other_tasks_run() -> None:
    clock, told = FakeClock(), list[str]()

    async def sleeper(name: str) -> None:
        await clock.asleep(1)
        told.append(name)

    async def both() -> None:
        await asyncio.gather(sleeper("one"), sleeper("two"))

    asyncio.run(both())

    assert (told, clock.slept) == (["one", "two"], [1, 1])


def test_sleeps_of_several_threads_are_all_counted() -> None:
    clock = FakeClock()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(clock.sleep, [1] * 1_000))

    assert (clock.monotonic(), len(clock.slept)) == (1_000, 1_000)


@pytest.mark.parametrize("move", ["sleep", "advance"])
def test_time_does_not_go_back(move: str) -> None:
    with pytest.raises(ValueError, match=rf"FakeClock.{move}\(-1\)"):
        getattr(FakeClock(), move)(-1)

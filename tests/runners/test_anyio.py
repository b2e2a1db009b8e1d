"""Runners and processors under an event loop that anyio runs: task groups, cancel scopes, and what a step may use."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import aclosing
from typing import Any

import anyio
import anyio.to_thread
import pytest
from returns.result import Success

from pipeline import Processor, step, to_inputs
from runners import AsyncRunner, ProcessRunner, Runner, ThreadRunner
from tests.runners import faults
from tests.runners.processes import nothing_left_behind


@step("pause")
async def pause(number: int) -> int:
    await anyio.sleep(0.01)
    return number + 1


@step("twice")
def twice(number: int) -> int:
    return 2 * number


EXPECTED = [2 * (number + 1) for number in range(20)]


def batch(runner: Runner) -> Any:
    return Processor(pipeline=pause >> twice, runner=runner).aexecute(to_inputs(range(20)))


def test_aexecute_gives_the_same_on_every_runner_and_does_not_block_the_loop(any_runner: Runner) -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await anyio.sleep(0.001)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(tick)
            outputs.append((await batch(any_runner)).output)
            group.cancel_scope.cancel()

    outputs: list[Any] = []
    anyio.run(main)

    assert outputs == [EXPECTED]
    assert ticks > 1


def test_several_batches_of_one_runner_in_a_task_group(every_runner: Any) -> None:
    outputs: list[Any] = []

    async def execute() -> None:
        outputs.append((await batch(every_runner)).output)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(execute)

    with nothing_left_behind(), every_runner:
        anyio.run(main)

    assert outputs == [EXPECTED] * 3


@step("anyio")
async def use_anyio(number: int) -> int:
    """What needs the loop to be anyio's as far as anyio can tell."""
    limiter, doubled = anyio.CapacityLimiter(1), 0

    async def double() -> None:
        nonlocal doubled
        async with limiter:
            doubled = await anyio.to_thread.run_sync(twice.fn, number)

    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            group.start_soon(double)
    return doubled


@pytest.mark.parametrize("from_a_loop", [False, True])
def test_a_step_may_use_anyio(every_runner: Runner, from_a_loop: bool) -> None:
    processor = Processor(pipeline=use_anyio, runner=every_runner)
    inputs = to_inputs(range(5))

    result = anyio.run(processor.aexecute, inputs) if from_a_loop else processor.execute(inputs)

    assert result.output == [0, 2, 4, 6, 8]


# Cancellation


class Calls:
    """Coroutines that wait for ever, and know how they ended."""

    def __init__(self) -> None:
        self.begun = self.cancelled = self.ended = 0

    async def wait(self, _: object) -> None:
        self.begun += 1
        try:
            await anyio.sleep(3600)
        except BaseException:
            self.cancelled += 1
            raise
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.01)  # tidying up takes a while, and is waited for
            self.ended += 1


def run_and_cancel(work: Callable[[], Any]) -> bool:
    """Whether a cancel scope around ``work`` caught its own cancellation."""

    async def main() -> bool:
        with anyio.move_on_after(0.2) as scope:
            await work()
        return scope.cancelled_caught

    return anyio.run(main)


@pytest.mark.parametrize("concurrency", [1, 5])
def test_a_cancel_scope_cancels_what_is_in_flight_and_waits_for_its_end(concurrency: int) -> None:
    calls, others = Calls(), {*threading.enumerate()}
    processor = Processor(pipeline=step("wait")(calls.wait), runner=AsyncRunner(concurrency))

    with nothing_left_behind():
        assert run_and_cancel(lambda: processor.aexecute(to_inputs(range(20))))

    assert (calls.begun, calls.cancelled, calls.ended) == (concurrency,) * 3
    left = {*threading.enumerate()} - others
    assert not [thread for thread in left if thread.name == "AsyncRunner"]


def test_one_failing_task_cancels_the_batches_of_its_group() -> None:
    calls = Calls()

    async def fail() -> None:
        await anyio.sleep(0.1)
        raise LookupError("the other task failed")

    async def main() -> None:
        processor = Processor(pipeline=step("wait")(calls.wait), runner=AsyncRunner(3))
        async with anyio.create_task_group() as group:
            group.start_soon(processor.aexecute, to_inputs(range(20)))
            group.start_soon(fail)

    with pytest.RaisesGroup(LookupError):
        anyio.run(main)
    assert (calls.begun, calls.ended) == (3, 3)


@pytest.mark.parametrize("make", [lambda: ThreadRunner(2), lambda: ProcessRunner(2), lambda: AsyncRunner(2)])
def test_cancelling_leaves_no_thread_and_no_process(make: Callable[[], Runner]) -> None:
    """Of plain functions: one in a thread is waited for, one in a process is ended."""
    others = {*threading.enumerate()}
    with nothing_left_behind():
        assert run_and_cancel(lambda: take_all(make(), nap, endless()))

    assert not [thread for thread in threading.enumerate() if "Runner" in thread.name and thread not in others]


@pytest.mark.parametrize("how", [asyncio.run, anyio.run])
def test_a_hung_worker_does_not_outlive_a_cancelled_caller(how: Any) -> None:
    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await take_all(ProcessRunner(2), faults.hang_on, range(20))

    with nothing_left_behind():
        began = time.monotonic()
        how(main()) if how is asyncio.run else how(main)

    assert time.monotonic() - began < 30


@pytest.mark.parametrize("make", [AsyncRunner, ThreadRunner])
def test_without_a_loop_of_asyncio_it_is_said_what_to_do(make: Callable[[], Runner]) -> None:
    """As under trio, whose loop asyncio does not see."""
    stream: Any = make().astream(pause.fn, range(3))

    with pytest.raises(RuntimeError, match=r"needs one of asyncio.*under trio.*to_thread\.run_sync"):
        stream.__anext__().send(None)


def nap(value: int) -> int:
    time.sleep(0.01)
    return value


def endless() -> Iterator[int]:
    number = 0
    while True:
        yield number
        number += 1


async def take_all(runner: Runner, func: Any, inputs: Any) -> None:
    async with aclosing(runner.astream(func, inputs)) as stream:  # type: ignore[type-var]
        async for _, result in stream:
            assert type(result) is Success

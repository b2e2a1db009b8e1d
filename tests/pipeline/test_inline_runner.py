"""A runner of one's own that awaits calls in the task that consumes it: what one does to its task stays its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import pytest
from returns.result import Success

from pipeline import Failed, Processor, Step, Succeeded, step, to_inputs
from runners import Runner


class Inline(Runner):
    """Awaits one call after the other."""

    awaits = True

    def run(self, func: Callable[[Any], Any], inputs: Iterable[Any]) -> list[Any]:
        async def each() -> list[Any]:
            return [await func(value) for value in inputs]

        return asyncio.run(each())

    async def astream(self, func: Callable[[Any], Any], inputs: Iterable[Any]) -> AsyncIterator[tuple[int, Any]]:
        for position, value in enumerate(inputs):
            yield position, Success(await func(value))


async def hang(number: int) -> int:
    if number == 1:
        await asyncio.sleep(60)
    return number


async def hang_with_a_limit(number: int) -> int:
    async with asyncio.timeout(0.05):
        return await hang(number)


async def fail(number: int) -> None:
    if number == 1:
        raise ValueError("odd")


async def hang_beside_one_that_fails(number: int) -> int:
    async with asyncio.TaskGroup() as group:
        group.create_task(fail(number))
        return await hang(number)


CALLS: dict[str, tuple[Step[int, int], str]] = {
    "a limit of the step": (step("call", timeout=0.05)(hang), "TimeoutError"),
    "a limit in the call": (step("call")(hang_with_a_limit), "TimeoutError"),
    "a group of tasks": (step("call")(hang_beside_one_that_fails), "ExceptionGroup"),
}


@pytest.mark.parametrize("form", ["execute", "stream"])
@pytest.mark.parametrize(("call", "exception"), CALLS.values(), ids=CALLS.keys())
def test_a_call_that_cancels_itself_fails_alone(call: Step[int, int], exception: str, form: str) -> None:
    processor = Processor(pipeline=call, runner=Inline())

    async def outcomes() -> list[Any]:
        inputs = to_inputs(range(4))
        if form == "execute":
            return [*(await processor.aexecute(inputs)).outcomes]
        return [outcome async for outcome in processor.astream(inputs)]

    ended = asyncio.run(asyncio.wait_for(outcomes(), 30))

    assert [type(outcome) for outcome in ended] == [Succeeded, Failed, Succeeded, Succeeded]
    assert ended[1].exception == exception

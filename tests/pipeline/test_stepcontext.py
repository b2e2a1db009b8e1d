"""What a step is told of its own call, on every runner, in nested pipelines and in threads it starts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextvars import ContextVar
from threading import Thread
from typing import Any

import pytest

from pipeline import Processor, Retry, Step, StepContext, Succeeded, step, to_inputs
from pipeline.stepcontext import carried
from runners import AsyncRunner, Runner, SequentialRunner, ThreadRunner


def outputs(pipeline: Any, runner: Runner, values: Iterable[object]) -> list[Any]:
    outcomes = Processor(name="letters", pipeline=pipeline, runner=runner).execute(to_inputs(values, key=str)).outcomes
    return [outcome.output if isinstance(outcome, Succeeded) else outcome for outcome in outcomes]


def told() -> str | None:
    context = StepContext.current()
    return None if context is None else f"{context.step} of {context.input_id}"


@step("ask")
def ask(value: object) -> str | None:
    return told()


@step("again")
def again(before: str | None) -> tuple[str | None, str | None]:
    return before, told()


@step("wait")
async def wait(value: object) -> str | None:
    await asyncio.sleep(0)
    return told()


@step("by argument")
def by_argument(number: int, context: StepContext) -> str:
    return context.idempotency_key


@pytest.mark.parametrize("first", [ask, wait], ids=lambda it: it.name)
def test_every_step_is_told_where_it_is(every_runner: Runner, first: Step[object, str | None, Any]) -> None:
    given = outputs(first >> again, every_runner, range(5))

    expected = [(f"{first.name} of {number}", f"again of {number}") for number in range(5)]
    assert given == expected


def test_the_key_is_the_same_on_every_runner(every_runner: Runner) -> None:
    assert outputs(by_argument, every_runner, [7]) == ["letters/7/by argument"]


@step("outer")
def outer(value: object) -> list[str | None]:
    inner = outputs(ask, SequentialRunner(), ["inner"])
    on_loop = outputs(wait, AsyncRunner(), ["task"])
    return [told(), *inner, *on_loop, told()]


@step("outer task")
async def outer_task(value: object) -> list[str | None]:
    return [told(), *outputs(ask, SequentialRunner(), ["inner"]), told()]


def test_a_run_inside_a_step_tells_its_own_steps_where_they_are() -> None:
    runner = SequentialRunner()

    assert outputs(outer, runner, ["a"]) == [["outer of a", "ask of inner", "wait of task", "outer of a"]]


def test_a_run_inside_an_async_step_does_too() -> None:
    runner = AsyncRunner()

    assert outputs(outer_task, runner, ["a"]) == [["outer task of a", "ask of inner", "outer task of a"]]


@step("threads")
def threads(value: object) -> list[str | None]:
    heard: list[str | None] = []
    context = carried()
    for work in (lambda: heard.append(told()), lambda: heard.append(context.run(told))):
        thread = Thread(target=work)
        thread.start()
        thread.join()
    return heard


def test_a_thread_of_a_step_is_told_only_when_the_context_is_carried_to_it() -> None:
    runner = SequentialRunner()

    assert outputs(threads, runner, ["a"]) == [[None, "threads of a"]]


def test_outside_of_a_run_nothing_is_told() -> None:
    assert outputs(ask, SequentialRunner(), ["a"]) == ["ask of a"]

    assert told() is None


desk: ContextVar[str] = ContextVar("desk", default="none")


@step("where")
def where(number: int) -> str:
    return desk.get()


@step("where")
async def awhere(number: int) -> str:
    await asyncio.sleep(0)
    return desk.get()


@step("where", timeout=60.0, retry=Retry())
def where_in_time(number: int) -> str:
    return desk.get()


@pytest.mark.parametrize("runner", [SequentialRunner(), ThreadRunner(2), AsyncRunner(2)], ids=repr)
@pytest.mark.parametrize("asking", [where, awhere, where_in_time], ids=["sync", "async", "in time"])
def test_the_callers_context_variables_reach_the_steps(runner: Runner, asking: Any) -> None:
    token = desk.set("north")
    given = outputs(asking, runner, range(5))
    desk.reset(token)

    assert given == ["north"] * 5


@step("tell")
def tell(number: int, context: StepContext) -> int:
    context.logger.warning("about %d", number)
    return number


def test_what_a_step_logs_names_the_run_the_input_and_the_step(caplog: pytest.LogCaptureFixture) -> None:
    result = Processor(pipeline=tell).execute(to_inputs([7], key=str))

    (record,) = caplog.records
    facts: Any = record
    assert record.getMessage() == "about 7"
    assert (record.name, facts.run_id, facts.input_id, facts.step) == ("pipeline.step", result.run_id, "7", "tell")

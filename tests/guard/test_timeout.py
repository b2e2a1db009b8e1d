"""The timeout of a step: a hung call costs its own input on every runner, and does no harm where nothing ends it."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from pipeline import CircuitBreaker, InvalidSetting, Processor, Retry, StepContext, Succeeded, step, to_inputs
from runners import AsyncRunner, ProcessRunner, Runner, SequentialRunner, ThreadRunner

LIMIT_S = 0.3
IN_PROCESS: list[Runner] = [SequentialRunner(), ThreadRunner(2), AsyncRunner(4)]
RUNNERS: list[Runner] = [*IN_PROCESS, ProcessRunner(2)]
RELEASED, OVER = threading.Event(), threading.Event()


@pytest.fixture(autouse=True)
def hung_calls_end_with_their_test() -> Iterator[None]:
    RELEASED.clear()
    OVER.clear()
    yield
    RELEASED.set()


def name_of(runner: Any) -> str:
    return type(runner).__name__


@step("parse")
def parse(text: str) -> float:
    return float(text)


@step("call", timeout=LIMIT_S)
def call(duration_s: float) -> float:
    if duration_s:
        RELEASED.wait(duration_s)
    return duration_s


@step("call", timeout=LIMIT_S)
async def acall(duration_s: float) -> float:
    await asyncio.sleep(duration_s)
    return duration_s


@pytest.mark.parametrize("runner", RUNNERS, ids=name_of)
@pytest.mark.parametrize("called", [call, acall], ids=["sync", "async"])
def test_a_hung_call_fails_its_own_input_as_a_timeout_and_can_be_retried(runner: Runner, called: Any) -> None:
    began = time.monotonic()
    result = Processor(pipeline=parse >> called, runner=runner).execute(to_inputs(["0", "60", "0.001"]))

    assert time.monotonic() - began < 30
    assert [outcome.input_id for outcome in result.succeeded] == ["input-1", "input-3"]
    (failed,) = result.failed
    assert (failed.kind, failed.retryable, failed.exception) == ("timeout", True, "TimeoutError")
    assert "'call'" in failed.message
    assert [attempt.kind for attempt in failed.attempts] == ["timeout"]
    assert (failed.step, failed.payload.data) == ("call", 60.0)


def test_a_worker_says_in_which_line_the_call_was_when_its_time_was_up() -> None:
    (failed,) = Processor(pipeline=call, runner=ProcessRunner(1)).execute(to_inputs([60])).failed

    assert "call" in [function for _, _, function in failed.frames]
    assert not [file for file, _, _ in failed.frames if "runners" in file]


@step("process id", timeout=LIMIT_S)
def process_id(duration_s: float) -> int:
    time.sleep(duration_s)
    return os.getpid()


def test_the_worker_of_a_call_that_took_too_long_is_replaced() -> None:
    result = Processor(pipeline=process_id, runner=ProcessRunner(1)).execute(to_inputs([0, 60, 0, 0]))

    before, after, later = (outcome.output for outcome in result.succeeded)
    assert before != after == later


@step("deaf", timeout=LIMIT_S)
def deaf(duration_s: float) -> float:
    until = time.monotonic() + duration_s
    while time.monotonic() < until:
        try:
            time.sleep(60)
        except BaseException:  # it cannot be ended, as what is in a library written in C
            continue
    return duration_s


def test_a_call_that_cannot_be_ended_is_killed_with_its_worker_and_goes_on_where_it_started() -> None:
    again = deaf.replace(timeout=LIMIT_S, retry=Retry(on=ConnectionError))

    result = Processor(pipeline=parse.then(again), runner=ProcessRunner(1)).execute(to_inputs(["0", "60", "0"]))

    assert [outcome.input_id for outcome in result.succeeded] == ["input-1", "input-3"]
    (failed,) = result.failed
    assert (failed.kind, failed.step, failed.payload.data) == ("timeout", "parse", "60")
    assert "its worker was killed (in step 'deaf')" in failed.message


@step("down", breaker=CircuitBreaker(failures=2, reset_s=3_600), timeout=0.1)
def down(_: int) -> int:
    RELEASED.wait(60)
    return 0


@pytest.mark.parametrize("runner", RUNNERS, ids=name_of)
def test_calls_that_hang_open_a_breaker(runner: Runner) -> None:
    result = Processor(pipeline=down, runner=runner).execute(to_inputs(range(8)))

    assert {failed.kind for failed in result.failed} == {"timeout"}
    assert 2 <= len(result.failed) <= 2 + 3  # a call that is in progress ends as it does
    assert len(result.not_run) == 8 - len(result.failed)


@step("slow", timeout=LIMIT_S)
async def blocks_its_loop(_: int) -> int:
    time.sleep(60)  # noqa: ASYNC251 - it blocks the event loop, so that it cannot be cancelled
    return 1


def test_an_async_step_that_blocks_its_loop_is_killed_with_its_worker() -> None:
    result = Processor(pipeline=blocks_its_loop, runner=ProcessRunner(1)).execute(to_inputs([1]))

    assert [failed.kind for failed in result.failed] == ["timeout"]


@step("hang once", retry=Retry(wait=0.0), timeout=LIMIT_S)
def hang_once(seconds: int, context: StepContext) -> int:
    if context.attempt == 1:
        RELEASED.wait(seconds)
    return context.attempt


@step("hang once", retry=Retry(wait=0.0), timeout=LIMIT_S)
async def ahang_once(seconds: int, context: StepContext) -> int:
    if context.attempt == 1:
        await asyncio.sleep(seconds)
    return context.attempt


@pytest.mark.parametrize("runner", RUNNERS, ids=name_of)
@pytest.mark.parametrize("called", [hang_once, ahang_once], ids=["sync", "async"])
def test_each_try_has_the_whole_time_and_one_that_was_too_long_is_a_try(runner: Runner, called: Any) -> None:
    result = Processor(pipeline=called, runner=runner).execute(to_inputs([60]))

    (outcome,) = result.outcomes
    assert isinstance(outcome, Succeeded)
    assert outcome.output == 2
    assert [attempt.kind for attempt in outcome.attempts] == ["timeout"]


@step("change late", timeout=0.1)
def change_late(values: list[str]) -> list[str]:
    values.append("early")
    RELEASED.wait(60)
    values.append("late")
    OVER.set()
    return values


@pytest.mark.parametrize("runner", IN_PROCESS, ids=name_of)
def test_a_call_that_goes_on_changes_neither_the_payload_nor_the_input(runner: Runner) -> None:
    result = Processor(pipeline=change_late, runner=runner).execute(to_inputs([["given"]]))
    RELEASED.set()

    assert OVER.wait(30)
    assert result.failed[0].payload.data == ["given"]
    assert result.inputs[0].data == ["given"]


@step("look", timeout=30.0)
def look(_: int, context: StepContext) -> tuple[float, int, str]:
    assert StepContext.current() == context
    assert context.deadline is not None
    return context.deadline - time.monotonic(), threading.get_ident(), context.step


@step("look after")
def look_after(seen: tuple[float, int, str], context: StepContext) -> tuple[float, int, str, float | None]:
    return (*seen, context.deadline)


@pytest.mark.parametrize("runner", RUNNERS, ids=name_of)
def test_a_step_is_told_its_deadline_and_the_next_one_has_none(runner: Runner) -> None:
    result = Processor(pipeline=look >> look_after, runner=runner).execute(to_inputs([1]))

    remaining_s, _, name, after = result.succeeded[0].output
    assert 0 < remaining_s <= 30
    assert (name, after) == ("look", None)


def test_calls_one_after_the_other_share_a_helper_thread() -> None:
    result = Processor(pipeline=look >> look_after).execute(to_inputs(range(20)))

    threads = {outcome.output[1] for outcome in result.succeeded}
    assert len(threads) == 1
    assert threading.get_ident() not in threads


@step("exit", timeout=30.0)
def leave(code: int) -> int:
    raise SystemExit(code)


@pytest.mark.parametrize("runner", IN_PROCESS, ids=name_of)
def test_what_a_timed_call_raises_is_its_inputs_failure(runner: Runner) -> None:
    result = Processor(pipeline=leave, runner=runner).execute(to_inputs([3]))

    assert [(failed.exception, failed.kind) for failed in result.failed] == [("SystemExit", "error")]


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), "30", True])
def test_a_timeout_that_makes_no_sense_is_refused(timeout: Any) -> None:
    with pytest.raises(InvalidSetting, match=r"cannot use timeout=.*; it takes seconds, more than 0"):
        step("call", timeout=timeout)

"""The payload is what entered the step that failed, whatever the steps before it took and however they were called."""

from __future__ import annotations

from asyncio import CancelledError
from typing import Any

import pytest

from pipeline import Pipeline, Processor, Result, Success, step, to_inputs
from pipeline.engine import Program, run_guarded, run_one, work_of
from pipeline.policies import Retry
from pipeline.walk import Stop, walk
from runners import AsyncRunner, Runner, SequentialRunner, ThreadRunner


@step("split")
async def split(text: str) -> list[str]:
    return text.split()


@step("count")
async def count(words: list[str]) -> int:
    return len(words)


@step("measured")
async def measured(words: list[str]) -> Result[int, str]:
    return Success(len(words))


@step("tried", retry=Retry(attempts=2, wait=0.0))
def tried(words: list[str]) -> int:
    return len(words)


@step("fails")
def fails(number: int) -> int:
    raise ValueError(number)


@pytest.mark.parametrize("runner", [SequentialRunner(), ThreadRunner(max_workers=1), AsyncRunner()], ids=repr)
@pytest.mark.parametrize("between", [count, measured, tried], ids=lambda step: step.name)
def test_what_entered_a_step_is_not_kept_for_the_next_one(between: Any, runner: Runner) -> None:
    pipeline: Pipeline[str, int, Any] = split >> between >> fails

    result = Processor(pipeline=pipeline, runner=runner).execute(to_inputs(["a b c"]))

    (failed,) = result.failed
    assert (failed.step, failed.payload.data) == ("fails", 3)


@pytest.mark.parametrize("others", [fails, tried], ids=["no policy", "a policy beside it"])
def test_a_step_without_policies_is_called_as_it_is(others: Any) -> None:
    program = Program(Pipeline.of([fails.replace(name="plain"), others]))

    assert program.calls[0].fn is fails.fn
    assert work_of(program, on_loop=False).func is (run_guarded if others is tried else run_one)  # type: ignore[attr-defined]


@step("cancelled")
def cancelled(number: int) -> int:
    raise CancelledError


def test_an_exception_that_is_a_failure_in_a_thread_is_still_none_on_an_event_loop() -> None:
    calls = Program(Pipeline(cancelled)).calls

    end, _, _ = walk(calls, 0, 1, [0])
    assert isinstance(end, Stop)
    assert end.exception == "CancelledError"
    with pytest.raises(CancelledError):
        walk(calls, 0, 1, [0], None, (CancelledError,))

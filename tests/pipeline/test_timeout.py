"""The timeout of a step: a hung call costs its own input, and only where the runner can end it."""

from __future__ import annotations

import time

import pytest

from pipeline import InvalidSetting, Processor, step, to_inputs
from runners import ProcessRunner, Runner, SequentialRunner, ThreadRunner


@step("parse")
def parse(text: str) -> float:
    return float(text)


@step("call", timeout=0.5)
def call(duration_s: float) -> float:
    time.sleep(duration_s)
    return duration_s


def test_a_hung_call_fails_its_own_input_as_a_timeout_and_can_be_retried() -> None:
    result = Processor(pipeline=parse >> call, runner=ProcessRunner(max_workers=2)).execute(
        to_inputs(["0", "60", "0.01"])
    )

    assert [outcome.input_id for outcome in result.succeeded] == ["input-1", "input-3"]
    assert (result.failed[0].kind, result.failed[0].retryable) == ("timeout", True)
    assert "'call'" in result.failed[0].message
    assert result.failed[0].payload.data == "60"


@pytest.mark.parametrize("runner", [SequentialRunner(), ThreadRunner(max_workers=2)], ids=lambda it: type(it).__name__)
def test_a_runner_that_cannot_end_a_call_refuses_a_timeout(runner: Runner) -> None:
    with pytest.raises(InvalidSetting, match=r"'call' has a timeout, but .*Runner cannot end a hung call"):
        Processor(pipeline=parse >> call, runner=runner)

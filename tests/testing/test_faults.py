"""Faults strike the step and the inputs they name, on every runner, and leave no trace for the resume."""

from __future__ import annotations

import asyncio
import os
import pickle
from typing import Any

import pytest

from pipeline import (
    Failed,
    InvalidSetting,
    NotRun,
    Pipeline,
    Processor,
    RunInterrupted,
    Skipped,
    StepContext,
    Succeeded,
    UnknownStep,
    configurable,
    step,
    to_inputs,
)
from pipeline.testing import FaultRaised, RecordingRunner, assert_outcome, faults
from runners import AsyncRunner, ProcessRunner, Runner, SequentialRunner, ThreadRunner

PROCESSES = ProcessRunner(max_workers=2)
RUNNERS = [SequentialRunner(), ThreadRunner(max_workers=2), AsyncRunner(), PROCESSES]


@step("split", version="1", aliases=("cut",))
def split(text: str) -> list[str]:
    return text.split()


@step("count")
async def count(words: list[str]) -> int:
    return len(words)


@configurable("scale")
def scale(number: int, *, by: int) -> int:
    return number * by


@step("label")
def label(number: int, context: StepContext) -> str:
    return f"{context.input_id}: {number}"


pipeline = split >> count >> scale(by=10) >> label
TEXTS = ["a b", "c", "d e f"]


def run(faulty: Pipeline[Any, Any, Any], runner: Runner) -> Any:
    return Processor(pipeline=faulty, runner=runner).execute(to_inputs(TEXTS))


@pytest.mark.parametrize("runner", RUNNERS, ids=repr)
@pytest.mark.parametrize("name", pipeline.names)
def test_only_the_named_input_fails_in_the_named_step_and_resumes_from_there(name: str, runner: Runner) -> None:
    first = run(faults.raise_(name, TimeoutError("busy"), on="input-2").into(pipeline), runner)
    recorder = RecordingRunner(runner)
    again = Processor(pipeline=pipeline, runner=recorder, on_code_change="error").retry(first)

    assert_outcome(first, "input-2", Failed, step=name, exception="TimeoutError", message="busy")
    assert [type(outcome) for outcome in first.outcomes] == [Succeeded, Failed, Succeeded]
    assert [type(outcome) for outcome in again.outcomes] == [Skipped, Succeeded, Skipped]
    assert recorder.steps == {"input-2": pipeline.names[pipeline.index(name) :]}
    assert again.output == ["input-1: 20", "input-2: 10", "input-3: 30"]


@pytest.mark.parametrize("name", ["split", "count"])
def test_a_step_that_fails_is_not_called_and_fails_with_the_value_given(name: str) -> None:
    result = run(faults.fail(name, {"code": 7}, on=["input-1", "input-3"]).into(pipeline), SequentialRunner())

    assert [failed.input_id for failed in result.failed] == ["input-1", "input-3"]
    assert_outcome(result, "input-1", Failed, step=name, message="{'code': 7}")


@pytest.mark.parametrize("runner", RUNNERS, ids=repr)
def test_what_is_mutated_before_it_raises_is_kept_as_it_entered(runner: Runner) -> None:
    result = run(faults.mutate_then_raise("count").into(pipeline), runner)

    assert [failed.payload.data for failed in result.failed] == [["a", "b"], ["c"], ["d", "e", "f"]]
    assert {failed.exception for failed in result.failed} == {FaultRaised.__name__}


def test_the_fault_does_mutate() -> None:
    words = ["a"]

    faults.mutate_then_raise("count").into(pipeline)["count"](words)

    assert len(words) == 2


def test_a_hanging_input_is_ended_by_the_timeout_and_the_others_finish() -> None:
    hung = faults.hang("scale", on="input-2").into(pipeline)

    result = run(hung, ProcessRunner(max_workers=2, timeout=0.5))

    assert_outcome(result, "input-2", Failed, kind="timeout")
    assert len(result.succeeded) == 2


@pytest.mark.parametrize("name", ["split", "count"])
def test_a_hang_ends_when_its_time_is_over_and_the_step_runs(name: str) -> None:
    result = run(faults.hang(name, seconds=0.001).into(pipeline), SequentialRunner())

    assert result.success


def test_a_killed_worker_costs_its_own_input_only() -> None:
    result = run(faults.kill_worker("scale", on="input-2").into(pipeline), PROCESSES)

    assert_outcome(result, "input-2", Failed, kind="crash")
    assert len(result.succeeded) == 2


def test_where_there_is_no_worker_the_test_itself_is_not_killed() -> None:
    result = run(faults.kill_worker("scale", on="input-2").into(pipeline), ThreadRunner(max_workers=2))

    assert_outcome(result, "input-2", Failed, exception="InvalidSetting", message="run it on ProcessRunner")


@pytest.mark.parametrize("runner", [SequentialRunner(), ThreadRunner(max_workers=1)], ids=repr)
def test_an_interrupt_stops_the_run_as_ctrl_c_does(runner: Runner) -> None:
    many = to_inputs(list("abcdefghij" * 100))
    stopping = Processor(pipeline=faults.interrupt("split", on="input-3").into(pipeline), runner=runner)

    with pytest.raises(RunInterrupted) as caught:
        stopping.execute(many)

    result = caught.value.result
    assert result is not None
    assert len(result.outcomes) == 1_000
    assert_outcome(result, "input-3", Succeeded)
    assert_outcome(result, "input-1000", NotRun)


def test_a_step_keeps_name_types_policies_and_settings() -> None:
    before, after = split, faults.fail("split").into(pipeline)["split"]

    assert (after.name, after.version, after.aliases) == (before.name, before.version, before.aliases)
    assert (after.input_type, after.output_type, after.policies) == (str, list[str], before.policies)
    assert [each.is_async for each in faults.fail("count").into(pipeline)] == [each.is_async for each in pipeline]
    assert faults.fail("label").into(pipeline)["label"].wants_context


def test_a_faulty_pipeline_pickles_by_the_names_of_its_steps() -> None:
    broken = faults.inject(pipeline, faults.fail("split", on="x"), faults.raise_("scale", KeyError))

    again = pickle.loads(pickle.dumps(broken))

    assert again.names == pipeline.names
    assert again(TEXTS[0]).failure().step == "scale"


def test_of_two_faults_in_one_call_the_first_strikes() -> None:
    both = faults.inject(pipeline, faults.raise_("split", KeyError("one")), faults.fail("split", "two"))

    assert run(both, SequentialRunner()).failed[0].exception == "KeyError"


def test_outside_of_a_run_only_a_fault_for_every_input_strikes() -> None:
    assert faults.fail("split", on="input-1").into(split >> count)("a b").unwrap() == 2
    assert faults.fail("split").into(split >> count)("a b").failure().step == "split"


def test_an_exception_that_cannot_be_copied_is_raised_as_it_is() -> None:
    class Picky(Exception):
        def __init__(self, one: int, other: int) -> None:
            super().__init__(f"{one} and {other}")

    result = run(faults.raise_("split", Picky(1, 2)).into(pipeline), SequentialRunner())

    assert_outcome(result, "input-1", Failed, exception="Picky", message="1 and 2")


def test_a_misspelt_step_is_named() -> None:
    with pytest.raises(UnknownStep, match="did you mean 'split'"):
        faults.hang("spilt").into(pipeline)


def test_a_fault_says_what_it_does() -> None:
    assert str(faults.fail("split", on=["a", "b"])) == "fail in 'split' on a, b"
    assert str(faults.hang("split")) == "hang in 'split' on every input"


def test_an_event_loop_can_run_a_faulty_pipeline() -> None:
    broken = Processor(pipeline=faults.fail("count", on="input-1").into(pipeline), runner=AsyncRunner())

    result = asyncio.run(broken.aexecute(to_inputs(TEXTS)))

    assert [failed.input_id for failed in result.failed] == ["input-1"]
    assert os.getpid() == faults.kill_worker("count").process


def test_a_step_alone_can_be_faulty_as_well() -> None:
    broken = faults.fail("split").into(split)

    assert (type(broken), broken("a b").failure().step) == (Pipeline, "split")


@pytest.mark.parametrize("error", ["no", str, UnicodeDecodeError, None])
def test_what_cannot_be_raised_is_refused_with_the_cure(error: Any) -> None:
    with pytest.raises(InvalidSetting, match=r"a fault cannot raise .*; give an exception: ValueError\('no'\)"):
        faults.raise_("split", error)

"""The recording runner tells what ran, on every runner; ``assert_outcome`` tells what was not expected."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from pipeline import Failed, InvalidSetting, NotRun, Processor, Skipped, Succeeded, step, to_inputs
from pipeline.testing import RecordingRunner, assert_outcome, faults
from runners import AsyncRunner, ProcessRunner, Runner, SequentialRunner, ThreadRunner
from runners.testing import check_runner

RUNNERS: list[Callable[[], Runner]] = [
    SequentialRunner,
    lambda: ThreadRunner(max_workers=2),
    AsyncRunner,
    lambda: ProcessRunner(max_workers=2),
]


@step("double")
def double(number: int) -> int:
    return number * 2


@step("invert")
def invert(number: int) -> float:
    return 1 / number


pipeline = double >> invert


@pytest.mark.parametrize("make", RUNNERS, ids=lambda make: type(make()).__name__)
def test_what_ran_is_the_same_on_every_runner(make: Callable[[], Runner]) -> None:
    runner = RecordingRunner(make())

    first = Processor(pipeline=pipeline, runner=runner).execute(to_inputs([1, 0]))

    recorded = sorted(runner.recorded, key=lambda item: item.input_id)
    assert [(item.input_id, item.value, item.steps, item.crash) for item in recorded] == [
        ("input-1", 1, ("double", "invert"), None),
        ("input-2", 0, ("double", "invert"), None),
    ]
    assert [outcome.input_id for outcome in first.failed] == ["input-2"]


@pytest.mark.parametrize("make", RUNNERS[:-1], ids=lambda make: type(make()).__name__)
def test_recording_keeps_the_contract_of_a_runner(make: Callable[[], Runner]) -> None:
    check_runner(lambda: RecordingRunner(make()))


def test_a_crash_is_recorded_with_the_step_it_happened_in() -> None:
    with RecordingRunner(ProcessRunner(max_workers=1)) as runner:
        Processor(pipeline=faults.kill_worker("invert", on="input-2").into(pipeline), runner=runner).execute(
            to_inputs([1, 2])
        )

    died = next(item for item in runner.recorded if item.input_id == "input-2")
    assert died.steps == ("double", "invert")
    assert died.crash is not None
    assert died.crash.kind == "crash"


def test_what_an_event_loop_runs_is_recorded() -> None:
    runner = RecordingRunner(AsyncRunner())

    asyncio.run(Processor(pipeline=pipeline, runner=runner).aexecute(to_inputs([1])))

    assert runner.steps == {"input-1": ("double", "invert")}


def test_a_recording_runner_can_what_its_runner_can() -> None:
    timed = double.replace(name="timed")
    assert RecordingRunner(ProcessRunner(max_workers=3)).workers == 3
    assert RecordingRunner(ProcessRunner()).crosses_processes
    assert RecordingRunner(AsyncRunner()).awaits
    assert type(RecordingRunner(ThreadRunner())).pulse is None
    assert Processor(pipeline=timed, runner=RecordingRunner(ProcessRunner())).execute(to_inputs([1])).success


def result_of(values: list[Any], **options: Any) -> Any:
    return Processor(pipeline=pipeline, **options).execute(to_inputs(values))


def test_the_outcome_is_given_back() -> None:
    result = result_of([1, 0])

    assert assert_outcome(result, "input-1", Succeeded, output=0.5).steps == ("double", "invert")
    assert assert_outcome(result, "input-2", Failed, data=0, kind="error").exception == "ZeroDivisionError"
    assert_outcome(Processor(pipeline=pipeline).retry(result), "input-1", Skipped, output=0.5)
    assert_outcome(result_of([0, 1], fail_fast=True), "input-2", NotRun)


@pytest.mark.parametrize(
    ("input_id", "expected", "fields", "problem"),
    [
        ("input-2", Succeeded, {}, "'input-2' is Failed, expected Succeeded\nTraceback"),
        ("input-2", Failed, {"step": "double"}, "step is 'invert', expected 'double'"),
        ("input-2", Failed, {"message": "no"}, "message is 'division by zero', expected 'no'"),
        ("input-2", Failed, {"data": 1}, "data is 0, expected 1"),
        ("input-1", Succeeded, {"output": 1.0}, "output is 0.5, expected 1.0"),
        ("input-9", Failed, {}, "no input 'input-9' in the result; did you mean 'input-"),
    ],
)
def test_what_was_not_expected_is_told(input_id: str, expected: Any, fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(AssertionError) as caught:
        assert_outcome(result_of([1, 0]), input_id, expected, **fields)

    assert problem in str(caught.value)


def test_a_reason_for_not_running_is_told() -> None:
    with pytest.raises(AssertionError, match=r"'input-2' is NotRun, expected Succeeded: "):
        assert_outcome(result_of([0, 1], fail_fast=True), "input-2", Succeeded)


def test_a_field_that_the_outcome_lacks_is_a_mistake_of_the_test() -> None:
    with pytest.raises(InvalidSetting, match="Succeeded has no field 'outptu'; did you mean 'output'"):
        assert_outcome(result_of([1]), "input-1", Succeeded, outptu=1)


def test_classes_and_instances_are_not_mixed_up() -> None:
    runner: Any = ThreadRunner
    kind: Any = "failed"
    with pytest.raises(InvalidSetting, match=r"make one: ThreadRunner\(\)"):
        RecordingRunner(runner)
    with pytest.raises(InvalidSetting, match="'failed' is no class; give Succeeded, Skipped, Failed or NotRun"):
        assert_outcome(result_of([1]), "input-1", kind)

"""Batch steps: inputs meet at a step on every runner, and each keeps an end of its own."""

from __future__ import annotations

import asyncio
import os
import pickle
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pipeline import (
    Failure,
    InvalidSetting,
    InvalidStep,
    MemoryJournal,
    Processor,
    ProcessorInput,
    Result,
    StepContext,
    Succeeded,
    Success,
    batch_step,
    step,
    to_inputs,
)
from pipeline.testing import RecordingRunner, check_resume
from runners import AsyncRunner, ExecutorRunner, ProcessRunner, Runner, SequentialRunner, ThreadRunner


def witnessed(path: str) -> list[list[int]]:
    """The values of each call, in the order in which the calls began."""
    return [[int(value) for value in line.split()] for line in Path(path).read_text().splitlines()]


def witness(pairs: list[tuple[str, int]]) -> list[int]:
    """Write down one call, in one append."""
    values = [value for _, value in pairs]
    with Path(pairs[0][0]).open("a") as log:
        log.write(" ".join(map(str, values)) + "\n")
    return values


Pair = tuple[str, int]


@step("load")
def load(pair: Pair) -> Pair:
    return pair


@batch_step("invert", max_size=4, max_wait_s=None)
def invert(pairs: list[Pair]) -> list[float]:
    return [12 / value for value in witness(pairs)]


@batch_step("invert", max_size=4, max_wait_s=None)
async def ainvert(pairs: list[Pair]) -> list[Result[float, str]]:
    await asyncio.sleep(0)
    return [Success(12 / value) for value in witness(pairs)]


@step("half")
def half(value: float) -> float:
    return value / 2


def pairs_of(path: Path, *values: int) -> list[ProcessorInput[Pair]]:
    return list(to_inputs([(str(path / "calls"), value) for value in values], key=lambda pair: f"in-{pair[1]}"))


@pytest.mark.parametrize("inverting", [invert, ainvert], ids=["sync", "async"])
def test_inputs_are_called_together_on_every_runner(any_runner: Runner, inverting: Any, tmp_path: Path) -> None:
    pipeline = load >> inverting >> half

    result = Processor(pipeline=pipeline, runner=any_runner).execute(pairs_of(tmp_path, *range(1, 11)))

    calls = witnessed(str(tmp_path / "calls"))
    assert result.output == [6 / value for value in range(1, 11)]
    assert sorted(map(len, calls)) == [2, 4, 4]
    assert sorted(value for call in calls for value in call) == list(range(1, 11))
    for outcome in result.succeeded:
        assert isinstance(outcome, Succeeded)
        assert (outcome.steps, len(outcome.clock_ns)) == (("load", "invert", "half"), 4)


@pytest.mark.parametrize("inverting", [invert, ainvert], ids=["sync", "async"])
def test_only_the_bad_inputs_of_a_call_fail_and_each_goes_on_at_the_step(
    any_runner: Runner, inverting: Any, tmp_path: Path
) -> None:
    processor = Processor(pipeline=load >> inverting >> half, runner=any_runner)

    first = processor.execute(pairs_of(tmp_path, 1, 2, 0, 3, 4, 5))
    repaired = processor.edit(first, "in-0", (str(tmp_path / "again"), 6))
    again = processor.retry(repaired)

    assert [(failed.input_id, failed.step, failed.exception) for failed in first.failed] == [
        ("in-0", "invert", "ZeroDivisionError")
    ]
    assert first.failed[0].payload.data == (str(tmp_path / "calls"), 0)
    assert first.failed[0].attempts[-1].message.endswith("division by zero")
    assert again.output == [6, 3, 1, 2, 1.5, 1.2]
    assert witnessed(str(tmp_path / "again")) == [[6]]


@batch_step("pair up", max_size=2, max_wait_s=None)
def pair_up(numbers: list[int]) -> list[int]:
    return [number + len(numbers) for number in numbers]


@batch_step("four up", max_size=4, max_wait_s=None)
def four_up(numbers: list[int]) -> list[int]:
    return [number + len(numbers) for number in numbers]


@step("pass")
def passing(number: int) -> int:
    return number


behind = passing.replace(name="behind")


@pytest.mark.parametrize(
    "pipeline",
    [pair_up.then(four_up), passing >> pair_up >> behind >> four_up, pair_up >> passing >> four_up >> behind],
    ids=str,
)
def test_a_batch_step_may_stand_anywhere_and_more_than_once(every_runner: Runner, pipeline: Any) -> None:
    result = Processor(pipeline=pipeline, runner=every_runner).execute(to_inputs([10] * 8))

    assert result.output == [16] * 8


def test_a_resume_may_start_before_at_and_behind_a_batch_step(every_runner: Runner) -> None:
    processor = Processor(pipeline=passing >> four_up >> half, runner=every_runner)
    starts = [{"step": name, "data": 10} for name in ("pass", "invalid", "four up", "half", "four up", "pass")]
    inputs = [ProcessorInput(input_id=f"{at}", data=10, payload=start) for at, start in enumerate(starts)]

    result = processor.execute(inputs)

    assert [outcome.output for outcome in result.succeeded] == [7, 7, 5, 7, 7]
    assert [(failed.input_id, failed.step) for failed in result.failed] == [("1", "resume")]


@batch_step("mixed", max_size=8)
def mixed(numbers: list[int]) -> list[Result[int, str]]:
    return [Success(number) if number else Failure("nothing") for number in numbers]


def test_a_result_for_each_value_settles_each_by_itself(every_runner: Runner) -> None:
    result = Processor(pipeline=mixed, runner=every_runner).execute(to_inputs([1, 0, 2]))

    assert [outcome.output for outcome in result.succeeded] == [1, 2]
    assert [(failed.message, failed.payload.data, len(failed.attempts)) for failed in result.failed] == [
        ("nothing", 0, 1)
    ]


@batch_step("short", max_size=4, max_wait_s=None)
def short(pairs: list[Pair]) -> list[int]:
    return witness(pairs)[1:]


@batch_step("nothing", max_size=4, max_wait_s=None)
def nothing(pairs: list[Pair]) -> list[int]:
    witness(pairs)
    return None  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [(short, "returned 2 results for 3 values"), (nothing, "returned nothing for 3 values")],
    ids=["short", "nothing"],
)
def test_a_wrong_number_of_results_is_the_functions_failure_and_not_looked_for(
    every_runner: Runner, wrong: Any, message: str, tmp_path: Path
) -> None:
    result = Processor(pipeline=wrong, runner=every_runner).execute(pairs_of(tmp_path, 1, 2, 3))

    assert len(witnessed(str(tmp_path / "calls"))) == 1
    assert {failed.exception for failed in result.failed} == {"WrongResults"}
    assert len(result.failed) == 3
    assert all(message in failed.message for failed in result.failed)


@batch_step("asking", max_size=4, max_wait_s=None)
def ask(pairs: list[Pair], contexts: list[StepContext]) -> list[str]:
    return [context.step for context in contexts]


def test_a_batch_step_of_another_name_tells_its_own(every_runner: Runner, tmp_path: Path) -> None:
    asked, shorter = ask.replace(name="asked"), short.replace(name="shorter")
    inputs = pairs_of(tmp_path, 1, 2, 3)
    wrong = Processor(pipeline=shorter, runner=every_runner).execute(inputs)

    assert Processor(pipeline=asked, runner=every_runner).execute(inputs).output == ["asked"] * 3
    assert "batch step 'shorter' returned 2 results" in wrong.failed[0].message
    assert "batch step 'shorter' returned 0 results" in str(shorter(inputs[0].data).failure())
    assert asked(inputs[0].data) == pickle.loads(pickle.dumps(asked))(inputs[0].data) == Success("asked")
    assert pickle.loads(pickle.dumps(asked)) == asked


def all_or_nothing(numbers: list[int]) -> Result[list[int], str]:
    return Failure("not a number") if 0 in numbers else Success([10 * number for number in numbers])


@pytest.mark.parametrize("max_size", [1, 2])
def test_a_result_for_the_whole_call_is_that_of_each_value(max_size: int) -> None:
    called: Any = batch_step("call", max_size=max_size)(all_or_nothing)  # type: ignore[arg-type]

    result = Processor(pipeline=called).execute(to_inputs([1, 2, 3, 0]))

    assert [outcome.output for outcome in result.succeeded] == [10, 20, 30]
    assert (called(1), called(0), called.output_type) == (Success(10), Failure("not a number"), int)


@batch_step("spoil", max_size=4, max_wait_s=None)
def spoil(rows: list[list[int]]) -> list[int]:
    for row in rows:
        row.append(99)
    return [1 // (row[0]) for row in rows]


def test_a_payload_holds_what_entered_even_if_the_call_changed_it(every_runner: Runner) -> None:
    result = Processor(pipeline=spoil, runner=every_runner).execute(to_inputs([[1], [0], [1]]))

    assert result.failed[0].payload.data == [0]
    assert [item.data for item in result.retry_inputs()][1] == [0]
    assert len(result.succeeded) == 2


# ---- workers that die, hang, or get what does not survive the way ------------------------------


@batch_step("deadly", max_size=4, max_wait_s=None)
def deadly(numbers: list[int]) -> list[int]:
    if 0 in numbers:
        os._exit(3)
    return numbers


def test_a_worker_that_dies_costs_only_the_input_that_kills_it() -> None:
    result = Processor(pipeline=passing >> deadly >> half, runner=ProcessRunner(2)).execute(to_inputs([4, 0, 6, 8]))

    assert [outcome.output for outcome in result.succeeded] == [2, 3, 4]
    assert [(failed.step, failed.kind, failed.payload.data) for failed in result.failed] == [("deadly", "crash", 0)]


@batch_step("sleepy", max_size=4, max_wait_s=None, timeout=0.4)
def sleepy(numbers: list[int]) -> list[int]:
    if 0 in numbers:
        time.sleep(30)
    return numbers


def test_a_call_that_hangs_costs_only_the_input_that_hangs() -> None:
    result = Processor(pipeline=passing >> sleepy >> half, runner=ProcessRunner(2)).execute(to_inputs([4, 0, 6, 8]))

    assert [outcome.output for outcome in result.succeeded] == [2, 3, 4]
    assert [(failed.step, failed.kind) for failed in result.failed] == [("sleepy", "timeout")]


@pytest.mark.cluster
@pytest.mark.parametrize("any_runner", ["dask", "ray"], indirect=True)
def test_a_worker_of_a_cluster_that_dies_costs_only_the_input_that_kills_it(any_runner: Runner) -> None:
    result = Processor(pipeline=passing >> deadly >> half, runner=any_runner).execute(to_inputs([4, 0, 6, 8]))

    assert [outcome.output for outcome in result.succeeded] == [2, 3, 4]
    assert [(failed.step, failed.kind, failed.payload.data) for failed in result.failed] == [("deadly", "crash", 0)]


@batch_step("lock", max_size=4, max_wait_s=None)
def locks(numbers: list[int]) -> list[Any]:
    return [number or threading.Lock() for number in numbers]


def test_an_output_that_does_not_pickle_costs_only_its_input() -> None:
    result = Processor(pipeline=locks, runner=ProcessRunner(2)).execute(to_inputs([4, 0, 6, 8]))

    assert [outcome.output for outcome in result.succeeded] == [4, 6, 8]
    assert [failed.kind for failed in result.failed] == ["invalid"]


# ---- waiting ------------------------------------------------------------------------------------

met = threading.Event()


@step("slow")
def slow(number: int) -> int:
    if number == 2:
        assert met.wait(60)
    return number


@batch_step("meet", max_size=2, max_wait_s=0.01)
def meet(numbers: list[int]) -> list[int]:
    return numbers


THREADED: list[Runner] = [ThreadRunner(2), AsyncRunner(2)]


@pytest.mark.parametrize(
    "runner",
    [*THREADED, ExecutorRunner(partial(ThreadPoolExecutor, 2))],
    ids=lambda it: type(it).__name__,
)
def test_a_batch_waits_only_so_long_for_an_input_that_is_slow_before_it(runner: Runner) -> None:
    met.clear()
    outcomes = Processor(pipeline=slow >> meet, runner=runner).stream(to_inputs([1, 2]))

    first = next(outcomes)  # the second one is held back until the first has its outcome
    met.set()

    assert first.input_id == "input-1"
    assert [outcome.input_id for outcome in outcomes] == ["input-2"]


@step("slow")
def slow_apart(pair: Pair) -> int:
    path, number = pair
    until = time.monotonic() + 60
    while number == 2 and not Path(path).exists():
        assert time.monotonic() < until
        time.sleep(0.005)
    return number


APART = ["process", "executor-processes", *(pytest.param(name, marks=pytest.mark.cluster) for name in ("dask", "ray"))]


@pytest.mark.parametrize("any_runner", APART, indirect=True)
def test_a_batch_waits_only_so_long_for_an_input_that_is_slow_in_another_process(
    any_runner: Runner, tmp_path: Path
) -> None:
    outcomes = Processor(pipeline=slow_apart >> meet, runner=any_runner).stream(pairs_of(tmp_path, 1, 2))

    first = next(outcomes)  # the second one is held back until the first has its outcome
    (tmp_path / "calls").touch()

    assert first.input_id == "in-1"
    assert [type(outcome) for outcome in (first, *outcomes)] == [Succeeded, Succeeded]


@pytest.mark.parametrize("runner", THREADED, ids=lambda it: type(it).__name__)
@pytest.mark.parametrize("pipeline", [passing >> meet, meet.then(passing)], ids=str)
def test_a_batch_waits_only_so_long_for_an_input_that_has_not_come(runner: Runner, pipeline: Any) -> None:
    had = threading.Event()

    def sparse() -> Iterator[ProcessorInput[int]]:
        yield ProcessorInput(input_id="1", data=1)
        assert had.wait(60)
        yield ProcessorInput(input_id="2", data=2)

    outcomes = Processor(pipeline=pipeline, runner=runner).stream(sparse())

    assert next(outcomes).input_id == "1"
    had.set()
    assert [outcome.input_id for outcome in outcomes] == ["2"]


def test_an_endless_stream_is_pulled_as_far_as_it_is_consumed(every_runner: Runner) -> None:
    pulled = 0

    def endless() -> Iterator[ProcessorInput[int]]:
        nonlocal pulled
        while True:
            pulled += 1
            yield ProcessorInput(input_id=f"{pulled}", data=pulled)

    outcomes: Any = Processor(pipeline=passing >> pair_up >> behind, runner=every_runner).stream(endless())
    seen = [next(outcomes).output for _ in range(100)]
    outcomes.close()

    assert len(set(seen)) == 100
    assert pulled < 40_000  # each stage's window, 8,192 inputs at most, and what is between


def test_the_first_failure_is_seen_before_the_others_are_called(tmp_path: Path) -> None:
    processor = Processor(pipeline=load >> invert >> half, fail_fast=True)

    first = processor.execute(pairs_of(tmp_path, 1, 2, 0, 3, 4, 5, 6, 7, 8, 9))

    assert first.stopped == "an input failed (fail_fast)"
    assert len(first.outcomes) == 10
    assert {outcome.step for outcome in first.not_run} <= {None, "half"}
    assert processor.retry(first).metrics.retried >= 1


@batch_step("sum up", max_size=2, max_wait_s=None)
def failing(numbers: list[int]) -> list[int]:
    if 0 in numbers:
        raise ValueError("none")
    return numbers


def test_an_input_that_waits_behind_a_batch_step_when_the_run_stops_goes_on_there() -> None:
    processor = Processor(pipeline=passing >> failing >> half, fail_fast=True)

    first = processor.execute(to_inputs([0, 4, 6]))

    assert [failed.step for failed in first.failed] == ["sum up"]
    assert [(waiting.step, waiting.payload and waiting.payload.data) for waiting in first.not_run] == [
        ("half", 4),
        (None, None),
    ]
    assert "set aside before step 'half': an input failed (fail_fast)" in first.not_run[0].reason


# ---- what a call knows --------------------------------------------------------------------------


@batch_step("keys", max_size=2, max_wait_s=None)
def keys(numbers: list[int], contexts: list[StepContext]) -> list[tuple[str, str, int]]:
    return [(context.input_id, context.idempotency_key, context.attempt) for context in contexts]


def test_a_function_that_asks_gets_the_context_of_each_value(every_runner: Runner) -> None:
    result = Processor(name="desk", pipeline=keys, runner=every_runner).execute(to_inputs([5, 6]))

    assert [tuple(output) for output in result.output or []] == [
        ("input-1", "desk/input-1/keys", 1),
        ("input-2", "desk/input-2/keys", 1),
    ]
    assert keys(5).unwrap()[1] == "//keys"


desk: ContextVar[str] = ContextVar("desk", default="none")


@batch_step("where", max_size=2, max_wait_s=None)
def where(numbers: list[int]) -> list[str]:
    return [desk.get()] * len(numbers)


@pytest.mark.parametrize("runner", [SequentialRunner(), *THREADED], ids=lambda it: type(it).__name__)
def test_contextvars_reach_the_call(runner: Runner) -> None:
    token = desk.set("north")
    result = Processor(pipeline=passing >> where, runner=runner).execute(to_inputs([1, 2, 3]))
    desk.reset(token)

    assert result.output == ["north"] * 3


@batch_step("loop", max_size=2, max_wait_s=None)
async def loop_of(numbers: list[int]) -> list[int]:
    return [id(asyncio.get_running_loop())] * len(numbers)


def test_in_an_event_loop_the_call_is_awaited_in_that_loop() -> None:
    async def run() -> tuple[Any, int]:
        processor = Processor(pipeline=passing >> loop_of, runner=AsyncRunner(4))
        return await processor.aexecute(to_inputs([1, 2, 3])), id(asyncio.get_running_loop())

    result, loop = asyncio.run(run())

    assert result.output == [loop] * 3


# ---- a step like any other ----------------------------------------------------------------------


def test_it_is_called_with_one_value_in_a_unit_test(tmp_path: Path) -> None:
    assert invert((str(tmp_path / "calls"), 4)).unwrap() == 3
    assert type(invert((str(tmp_path / "calls"), 0)).failure()) is ZeroDivisionError
    assert ainvert((str(tmp_path / "calls"), 4)).unwrap() == 3
    assert (load >> invert >> half)((str(tmp_path / "calls"), 4)).unwrap() == 1.5
    assert (invert.input_type, invert.output_type, ainvert.output_type) == (Pair, float, float)
    assert not invert.is_async
    assert ainvert.is_async


def test_it_pickles_by_its_name_or_by_its_parts() -> None:
    other = invert.replace(name="other")

    assert pickle.loads(pickle.dumps(invert)) is invert
    assert pickle.loads(pickle.dumps(other)) == other
    assert other != invert


def test_it_resumes_from_a_journal(tmp_path: Path) -> None:
    processor = Processor(pipeline=load >> invert >> half, journal=MemoryJournal())
    processor.execute(pairs_of(tmp_path, 1, 0, 2))

    plan = processor.plan(processor.execute(pairs_of(tmp_path, 0)))
    again = processor.resume()

    assert [item.start for item in plan] == ["invert"]
    assert [failed.step for failed in again.failed] == ["invert"]


@batch_step("listed", max_size=2)
def listed(numbers: list[int]) -> list[int]:
    return [12 // number for number in numbers]


def test_it_keeps_the_laws_of_resuming() -> None:
    check_resume(passing >> listed >> behind, [1, 2, 3])


def test_a_recording_runner_records_each_input_at_the_step() -> None:
    runner = RecordingRunner(ThreadRunner(2))

    Processor(pipeline=passing >> pair_up >> behind, runner=runner).execute(to_inputs([1, 2]))

    assert runner.steps == {"input-1": ("pass", "pair up", "behind"), "input-2": ("pass", "pair up", "behind")}


def test_settings_out_of_their_domain_are_told_early() -> None:
    with pytest.raises(InvalidSetting, match="cannot use max_size=0"):
        batch_step("embed", max_size=0)
    with pytest.raises(InvalidSetting, match="cannot use max_wait_s=-1"):
        batch_step("embed", max_wait_s=-1)
    with pytest.raises(InvalidSetting, match="did you mean 'timeout'"):
        batch_step("embed", timout=3)  # type: ignore[call-arg]


def test_a_function_that_cannot_be_a_batch_step_is_told_early() -> None:
    def of_one(text: str) -> list[int]:
        return [len(text)]

    def with_settings(texts: list[str], model: str) -> list[int]:
        return []

    def lazy(texts: list[str]) -> Iterator[int]:
        yield 1

    making: Any = batch_step("embed")
    with pytest.raises(InvalidStep, match=r"takes str; write list\[str\]"):
        making(of_one)

    with pytest.raises(InvalidStep, match=r"needs \(texts, model\), but it gets a list of values"):
        making(with_settings)
    with pytest.raises(InvalidStep, match="is a generator"):
        making(lazy)
    with pytest.raises(InvalidStep, match="takes a name"):
        batch_step(len)  # type: ignore[arg-type]

"""An input whose worker died runs again in the same run, where the retry of its step asks for it: real processes."""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pipeline import (
    Attempt,
    Failed,
    Outcome,
    ProcessingResult,
    Processor,
    ProcessorInput,
    Retry,
    RunInterrupted,
    SqliteJournal,
    Step,
    StepContext,
    Succeeded,
    WorkerDied,
    batch_step,
    step,
    to_inputs,
)
from runners import ExecutorRunner, ProcessRunner, Runner
from tests.runners import faults
from tests.runners.roster import CLUSTERS, cluster_runner

ROOT = Path(__file__).parents[2]
ONCE = Retry(on=WorkerDied, attempts=2, wait=0.0)
FORKED = partial(ProcessPoolExecutor, 2, mp_context=multiprocessing.get_context("fork"))
DEATHS: list[Callable[[], Any]] = [faults.kill_itself, faults.exit_at_once, faults.segfault]


def executed(folder: Path, name: str, number: int) -> int:
    """How often a step ran on an input, as a witness of its own saw it."""
    file = folder / f"{name}-{number}"
    return file.stat().st_size if file.exists() else 0


def fatal(folder: Path, name: str, deaths: dict[int, int], die: Callable[[], Any], number: int) -> int:
    """Kills its process the first times, as often as ``deaths`` says."""
    with (folder / f"{name}-{number}").open("ab", buffering=0) as file:
        file.write(b".")
    if executed(folder, name, number) <= deaths.get(number, 0):
        die()
    return number


def fatal_step(
    folder: Path,
    deaths: dict[int, int],
    die: Callable[[], Any] = faults.kill_itself,
    name: str = "call",
    **settings: Any,
) -> Step[int, int, Exception]:
    return step(name, **settings)(partial(fatal, folder, name, deaths, die))


def one_by_one(workers: int = 2) -> ProcessRunner:
    return ProcessRunner(workers, "fork", deliver_each=True)


def run(pipeline: Any, values: Any, runner: Runner | None = None, **options: Any) -> ProcessingResult[Any, Any]:
    return Processor(pipeline=pipeline, runner=runner or one_by_one(), **options).execute(to_inputs(values))


def tries_of(outcome: Outcome[Any]) -> list[tuple[str, str]]:
    assert isinstance(outcome, Succeeded | Failed)
    return [(attempt.step, attempt.kind) for attempt in outcome.attempts]


@pytest.mark.parametrize("die", DEATHS)
def test_an_input_whose_worker_dies_once_succeeds_in_the_same_run(tmp_path: Path, die: Any) -> None:
    result = run(fatal_step(tmp_path, {3: 1}, die, retry=ONCE), range(6))

    assert result.output == [0, 1, 2, 3, 4, 5]
    assert [executed(tmp_path, "call", number) for number in range(6)] == [1, 1, 1, 2, 1, 1]
    assert [tries_of(outcome) for outcome in result.outcomes] == [[], [], [], [("call", "crash")], [], []]
    (attempt,) = [attempt for outcome in result.succeeded for attempt in outcome.attempts]  # type: ignore[union-attr]
    assert isinstance(attempt, Attempt)
    assert (attempt.exception, "worker died" in attempt.message) == ("WorkerDied", True)
    assert result.metrics.steps["call"].retries == 1


@pytest.mark.parametrize("die", DEATHS)
def test_an_executor_s_worker_as_well(tmp_path: Path, die: Any) -> None:
    result = run(fatal_step(tmp_path, {7: 2}, die, retry=Retry(on=WorkerDied, wait=0.0)), [7], ExecutorRunner(FORKED))

    assert result.output == [7]
    assert tries_of(result.outcomes[0]) == [("call", "crash")] * 2
    assert executed(tmp_path, "call", 7) == 3


@pytest.fixture(params=CLUSTERS)
def cluster(request: pytest.FixtureRequest) -> Runner:
    return cluster_runner(request)


@pytest.mark.cluster
def test_a_cluster_s_worker_as_well(tmp_path: Path, cluster: Runner) -> None:
    """What a cluster repeats by itself, until one is to blame, is no try."""
    called = fatal_step(tmp_path, {7: 4}, retry=Retry(on=WorkerDied, attempts=5, wait=0.0))

    result = run(called, [0, 7], cluster)

    assert result.output == [0, 7]
    assert executed(tmp_path, "call", 7) == 5
    assert set(tries_of(result.outcomes[1])) == {("call", "crash")}


def test_tries_that_are_used_up_fail_the_input_with_all_of_them(tmp_path: Path) -> None:
    called = fatal_step(tmp_path, {1: 99}, retry=Retry(on=WorkerDied, attempts=3, wait=0.0))

    result = run(called, [0, 1, 2])

    assert [type(outcome) for outcome in result.outcomes] == [Succeeded, Failed, Succeeded]
    (failed,) = result.failed
    assert (failed.kind, failed.exception, failed.step, failed.payload.data) == ("crash", "WorkerDied", "call", 1)
    assert tries_of(failed) == [("call", "crash")] * 3
    assert executed(tmp_path, "call", 1) == 3
    assert (result.metrics.steps["call"].retries, result.metrics.steps["call"].failures) == (2, 1)


@pytest.mark.parametrize(
    "retry",
    [
        None,
        Retry(wait=0.0),
        Retry(on=Exception, wait=0.0),
        Retry(on=(OSError, "busy"), wait=0.0),
        Retry(attempts=1, on=WorkerDied),
    ],
    ids=str,
)
def test_a_policy_that_does_not_name_it_leaves_the_input_blamed_and_not_repeated(
    tmp_path: Path, retry: Retry | None
) -> None:
    result = run(fatal_step(tmp_path, {1: 1}, retry=retry), [0, 1, 2])

    (failed,) = result.failed
    assert (failed.kind, tries_of(failed)) == ("crash", [("call", "crash")])
    assert [executed(tmp_path, "call", number) for number in range(3)] == [1, 1, 1]


def busy(error: BaseException) -> bool:
    return "SIGKILL" in str(error)


def test_a_function_of_the_error_is_told_how_the_worker_ended(tmp_path: Path) -> None:
    called = fatal_step(tmp_path, {1: 1}, retry=Retry(on=busy, wait=0.0))
    assert run(called, [1]).output == [1]

    called = fatal_step(tmp_path, {2: 1}, faults.exit_at_once, retry=Retry(on=busy, wait=0.0))
    assert [failed.kind for failed in run(called, [2]).failed] == ["crash"]


def hang(folder: Path, number: int) -> int:
    """Cannot be ended by an exception, the first time."""
    with (folder / f"call-{number}").open("ab", buffering=0) as file:
        file.write(b".")
    while executed(folder, "call", number) == 1 and number:
        try:
            time.sleep(60)
        except BaseException:
            continue
    return number


def test_a_call_that_had_to_be_killed_at_its_limit_is_tried_again_as_any_that_took_too_long(tmp_path: Path) -> None:
    called = step("call", timeout=0.2, retry=Retry(on=TimeoutError, wait=0.0))(partial(hang, tmp_path))

    result = run(called, [0, 1])

    assert result.output == [0, 1]
    assert tries_of(result.outcomes[1]) == [("call", "timeout")]
    assert executed(tmp_path, "call", 1) == 2


@pytest.mark.parametrize("seed", range(5))
def test_inputs_that_crash_less_often_than_allowed_all_succeed_and_ran_once_more_than_they_crashed(
    tmp_path: Path, seed: int
) -> None:
    chooser = random.Random(seed)
    deaths = {number: chooser.choice([0, 0, 1, 2]) for number in range(12)}
    called = fatal_step(tmp_path, deaths, retry=Retry(on=WorkerDied, attempts=3, wait=0.001))

    result = run(called >> step("double")(faults.square), deaths)

    assert result.output == [number * number for number in deaths]
    assert {number: executed(tmp_path, "call", number) - 1 for number in deaths} == deaths
    assert [len(tries_of(outcome)) for outcome in result.outcomes] == list(deaths.values())


def test_an_endless_stream_does_not_keep_a_crashed_input_waiting(tmp_path: Path) -> None:
    called = fatal_step(tmp_path, {1: 2}, retry=Retry(on=WorkerDied, wait=0.0))
    stream = Processor(pipeline=called, runner=one_by_one()).stream(to_inputs(itertools.count()))

    (crashed,) = [outcome for outcome in itertools.islice(stream, 5_000) if outcome.input_id == "input-2"]
    stream.close()  # type: ignore[attr-defined]

    assert tries_of(crashed) == [("call", "crash")] * 2


def test_a_run_on_an_event_loop_repeats_it_too(tmp_path: Path) -> None:
    called = fatal_step(tmp_path, {1: 1}, retry=ONCE)

    result = asyncio.run(Processor(pipeline=called, runner=one_by_one()).aexecute(to_inputs([0, 1])))

    assert (result.output, executed(tmp_path, "call", 1)) == ([0, 1], 2)


def test_an_async_step_is_repeated_too(tmp_path: Path) -> None:
    called = step("call", retry=ONCE)(partial(afatal, tmp_path))

    assert run(called, [1]).output == [1]


async def afatal(folder: Path, number: int) -> int:
    return fatal(folder, "call", {1: 1}, faults.kill_itself, number)


def test_a_run_that_stops_repeats_nothing_more(tmp_path: Path) -> None:
    waits_long = fatal_step(tmp_path, {1: 1}, retry=Retry(on=WorkerDied, wait=3_600, max_wait=3_600, jitter="none"))
    refuse = step("refuse")(partial(refused_when, tmp_path))

    began = time.monotonic()
    result = run(waits_long >> refuse, [1, 0], one_by_one(1), fail_fast=True)

    assert time.monotonic() - began < 60
    crashed, refused = result.outcomes
    assert isinstance(crashed, Failed)
    assert isinstance(refused, Failed)
    assert (refused.kind, refused.step) == ("error", "refuse")
    assert (crashed.kind, tries_of(crashed), crashed.payload.data) == ("crash", [("call", "crash")], 1)
    assert executed(tmp_path, "call", 1) == 1
    assert Processor(pipeline=waits_long >> step("refuse")(faults.identity)).retry(result).output == [1, 0]


def refused_when(folder: Path, number: int) -> int:
    raise ValueError(number)


def test_a_wait_for_a_repeat_is_ended_by_cancelling_the_run(tmp_path: Path) -> None:
    waits_long = fatal_step(tmp_path, {1: 1}, retry=Retry(on=WorkerDied, wait=3_600, max_wait=3_600, jitter="none"))
    handle = Processor(pipeline=waits_long, runner=ProcessRunner(1)).start(to_inputs([1]))
    while not executed(tmp_path, "call", 1):
        time.sleep(0.01)
    time.sleep(0.3)
    assert not handle.progress().done

    handle.cancel()

    (failed,) = handle.result(timeout=60).failed
    assert (failed.kind, tries_of(failed)) == ("crash", [("call", "crash")])


def crash_then_raise(folder: Path, number: int, context: StepContext) -> int:
    fatal(folder, "call", {number: 1}, faults.kill_itself, number)
    raise TimeoutError(f"try {context.attempt}")


def test_tries_that_crash_and_tries_that_fail_count_together(tmp_path: Path) -> None:
    called: Any = step("call", retry=Retry(on=(WorkerDied, TimeoutError), attempts=3, wait=0.0))(
        partial(crash_then_raise, tmp_path)
    )

    (failed,) = run(called, [1]).failed

    assert tries_of(failed) == [("call", "crash"), ("call", "error"), ("call", "error")]
    assert [attempt.message for attempt in failed.attempts[1:]] == ["try 2", "try 3"]
    assert executed(tmp_path, "call", 1) == 3


@pytest.mark.parametrize("durability", ["input", "step"])
def test_the_steps_that_had_finished_run_again_unless_each_is_kept(tmp_path: Path, durability: Any) -> None:
    load = fatal_step(tmp_path, {}, name="load")
    called = fatal_step(tmp_path, {1: 2}, retry=Retry(on=WorkerDied, wait=0.0))

    with SqliteJournal(tmp_path / "runs.db", durability=durability) as journal:
        result = run(load >> called, [0, 1], journal=journal)

    assert result.output == [0, 1]
    assert executed(tmp_path, "load", 1) == (3 if durability == "input" else 1)
    assert executed(tmp_path, "call", 1) == 3
    (succeeded,) = [outcome for outcome in result.succeeded if outcome.input_id == "input-2"]
    assert isinstance(succeeded, Succeeded)
    assert succeeded.steps == ("load", "call")
    assert tries_of(succeeded) == [("call", "crash")] * 2


@pytest.mark.parametrize("durability", ["input", "step"])
@pytest.mark.parametrize("deaths", [1, 9])
def test_a_repeated_input_is_recorded_once_with_all_its_tries(tmp_path: Path, durability: Any, deaths: int) -> None:
    called = fatal_step(tmp_path, {1: deaths}, retry=Retry(on=WorkerDied, attempts=2, wait=0.0))

    with SqliteJournal(tmp_path / "runs.db", durability=durability) as journal:
        processor = Processor(pipeline=called, runner=one_by_one(), journal=journal)
        first = processor.execute(to_inputs([0, 1]))
        plan = processor.plan(first.context.run_id or "")
        batch = journal.runs()[0].batch
        outcomes = [row.id for row in journal.outcomes(batch)]
        (tries,) = [row for number in outcomes for row in journal.attempts(number)]

    assert executed(tmp_path, "call", 1) == 2
    assert len(outcomes) == 2
    assert (tries.detail or b"").count(b"WorkerDied") == len(tries_of(first.outcomes[1])) == min(deaths, 2)
    assert [item.action for item in plan] == ["skip", "skip" if deaths == 1 else "run"]


PROGRAM = """
from pathlib import Path
from pipeline import *
from tests.acceptance.test_worker_died import *
folder = Path({folder!r})
called = fatal_step(folder, {{1: 1}}, retry=Retry(on=WorkerDied, wait=3_600, max_wait=3_600, jitter="none"))
journal = SqliteJournal(folder / "runs.db", durability={durability!r})
pipeline = fatal_step(folder, {{}}, name="load") >> called
Processor(pipeline=pipeline, runner=one_by_one(1), journal=journal).execute(to_inputs([0, 1]))
"""


@pytest.mark.parametrize("durability", ["input", "step"])
def test_a_kill_of_the_parent_between_the_crash_and_the_repeat_loses_nothing(tmp_path: Path, durability: Any) -> None:
    program = PROGRAM.format(folder=str(tmp_path), durability=durability)
    parent = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT)
    try:
        while not executed(tmp_path, "call", 1):
            assert parent.poll() is None
            time.sleep(0.02)
        time.sleep(0.3)
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()

    called = fatal_step(tmp_path, {1: 1}, retry=ONCE)
    with SqliteJournal(tmp_path / "runs.db", durability=durability) as journal:
        load = fatal_step(tmp_path, {}, name="load")
        result = Processor(pipeline=load >> called, runner=one_by_one(), journal=journal).resume()

    assert result.output == [0, 1]
    assert executed(tmp_path, "call", 1) == 2
    assert executed(tmp_path, "load", 1) == (2 if durability == "input" else 1)


def together(folder: Path, numbers: list[int]) -> list[int]:
    return [fatal(folder, "batch", {1: 1}, faults.kill_itself, number) for number in numbers]


def test_inputs_that_meet_at_a_batch_step_are_not_repeated(tmp_path: Path) -> None:
    batch = batch_step("batch", max_size=1, retry=ONCE)(partial(together, tmp_path))

    result = run(fatal_step(tmp_path, {2: 1}, retry=ONCE) >> batch, [0, 1, 2])

    assert [type(outcome) for outcome in result.outcomes] == [Succeeded, Failed, Failed]
    assert (executed(tmp_path, "batch", 1), executed(tmp_path, "call", 2)) == (1, 1)


class Told(list[Any]):
    def on_event(self, event: Any) -> None:
        if event.__class__.__name__.startswith(("Step", "Input")):
            self.append((event.__class__.__name__, getattr(event, "step", None)))


@pytest.mark.parametrize("deaths", [1, 9])
def test_observers_are_told_of_each_try_as_of_those_in_a_worker(tmp_path: Path, deaths: int) -> None:
    told = Told()

    run(fatal_step(tmp_path, {1: deaths}, retry=ONCE), [1], observers=[told])

    ends = {
        1: [("InputStarted", "call"), ("StepStarted", "call"), ("StepRetried", "call"), ("StepFinished", "call")],
        9: [("StepRetried", "call"), ("StepFailed", "call")],
    }
    assert told == [*ends[deaths], ("InputFinished", None)]


def test_a_budget_bounds_the_repeats_of_all_inputs_together(tmp_path: Path) -> None:
    deaths = dict.fromkeys(range(14), 1)
    called = fatal_step(tmp_path, deaths, retry=Retry(on=WorkerDied, wait=0.0, budget=0.0))

    result = run(called, deaths)

    assert (len(result.succeeded), len(result.failed)) == (10, 4)


def test_many_that_wait_hold_back_those_to_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.repeat.WAITING_LIMIT", 3)
    pulled = itertools.count()
    deaths = dict.fromkeys(range(1_000), 1)
    called = fatal_step(tmp_path, deaths, retry=Retry(on=WorkerDied, wait=3_600, max_wait=3_600, jitter="none"))

    def inputs() -> Iterator[ProcessorInput[int]]:
        yield from to_inputs(number for number in pulled if number < 1_000)

    interrupted = threading.Timer(1.0, lambda: os.kill(os.getpid(), signal.SIGINT))
    interrupted.start()
    outcomes: list[Outcome[int]] = []
    with pytest.raises(RunInterrupted, match="SIGINT"):
        outcomes.extend(Processor(pipeline=called, runner=one_by_one(1)).stream(inputs()))

    assert [tries_of(outcome) for outcome in outcomes] == [[("call", "crash")]] * len(outcomes)
    assert 3 <= len(outcomes) < 20
    assert len(outcomes) == next(pulled)

"""Limits on calls: they hold in threads, tasks and worker processes alike, and nobody is lost over them."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import (
    ConcurrencyLimit,
    InvalidSetting,
    Pipeline,
    Processor,
    RateLimit,
    Retry,
    StepContext,
    step,
    to_inputs,
)
from pipeline.engine import Program, work_of
from pipeline.guard import Timing
from pipeline.guard.shared import opened, shared_file
from pipeline.guard.slots import Slots
from pipeline.policies.limits import reserve
from pipeline.testing import FakeClock
from runners import AsyncRunner, ProcessRunner, Runner, SequentialRunner, ThreadRunner

RUNNERS: list[Runner] = [SequentialRunner(), ThreadRunner(6), AsyncRunner(6), ProcessRunner(4)]
every_runner = pytest.mark.parametrize("runner", RUNNERS, ids=lambda it: type(it).__name__)
WORK_S = 0.02


def note(path: str, what: str) -> None:
    with Path(path).open("a") as log:
        log.write(f"{what} {time.monotonic()}\n")


def most_at_once(path: Path) -> int:
    """The largest number of calls that were in progress at the same time, from a log of starts and ends."""
    lines = sorted((float(at), what) for what, at in (line.split() for line in path.read_text().splitlines()))
    count = most = 0
    for _, what in lines:
        count += 1 if what == "start" else -1
        most = max(most, count)
    return most


@step("work", limit=ConcurrencyLimit(2))
def work(path: str) -> int:
    note(path, "start")
    time.sleep(WORK_S)
    note(path, "end")
    return os.getpid()


@step("work", limit=ConcurrencyLimit(2))
async def awork(path: str) -> int:
    note(path, "start")
    await asyncio.sleep(WORK_S)
    note(path, "end")
    return os.getpid()


@step("meet", limit=ConcurrencyLimit(2))
def meet(folder: str, context: StepContext) -> int:
    """Waits until another call is in progress."""
    Path(folder, context.input_id).touch()
    until = time.monotonic() + 30
    while len(seen := [*Path(folder).iterdir()]) < 2:
        if time.monotonic() > until:
            raise TimeoutError("alone")
        time.sleep(0.005)
    return len(seen)


@every_runner
@pytest.mark.parametrize("working", [work, awork], ids=["sync", "async"])
def test_no_more_calls_than_the_limit_run_at_the_same_time(runner: Runner, working: Any, tmp_path: Path) -> None:
    log = tmp_path / "log"

    result = Processor(pipeline=working, runner=runner).execute(to_inputs([str(log)] * 16))

    assert len(result.succeeded) == 16
    assert most_at_once(log) <= 2


@pytest.mark.parametrize("runner", [it for it in RUNNERS if not isinstance(it, SequentialRunner)], ids=repr)
def test_as_many_as_the_limit_run_at_the_same_time(runner: Runner, tmp_path: Path) -> None:
    result = Processor(pipeline=meet, runner=runner).execute(to_inputs([str(tmp_path)] * 2))

    assert [outcome.message for outcome in result.failed] == []


@step("first", limit=ConcurrencyLimit(1, name="printer"))
def first(path: str) -> str:
    work(path)
    return path


@step("second", limit=ConcurrencyLimit(1, name="printer"))
def second(path: str) -> int:
    return work(path).unwrap()


@every_runner
def test_steps_that_name_the_same_limit_share_it(runner: Runner, tmp_path: Path) -> None:
    result = Processor(pipeline=first >> second, runner=runner).execute(to_inputs([str(tmp_path / "log")] * 6))

    assert len(result.succeeded) == 6
    assert most_at_once(tmp_path / "log") == 1


def test_two_limits_of_one_name_must_be_the_same() -> None:
    other = second.replace(limit=ConcurrencyLimit(2, name="printer"))

    with pytest.raises(InvalidSetting, match=r"of step 'second' has the name of .* another name"):
        Processor(pipeline=first.then(other))


@step("die", limit=ConcurrencyLimit(1))
def die(number: int) -> int:
    if number == 2:
        os._exit(7)
    return number


def test_a_worker_that_dies_gives_its_place_back() -> None:
    result = Processor(pipeline=die, runner=ProcessRunner(2)).execute(to_inputs(range(8)))

    assert sorted(outcome.output for outcome in result.succeeded) == [0, 1, 3, 4, 5, 6, 7]
    assert [failed.kind for failed in result.failed] == ["crash"]


@step("tick", rate=RateLimit(per_second=50, burst=2))
def tick(_: int) -> float:
    return time.monotonic()


@step("tick", rate=RateLimit(per_second=50, burst=2))
async def atick(_: int) -> float:
    return time.monotonic()


@every_runner
@pytest.mark.parametrize("ticking", [tick, atick], ids=["sync", "async"])
def test_calls_start_no_faster_than_the_rate_whoever_makes_them(runner: Runner, ticking: Any) -> None:
    began = time.monotonic()

    result = Processor(pipeline=ticking, runner=runner).execute(to_inputs(range(12)))

    starts = sorted(outcome.output for outcome in result.succeeded)
    assert len(starts) == 12
    assert all(at - began >= (place - 1) / 50 for place, at in enumerate(starts))


@step("call", rate=RateLimit(per_second=2), retry=Retry(attempts=3, wait=0.0))
def call(_: int, context: StepContext) -> int:
    if context.attempt < 3:
        raise ConnectionError("again")
    return context.attempt


def test_a_further_try_is_a_call_too() -> None:
    clock = FakeClock()
    timing = Timing(clock.monotonic, clock.time, clock.sleep, clock.asleep)

    end, _, _ = work_of(Program(Pipeline.of([call]), timing=timing), on_loop=False)(("input", 0, 1))

    assert end == 3
    assert clock.monotonic() == pytest.approx(1.0)


def test_an_input_that_waits_for_its_turn_when_the_run_is_stopped_is_set_aside() -> None:
    clock = FakeClock()
    timing = Timing(clock.monotonic, clock.time, clock.sleep, clock.asleep)
    slow = call.replace(rate=RateLimit(per_second=0.001))
    run = work_of(Program(Pipeline.of([slow]), timing=timing, stopping=lambda: clock.monotonic() > 5), on_loop=False)
    run(("first", 0, 1))

    end, _, _ = run(("second", 0, 1))

    assert end.parked == "set aside before step 'call': the run was stopped"
    assert clock.monotonic() < 6


@given(st.floats(0.1, 1_000), st.integers(1, 5), st.lists(st.floats(0, 2), min_size=1, max_size=30), st.floats(0.01, 3))
def test_in_any_window_no_more_calls_start_than_burst_and_rate_allow(
    per_second: float, burst: int, gaps: list[float], window: float
) -> None:
    limit, due, now = RateLimit(per_second=per_second, burst=burst), 0.0, 100.0
    starts = list[float]()
    for gap in gaps:
        now += gap / per_second
        start, due = reserve(limit, due, now)
        assert start >= now
        starts.append(start)

    for opening in starts:
        within = sum(opening <= start <= opening + window for start in starts)
        assert within <= burst + window * per_second + 1e-6


@given(st.integers(1, 3), st.lists(st.sampled_from(["enter", "leave", "withdraw"]), max_size=60))
def test_there_are_never_more_inside_than_places_and_none_waits_beside_a_free_one(
    places: int, moves: list[str]
) -> None:
    slots, inside, turns = Slots(places), 0, list[Any]()
    for move in moves:
        if move == "enter":
            turn = slots.enter()
            inside, turns = (inside + 1, turns) if turn is None else (inside, [*turns, turn])
        elif move == "leave" and inside:
            slots.leave()
            inside -= 1
        elif move == "withdraw" and turns:
            slots.withdraw(turns.pop())
        inside += sum(turn.done() for turn in turns)
        turns = [turn for turn in turns if not turn.done()]
        assert inside <= places
        assert inside == places or not turns


def test_the_file_that_processes_share_goes_with_the_run() -> None:
    class Run:
        pass

    run = Run()
    path = shared_file(run)
    shared = opened(path)
    assert shared is not None

    place = shared.take(0, 1)
    assert (place, shared.take(0, 1)) == (0, None)
    shared.give_back(0)
    assert shared.take(0, 1) == 0
    shared.give_back(0)
    assert not shared.is_stopped()
    shared.stop()
    assert shared.is_stopped()
    del run
    assert not Path(path).exists()
    assert opened(path) is shared
    assert opened(f"{path}-elsewhere") is None
    assert opened(path) is None


KILLED = """
import os, signal
from pipeline.guard.shared import shared_file
class Run: pass
run = Run()
print(shared_file(run), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_file_of_a_process_that_was_killed_goes_when_the_next_one_is_made() -> None:
    class Run:
        pass

    here = Run()
    kept = shared_file(here)
    left = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, text=True, check=False).stdout.strip()
    was_there = Path(left).exists()

    again = Run()
    made = shared_file(again)

    assert was_there
    assert [Path(path).exists() for path in (left, kept, made)] == [False, True, True]


@step("wait", retry=Retry(on=ConnectionError, wait=60.0, max_wait=60.0, jitter="none"))
def wait(path: str) -> int:
    Path(path).touch()
    raise ConnectionError("down")


def test_stopping_a_run_ends_the_waits_of_its_worker_processes(tmp_path: Path) -> None:
    mark = tmp_path / "called"
    run = Processor(pipeline=wait, runner=ProcessRunner(1)).start(to_inputs([str(mark)]))
    deadline = time.monotonic() + 30
    while not mark.exists() and time.monotonic() < deadline:
        time.sleep(0.01)

    run.cancel()
    result = run.result(timeout=30)

    assert [failed.message for failed in result.failed] == ["down"]


@pytest.mark.parametrize(
    ("policy", "settings"),
    [
        (RateLimit, {"per_second": 0}),
        (RateLimit, {"per_second": float("inf")}),
        (RateLimit, {"per_second": 1, "burst": 0}),
        (ConcurrencyLimit, {"calls": 0}),
        (ConcurrencyLimit, {"calls": 2.0}),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(policy: Any, settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidSetting, match=f"{policy.__name__} cannot use"):
        policy(**settings)


def test_a_step_takes_policies_of_its_kinds_only() -> None:
    with pytest.raises(InvalidSetting, match="a step cannot use rate=50; it takes a RateLimit"):
        step("call", **cast("Any", {"rate": 50}))

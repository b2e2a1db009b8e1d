"""What other systems lose or get wrong when they run a batch, a test each; its docstring says whose failure it was.

Twenty inputs, and something happens on input 7: on every runner of this machine where it can happen there.
"""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from returns.result import Success

from pipeline import Event, Processor, step, to_inputs
from runners import ProcessRunner, Runner
from tests.runners import faults
from tests.runners.faults import Faulty
from tests.runners.processes import descendants, is_alive, nothing_left_behind, wait_until
from tests.runners.roster import APART
from tests.runners.test_process_faults import split, squares

ROOT = Path(__file__).parents[2]
INPUTS = range(20)


@pytest.fixture(params=APART)
def apart(request: pytest.FixtureRequest) -> Any:
    """A runner whose workers are processes."""
    return APART[request.param]()


def resident() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def same(value: Any) -> Any:
    return value


def test_inputs_of_a_generator_are_not_all_taken_in_advance(every_runner: Runner) -> None:
    """concurrent.futures, pebble, dask and asyncio.gather submit all of them: 5 million grow the parent by 1 GB."""
    pulled, given, most = 0, 0, 0

    def inputs() -> Iterator[int]:
        nonlocal pulled
        for number in range(60_000):
            pulled += 1
            yield number

    for _ in every_runner.stream(same, inputs()):
        given += 1
        most = max(most, pulled - given)

    assert given == 60_000
    assert most <= 20_000


def test_a_hundred_thousand_inputs_leave_the_parent_as_small_as_it_was(every_runner: Runner) -> None:
    """The same, as memory."""
    stream = every_runner.stream(same, (number for number in range(100_000)))
    before = 0
    for seen, _ in enumerate(stream):
        if seen == 20_000:
            before = resident()

    assert resident() - before < 5_000_000


@pytest.mark.parametrize("fault", [faults.kill_itself, faults.exit_at_once, faults.segfault])
def test_a_worker_that_dies_on_input_7_costs_one_of_twenty(apart: Runner, fault: Any) -> None:
    """concurrent.futures delivers 7 of them, joblib and mpire none."""
    with nothing_left_behind():
        results, crashes = split(apart.stream(Faulty(fault), INPUTS))

    assert results == squares(7)
    assert {position: crash.kind for position, crash in crashes.items()} == {7: "crash"}


@pytest.mark.parametrize("hang", [faults.hang, faults.hang_busily, faults.hold_interpreter])
def test_input_7_that_hangs_with_a_timeout_set_costs_one_of_twenty(hang: Any) -> None:
    """joblib's and mpire's maps deliver none."""
    with nothing_left_behind():
        results, crashes = split(ProcessRunner(2, timeout=1.0).stream(Faulty(hang), INPUTS))

    assert results == squares(7)
    assert {position: crash.kind for position, crash in crashes.items()} == {7: "timeout"}


def test_an_exception_whose_init_needs_two_arguments_costs_its_input_only(every_runner: Runner) -> None:
    """It breaks or hangs the pools of concurrent.futures, loky and multiprocessing."""
    results, crashes = split(every_runner.stream(Faulty(faults.raise_needy), INPUTS))

    assert results == squares(7)
    assert (crashes[7].exception, crashes[7].message) == ("NeedyError", "5: needy")


def test_a_result_that_does_not_pickle_costs_its_input_only_and_says_why(apart: Runner) -> None:
    """It breaks or wedges the pools of multiprocessing and mpire."""
    results, crashes = split(apart.stream(Faulty(faults.return_unpicklable), INPUTS))

    assert results == squares(7)
    assert crashes[7].kind == "invalid"
    assert "its result cannot be pickled" in crashes[7].message


ORPHANS = """
from runners import ProcessRunner
from tests.runners import faults

if __name__ == "__main__":
    print("ready", flush=True)
    list(ProcessRunner(2, {method!r}).stream({function}, range(1000)))
"""


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_workers_do_not_outlive_a_parent_that_is_killed(tmp_path: Path, method: str) -> None:
    """concurrent.futures', loky's and mpire's workers live on: here they end within two seconds."""
    script = tmp_path / "parent.py"
    script.write_text(ORPHANS.format(method=method, function="faults.hold_interpreter_on"))
    parent = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, cwd=ROOT, process_group=0)
    assert wait_until(lambda: len(descendants(parent.pid)) >= 2, 30.0)
    family = descendants(parent.pid)

    parent.kill()
    parent.communicate()

    assert wait_until(lambda: not any(map(is_alive, family)), 2.0)


def test_an_input_generator_that_raises_is_an_error_after_what_came_before(every_runner: Runner) -> None:
    """In joblib the results end there, silently."""

    def inputs() -> Iterator[int]:
        yield from INPUTS
        raise ConnectionError("the feed broke")

    results: dict[int, Any] = {}
    with pytest.raises(ConnectionError, match="the feed broke"):
        results.update(every_runner.stream(faults.square, inputs()))

    assert results == {value: Success(value * value) for value in INPUTS}


def divide(value: int) -> int:
    return 84 // (value - 7)


def test_one_row_costs_one_row(every_runner: Runner) -> None:
    """In Ray Data, Daft and Beam it costs the batch."""
    result = Processor(pipeline=step("divide")(divide), runner=every_runner).execute(to_inputs(INPUTS, key=str))

    assert len(result.succeeded) == 19
    assert [(outcome.input_id, outcome.exception) for outcome in result.failed] == [("7", "ZeroDivisionError")]


def fail_odd(value: int) -> int:
    time.sleep(0.001)
    if value % 2:
        raise ValueError("odd")
    return value


def test_the_limit_of_failures_is_counted_once_for_all_workers(every_runner: Any) -> None:
    """In Spring Batch each worker counts for itself: limit 1, ten skipped."""
    processor: Processor[int, int, Any] = Processor(
        pipeline=step("sort")(fail_odd), runner=every_runner, max_failures=3
    )
    result = processor.execute(to_inputs(range(2_000)))
    again = Processor(pipeline=step("sort")(same), runner=every_runner).retry(result)

    assert result.stopped == "too many failures: 4 inputs failed, 3 are allowed (max_failures=3)"
    assert len(result.not_run) > 1_000
    assert len(result.failed) < 200  # what was in flight when the fourth one came
    assert again.output == list(range(2_000))


def test_inputs_that_never_started_are_among_what_a_retry_runs(every_runner: Runner) -> None:
    """Dagster skips mapped steps that never started when it retries from failure: "silent data loss"."""
    failing = Processor(pipeline=step("sort")(fail_odd), runner=every_runner, fail_fast=True)
    first = failing.execute(to_inputs(range(500)))

    again = Processor(pipeline=step("sort")(same), runner=every_runner).retry(first)

    assert len(first.not_run) > 0
    assert again.output == list(range(500))


def note(folder: Path, name: str, value: int) -> int:
    with (folder / str(value)).open("a") as file:
        file.write(f"{name} {time.monotonic()}\n")
    return value


def test_an_input_goes_through_its_steps_before_the_last_one_begins(every_runner: Runner, tmp_path: Path) -> None:
    """Prefect maps breadth first: all inputs are through the first step before one is through the second."""
    pipeline: Any = step("first")(partial(note, tmp_path, "first")) >> step("second")(partial(note, tmp_path, "second"))

    Processor(pipeline=pipeline, runner=every_runner).execute(to_inputs(range(2_000)))
    first, last = ((tmp_path / f"{value}").read_text().splitlines() for value in (0, 1_999))

    assert [line.split()[0] for line in first] == ["first", "second"]
    assert float(first[1].split()[1]) < float(last[0].split()[1])


class Witness:
    def __init__(self) -> None:
        self.told: dict[str, list[str]] = defaultdict(list)
        self.threads: set[int] = set()

    def on_event(self, event: Event) -> None:
        about: Any = event
        self.told[getattr(about, "input_id", "run")].append(type(event).__name__)
        self.threads.add(threading.get_ident())


def test_observers_hear_the_same_on_a_parallel_runner(every_runner: Runner) -> None:
    """Kedro's hooks do not run under its parallel runner."""

    def told(runner: Runner | None) -> Witness:
        witness = Witness()
        processor = Processor(pipeline=step("divide")(divide), runner=runner, observers=[witness])
        processor.execute(to_inputs(INPUTS))
        return witness

    expected, witness = told(None), told(every_runner)

    assert witness.told == expected.told
    assert len(witness.told) == 21
    assert witness.threads == {threading.get_ident()}


def kill_then(marker: Path, value: int) -> int:
    if value == 7 and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return value


def test_a_crash_is_a_failure_like_any_other_to_a_retry(apart: Runner, tmp_path: Path) -> None:
    """In Dagster a crash bypasses the retry policy."""
    work: Callable[[int], int] = partial(kill_then, tmp_path / "killed")
    processor = Processor(pipeline=step("work")(work), runner=apart)

    first = processor.execute(to_inputs(INPUTS))
    again = processor.retry(first)

    assert len(first.outcomes) == 20
    assert {outcome.kind for outcome in first.failed} <= {"crash"}
    assert again.output == list(INPUTS)

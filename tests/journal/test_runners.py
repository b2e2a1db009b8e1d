"""A journal holds the same, and a resume does the same, whatever runner did the work."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import astuple

from pipeline import (
    ExecutionContext,
    MemoryJournal,
    Pipeline,
    Processor,
    ProcessorInput,
    Selection,
    step,
)
from pipeline.journal.sql import SqlJournal
from runners import AsyncRunner, ProcessRunner, Runner, SequentialRunner, ThreadRunner
from tests.runners.roster import CLUSTERS, cluster_runner

RUNNERS: dict[str, Callable[[], Runner]] = {
    "sequential": SequentialRunner,
    "threads": lambda: ThreadRunner(3),
    "processes": lambda: ProcessRunner(2),
    "async": lambda: AsyncRunner(5),
}
INPUTS = 12


@pytest.fixture(params=[*RUNNERS, *(pytest.param(name, marks=pytest.mark.cluster) for name in CLUSTERS)])
def runner(request: pytest.FixtureRequest) -> Runner:
    return RUNNERS[request.param]() if request.param in RUNNERS else cluster_runner(request)


@pytest.fixture
def journal(shared_journal: SqlJournal) -> SqlJournal:
    return shared_journal


Job = tuple[str, int]
"""A folder to write the witness into, and a number: workers know of the folder by their input alone."""


def note(name: str, job: Job) -> None:
    """One line, appended in one write, from whichever process."""
    with Path(job[0], "witness").open("ab", buffering=0) as witness:
        witness.write(f"{name} {job[1]}\n".encode())


@step("fetch")
async def fetch(job: Job) -> Job:
    note("fetch", job)
    await asyncio.sleep(0)
    return (job[0], job[1] * 10)


@step("check")
def check(job: Job) -> int:
    note("check", job)
    if job[1] % 40 == 0 and not Path(job[0], "repaired").exists():
        raise ValueError(f"{job[1]} is not ready")
    return job[1]


def processor(runner: Runner, journal: Any) -> Processor[Job, int, list[int]]:
    pipeline: Pipeline[Job, int, Any] = fetch >> check
    return Processor(name="jobs", pipeline=pipeline, runner=runner, journal=journal)


def inputs(folder: Path) -> list[ProcessorInput[Job]]:
    return [ProcessorInput(input_id=f"job {number}", data=(str(folder), number)) for number in range(1, INPUTS + 1)]


def witnessed(folder: Path) -> Counter[str]:
    """The calls since the last look."""
    path = folder / "witness"
    calls = Counter(path.read_text().splitlines() if path.exists() else [])
    path.unlink(missing_ok=True)
    return calls


FAILING = [4, 8, 12]
REPAIRED = Counter(f"check {number * 10}" for number in FAILING)


def test_a_resume_runs_each_failed_step_once_and_nothing_else(runner: Runner, journal: Any, tmp_path: Path) -> None:
    first = processor(runner, journal).execute(inputs(tmp_path))
    calls = witnessed(tmp_path)
    (tmp_path / "repaired").touch()

    again = processor(runner, journal).resume()

    assert [failed.input_id for failed in first.failed] == [f"job {number}" for number in FAILING]
    assert calls == Counter(
        f"{name} {n}" for k in range(1, INPUTS + 1) for name, n in (("fetch", k), ("check", k * 10))
    )
    assert witnessed(tmp_path) == REPAIRED
    assert again.output == [number * 10 for number in range(1, INPUTS + 1)]


def test_the_journal_holds_the_same_rows_as_of_a_sequential_run(runner: Runner, journal: Any, tmp_path: Path) -> None:
    expected = MemoryJournal()
    processor(SequentialRunner(), expected).execute(inputs(tmp_path))
    processor(runner, journal).execute(inputs(tmp_path))

    assert rows(journal) == rows(expected)


def rows(journal: Any) -> list[tuple[Any, ...]]:
    (run,) = journal.runs()
    inputs = [astuple(row)[1:] for row in journal.inputs(run.batch)]
    outcomes = [(row.status, row.step, row.data, row.fingerprint, row.problem) for row in journal.outcomes(run.batch)]
    return [run.state, *inputs, *outcomes]


def test_a_run_of_one_runner_is_gone_on_with_by_any_other(runner: Runner, journal: Any, tmp_path: Path) -> None:
    processor(SequentialRunner(), journal).execute(inputs(tmp_path))
    (tmp_path / "repaired").touch()
    witnessed(tmp_path)

    part = processor(runner, journal).resume(only=Selection(input_ids=["job 4", "job 12"]))
    rest = processor(ThreadRunner(2), journal).resume()

    assert [failed.input_id for failed in part.failed] == ["job 8"]
    assert rest.success
    assert witnessed(tmp_path) == REPAIRED


def test_a_stream_that_its_consumer_left_is_gone_on_with(runner: Runner, journal: Any, tmp_path: Path) -> None:
    (tmp_path / "repaired").touch()
    stream: Any = processor(runner, journal).stream(inputs(tmp_path), context=ExecutionContext(run_id="left"))
    handed = [next(stream).input_id for _ in range(3)]
    stream.close()
    witnessed(tmp_path)

    again = processor(runner, journal).execute(inputs(tmp_path), context=ExecutionContext(previous_run_id="left"))
    repeated = {f"job {call.split()[1]}" for call in witnessed(tmp_path) if call.startswith("fetch")}

    assert again.output == [number * 10 for number in range(1, INPUTS + 1)]
    assert not repeated & {*handed}


def test_a_resume_on_an_event_loop_does_the_same(runner: Runner, journal: Any, tmp_path: Path) -> None:
    first = processor(runner, journal).execute(inputs(tmp_path))
    (tmp_path / "repaired").touch()
    witnessed(tmp_path)

    context = ExecutionContext(previous_run_id=first.run_id)
    again = asyncio.run(processor(runner, journal).aexecute(inputs(tmp_path), context=context))

    assert again.success
    assert witnessed(tmp_path) == REPAIRED

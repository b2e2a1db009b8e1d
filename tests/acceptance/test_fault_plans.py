"""R25: the same inputs under the same plan of faults, on every runner: the same outcomes, and as many calls of a step.

The calls are counted by the steps themselves, in files, so that it does not matter in which process they run.
"""

from __future__ import annotations

import os
import random
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pipeline import Failure, Processor, Result, Retry, SqliteJournal, Success, step, to_inputs
from runners import Runner, SequentialRunner
from tests.acceptance.test_every_runner import told_of

INPUTS = 24
STEPS = ("fetch", "check", "total")
FAULTS = ("raises", "fails", "busy", "busy", "returns nothing", "spoils its input")
SEEDS = [int(os.environ["STEPSLICE_SEED"])] if "STEPSLICE_SEED" in os.environ else [1, 2]


class Job(msgspec.Struct):
    """What its steps do at each of their calls; then they succeed. ``entered`` is there to be spoilt."""

    folder: str
    number: int
    plan: dict[str, list[str]]
    entered: list[int] = []


def play(name: str, job: Job) -> Result[Job, str]:
    """Count one call, and do what the plan says for it."""
    calls = Path(job.folder, f"{job.number} {name}")
    with calls.open("ab", buffering=0) as file:
        file.write(b".")
        call = file.tell()
    fault = [*job.plan.get(name, ()), *["succeeds"] * call][call - 1]
    if fault == "fails":
        return Failure(f"{name} {job.number}")
    if fault == "busy":
        raise TimeoutError(f"{name} {job.number}")
    if fault == "spoils its input":
        job.entered.append(call)
    if fault in ("raises", "spoils its input"):
        raise LookupError(f"{name} {job.number}")
    return Success(job) if fault == "succeeds" else None  # type: ignore[return-value]


BUSY = Retry(on=TimeoutError, attempts=3, wait=0.0)


@step("fetch", retry=BUSY)
def fetch(job: Job) -> Result[Job, str]:
    return play("fetch", job)


@step("check", retry=BUSY)
async def check(job: Job) -> Result[Job, str]:
    return play("check", job)


@step("total")
def total(job: Job) -> Result[Job, str]:
    return play("total", job)


def jobs(folder: Path, seed: int) -> list[Job]:
    chance = random.Random(seed)
    plans: list[dict[str, list[str]]] = [
        {name: chance.choices(FAULTS, k=chance.choice((0, 0, 1, 1, 2, 4))) for name in STEPS} for _ in range(INPUTS)
    ]
    return [Job(str(folder), number, plan) for number, plan in enumerate(plans)]


Story = tuple[list[Any], dict[str, int]]
"""The outcomes of every run, and how often each step was called for each input."""


def story(runner: Runner, folder: Path, seed: int, way: str) -> Story:
    """Execute the batch and go on with it until nothing fails."""
    folder.mkdir()
    told: list[Any] = []
    with closing(SqliteJournal(folder / "runs.db")) as journal:
        kept = journal if way == "resume" else None
        processor = Processor(name="jobs", pipeline=fetch >> check >> total, runner=runner, journal=kept)
        result = processor.execute(to_inputs(jobs(folder, seed)))
        while not result.success:
            told.append([told_of(outcome) for outcome in result.outcomes])
            result = processor.resume() if way == "resume" else processor.retry(result)
        told.append([told_of(outcome) for outcome in result.outcomes])
    calls = {file.name: file.stat().st_size for file in folder.iterdir() if file.name[0].isdigit()}
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    return told, calls


@pytest.mark.parametrize("way", ["retry", "resume"])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_same_plan_of_faults_has_the_same_outcomes_and_calls_on_every_runner(
    every_runner: Runner, seed: int, way: str, tmp_path: Path
) -> None:
    expected, calls = story(SequentialRunner(), tmp_path / "jobs", seed, way)

    outcomes, counted = story(every_runner, tmp_path / "jobs", seed, way)

    assert counted == calls
    assert counted == {
        f"{job.number} {name}": len(job.plan[name]) + 1 for job in jobs(tmp_path, seed) for name in STEPS
    }
    assert outcomes == expected
    assert len(outcomes) > 2, "nothing had to be gone on with"
    assert max(calls.values()) > 3

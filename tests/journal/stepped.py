"""Jobs of three steps, of which the last can end in many ways; as a program it runs a batch that may kill it."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from pipeline import Pipeline, Processor, ProcessorInput, step
from pipeline.errors import StopNow
from runners import AsyncRunner, ProcessRunner, Runner, SequentialRunner, ThreadRunner

RUNNERS: dict[str, Callable[[], Runner]] = {
    "sequential": SequentialRunner,
    "threads": lambda: ThreadRunner(3),
    "processes": lambda: ProcessRunner(2),
    "async": lambda: AsyncRunner(5),
}

Job = tuple[str, int]
"""A folder to write the witness into, and a number: workers know of the folder by their input alone."""


def note(name: str, job: Job) -> None:
    """One line, appended in one write, from whichever process."""
    with Path(job[0], "witness").open("ab", buffering=0) as witness:
        witness.write(f"{name} {job[1]}\n".encode())


def witnessed(folder: Path) -> list[str]:
    """The calls since the last look."""
    path = folder / "witness"
    calls = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return calls


@step("fetch")
def fetch(job: Job) -> Job:
    note("fetch", job)
    return (job[0], job[1] * 10)


@step("check")
async def check(job: Job) -> Job:
    note("check", job)
    await asyncio.sleep(0)
    return (job[0], job[1] + 1)


@step("total")
def total(job: Job) -> int:
    note("total", job)
    how = Path(job[0], "how")
    if job[1] == 21 and how.exists():
        ENDS[how.read_text()](job)
    return job[1]


def kill_worker(_: Job) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def kill_run(job: Job) -> None:
    """Kill the process that began the run, once the other inputs are recorded."""
    with closing(pickle.loads(Path(job[0], "journal").read_bytes())) as journal:
        (run,) = journal.runs()
        while sum(row.status == "succeeded" for row in journal.outcomes(run.batch)) < 2:
            time.sleep(0.001)
    os.kill(int(Path(job[0], "pid").read_text()), signal.SIGKILL)
    time.sleep(60)


def hang(_: Job) -> None:
    time.sleep(60)


def cut_off(_: Job) -> None:
    raise StopNow("told twice to stop")


def fail(_: Job) -> None:
    raise ValueError("not today")


ENDS: dict[str, Callable[[Job], None]] = {each.__name__: each for each in (kill_worker, kill_run, hang, cut_off, fail)}


def ending(folder: Path, end: Callable[[Job], None] | None) -> None:
    """How input 2 ends in its last step from now on; as it should with ``None``."""
    (folder / "how").unlink(missing_ok=True)
    if end is not None:
        (folder / "how").write_text(end.__name__)


PIPELINE: Pipeline[Job, int, Any] = fetch >> check >> total


def jobs(journal: Any, runner: Runner | None = None, **options: Any) -> Processor[Any, Any, Any]:
    given: Any = {"pipeline": PIPELINE, **options}
    return Processor(name="jobs", journal=journal, runner=runner, **given)


def inputs(folder: Path) -> list[ProcessorInput[Job]]:
    return [ProcessorInput(input_id=str(number), data=(str(folder), number)) for number in (1, 3, 2)]


def main(folder: Path, runner: str) -> None:
    """Run the batch with the journal whose settings are in the folder."""
    (folder / "pid").write_text(str(os.getpid()))
    jobs(pickle.loads((folder / "journal").read_bytes()), RUNNERS[runner]()).execute(inputs(folder))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])

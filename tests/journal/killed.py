"""A program that runs a batch with a journal and writes down every step it takes; tests kill it.

It forks a process for each line it is told, so that a trial costs no new interpreter:

    test ── {"folder": …, "killed_after_s": …} ─▶ this program ── fork ─▶ one run of the batch
                                                               ── SIGKILL, unless it has ended ─▶
         ◀── how it ended ──────────────────────

It waits for what it forked only at the end of a trial: until then no process of somebody else can have the number.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any, Literal

import msgspec

from pipeline import ExecutionContext, PostgresJournal, Processor, ProcessorInput, SqliteJournal, step
from pipeline.journal import pages
from pipeline.journal.protocol import Durability
from runners import AsyncRunner, ExecutorRunner, ProcessRunner, Runner, SequentialRunner, ThreadRunner

INPUTS = 20
STEP_S = 0.002
FAILING = range(0, INPUTS, 5)
"""These fail in ``check`` until the folder has a file ``repaired``."""

FORKED = partial(ProcessPoolExecutor, 2, mp_context=multiprocessing.get_context("fork"))
RUNNERS: dict[str, Callable[[], Runner]] = {
    "sequential": SequentialRunner,
    "thread": lambda: ThreadRunner(2),
    "process": lambda: ProcessRunner(2),
    "async": lambda: AsyncRunner(4),
    "executor-threads": lambda: ExecutorRunner(partial(ThreadPoolExecutor, 2)),
    "executor-processes": lambda: ExecutorRunner(FORKED),
}

Job = tuple[str, int]
"""A folder to write the witness into, and a number: workers know of the folder by their input alone."""


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the batch: the first in its folder, or one that goes on with what is there.

    The journal is a file in the folder, or in the database that ``dsn`` names.
    Its inputs come from the journal in mode ``resume``; in the others they are given again.
    ``paged``: what the first run writes lies in pages, though it is less than would make one.
    """

    folder: str
    runner: str
    durability: Durability = "input"
    dsn: str = ""
    schema: str = ""
    mode: Literal["stream", "again", "resume"] = "resume"
    paged: bool = False
    killed_after_s: float | None = None


def witness(name: str, job: Job) -> None:
    """One line, appended in one write, from whichever process: what a kill cannot take back."""
    with Path(job[0], "witness").open("ab", buffering=0) as log:
        log.write(f"{name} {job[1]}\n".encode())


@step("fetch")
def fetch(job: Job) -> Job:
    witness("fetch", job)
    time.sleep(STEP_S)
    return job


@step("check")
async def check(job: Job) -> Job:
    witness("check", job)
    await asyncio.sleep(STEP_S)
    if job[1] in FAILING and not is_repaired(job):
        raise ValueError(f"{job[1]} is not ready")
    return job


def is_repaired(job: Job) -> bool:
    return Path(job[0], "repaired").exists()


@step("total")
def total(job: Job) -> int:
    witness("total", job)
    time.sleep(STEP_S)
    return job[1] * 10


STEPS = (fetch.name, check.name, total.name)


def journal_of(command: Command) -> Any:
    """The journal of the batch."""
    if command.dsn:
        return PostgresJournal(command.dsn, command.durability, schema=command.schema, sync="process")
    return SqliteJournal(Path(command.folder, "runs.db"), command.durability)


def run(command: Command) -> None:
    """Begin the batch, or go on with it."""
    pages.FEWEST = 1 if command.paged else pages.FEWEST
    with closing(journal_of(command)) as journal:
        jobs = Processor(
            name="jobs", pipeline=fetch >> check >> total, runner=RUNNERS[command.runner](), journal=journal
        )
        inputs = [ProcessorInput(input_id=str(number), data=(command.folder, number)) for number in range(INPUTS)]
        if command.mode == "stream":
            stream(jobs, inputs, command)
        else:
            batch(jobs, inputs, command)


def stream(jobs: Processor[Job, int, Any], inputs: list[ProcessorInput[Job]], command: Command) -> None:
    """Every input is given again; what is handed out is written down."""
    for outcome in jobs.stream(inputs, context=latest(jobs)):
        with Path(command.folder, "handed").open("ab", buffering=0) as log:
            log.write(f"{outcome.input_id} {type(outcome).__name__}\n".encode())


def batch(jobs: Processor[Job, int, Any], inputs: list[ProcessorInput[Job]], command: Command) -> None:
    """Write down what the whole batch comes to."""
    before = latest(jobs)
    result = jobs.resume() if before and command.mode == "resume" else jobs.execute(inputs, context=before)
    told = {"output": result.output, "failed": sorted(int(failed.input_id) for failed in result.failed)}
    Path(command.folder, "output").write_text(json.dumps(told))


def latest(jobs: Processor[Job, int, Any]) -> ExecutionContext | None:
    journal = jobs.settings.journal
    found = None if journal is None else journal.find("jobs")
    return None if found is None else ExecutionContext(previous_run_id=found.run_id)


def serve() -> None:
    """Do what each line says; an empty one ends a trial."""
    runs: list[int] = []
    for line in sys.stdin:
        if not line.strip():
            clean_up(runs)
            continue
        command = msgspec.json.decode(line, type=Command)
        child = os.fork()
        if child == 0:
            os.setpgid(0, 0)  # what an executor leaves behind is found by its group
            run(command)
            os._exit(0)
        runs.append(child)
        print(ended(child, command.killed_after_s), flush=True)


def ended(child: int, killed_after_s: float | None) -> int:
    """Kill it after that time; how it ended: 0, or the number of a signal."""
    if killed_after_s is not None:
        alive = os.pidfd_open(child)
        select.select([alive], [], [], killed_after_s)
        os.close(alive)
        os.kill(child, signal.SIGKILL)
    how = os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    return how.si_status if how else -1


def clean_up(runs: list[int]) -> None:
    """End the workers that an executor leaves when its process is killed."""
    for child in runs:
        with suppress(ProcessLookupError):  # it was killed before it had a group
            os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
    runs.clear()


if __name__ == "__main__":
    serve()

"""R23, long tier: what a process that runs for long holds on to. Figures are printed."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pipeline import MemoryJournal, Processor, ProcessorInput, SqliteJournal, step, to_inputs
from runners import AsyncRunner, ProcessRunner, Runner, SequentialRunner, ThreadRunner
from tests.runners.processes import descendants, open_descriptors

pytestmark = [pytest.mark.campaign, pytest.mark.timeout(3600)]


@step("halve")
def halve(value: int) -> float:
    return 1 / value


@step("double")
def double(value: float) -> float:
    return value * 2


def resident() -> int:
    """Bytes of this process that are in memory."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


RUNNERS: dict[str, tuple[Callable[[], Runner], int]] = {
    "sequential": (SequentialRunner, 16_000),
    "thread": (lambda: ThreadRunner(2), 2_000),
    "async": (lambda: AsyncRunner(4), 1_000),
    "process": (lambda: ProcessRunner(2), 1_000),
}
"""20,000 runs, shared out by what one of them costs."""


@pytest.mark.parametrize("name", RUNNERS)
def test_runs_by_the_thousand_leave_nothing_in_memory(name: str, tmp_path: Path) -> None:
    """Each is a processor of its own: a failure, a retry, and a resume from the journal."""
    make, runs = RUNNERS[name]
    with closing(SqliteJournal(tmp_path / "runs.db")) as journal:

        def run(number: int) -> None:
            processor = Processor(name=f"p{number % 7}", pipeline=halve >> double, runner=make(), journal=journal)
            assert len(processor.retry(processor.execute(to_inputs([1, 0, 2]))).failed) == 1
            if number % 50 == 0:
                journal.prune(keep_last=2)

        for number in range(runs // 10):
            run(number)
        before = resident(), len(open_descriptors()), threading.active_count(), descendants()
        for number in range(runs // 2):  # two runs each
            run(number)
        grown = resident() - before[0]

    print(f"\nR23 {name}: {runs:,} runs, memory grew by {grown / 1e6:.1f} MB")
    assert grown < 8e6
    assert (threading.active_count(), descendants()) == before[2:]
    assert len(open_descriptors()) <= before[1]


JOURNALS: dict[str, Callable[[Path], Any]] = {
    "no journal": lambda _: None,
    "memory": lambda _: MemoryJournal(),
    "sqlite": lambda folder: SqliteJournal(folder / "runs.db"),
}


def endless(count: int) -> Iterator[ProcessorInput[int]]:
    for number in range(1, count + 1):
        yield ProcessorInput(input_id=f"input-{number}", data=number)


@pytest.mark.parametrize("name", ["no journal", "sqlite"])
def test_a_million_inputs_streamed_are_flat_in_memory(name: str, tmp_path: Path) -> None:
    journal = JOURNALS[name](tmp_path)
    processor = Processor(name="p", pipeline=halve >> double, journal=journal)
    marks: list[int] = []
    descriptors: set[int] = set()

    for place, outcome in enumerate(processor.stream(endless(1_000_000)), 1):
        assert outcome.output == 2 / place  # type: ignore[union-attr]
        if place % 250_000 == 0:
            marks.append(resident())
            descriptors.add(len(open_descriptors()))
    if journal is not None:
        (run,) = journal.runs()
        assert sum(1 for _ in journal.outcomes(run.batch)) == 1_000_000
        journal.close()

    told = ", ".join(f"{mark / 1e6:.0f}" for mark in marks)
    print(f"\nR23 {name}: a million inputs streamed; memory after each quarter, in MB: {told}")
    assert marks[-1] - marks[0] < 10e6
    assert len(descriptors) == 1

"""The consumer of a stream with a journal gets what is finished, also while nothing else ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from pipeline import Journal, MemoryJournal, Outcome, Processor, ProcessorInput, SqliteJournal, step, to_inputs
from runners import AsyncRunner, ProcessRunner, Runner, ThreadRunner

RUNNERS: dict[str, Callable[[], Runner]] = {
    "threads": lambda: ThreadRunner(4),
    "async": lambda: AsyncRunner(4),
    "processes": lambda: ProcessRunner(4),
}
every_runner = pytest.mark.parametrize("make", RUNNERS.values(), ids=RUNNERS.keys())
JOURNALS: dict[str, Callable[[Path], Journal]] = {
    "memory": lambda _: MemoryJournal(),
    "sqlite": lambda folder: SqliteJournal(folder / "runs.db"),
}
every_journal = pytest.mark.parametrize("journal", JOURNALS.values(), ids=JOURNALS.keys())


@step("work")
def work(awaited: str) -> str:
    """Ends at once, or when there is a file; not without it."""
    until = time.monotonic() + 30
    while awaited and not Path(awaited).exists():
        if time.monotonic() > until:
            raise TimeoutError("nobody had the outcomes of the others")
        time.sleep(0.005)
    return "done"


def inputs_waiting_for(file: Path) -> Iterator[ProcessorInput[str]]:
    return to_inputs(["", "", "", str(file)])


@every_journal
@every_runner
def test_a_stream_does_not_wait_for_the_next_one_to_end(
    make: Callable[[], Runner], journal: Callable[[Path], Journal], tmp_path: Path
) -> None:
    seen: list[Outcome[str]] = []
    processor = Processor(pipeline=work, runner=make(), journal=journal(tmp_path))

    for outcome in processor.stream(inputs_waiting_for(tmp_path / "seen")):
        seen.append(outcome)
        if len(seen) == 3:
            (tmp_path / "seen").touch()

    assert [getattr(outcome, "output", outcome) for outcome in seen] == ["done"] * 4


@every_journal
@every_runner
def test_nor_does_one_on_an_event_loop(
    make: Callable[[], Runner], journal: Callable[[Path], Journal], tmp_path: Path
) -> None:
    processor = Processor(pipeline=work, runner=make(), journal=journal(tmp_path))

    async def consume(outcomes: AsyncIterator[Outcome[str]]) -> list[Outcome[str]]:
        seen: list[Outcome[str]] = []
        async for outcome in outcomes:
            seen.append(outcome)
            if len(seen) == 3:
                (tmp_path / "seen").touch()
        return seen

    seen = asyncio.run(consume(processor.astream(inputs_waiting_for(tmp_path / "seen"))))

    assert [getattr(outcome, "output", outcome) for outcome in seen] == ["done"] * 4
    assert processor.resume().metrics.skipped == 4

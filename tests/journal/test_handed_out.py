"""The consumer of a stream with a journal gets what is finished, also while nothing else ends."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from pipeline import (
    Journal,
    MemoryJournal,
    Outcome,
    Processor,
    ProcessorInput,
    RunFailed,
    SqliteJournal,
    step,
    to_inputs,
)
from pipeline.errors import JournalError
from pipeline.journal.protocol import Change, Lease
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


# the journal fails


class FailsOnce(SqliteJournal):
    """Commits each outcome on its own; the first after ``fails`` is set fails."""

    fails = False

    def write(self, lease: Lease, change: Change) -> None:
        if self.fails and change.outcomes:
            self.fails = False
            raise JournalError("the disk was full for a moment")
        super().write(lease, change)


def failing(path: Path) -> FailsOnce:
    journal = FailsOnce(path)
    journal.group_s = 0.0
    return journal


def test_after_the_journal_has_failed_nothing_is_handed_out_though_the_inputs_failed_first(tmp_path: Path) -> None:
    journal = failing(tmp_path / "runs.db")
    processor = Processor(pipeline=work, runner=ThreadRunner(4), journal=journal)
    handed_out: list[str] = []

    def inputs() -> Iterator[ProcessorInput[str]]:
        yield from to_inputs(["", str(tmp_path / "broken"), str(tmp_path / "broken")])
        while not handed_out:
            time.sleep(0.005)
        journal.fails = True
        threading.Timer(0.2, (tmp_path / "broken").touch).start()
        raise ValueError("the source broke")

    with pytest.raises(RunFailed, match="JournalError: the disk was full for a moment; ValueError: the source broke"):
        handed_out.extend(outcome.input_id for outcome in processor.stream(inputs()))

    run = journal.runs()[-1]
    recorded = {row.id for row in journal.outcomes(run.batch)}
    assert handed_out == ["input-1"]
    assert [name for number, name in journal.input_ids(run.batch) if number in recorded] == handed_out


@pytest.mark.parametrize("fails", [JournalError("the disk is full"), TimeoutError("a minute is over")], ids=repr)
def test_an_error_while_what_needed_no_worker_is_recorded_costs_no_outcome(fails: Exception, tmp_path: Path) -> None:
    journal = failing(tmp_path / "runs.db")
    errors = [fails]

    def write(lease: Lease, change: Change) -> None:
        for error in errors:
            errors.clear()
            raise error
        FailsOnce.write(journal, lease, change)

    journal.write = write  # type: ignore[method-assign]
    processor = Processor(pipeline=work, journal=journal, account_id="ours", prevalidation="isolate")
    inputs = [ProcessorInput(input_id=f"{n}", data="", account_id="theirs") for n in range(20)]

    with pytest.raises(RunFailed, match=str(fails)) as caught:
        processor.execute(inputs)

    assert caught.value.result is not None
    assert [outcome.input_id for outcome in caught.value.result.outcomes] == [item.input_id for item in inputs]
    assert caught.value.result.metrics.failed == 20

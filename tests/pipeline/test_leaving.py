"""A run whose caller is cancelled, or closes its iterator: what had finished is recorded, and nothing more begins."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, closing, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pipeline import (
    Event,
    ExecutionContext,
    JournalError,
    MemoryJournal,
    Processor,
    Skipped,
    batch_step,
    step,
    to_inputs,
)
from pipeline.batchcall import run_batch
from pipeline.engine import Program, run_one
from runners import AsyncRunner, ExecutorRunner, ProcessRunner, Runner, SequentialRunner, ThreadRunner
from tests.runners import faults
from tests.runners.processes import nothing_left_behind

WAIT: dict[str, Callable[[], Runner]] = {
    "sequential": SequentialRunner,
    "thread": lambda: ThreadRunner(3),
    "executor": lambda: ExecutorRunner(partial(ThreadPoolExecutor, 3)),
}
"""Runners that wait for the calls in flight."""

END: dict[str, Callable[[], Runner]] = {"async": lambda: AsyncRunner(3), "process": lambda: ProcessRunner(3)}
"""Runners that end them."""

FIRST = ExecutionContext(run_id="first")


class Desk:
    """A step that notes what it begins and finishes; from the fifth input on it waits until it is let go."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.finished: list[int] = []
        self.is_held = threading.Event()
        self.let_go = threading.Event()

    def work(self, number: int) -> int:
        self.begun.append(number)
        if number >= 4:
            self.is_held.set()
            assert self.let_go.wait(60)
        self.finished.append(number)
        return number

    async def held(self) -> None:
        assert await asyncio.to_thread(self.is_held.wait, 60)

    def on(self, runner: Runner, journal: Any = None) -> Processor[Any, Any, Any]:
        return Processor(pipeline=step("work", version="1")(self.work), runner=runner, journal=journal)


def refuse(number: int) -> int:
    raise AssertionError(f"input {number} runs again")


def recorded(journal: Any, count: int = 50) -> list[int]:
    """What does not run again."""
    again = Processor(pipeline=step("work", version="1")(refuse), journal=journal)
    result = again.execute(to_inputs(range(count)), ExecutionContext(previous_run_id="first"))
    return [outcome.output for outcome in result.outcomes if isinstance(outcome, Skipped)]


async def cancelled(desk: Desk, work: Any, all_tasks: bool = False) -> None:
    """Cancel ``work`` while calls are in flight, twice, and let them end after that."""
    task = asyncio.ensure_future(work)
    await desk.held()
    for _ in range(2):
        for each in asyncio.all_tasks() - {asyncio.current_task()} if all_tasks else {task}:
            each.cancel()
        await asyncio.sleep(0.01)
    desk.let_go.set()
    with pytest.raises(asyncio.CancelledError):
        await task


async def all_of(processor: Processor[Any, Any, Any], count: int = 50) -> None:
    async for _ in processor.astream(to_inputs(range(count)), FIRST):
        pass


@pytest.mark.parametrize("make", WAIT.values(), ids=WAIT)
@pytest.mark.parametrize("durability", ["input", "step"])
@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("all_tasks", [False, True])
def test_a_cancelled_task_records_what_was_in_flight_and_begins_nothing_more(
    make: Callable[[], Runner], durability: Any, streams: bool, all_tasks: bool
) -> None:
    desk, journal = Desk(), MemoryJournal(durability=durability)
    processor = desk.on(make(), journal)
    work = all_of(processor) if streams else processor.aexecute(to_inputs(range(50)), FIRST)

    asyncio.run(cancelled(desk, work, all_tasks))

    assert len(desk.begun) <= 4 + 2 * processor.runner.workers
    assert recorded(journal) == sorted(desk.finished) == sorted(desk.begun)


@pytest.mark.parametrize("make", WAIT.values(), ids=WAIT)
@pytest.mark.parametrize("how", ["background", "body", "break"])
def test_a_run_that_outlives_the_program_records_what_was_in_flight(make: Callable[[], Runner], how: str) -> None:
    desk, journal = Desk(), MemoryJournal()
    journal.group_s = 0.0  # the first outcome waits for no other
    processor = desk.on(make(), journal)

    async def main() -> None:
        sleeper = asyncio.create_task(asyncio.sleep(3600))
        sleeper.add_done_callback(lambda _: desk.let_go.set())
        if how == "background":
            run = asyncio.ensure_future(processor.aexecute(to_inputs(range(50)), FIRST))
            await desk.held()
            assert not run.done()
        else:
            async for _ in processor.astream(to_inputs(range(50)), FIRST):
                if how == "break":
                    break
                raise LookupError("a mistake in the body")

    with pytest.raises(LookupError) if how == "body" else nullcontext():
        asyncio.run(main())

    assert recorded(journal) == sorted(desk.finished) == sorted(desk.begun)
    assert len(desk.begun) < 50


def test_the_workers_of_a_run_end_with_it_where_all_tasks_are_cancelled() -> None:
    hangs = faults.Faulty(faults.hang, frozenset(range(1, 20)))
    processor = Processor(pipeline=step("hang")(hangs), runner=ProcessRunner(2), journal=MemoryJournal())

    async def main() -> None:
        async for _ in processor.astream(to_inputs(range(20))):
            for task in asyncio.all_tasks():
                task.cancel()

    with nothing_left_behind(), pytest.raises(asyncio.CancelledError):
        asyncio.run(main())


def note(number: int, path: str) -> int:
    time.sleep(0.01)
    with Path(path).open("a") as file:
        file.write(f"{number}\n")
    return number


async def anote(number: int, path: str) -> int:
    await asyncio.sleep(0.01)
    return note(number, path)


@pytest.mark.parametrize("name", [*WAIT, *END])
@pytest.mark.parametrize("streams", ["astream", "stream"])
def test_a_consumer_that_stops_early_loses_nothing_that_had_finished(name: str, streams: str, tmp_path: Path) -> None:
    notes, journal = tmp_path / "notes", MemoryJournal()
    work = step("work", version="1")(partial(anote if name == "async" else note, path=str(notes)))
    processor = Processor(pipeline=work, runner=(WAIT | END)[name](), journal=journal)

    async def some() -> None:
        async with aclosing(processor.astream(to_inputs(range(50)), FIRST)) as stream:  # type: ignore[type-var]
            await anext(stream)
            await asyncio.sleep(0.1)  # the workers go on meanwhile

    with nothing_left_behind():
        if streams == "astream":
            asyncio.run(some())
        else:
            with closing(processor.stream(to_inputs(range(50)), FIRST)) as stream:  # type: ignore[type-var]
                next(stream)
                time.sleep(0.1)

    finished, known = {int(number) for number in notes.read_text().split()}, set(recorded(journal))
    in_flight = processor.runner.workers if name in END else 0
    assert known <= finished
    assert len(finished - known) <= in_flight
    assert len(finished) < 50


@batch_step("together", max_size=4)
def together(numbers: list[int]) -> list[int]:
    return numbers


@pytest.mark.parametrize("name", [*WAIT, *END])
def test_a_stream_of_batches_that_is_closed_keeps_all_that_had_finished(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.leaving.GRACE_S", 60.0)  # all in flight end by themselves
    notes, journal = tmp_path / "notes", MemoryJournal()
    work = step("work", version="1")(partial(anote if name == "async" else note, path=str(notes)))
    processor: Processor[Any, Any, Any] = Processor(
        pipeline=together >> work, runner=(WAIT | END)[name](), journal=journal
    )

    with closing(processor.stream(to_inputs(range(50)), FIRST)) as stream:  # type: ignore[type-var]
        next(stream)
        time.sleep(0.1)  # the workers go on meanwhile

    again = Processor(pipeline=together >> step("work", version="1")(refuse), journal=journal)
    result = again.execute(to_inputs(range(50)), ExecutionContext(previous_run_id="first"))
    known = {outcome.output for outcome in result.outcomes if isinstance(outcome, Skipped)}
    assert known == {int(number) for number in notes.read_text().split()}
    assert len(known) < 50


def test_an_input_that_has_not_begun_when_a_run_is_left_begins_at_no_stage() -> None:
    program = Program(step("work")(refuse) >> together)
    before = program.part(0, 1)

    program.bar()

    for part in (program, before, program.part(0, 1)):
        stop: Any = run_one(part, ("input-1", 0, 1))[0]
        assert (stop.index, stop.data, stop.parked) == (0, 1, "the run was stopped")
    ends = [end for end, *_ in run_batch(program, 1, [("input-1", 1), ("input-2", 2)])]
    assert [(end.index, end.data, end.parked) for end in ends] == [
        (1, 1, "the run was stopped"),
        (1, 2, "the run was stopped"),
    ]


def test_a_result_behind_outcomes_that_needed_no_worker_is_taken_back() -> None:
    """The consumer leaves with the first of them, and the result that came with them has a row all the same."""
    journal = MemoryJournal()
    first, *others = to_inputs(range(3))

    def slowly(number: int) -> int:
        time.sleep(0.05)  # longer than outcomes wait for each other
        return number

    processor = Processor(pipeline=step("work", version="1")(slowly), journal=journal)
    with closing(processor.stream([first, first, *others], FIRST)) as stream:  # type: ignore[type-var]
        given = [next(stream), next(stream)]

    assert [type(outcome).__name__ for outcome in given] == ["Succeeded", "Failed"]
    again = Processor(pipeline=step("work", version="1")(refuse), journal=journal)
    result = again.execute(others, ExecutionContext(previous_run_id="first"))
    assert [type(outcome).__name__ for outcome in result.outcomes] == ["Skipped", "Failed"]


def test_coroutines_that_had_finished_are_recorded_and_those_in_flight_are_cancelled() -> None:
    journal, ended = MemoryJournal(), list[int]()

    async def work(number: int) -> int:
        try:
            await asyncio.sleep(3600 if number > 4 else 0)
        except asyncio.CancelledError:
            ended.append(number)
            raise
        return number

    processor = Processor(pipeline=step("work", version="1")(work), runner=AsyncRunner(3), journal=journal)

    async def main() -> None:
        async with asyncio.timeout(0.2):
            await processor.aexecute(to_inputs(range(50)), FIRST)

    with pytest.raises(TimeoutError):
        asyncio.run(main())
    assert sorted(ended) == [5, 6, 7]
    assert recorded(journal) == [0, 1, 2, 3, 4]


def test_what_a_worker_has_pulled_and_not_begun_does_not_begin() -> None:
    """Quick inputs come in chunks of many; one of them may be the first of the slow ones."""
    desk, begun, journal = Desk(), list[int](), MemoryJournal()

    def work(number: int) -> int:
        if number > 3_000:
            begun.append(number)
            desk.is_held.set()
            assert desk.let_go.wait(60)
        return number

    processor = Processor(pipeline=step("work", version="1")(work), runner=ThreadRunner(1), journal=journal)

    asyncio.run(cancelled(desk, processor.aexecute(to_inputs(list(range(20_000))), FIRST)))

    assert begun == [3_001]
    assert recorded(journal, 20_000) == list(range(3_002))


@pytest.mark.parametrize("how", ["aexecute", "astream", "stream"])
def test_a_hung_worker_is_ended_with_a_run_that_is_left(how: str) -> None:
    hangs = faults.Faulty(faults.hang, frozenset(range(1, 20)))
    processor = Processor(pipeline=step("hang")(hangs), runner=ProcessRunner(2), journal=MemoryJournal())
    inputs = to_inputs(range(20))

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await (processor.aexecute(inputs) if how == "aexecute" else everything())

    async def everything() -> None:
        async for _ in processor.astream(inputs):
            pass

    with nothing_left_behind():
        began = time.monotonic()
        if how == "stream":
            with closing(processor.stream(inputs)) as stream:  # type: ignore[type-var]
                next(stream)
        else:
            asyncio.run(main())

    assert time.monotonic() - began < 30


class Listener:
    def __init__(self) -> None:
        self.events: list[Any] = []

    def on_event(self, event: Event) -> None:
        self.events.append(event)


@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize(
    ("how", "reason"), [("stream", "its consumer left"), ("astream", "its consumer left"), ("aexecute", "cancelled")]
)
def test_observers_and_the_journal_are_told_of_the_end_of_a_run_that_was_left(
    how: str, reason: str, durable: bool
) -> None:
    journal, listener = MemoryJournal() if durable else None, Listener()
    work = step("work", version="1")(str)
    processor = Processor(pipeline=work, journal=journal, observers=[listener])

    async def main() -> None:
        if how == "aexecute":
            task = asyncio.ensure_future(processor.aexecute(to_inputs(range(50)), FIRST))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
        else:
            async with aclosing(processor.astream(to_inputs(range(50)), FIRST)) as stream:  # type: ignore[type-var]
                await anext(stream)

    if how == "stream":
        with closing(processor.stream(to_inputs(range(50)), FIRST)) as stream:  # type: ignore[type-var]
            next(stream)
    else:
        asyncio.run(main())

    names = [type(event).__name__ for event in listener.events]
    assert (names[0], names[-1], names.count("RunFinished")) == ("RunStarted", "RunFinished", 1)
    assert (listener.events[-1].success, listener.events[-1].stopped) == (False, reason)
    if journal is not None:
        row = journal.run(1)
        detail = msgspec.json.decode(row.detail)
        assert (row.state, detail["stopped"], detail["metrics"] is not None) == ("stopped", reason, True)


def broken_journal(monkeypatch: pytest.MonkeyPatch) -> MemoryJournal:
    journal = MemoryJournal()

    def fail(*_: object) -> None:
        raise JournalError("the disk is full")

    monkeypatch.setattr(journal, "write", fail)
    monkeypatch.setattr(journal, "end", fail)
    return journal


def test_a_journal_that_fails_meanwhile_does_not_hide_the_cancellation(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    desk = Desk()
    processor = desk.on(ThreadRunner(2), broken_journal(monkeypatch))

    with caplog.at_level(logging.WARNING, "pipeline"):
        asyncio.run(cancelled(desk, processor.aexecute(to_inputs(range(50)), FIRST)))

    assert [record.message for record in caplog.records] == ["run first was left, and not all of it is recorded"]


def test_a_journal_that_fails_meanwhile_does_not_hide_a_closed_iterator(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    journal = MemoryJournal()
    desk = Desk()
    desk.let_go.set()
    stream: Any = desk.on(ThreadRunner(2), journal).stream(to_inputs(forever()), FIRST)
    next(stream)
    monkeypatch.setattr(journal, "write", broken_journal(monkeypatch).write)

    with caplog.at_level(logging.WARNING, "pipeline"):
        stream.close()

    assert [record.message for record in caplog.records] == ["run first was left, and not all of it is recorded"]


def forever() -> Iterator[int]:
    number = 0
    while True:
        yield number
        number += 1


def test_ctrl_c_under_asyncio_run_records_what_was_in_flight() -> None:
    desk, journal = Desk(), MemoryJournal()
    processor = desk.on(ThreadRunner(3), journal)

    def press() -> None:
        assert desk.is_held.wait(60)
        signal.raise_signal(signal.SIGINT)
        time.sleep(0.2)  # a loaded machine may take that long to hear it
        desk.let_go.set()

    thread = threading.Thread(target=press)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(processor.aexecute(to_inputs(range(2000)), FIRST))
    thread.join()

    assert recorded(journal, 2000) == sorted(desk.finished) == sorted(desk.begun)
    assert len(desk.begun) < 2000


def test_a_stream_on_an_event_loop_makes_an_outcome_when_it_is_asked_for() -> None:
    desk = Desk()
    desk.let_go.set()

    async def main() -> list[int]:
        counts = list[int]()
        async for _ in desk.on(SequentialRunner()).astream(to_inputs(range(5))):
            await asyncio.sleep(0.01)
            counts.append(len(desk.begun))
        return counts

    assert asyncio.run(main()) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("form", ["aexecute", "astream"])
def test_a_caller_whose_run_was_cancelled_beside_it_is_told_so(form: str) -> None:
    def work(number: int) -> int:
        time.sleep(0.01)
        return number

    processor = Processor(pipeline=step("work")(work), runner=ThreadRunner(2))

    async def consume() -> None:
        me = asyncio.current_task()

        def cancel_the_others() -> None:
            for task in asyncio.all_tasks() - {me}:
                task.cancel()

        asyncio.get_running_loop().call_later(0.03, cancel_the_others)
        if form == "aexecute":
            await processor.aexecute(to_inputs(range(200)))
        else:
            async for _ in processor.astream(to_inputs(range(200))):
                pass

    with pytest.raises(asyncio.CancelledError, match="the task that consumes the runner was cancelled"):
        asyncio.run(consume())

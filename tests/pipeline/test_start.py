"""A started run: progress while it goes on, cancelling, and its result, on every runner."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from time import sleep
from typing import Any

import pytest

from pipeline import (
    Event,
    NotPicklable,
    NotRun,
    Processor,
    ProcessorInput,
    RateLimit,
    RunFailed,
    RunHandle,
    RunInterrupted,
    SqliteJournal,
    Succeeded,
    step,
    to_inputs,
)
from runners import AsyncRunner, ProcessRunner, Runner, SequentialRunner, ThreadRunner

RUNNERS: list[Runner] = [
    SequentialRunner(),
    ThreadRunner(max_workers=2),
    AsyncRunner(max_concurrency=2),
    ProcessRunner(max_workers=2),
]
MANY = 20_000
"""More inputs than any runner pulls ahead."""


@step("parse")
def parse(text: str) -> int:
    return int(text)


@step("invert")
def invert(number: int) -> float:
    return 1 / number


class Gate:
    """Holds the run when its first input has finished, until the test lets it go."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()

    def on_event(self, event: Event) -> None:
        if type(event).__name__ == "InputFinished" and not self.reached.is_set():
            self.reached.set()
            assert self.opened.wait(60)


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.opened.set()


def held(gate: Gate, runner: Runner, count: int = MANY) -> RunHandle[float, list[float]]:
    """A run that stands at the gate."""
    processor = Processor(pipeline=parse >> invert, runner=runner, observers=[gate])
    run = processor.start(to_inputs([str(number) for number in range(1, count + 1)]))
    assert gate.reached.wait(60)
    return run


def send_when_handled(number: int) -> None:
    """Send a signal to this process as soon as the main thread waits for a result."""
    while signal.getsignal(number) in (signal.default_int_handler, signal.SIG_DFL):
        sleep(0.001)
    os.kill(os.getpid(), number)


@contextmanager
def opening_when_stopped(run: RunHandle[Any, Any], gate: Gate, number: int | None = None) -> Generator[None]:
    """Send a signal to this process, if one is given, and let the run go when it has been told to stop."""

    def act() -> None:
        if number is not None:
            send_when_handled(number)
        while run.progress().stopped is None:
            sleep(0.001)
        gate.opened.set()

    actor = threading.Thread(target=act)
    actor.start()
    yield
    actor.join()


@pytest.mark.parametrize("runner", RUNNERS, ids=lambda it: type(it).__name__)
def test_the_result_is_that_of_execute(runner: Runner) -> None:
    processor = Processor(pipeline=parse >> invert, runner=runner)
    inputs = list(to_inputs(["2", "0", "x", "4"]))

    run = processor.start(inputs)
    result = run.result(timeout=60)

    expected = processor.execute(inputs)
    assert result.error_responses() == expected.error_responses()
    assert [outcome.output for outcome in result.succeeded] == [0.5, 0.25]
    assert run.run_id == result.run_id != expected.run_id
    assert run.result() is result


@pytest.mark.parametrize("runner", RUNNERS, ids=lambda it: type(it).__name__)
def test_progress_is_told_while_the_run_goes_on(runner: Runner, gate: Gate) -> None:
    run = held(gate, runner, count=20)

    during = run.progress()
    gate.opened.set()
    run.result(timeout=60)
    after, later = run.progress(), run.progress()

    assert (during.total, during.finished, during.stopped) == (20, False, None)
    assert 1 <= during.done < 20
    assert during.done == during.succeeded + during.skipped + during.failed + during.not_run
    assert (after.done, after.succeeded, after.failed, after.finished) == (20, 20, 0, True)
    assert 0 < during.elapsed_s < after.elapsed_s == later.elapsed_s


@pytest.mark.parametrize("runner", RUNNERS, ids=lambda it: type(it).__name__)
def test_cancelling_loses_nothing(runner: Runner, gate: Gate) -> None:
    run = held(gate, runner)

    run.cancel("enough")
    run.cancel("a later reason does not count")
    assert run.progress().stopped == "enough"
    gate.opened.set()
    result = run.result(timeout=60)

    assert result.stopped == "enough"
    assert not result.success
    assert len(result.outcomes) == MANY == run.progress().done
    assert {type(outcome) for outcome in result.outcomes} == {Succeeded, NotRun}
    assert {outcome.reason for outcome in result.not_run} == {"enough"}
    assert result.metrics.succeeded + result.metrics.not_run == MANY


waiting = threading.Event()


class OneCall:
    """Says that the first input has its outcome, after which the others wait for their turn."""

    def on_event(self, event: Event) -> None:
        if type(event).__name__ == "InputFinished":
            waiting.set()


@pytest.mark.parametrize("runner", RUNNERS, ids=lambda it: type(it).__name__)
def test_inputs_that_wait_for_their_turn_are_told_why_they_did_not_get_it(runner: Runner) -> None:
    waiting.clear()
    limited = parse.replace(rate=RateLimit(per_second=0.001))
    run = Processor(pipeline=limited, runner=runner, observers=[OneCall()]).start(to_inputs(["1", "2", "3", "4"]))
    assert waiting.wait(60)

    run.cancel("the office closes")
    result = run.result(timeout=60)

    assert len(result.succeeded) == 1
    assert {outcome.reason.removeprefix("set aside before step 'parse': ") for outcome in result.not_run} == {
        "the office closes"
    }
    assert Processor(pipeline=parse).retry(result).output == [1, 2, 3, 4]


def test_a_cancelled_run_goes_on_where_it_stopped(gate: Gate) -> None:
    run = held(gate, SequentialRunner(), count=4)
    run.cancel()
    gate.opened.set()
    result = run.result(timeout=60)

    again = Processor(pipeline=parse >> invert).retry(result)

    assert [type(outcome) for outcome in result.outcomes] == [Succeeded, NotRun, NotRun, NotRun]
    assert again.output == [1, 1 / 2, 1 / 3, 1 / 4]
    assert again.metrics.skipped == 1


def test_cancelling_a_finished_run_changes_nothing() -> None:
    run = Processor(pipeline=parse).start(to_inputs(["1"]))
    result = run.result(timeout=60)

    run.cancel()

    assert result.stopped is None
    assert run.progress().stopped is None
    assert "finished, 1 of 1 done" in repr(run)


def test_a_result_that_is_not_there_in_time_can_be_asked_for_again(gate: Gate) -> None:
    run = held(gate, SequentialRunner(), count=2)

    with pytest.raises(TimeoutError, match=rf"run {run.run_id} is still in progress after 0\.01 s"):
        run.result(timeout=0.01)
    gate.opened.set()

    assert run.result(timeout=60).output == [1, 1 / 2]


class Meeting:
    """Lets the first input of one run pass only together with that of another."""

    def __init__(self) -> None:
        self.barrier = threading.Barrier(2)
        self.seen: set[str] = set()

    def on_event(self, event: Event) -> None:
        if type(event).__name__ == "InputFinished" and event.run_id not in self.seen:
            self.seen.add(event.run_id)
            self.barrier.wait(60)


@pytest.mark.parametrize("runner", RUNNERS, ids=lambda it: type(it).__name__)
def test_two_runs_of_one_processor_go_on_at_once(runner: Runner) -> None:
    meeting = Meeting()
    processor = Processor(pipeline=parse >> invert, runner=runner, observers=[meeting])

    one, two = processor.start(to_inputs(["1", "2"])), processor.start(to_inputs(["4", "0"]))

    assert one.result(60).output == [1, 1 / 2]
    assert [failed.input_id for failed in two.result(60).failed] == ["input-2"]
    assert meeting.seen == {one.run_id, two.run_id}


def breaking() -> Iterator[ProcessorInput[str]]:
    yield from to_inputs(["1", "2"])
    raise OSError("the disk is gone")


def test_what_execute_raises_is_raised_by_result() -> None:
    run = Processor(pipeline=parse).start(breaking())

    with pytest.raises(RunFailed, match="the disk is gone") as caught:
        run.result(timeout=60)

    assert caught.value.result is not None
    assert [outcome.output for outcome in caught.value.result.succeeded] == [1, 2]
    with pytest.raises(RunFailed):
        run.result()


def test_a_mistake_is_raised_before_the_run_starts() -> None:
    def local(text: str) -> int:
        return int(text)

    processor = Processor(pipeline=step("parse")(local), runner=ProcessRunner(1))

    with pytest.raises(NotPicklable, match="parse"):
        processor.start(to_inputs(["1"]))

    assert not [thread for thread in threading.enumerate() if thread.name.startswith("run ")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda it: it.name)
def test_a_signal_while_waiting_for_the_result_stops_the_run(number: signal.Signals, gate: Gate) -> None:
    before = signal.getsignal(number)
    run = held(gate, SequentialRunner(), count=3)

    with opening_when_stopped(run, gate, number), pytest.raises(RunInterrupted, match=number.name) as caught:
        run.result(timeout=60)

    assert caught.value.result is not None
    assert [type(outcome) for outcome in caught.value.result.outcomes] == [Succeeded, NotRun, NotRun]
    assert signal.getsignal(number) is before


def interrupted_twice(run: RunHandle[Any, Any]) -> None:
    def act() -> None:
        send_when_handled(signal.SIGINT)
        while run.progress().stopped is None:
            sleep(0.001)
        send_when_handled(signal.SIGINT)

    actor = threading.Thread(target=act)
    actor.start()
    try:
        run.result(timeout=60)
    finally:
        actor.join()


def test_the_second_signal_does_not_wait_for_what_is_in_flight(gate: Gate) -> None:
    run = held(gate, SequentialRunner(), count=3)

    with pytest.raises(RunInterrupted, match="second SIGINT") as caught:
        interrupted_twice(run)

    assert caught.value.result is None
    assert not run.progress().finished


def test_the_block_waits_for_the_run() -> None:
    with Processor(pipeline=parse).start(to_inputs(["1", "2"])) as run:
        pass

    assert run.progress().finished


def test_leaving_the_block_does_not_hide_an_error() -> None:
    with pytest.raises(RunFailed), Processor(pipeline=parse).start(breaking()):
        pass


def test_an_exception_in_the_block_cancels_the_run(gate: Gate) -> None:
    run = held(gate, SequentialRunner(), count=3)

    def leave() -> None:
        with run:
            raise KeyError("mine")

    with opening_when_stopped(run, gate), pytest.raises(KeyError, match="mine"):
        leave()

    assert run.progress().finished
    assert run.result().stopped == "cancelled by KeyError"


TENANT: ContextVar[str] = ContextVar("tenant")


@step("tenant")
def tenant(_: int) -> str:
    return TENANT.get()


@pytest.mark.parametrize("runner", RUNNERS[:3], ids=lambda it: type(it).__name__)
def test_contextvars_reach_the_steps(runner: Runner) -> None:
    token = TENANT.set("north")
    run = Processor(pipeline=tenant, runner=runner).start(to_inputs([1]))
    TENANT.reset(token)

    assert run.result(timeout=60).output == ["north"]


def test_a_started_run_is_in_the_journal(tmp_path: Path, gate: Gate) -> None:
    journal = SqliteJournal(tmp_path / "runs.db")
    options: dict[str, Any] = {"name": "inverse", "pipeline": parse >> invert, "journal": journal}
    run = Processor(**options, observers=[gate]).start(to_inputs(["1", "2", "4"]))
    assert gate.reached.wait(60)
    run.cancel("later")
    gate.opened.set()

    result = run.result(timeout=60)
    resumed = Processor(**options).resume(run.run_id)

    assert len(result.not_run) == 2
    assert resumed.output == [1, 1 / 2, 1 / 4]
    assert resumed.metrics.skipped == 1


def test_a_run_whose_thread_cannot_start_is_nobodys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    processor = Processor(pipeline=parse, journal=SqliteJournal(tmp_path / "runs.db"))

    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name.startswith("run "):  # not the heartbeat
            raise RuntimeError("can't start new thread")
        start(thread)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            processor.start(to_inputs(["1", "2"]))

    assert processor.resume().output == [1, 2]

"""Ctrl-C and SIGTERM: what is in flight finishes, the rest is kept for later, the handlers are given back."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from typing import Any

import pytest

from pipeline import NotRun, Processor, RunInterrupted, Succeeded, batch_step, step, to_inputs
from pipeline.interrupts import give_back_signals
from runners import AsyncRunner, ExecutorRunner, Runner, ThreadRunner


@step("signal")
def send(what: tuple[int, int]) -> int:
    """Send a signal to a process; a worker does not know the parent's id by itself, however it was started."""
    number, process = what
    if number:
        os.kill(process, number)
    return number


@pytest.fixture(autouse=True)
def no_handler_is_left_of_another_test() -> None:
    """A stream that ended in another thread left its own, until the next run."""
    give_back_signals()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda it: it.name)
def test_a_signal_stops_dispatching_and_loses_nothing(every_runner: Runner, number: signal.Signals) -> None:
    before = signal.getsignal(number)
    processor = Processor(pipeline=send, runner=every_runner)
    inputs = to_inputs([(0, 0), (int(number), os.getpid()), *[(0, 0)] * 29_999])

    with pytest.raises(RunInterrupted, match=number.name) as caught:
        processor.execute(inputs)
    result = caught.value.result

    assert result is not None
    assert isinstance(caught.value, KeyboardInterrupt)
    assert signal.getsignal(number) is before
    assert len(result.outcomes) == 30_001
    assert {type(outcome) for outcome in result.outcomes} == {Succeeded, NotRun}
    assert isinstance(result.outcomes[1], Succeeded)
    assert len(result.not_run) > 0


@step("twice")
def send_twice(number: int) -> int:
    if number < 0:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
    return number


def test_the_second_signal_stops_now_and_keeps_what_was_in_flight() -> None:
    with pytest.raises(RunInterrupted) as caught:
        Processor(pipeline=send_twice).execute(to_inputs([1, -1, 2]))

    assert caught.value.result is not None
    assert [type(outcome) for outcome in caught.value.result.outcomes] == [Succeeded, NotRun, NotRun]
    assert "in flight" in caught.value.result.not_run[0].reason


released = threading.Event()
ended: list[list[int]] = [[]]
"""The numbers of each test: threads of an earlier one may still end."""


@step("hang")
def hang(number: int) -> int:
    """Signals of two numbers are told apart, however late they are handled."""
    mine = ended[-1]
    if number == 0:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
    released.wait(5)
    mine.append(number)
    return number


@batch_step("together", max_size=2)
def together(numbers: list[int]) -> list[int]:
    return [hang.fn(number) for number in numbers]


@pytest.mark.parametrize("pipeline", [hang, hang >> together, step("first")(abs) >> together], ids=str)
@pytest.mark.parametrize("runner", [ThreadRunner(2), AsyncRunner(2), ExecutorRunner(partial(ThreadPoolExecutor, 2))])
@pytest.mark.parametrize("held", [False, True])
def test_the_second_signal_waits_for_nobody(pipeline: Any, runner: Any, held: bool) -> None:
    released.clear()
    ended.append([])
    try:
        with pytest.raises(RunInterrupted) as caught, runner if held else nullcontext():
            Processor(pipeline=pipeline, runner=runner).execute(to_inputs(range(6)))
        waited_for = list(ended[-1])
    finally:
        released.set()

    assert waited_for == []
    assert caught.value.result is not None
    assert [type(outcome) for outcome in caught.value.result.outcomes] == [NotRun] * 6
    assert runner.run(str, [1, 2, 3]) == ["1", "2", "3"]


@pytest.mark.parametrize("runner", ["ThreadRunner(2)", "AsyncRunner(2)"])
def test_after_the_second_signal_the_process_ends_though_a_step_never_does(runner: str) -> None:
    program = f"""
import os, signal, time
from pipeline import Processor, RunInterrupted, step, to_inputs
from runners import AsyncRunner, ThreadRunner

@step("hang")
def hang(number: int) -> int:
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(3600)
    return number

try:
    Processor(pipeline=hang, runner={runner}).execute(to_inputs([1]))
except RunInterrupted as interrupted:
    print(len(interrupted.result.not_run))
"""

    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)

    assert (ended.stdout, ended.stderr, ended.returncode) == ("1\n", "", 0)


def test_an_interrupted_batch_goes_on_where_it_stopped() -> None:
    processor = Processor(pipeline=send_twice)
    with pytest.raises(RunInterrupted) as caught:
        processor.execute(to_inputs([1, -1, 2]))
    assert caught.value.result is not None

    inputs = caught.value.result.retry_inputs()
    inputs.pop(1)
    again = processor.execute(inputs)

    assert again.output == [1, 2]
    assert again.metrics.skipped == 1


def pressing(text: str) -> str:
    if text == "2":
        os.kill(os.getpid(), signal.SIGINT)
        pressed.wait(10)
    return text


pressed = threading.Event()


def test_ctrl_c_in_a_program_with_its_own_handler_ends_the_run_with_every_outcome() -> None:
    def raises(number: int, frame: object) -> None:
        pressed.set()
        raise KeyboardInterrupt("the program's own")

    earlier = signal.signal(signal.SIGINT, raises)
    try:
        with pytest.raises(RunInterrupted, match="the program's own") as raised:
            Processor(pipeline=step("press")(pressing), runner=ThreadRunner(1)).execute(to_inputs(["1", "2", "3"]))
    finally:
        signal.signal(signal.SIGINT, earlier)

    result = raised.value.result
    assert result is not None
    assert len(result.outcomes) == 3
    assert Processor(pipeline=step("press")(str)).retry(result).output == ["1", "2", "3"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda it: it.name)
def test_a_stream_that_ends_in_another_thread_gives_all_and_the_signals_back(number: signal.Signals) -> None:
    script = f"""
import os, signal, threading
from pipeline import Processor, step, to_inputs
outcomes = Processor(pipeline=step("same")(lambda n: n)).stream(to_inputs(range(9)))
next(outcomes)
rest = []
thread = threading.Thread(target=lambda: rest.extend(outcomes))
thread.start()
thread.join()
print(len(rest), flush=True)
try:
    os.kill(os.getpid(), {int(number)})
    signal.pause()
except KeyboardInterrupt:
    os._exit(130)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)

    expected = 130 if number == signal.SIGINT else -number
    assert (done.stdout, done.stderr, done.returncode) == ("8\n", "", expected)


LEFT = """
import os, signal, threading
from pipeline import Processor, step, to_inputs
from runners import ThreadRunner

leaving, for_ever = threading.Event(), threading.Event()

def work(number):
    if number:
        leaving.wait(60)
    if number == 1:
        for each in {signals}:
            os.kill(os.getpid(), each)
    if number and {hangs}:
        for_ever.wait(60)
    return number

try:
    stream = Processor(pipeline=step("work")(work), runner=ThreadRunner(2)).stream(to_inputs(range(6)))
    for outcome in stream:
        leaving.set()
        {leave}
    del stream
    for_ever.wait(60)
except KeyboardInterrupt as error:
    os._exit(130 if type(error) is KeyboardInterrupt else 1)
"""


@pytest.mark.parametrize("leave", ["stream.close()", "break"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda it: it.name)
def test_a_signal_while_a_stream_is_left_is_the_programs_to_handle(leave: str, number: signal.Signals) -> None:
    script = LEFT.format(signals=[int(number)], hangs=False, leave=leave)

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)

    assert (done.stderr, done.returncode) == ("", 130 if number == signal.SIGINT else -number)


@pytest.mark.parametrize("leave", ["stream.close()", "break"])
def test_a_second_signal_while_a_stream_is_left_waits_for_nobody(leave: str) -> None:
    signals = [int(signal.SIGINT), int(signal.SIGTERM)]
    script = LEFT.format(signals=signals, hangs=True, leave=leave)

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=50, check=False)

    assert (done.stderr, done.returncode) == ("", 130)


OWN_HANDLER = """
import os, signal, time
from pipeline import Processor, step, to_inputs

calls = []
handler = {handler}
try:
    for number, outcome in enumerate(Processor(pipeline=step("same")(int)).stream(to_inputs(range(100)))):
        if number == 3:
            os.kill(os.getpid(), signal.SIGINT)
            if {early}:
                signal.signal(signal.SIGINT, handler)
            break
finally:
    signal.signal(signal.SIGINT, handler)
    time.sleep(0.1)
    print(len(calls) < 2)
"""


@pytest.mark.parametrize("early", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("handler", ["signal.SIG_IGN", "lambda number, frame: calls.append(number)"])
def test_a_program_that_handles_signals_itself_when_it_leaves_a_stream_is_told_once(handler: str, early: bool) -> None:
    script = OWN_HANDLER.format(handler=handler, early=early)

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=50, check=False)

    assert (done.stdout, done.stderr, done.returncode) == ("True\n", "", 0)


def end_a_stream_in_another_thread() -> None:
    stream: Any = Processor(pipeline=step("same")(str)).stream(to_inputs(range(3)))
    next(stream)
    thread = threading.Thread(target=stream.close)
    thread.start()
    thread.join()


def test_a_stream_that_ended_in_another_thread_leaves_later_runs_their_signals() -> None:
    before = signal.getsignal(signal.SIGINT)
    end_a_stream_in_another_thread()

    with pytest.raises(RunInterrupted):
        Processor(pipeline=send).execute(to_inputs([(int(signal.SIGINT), os.getpid()), (0, 0)]))

    assert signal.getsignal(signal.SIGINT) is before


def test_a_stream_that_ended_in_another_thread_leaves_the_event_loop_its_signals() -> None:
    before = signal.getsignal(signal.SIGINT)
    end_a_stream_in_another_thread()

    asyncio.run(Processor(pipeline=step("same")(str)).aexecute(to_inputs(range(3))))

    assert signal.getsignal(signal.SIGINT) is before

"""Events, observers and logs: the same on every runner, harmless, and without data."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from pipeline import Event, InvalidSetting, Processor, Retry, RunInterrupted, step, to_inputs
from runners import Runner


@step("parse")
def parse(text: str) -> int:
    return int(text)


@step("invert")
def invert(number: int) -> float:
    return 1 / number


class Recorder:
    def __init__(self) -> None:
        self.events: list[Any] = []

    def on_event(self, event: Event) -> None:
        self.events.append(event)


class Clumsy:
    told = 0

    def on_event(self, event: Event) -> None:
        self.told += 1
        raise RuntimeError("no disk")


def told_of(events: list[Any], input_id: str) -> list[str]:
    own = [event for event in events if getattr(event, "input_id", None) == input_id]
    return [f"{type(event).__name__} {getattr(event, 'step', event.__struct_config__.tag)}" for event in own]


def test_every_runner_tells_the_same_story(every_runner: Runner) -> None:
    recorder = Recorder()

    Processor(pipeline=parse >> invert, runner=every_runner, observers=[recorder]).execute(to_inputs(["2", "0"]))

    events = recorder.events
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert type(events[0]).__name__ == "RunStarted"
    assert type(events[-1]).__name__ == "RunFinished"
    assert (events[-1].succeeded, events[-1].failed) == (1, 1)
    assert told_of(events, "input-1")[:5] == [
        "InputStarted parse",
        "StepStarted parse",
        "StepFinished parse",
        "StepStarted invert",
        "StepFinished invert",
    ]
    assert told_of(events, "input-2")[-2] == "StepFailed invert"
    assert all(event.duration_s >= 0 for event in events if hasattr(event, "duration_s"))


def test_an_observer_that_raises_is_told_no_more_and_harms_nothing(caplog: pytest.LogCaptureFixture) -> None:
    clumsy, recorder = Clumsy(), Recorder()

    result = Processor(pipeline=parse, observers=[clumsy, recorder]).execute(to_inputs(["1", "2"]))

    assert result.output == [1, 2]
    assert clumsy.told == 1
    assert type(recorder.events[-1]).__name__ == "RunFinished"
    assert "Clumsy" in caplog.text


def test_logs_carry_the_run_and_never_the_data(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    result = Processor(pipeline=parse, name="parsing").execute(to_inputs(["314159", "secret-271828"]))

    records = [record for record in caplog.records if record.name.startswith(("pipeline", "runners"))]
    assert records
    assert {getattr(record, "run_id", None) for record in records} == {result.run_id}
    assert [record.getMessage() for record in records] == [
        "run started",
        "run ended: 1 succeeded, 1 failed, 0 not run",
    ]
    assert "314159" not in caplog.text
    assert "271828" not in caplog.text


def test_debugging_tells_each_failure_and_each_last_try_with_where_it_was(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    @step("call", retry=Retry(on=ValueError, attempts=2, wait=0.0))
    def call(text: str) -> int:
        return int(text)

    result = Processor(pipeline=call).execute(to_inputs(["1", "secret-271828"]))

    told = [
        record for record in caplog.records if record.levelno == logging.DEBUG and record.name.startswith("pipeline")
    ]
    assert [record.getMessage() for record in told] == [
        "step 'call' is not called again: all 2 attempts failed",
        "input 'input-2' failed at step 'call' with ValueError (error)",
    ]
    for record in told:
        facts = (getattr(record, name) for name in ("run_id", "input_id", "step"))
        assert tuple(facts) == (result.run_id, "input-2", "call")
    assert "271828" not in caplog.text


def test_importing_the_packages_installs_no_handler() -> None:
    names = [name for name in logging.root.manager.loggerDict if name.split(".")[0] in {"pipeline", "runners"}]

    assert names
    assert not any(logging.getLogger(name).handlers for name in names)


def test_an_observer_that_exits_harms_nothing_either(caplog: pytest.LogCaptureFixture) -> None:
    class Exits:
        def on_event(self, event: Event) -> None:
            raise SystemExit(5)

    assert Processor(pipeline=parse, observers=[Exits()]).execute(to_inputs(["1"])).output == [1]
    assert "Exits" in caplog.text


def test_an_observer_that_would_have_to_be_awaited_is_refused() -> None:
    class Awaited:
        async def on_event(self, event: Event) -> None: ...

    observers: list[Any] = [Awaited()]

    with pytest.raises(InvalidSetting, match="whose on_event is async; give a plain method"):
        Processor(pipeline=parse, observers=observers)


def test_ctrl_c_that_the_program_handles_itself_ends_the_run_with_what_it_has(every_runner: Runner) -> None:
    class Presses:
        def on_event(self, event: Event) -> None:
            if type(event).__name__ == "InputFinished":
                raise KeyboardInterrupt  # as a handler of the program's own would, whenever it is called

    processor = Processor(pipeline=parse, runner=every_runner, observers=[Presses()])

    with pytest.raises(RunInterrupted) as raised:
        processor.execute(to_inputs(["1", "2", "3"]))

    result = raised.value.result
    assert result is not None
    assert len(result.outcomes) == 3
    assert Processor(pipeline=parse).retry(result).output == [1, 2, 3]

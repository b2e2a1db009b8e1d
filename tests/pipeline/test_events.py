"""Events, observers and logs: the same on every runner, harmless, and without data."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from pipeline import Event, Processor, step, to_inputs
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
    assert len(records) <= 2
    assert "314159" not in caplog.text
    assert "271828" not in caplog.text

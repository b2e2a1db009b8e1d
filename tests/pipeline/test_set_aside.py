"""What an input did before it was set aside is told as for any other: times, tries, metrics, events, the journal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from pipeline import (
    CircuitBreaker,
    Event,
    Journal,
    MemoryJournal,
    Pipeline,
    Processor,
    RateLimit,
    Retry,
    StepContext,
    batch_step,
    step,
    to_inputs,
)
from runners import AsyncRunner, ProcessRunner, Runner, SequentialRunner, ThreadRunner

INPUTS = 12
RUNNERS: dict[str, Callable[[], Runner]] = {
    "sequential": SequentialRunner,
    "threads": lambda: ThreadRunner(2),
    "async": lambda: AsyncRunner(2),
    "processes": lambda: ProcessRunner(2),
}


class Witness:
    """A file in which a step notes each call, in any process."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def note(self, what: str) -> None:
        with self.path.open("a") as file:
            file.write(f"{what}\n")

    def calls(self) -> Counter[str]:
        return Counter(self.path.read_text().split())


class Told:
    def __init__(self) -> None:
        self.names: Counter[str] = Counter()

    def on_event(self, event: Event) -> None:
        at = getattr(event, "step", None)
        self.names[type(event).__name__ if at is None else f"{type(event).__name__} {at}"] += 1


def fetch(witness: Witness, number: int, context: StepContext) -> int:
    witness.note("fetch")
    if context.attempt == 1:
        raise ConnectionError("once")
    return number


def call(number: int) -> int:
    raise ConnectionError(f"down for {number}")


def halve(witness: Witness, number: int) -> int:
    witness.note("halve")
    return number // 2


def join(witness: Witness, numbers: list[int]) -> list[int]:
    for _ in numbers:
        witness.note("join")
    return numbers


def store(witness: Witness, number: int) -> int:
    witness.note("store")
    raise ValueError(f"no room for {number}")


def fetching(witness: Witness) -> Pipeline[int, int]:
    """A step that succeeds at its second try, and one whose breaker opens at the first failure."""
    fetched = step("fetch", retry=Retry(wait=0))(partial(fetch, witness))
    return fetched >> step("call", breaker=CircuitBreaker(failures=1, reset_s=3_600))(call)


@pytest.mark.parametrize("make", RUNNERS.values(), ids=RUNNERS.keys())
def test_steps_before_an_open_breaker_are_in_metrics_and_events(make: Callable[[], Runner], tmp_path: Path) -> None:
    witness, told, journal = Witness(tmp_path / "calls"), Told(), MemoryJournal()
    processor = Processor(pipeline=fetching(witness), runner=make(), observers=[told], journal=journal)

    result = processor.execute(to_inputs(range(INPUTS)))

    assert len(result.not_run) >= INPUTS - 2
    fetch, call = result.metrics.steps["fetch"], result.metrics.steps["call"]
    assert witness.calls()["fetch"] == fetch.count + fetch.retries == 2 * INPUTS
    assert (fetch.count, fetch.retries, fetch.failures) == (INPUTS, INPUTS, 0)
    assert call.count == call.failures == len(result.failed)
    assert told.names["InputStarted fetch"] == told.names["StepStarted fetch"] == told.names["StepFinished fetch"]
    assert told.names["StepFinished fetch"] == told.names["StepRetried fetch"] == INPUTS
    assert told.names["StepStarted call"] == told.names["StepFailed call"] == len(result.failed)
    for parked in result.not_run:
        assert (parked.step, parked.steps, list(parked.step_durations_s)) == ("call", ("fetch",), ["fetch"])
        assert [attempt.exception for attempt in parked.attempts] == ["ConnectionError"]
    kept = processor.resume(only=[*result.failed][:1])
    assert {len(outcome.attempts) for outcome in kept.not_run} == {1}
    assert kept.metrics.steps["fetch"].count == 0


def journaled(journal: Journal, number: int) -> list[str]:
    run = journal.runs()[0]
    return [row.detail.decode() for row in journal.attempts(next(iter(journal.input_ids(run.batch)))[0] + number)]


def test_the_tries_of_an_input_that_is_set_aside_are_recorded(tmp_path: Path) -> None:
    journal = MemoryJournal()
    Processor(pipeline=fetching(Witness(tmp_path / "calls")), journal=journal).execute(to_inputs([1, 2]))

    (recorded,) = journaled(journal, 1)
    assert "once" in recorded


def test_waiting_for_a_turn_is_no_time_of_the_step_that_was_not_called() -> None:
    pipeline = step("parse")(int) >> step("call", rate=RateLimit(per_second=0.1, burst=1))(str)
    handle = Processor(pipeline=pipeline, runner=ThreadRunner(2)).start(to_inputs(["1", "2"]))
    while handle.progress().done == 0:
        pass
    handle.cancel()
    result = handle.result()

    (parked,) = result.not_run
    assert parked.steps == ("parse",)
    assert len(parked.clock_ns) == 2
    assert result.metrics.steps["call"].count == 1


@pytest.mark.parametrize("make", RUNNERS.values(), ids=RUNNERS.keys())
def test_steps_before_and_at_a_batch_step_are_told_of_those_set_aside_behind_it(
    make: Callable[[], Runner], tmp_path: Path
) -> None:
    witness, told = Witness(tmp_path / "calls"), Told()
    pipeline = (
        step("halve")(partial(halve, witness))
        >> batch_step("join", max_size=4)(partial(join, witness))
        >> step("store")(partial(store, witness))
    )
    processor = Processor(pipeline=pipeline, runner=make(), observers=[told], max_failures=0)

    result = processor.execute(to_inputs(range(400)))

    calls, steps = witness.calls(), result.metrics.steps
    assert {name: steps[name].count for name in ("halve", "join", "store")} == {
        name: calls[name] for name in ("halve", "join", "store")
    }
    assert {name: told.names[f"StepStarted {name}"] for name in ("halve", "join", "store")} == calls
    ways = {outcome.step: outcome.steps for outcome in result.not_run}
    assert ways.get("store", ("halve", "join")) == ("halve", "join")
    assert ways.get("join", ("halve",)) == ("halve",)
    assert any(ways.values())

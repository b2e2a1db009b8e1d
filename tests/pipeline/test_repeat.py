"""When an input whose worker died runs again, and what becomes of it if it cannot: a runner that follows a script."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

import pytest
from returns.result import Failure, Result

from pipeline import (
    Failed,
    NotRun,
    Outcome,
    ProcessingResult,
    Processor,
    Retry,
    RunFailed,
    RunInterrupted,
    Step,
    Succeeded,
    WorkerDied,
    step,
    to_inputs,
)
from pipeline.guard import Timing
from pipeline.model import Attempt, ProcessorInput
from pipeline.plan import Run
from pipeline.repeat import Repeats
from pipeline.settle import Dispatched
from pipeline.testing import FakeClock
from runners import Crash, Runner
from runners.crash import attempt

DEAD = Crash(kind="crash", exception="WorkerDied", message="killed by SIGKILL", mark=0)
ASKS = Retry(on=WorkerDied, attempts=3, wait=1.0, jitter="none")
DISPATCHED = Dispatched(0, ProcessorInput(input_id="doc", data=7), Run(0, 7, "a reason"))

Act: TypeAlias = Crash | Exception | Callable[[], object]
"""What the runner does with an input instead of its work: a crash, an error of its own, or a call, which loses it."""


class Scripted(Runner):
    """Works in this thread, and does what its script says each time an input comes."""

    def __init__(self, script: dict[str, list[Act]]) -> None:
        self.script = script
        self.streams: list[list[str]] = []

    def run(self, func: Callable[[Any], Any], inputs: Iterable[Any]) -> list[Any]:
        raise NotImplementedError

    def stream(self, func: Callable[[Any], Any], inputs: Iterable[Any]) -> Iterator[tuple[int, Result[Any, Crash]]]:
        self.streams.append([])
        for position, start in enumerate(inputs):
            self.streams[-1].append(start[0])
            acts = self.script.get(start[0], [])
            act = acts.pop(0) if acts else None
            if act is None:
                yield position, attempt(func, start)
            elif isinstance(act, Crash):
                yield position, Failure(act)
            elif isinstance(act, Exception):
                raise act
            else:
                act()


def lose() -> None:
    """Nothing comes back."""


def double(number: int) -> int:
    return 2 * number


def called(retry: Retry | None = ASKS, name: str = "call") -> Step[int, int, Exception]:
    return step(name, retry=retry)(double)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """Time stands still in what waits to run again."""
    fake = FakeClock()
    timing = Timing(fake.monotonic, fake.time, fake.sleep, fake.asleep, lambda: 0.5)
    plain = Repeats.__init__
    monkeypatch.setattr(Repeats, "__init__", lambda self, steps, run_id: plain(self, steps, run_id, timing))
    return fake


def run(runner: Runner, pipeline: Any = None, count: int = 2, **options: Any) -> ProcessingResult[Any, Any]:
    return Processor(pipeline=pipeline or called(), runner=runner, **options).execute(to_inputs(range(1, count + 1)))


def tries_of(outcome: Outcome[Any]) -> list[str]:
    assert isinstance(outcome, Succeeded | Failed)
    return [attempt.exception for attempt in outcome.attempts]


def test_the_wait_of_the_policy_is_waited_and_grows(clock: FakeClock) -> None:
    result = run(Scripted({"input-1": [DEAD, DEAD]}))

    assert result.output == [2, 4]
    assert clock.monotonic() == pytest.approx(1.0 + 2.0)
    assert max(clock.slept) <= 0.1


def test_it_is_waited_on_an_event_loop_as_well(clock: FakeClock) -> None:
    processor = Processor(pipeline=called(), runner=Scripted({"input-1": [DEAD, DEAD]}))

    assert asyncio.run(processor.aexecute(to_inputs([1, 2]))).output == [2, 4]
    assert clock.monotonic() == pytest.approx(1.0 + 2.0)


def test_what_is_due_goes_before_the_next_input_and_what_is_not_after_the_last(clock: FakeClock) -> None:
    at_once = called(Retry(on=WorkerDied, wait=0.0))
    early = Scripted({"input-1": [DEAD]})
    assert run(early, at_once, 3).success
    assert early.streams == [["input-1", "input-1", "input-2", "input-3"]]

    late = Scripted({"input-1": [DEAD], "input-3": [DEAD]})
    assert run(late, called(), 3).success
    assert late.streams == [["input-1", "input-2", "input-3"], ["input-1", "input-3"]]


@pytest.mark.usefixtures("clock")
def test_what_a_runner_loses_keeps_apart_from_what_runs_again() -> None:
    result = run(Scripted({"input-1": [lose], "input-2": [DEAD]}), count=3)

    lost, repeated, plain = result.outcomes
    assert (tries_of(lost), tries_of(repeated), tries_of(plain)) == (["LostByRunner"], ["WorkerDied"], [])
    assert isinstance(lost, Failed)
    assert [succeeded.output for succeeded in result.succeeded] == [4, 6]


@pytest.mark.usefixtures("clock")
def test_a_repeat_that_the_runner_loses_has_its_tries() -> None:
    (failed,) = run(Scripted({"input-1": [DEAD, lose]})).failed

    assert (failed.kind, tries_of(failed)) == ("crash", ["WorkerDied", "LostByRunner"])


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("deaths", [1, 2])
def test_a_runner_that_breaks_leaves_each_input_with_the_crash_it_had(deaths: int) -> None:
    """In its first stream, and in a further one."""
    dead: list[Act] = [DEAD] * deaths
    script: dict[str, list[Act]] = {"input-1": dead, "input-2": [*dead[1:], OSError("no workers")]}

    with pytest.raises(RunFailed, match="no workers") as broken:
        run(Scripted(script), count=2)

    assert broken.value.result is not None
    first, second = broken.value.result.outcomes
    assert (isinstance(first, Failed), tries_of(first)) == (True, ["WorkerDied"] * deaths)
    assert isinstance(second, NotRun)


@pytest.mark.usefixtures("clock")
def test_a_repeat_in_flight_when_the_run_is_stopped_can_be_run_later() -> None:
    script: dict[str, list[Act]] = {"input-1": [DEAD, lambda: signal.raise_signal(signal.SIGINT)]}

    with pytest.raises(RunInterrupted) as interrupted:
        run(Scripted(script))

    assert interrupted.value.result is not None
    first, second = interrupted.value.result.outcomes
    assert isinstance(first, NotRun)
    assert first.reason == "in flight when interrupted by SIGINT"
    assert isinstance(second, Succeeded)


@pytest.mark.parametrize("kind", ["error", "invalid", "cancelled"])
def test_only_a_death_and_a_call_that_had_to_be_killed_are_asked_about(kind: Any) -> None:
    crash = Crash(kind=kind, exception="Odd", message="odd", mark=0)
    anything = called(Retry(on=BaseException, wait=0.0))

    (failed,) = run(Scripted({"input-1": [crash]}), anything).failed

    assert (failed.kind, tries_of(failed)) == (kind, ["Odd"])


def raises(_error: object) -> bool:
    raise LookupError("no table of errors")


def test_a_policy_that_raises_ends_the_tries_and_the_log_says_so(caplog: pytest.LogCaptureFixture) -> None:
    (failed,) = run(Scripted({"input-1": [DEAD]}), called(Retry(on=raises))).failed

    assert tries_of(failed) == ["WorkerDied"]
    assert "the retry policy of step 'call' raised" in caplog.text


TIMED_OUT = Crash(kind="timeout", exception="TimeoutError", message="too long", mark=1)


@pytest.mark.parametrize(
    ("first", "second", "mark", "goes_again"),
    [
        (ASKS, None, 0, True),
        (ASKS, None, 1, False),
        (None, ASKS, 1, True),
        (ASKS, None, -1, False),
        (None, ASKS, -1, False),
        (ASKS, ASKS, -1, True),
        (ASKS, Retry(on=ConnectionError), 7, False),
    ],
)
def test_the_step_it_died_in_is_asked_or_where_that_is_not_known_every_step_that_was_left(
    first: Retry | None, second: Retry | None, mark: int, goes_again: bool
) -> None:
    repeats = Repeats(called(first, "first") >> called(second, "second"))
    crash = Crash(kind="crash", exception="WorkerDied", message="killed", mark=mark)

    assert repeats.takes(DISPATCHED, (), crash, 0) is goes_again
    assert len(repeats.waiting) == goes_again


def test_steps_behind_which_it_was_are_not_asked() -> None:
    repeats = Repeats(called(None, "first") >> called(ASKS, "second"))
    unknown = Crash(kind="crash", exception="WorkerDied", message="killed")

    assert repeats.takes(DISPATCHED, (), unknown, 1)
    assert not repeats.takes(DISPATCHED, (), unknown, 2)


def test_the_tries_of_another_step_do_not_count() -> None:
    twice = Retry(on=(WorkerDied, TimeoutError), attempts=2, wait=0.0)
    repeats = Repeats(called(twice, "first") >> called(twice, "second"))
    before = (Attempt(step="first", exception="WorkerDied", message="killed", kind="crash"),)

    assert repeats.takes(DISPATCHED, before, TIMED_OUT, 0)
    assert not repeats.takes(DISPATCHED, before, DEAD, 0)
    (repeat,) = [each[2] for each in repeats.waiting]
    assert repeat.tries_by_step == {"first": 1, "second": 1}


@pytest.mark.usefixtures("clock")
def test_a_crash_in_a_later_step_is_a_try_of_that_step() -> None:
    crash = Crash(kind="crash", exception="WorkerDied", message="killed by SIGKILL", mark=1)
    pipeline = called(None, "load") >> called(Retry(on=WorkerDied, attempts=2, wait=0.0))

    result = run(Scripted({"input-1": [crash] * 2}), pipeline)

    (failed,) = result.failed
    assert (failed.step, failed.message) == ("load", "killed by SIGKILL (in step 'call')")
    assert [attempt.step for attempt in failed.attempts] == ["call", "call"]
    assert (result.metrics.steps["call"].retries, result.metrics.steps["load"].retries) == (1, 0)


def test_the_log_says_why_and_of_which_input(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "pipeline")
    once = called(Retry(on=WorkerDied, attempts=2, wait=0.0))

    result = run(Scripted({"input-1": [DEAD, DEAD]}), once)

    records = [record for record in caplog.records if "worker died" in record.getMessage()]
    assert [record.getMessage().rpartition(" is ")[2] for record in records] == [
        "run again",
        "not run again: all 2 attempts failed",
    ]
    facts = [(record.__dict__["run_id"], record.__dict__["input_id"], record.__dict__["step"]) for record in records]
    assert facts == [(result.context.run_id, "input-1", "call")] * 2


def test_a_plain_exception_does_not_name_a_death() -> None:
    assert not issubclass(WorkerDied, Exception)
    assert WorkerDied.retryable

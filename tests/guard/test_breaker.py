"""A circuit breaker: what fails for everybody is called no more for a while, and nobody is lost."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import (
    CircuitBreaker,
    Event,
    Failure,
    InvalidSetting,
    Pipeline,
    Processor,
    Result,
    Retry,
    StepContext,
    step,
    to_inputs,
)
from pipeline.engine import Program, work_of
from pipeline.guard import Timing
from pipeline.policies.breaker import BreakerState, on_arrival, on_end
from pipeline.testing import FakeClock
from pipeline.walk import Stop
from runners import AsyncRunner, ProcessRunner, Runner, SequentialRunner, ThreadRunner

RUNNERS: list[Runner] = [SequentialRunner(), ThreadRunner(1), AsyncRunner(1), ProcessRunner(1)]
every_runner = pytest.mark.parametrize("runner", RUNNERS, ids=lambda it: type(it).__name__)
BREAKER = CircuitBreaker(failures=2, reset_s=3_600)


@step("parse")
def parse(text: str) -> int:
    return int(text)


def answer(number: int) -> Result[int, str]:
    if number < 0:
        raise ConnectionError("down")
    return Failure("odd") if number % 2 else Result.from_value(number)


@step("call", breaker=BREAKER)
def call(number: int) -> Result[int, str]:
    return answer(number)


@step("call", breaker=BREAKER)
async def acall(number: int) -> Result[int, str]:
    return answer(number)


class Listener:
    def __init__(self) -> None:
        self.events: list[str] = []

    def on_event(self, event: Event) -> None:
        name = type(event).__name__
        if name.startswith("Breaker"):
            self.events.append(f"{name} {event.input_id}")  # type: ignore[union-attr]


@every_runner
@pytest.mark.parametrize("called", [call, acall], ids=["sync", "async"])
def test_when_it_opens_inputs_are_set_aside_before_the_step_and_go_on_later(runner: Runner, called: Any) -> None:
    listener = Listener()
    processor = Processor(pipeline=parse >> called, runner=runner, observers=[listener])

    result = processor.execute(to_inputs(["-1", "1", "-1", "-1", "2", "3"]))

    assert [outcome.step for outcome in result.failed] == ["call"] * 4
    assert [(outcome.input_id, outcome.step) for outcome in result.not_run] == [
        ("input-5", "call"),
        ("input-6", "call"),
    ]
    assert all("its circuit breaker is open" in outcome.reason for outcome in result.not_run)
    assert [outcome.payload and outcome.payload.data for outcome in result.not_run] == [2, 3]
    assert listener.events == ["BreakerOpened input-4"]
    again = processor.execute(result.retry_inputs()[4:])
    assert [outcome.output for outcome in again.succeeded] == [2]


class Service:
    """A step that fails while it is down, on a clock that stands still; it counts its calls."""

    def __init__(self, breaker: CircuitBreaker, retry: Retry | None = None) -> None:
        self.clock = FakeClock()
        self.is_down = True
        self.calls = 0
        timing = Timing(self.clock.monotonic, self.clock.time, self.clock.sleep, self.clock.asleep, lambda: 1.0)
        pipeline = Pipeline.of([step("call", breaker=breaker, retry=retry)(self._call)])
        self._work = work_of(Program(pipeline, timing=timing), on_loop=False)

    def _call(self, value: int) -> int:
        self.calls += 1
        if self.is_down:
            raise ConnectionError("down")
        return value

    def send(self) -> str:
        end, _, _ = self._work(("input", 0, 1))
        return "answered" if not isinstance(end, Stop) else "parked" if end.parked else "failed"


def test_after_a_while_one_probe_decides() -> None:
    service = Service(CircuitBreaker(failures=2, reset_s=60))

    before = [service.send() for _ in range(4)]
    service.clock.advance(59)
    early = service.send()
    service.clock.advance(1)
    failed = [service.send() for _ in range(2)]
    service.clock.advance(60)
    service.is_down = False
    answered = [service.send() for _ in range(3)]

    assert before == ["failed", "failed", "parked", "parked"]
    assert early == "parked"
    assert failed == ["failed", "parked"]
    assert answered == ["answered"] * 3


def test_a_retry_calls_no_more_when_the_breaker_opens_and_a_probe_is_one_call() -> None:
    service = Service(CircuitBreaker(failures=1, reset_s=60), Retry(attempts=3, jitter="none"))

    first, parked = service.send(), service.send()
    calls_before = service.calls
    service.clock.advance(60)
    probe = service.send()

    assert (first, parked, calls_before) == ("failed", "parked", 3)
    assert (probe, service.calls) == ("failed", 4)


def test_of_many_threads_one_is_the_probe() -> None:
    inside, leave = threading.Semaphore(0), threading.Event()
    clock, calls = FakeClock(), list[int]()

    def wait(value: int) -> int:
        calls.append(value)
        if value < 0:
            raise ConnectionError("down")
        inside.release()
        leave.wait(30)
        return value

    called = step("w", breaker=CircuitBreaker(failures=1, reset_s=60))(wait)
    timing = Timing(clock.monotonic, clock.time, clock.sleep, clock.asleep)
    work = work_of(Program(Pipeline.of([called]), timing=timing), on_loop=False)
    work(("input", 0, -1))
    clock.advance(60)
    ends: list[Any] = []
    threads = [threading.Thread(target=lambda: ends.append(work(("input", 0, 1))[0])) for _ in range(8)]

    threads[0].start()
    assert inside.acquire(timeout=30)  # the probe is on its way, and the lock is free: all others come to an end
    for thread in threads[1:]:
        thread.start()
    for thread in threads[1:]:
        thread.join(30)
    leave.set()
    threads[0].join(30)

    assert calls == [-1, 1]
    assert sum(isinstance(end, Stop) and end.parked is not None for end in ends) == 7
    assert 1 in ends


@step("give up", breaker=BREAKER, retry=Retry(on=ConnectionError, wait=0.0))
def give_up(number: int, context: StepContext) -> int:
    raise ConnectionError(f"{number} {context.attempt}")


def test_inputs_that_were_tried_keep_their_tries_beside_what_the_breaker_did() -> None:
    result = Processor(pipeline=give_up).execute(to_inputs([1, 2, 3]))

    assert [len(failed.attempts) for failed in result.failed] == [4, 4]
    assert [type(attempt).__name__ for failed in result.failed for attempt in failed.attempts] == ["Attempt"] * 8
    assert len(result.not_run) == 1


def raises(_error: object) -> bool:
    raise LookupError("no table of errors")


def test_a_policy_that_raises_says_nothing_and_the_input_keeps_its_error(caplog: pytest.LogCaptureFixture) -> None:
    unsure = call.replace(breaker=CircuitBreaker(failures=2, on=raises))

    result = Processor(pipeline=unsure).execute(to_inputs([-1, -2, -3]))

    assert [(failed.exception, failed.message) for failed in result.failed] == [("ConnectionError", "down")] * 3
    assert "on= of the CircuitBreaker of step 'call' raised" in caplog.text


STEPS = st.lists(st.sampled_from(["fail", "answer", "nothing", "wait"]), max_size=40)


@given(st.integers(1, 4), STEPS)
def test_a_breaker_lets_nothing_through_while_it_is_open_and_opens_only_after_so_many_in_a_row(
    failures: int, happenings: list[str]
) -> None:
    breaker, state, now, row = CircuitBreaker(failures=failures, reset_s=10), BreakerState(), 0.0, 0

    for happening in happenings:
        now += 4.0 if happening == "wait" else 0.0
        was = state
        is_in, state = on_arrival(breaker, state, now)
        assert is_in == (was.phase == "closed" or (was.phase == "open" and now - (was.opened_at or 0.0) >= 10))
        if is_in:
            failed = {"fail": True, "answer": False}.get(happening)
            is_probe = state.probing
            assert on_arrival(breaker, state, now)[0] is not is_probe
            state = on_end(breaker, state, failed, is_probe, now)
            row = 0 if failed is False else row + bool(failed)
            assert (state.phase == "open") == (row >= failures or (is_probe and failed is not False))


@pytest.mark.parametrize("settings", [{"failures": 0}, {"failures": 1.5}, {"reset_s": -1}, {"on": ()}])
def test_a_setting_that_makes_no_sense_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidSetting, match="CircuitBreaker cannot use"):
        CircuitBreaker(**settings)

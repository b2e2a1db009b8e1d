"""A step that retries: the same on every runner, for exceptions and failures, sync and async."""

from __future__ import annotations

import pickle
from email.message import Message
from email.utils import formatdate
from typing import Any
from urllib.error import HTTPError

import pytest

from pipeline import Failure, InvalidSetting, Processor, Result, Retry, StepContext, Success, step, to_inputs
from pipeline.engine import Program, work_of
from pipeline.guard import Timing
from pipeline.policies.retry import Again, GiveUp, asked_wait_s, decide
from pipeline.testing import FakeClock
from runners import AsyncRunner, ProcessRunner, Runner, SequentialRunner, ThreadRunner

RUNNERS: list[Runner] = [SequentialRunner(), ThreadRunner(2), AsyncRunner(4), ProcessRunner(2)]
every_runner = pytest.mark.parametrize("runner", RUNNERS, ids=lambda it: type(it).__name__)

AT_ONCE = Retry(on=(ConnectionError, "busy"), attempts=3, wait=0.0)


class Unknown(ConnectionError):
    retryable = False


def answer(failures: int, context: StepContext) -> Result[str, str]:
    """Fails so many times, in turn by an exception and by a value; what is negative fails for good."""
    if failures < 0:
        raise Unknown("no such host") if failures == -1 else ValueError("not a number")
    if context.attempt > failures:
        return Success(f"{context.step} {context.attempt} {context.idempotency_key.count('/')}")
    if context.attempt % 2:
        raise ConnectionError(f"reset {context.attempt}")
    return Failure("busy")


@step("call", retry=AT_ONCE)
def call(failures: int, context: StepContext) -> Result[str, str]:
    return answer(failures, context)


@step("call", retry=AT_ONCE)
async def acall(failures: int, context: StepContext) -> Result[str, str]:
    return answer(failures, context)


@step("number")
def number(context_of_call: str, context: StepContext) -> tuple[str, int]:
    return context_of_call, context.attempt


@step("append", retry=Retry(on=ConnectionError, attempts=4, wait=0.0))
def append(values: list[int], context: StepContext) -> list[int]:
    values.append(context.attempt)
    if context.attempt < 3 or values[0] < 0:
        raise ConnectionError("after the change")
    return values


def tries_of(outcome: Any) -> list[tuple[str, str, str]]:
    return [(attempt.step, attempt.exception, attempt.message) for attempt in outcome.attempts]


@every_runner
@pytest.mark.parametrize("called", [call, acall], ids=["sync", "async"])
def test_a_step_is_called_again_until_it_succeeds_or_its_attempts_are_spent(runner: Runner, called: Any) -> None:
    result = Processor(pipeline=called >> number, runner=runner).execute(to_inputs([0, 1, 2, 3, -1, -2]))

    outputs = [outcome.output for outcome in result.succeeded]
    assert outputs == [("call 1 2", 1), ("call 2 2", 1), ("call 3 2", 1)]
    first, second, third = (
        ("call", "ConnectionError", "reset 1"),
        ("call", "Failure", "busy"),
        ("call", "ConnectionError", "reset 3"),
    )
    assert [tries_of(outcome) for outcome in result.succeeded] == [[], [first], [first, second]]
    spent, unknown, other = result.failed
    assert tries_of(spent) == [first, second, third]
    assert (spent.exception, spent.message, spent.retryable, spent.payload.data) == (
        "ConnectionError",
        "reset 3",
        True,
        3,
    )
    assert (tries_of(unknown), unknown.retryable) == ([("call", "Unknown", "no such host")], False)
    assert (tries_of(other), other.retryable) == ([("call", "ValueError", "not a number")], True)
    assert result.metrics.steps["call"].retries == 1 + 2 + 2
    assert result.metrics.steps["call"].failures == 3


@every_runner
def test_every_try_gets_the_value_as_it_entered_and_so_does_the_payload(runner: Runner) -> None:
    result = Processor(pipeline=append, runner=runner).execute(to_inputs([[7], [-7]]))

    assert result.succeeded[0].output == [7, 3]
    assert result.failed[0].payload.data == [-7]
    assert result.inputs[1].data == [-7]


def run_with(clock: FakeClock, retry: Retry, failures: int, draws: float = 1.0, stopping: Any = bool) -> Any:
    timing = Timing(clock.monotonic, clock.time, clock.sleep, clock.asleep, lambda: draws)
    program = Program(call.replace(retry=retry).then(number), stopping=stopping, timing=timing)
    return work_of(program, on_loop=False)(("input", 0, failures))


def test_waits_double_up_to_the_longest_and_are_drawn_below_that() -> None:
    retry = Retry(on=(ConnectionError, "busy"), attempts=6, wait=1.0, max_wait=5.0)
    whole, half = FakeClock(), FakeClock()

    run_with(whole, retry, failures=5)
    run_with(half, retry, failures=5, draws=0.5)

    assert sum(whole.slept) == pytest.approx(1 + 2 + 4 + 5 + 5)
    assert sum(half.slept) == pytest.approx(sum(whole.slept) / 2)


def test_a_run_that_is_stopped_waits_no_longer_and_keeps_the_last_error() -> None:
    clock = FakeClock()

    end, _, _ = run_with(
        clock, Retry(on=ConnectionError, wait=10, jitter="none"), 3, stopping=lambda: clock.monotonic() > 2
    )

    assert clock.monotonic() == pytest.approx(2, abs=0.2)
    assert (end.exception, end.retryable, len(end.attempts)) == ("ConnectionError", True, 1)


def test_a_budget_bounds_the_retries_of_all_inputs_together() -> None:
    program = Program(call.replace(retry=Retry(on=ConnectionError, wait=0, budget=0.1)).then(number))

    traces = [work_of(program, on_loop=False)(("input", 0, 1)) for _ in range(100)]

    succeeded = [trace for trace in traces if trace is not None and isinstance(trace[0], tuple)]
    assert 10 <= len(succeeded) <= 10 + 10 + 1


def raises(_error: object) -> bool:
    raise LookupError("no table of errors")


def test_a_policy_that_raises_ends_the_tries_with_the_error_of_the_step() -> None:
    end, _, _ = run_with(FakeClock(), Retry(on=raises), failures=1)

    assert (end.exception, end.message, len(end.attempts)) == ("ConnectionError", "reset 1", 1)


class Busy(Exception):
    def __init__(self, retry_after: object = None, header: object = None) -> None:
        self.retry_after = retry_after
        self.response = type("Response", (), {"headers": {"Retry-After": header} if header else {}})


class Mute(Exception):
    """Raises when it is asked anything, and so says nothing."""

    def _ask(self) -> Any:
        raise RuntimeError("there was no response")

    response = headers = retry_after = retryable = property(_ask)


def with_header(name: str, value: str) -> Message:
    headers = Message()
    headers[name] = value
    return headers


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (Busy(12), 12.0),
        (Busy("2.5"), 2.5),
        (Busy(header="7"), 7.0),
        (Busy(header=formatdate(1_060, usegmt=True)), 60.0),
        (Busy(header=formatdate(900, usegmt=True)), 0.0),
        (Busy(-3), 0.0),
        (Busy("nan"), None),
        (Busy("inf"), None),
        (Busy("whenever"), None),
        (Busy(), None),
        (HTTPError("desk", 429, "Too Many Requests", Message(), None), None),
        (HTTPError("desk", 429, "Too Many Requests", with_header("retry-after", "7"), None), 7.0),
        (Mute(), None),
        ("a text", None),
    ],
)
def test_an_error_may_say_how_long_to_wait(error: object, seconds: float | None) -> None:
    assert asked_wait_s(error, now=1_000.0) == seconds


def mute(number: int) -> int:
    raise Mute("silence")


@pytest.mark.parametrize("settings", [{}, {"retry": Retry(on=Mute, attempts=2, wait=0.0)}], ids=["plain", "retried"])
def test_an_error_that_raises_when_it_is_asked_is_kept_as_it_is(settings: dict[str, Any]) -> None:
    (failed,) = Processor(pipeline=step("mute", **settings)(mute)).execute(to_inputs([1])).failed

    assert (failed.exception, failed.message, failed.retryable) == ("Mute", "silence", True)
    assert len(failed.attempts) == (2 if settings else 1)


@step("unknown")
def unknown(number: int) -> int:
    raise Unknown("no such host")


def test_what_says_that_it_never_passes_is_believed_without_a_policy_too() -> None:
    assert [failed.retryable for failed in Processor(pipeline=unknown).execute(to_inputs([1])).failed] == [False]


def test_what_the_server_asks_for_is_waited_for_unless_it_is_too_long() -> None:
    retry = Retry(on=Busy, wait=0.1, max_wait=30)

    assert decide(retry, 1, Busy(12), draw=0.0, now=0.0) == Again(12.0)
    assert decide(retry, 1, Busy(31), draw=0.0, now=0.0) == GiveUp("it asks to wait 31 s, longer than max_wait=30")


@pytest.mark.parametrize(
    ("settings", "cure"),
    [
        ({"attempts": 0}, "a number from 1"),
        ({"attempts": True}, "a number from 1"),
        ({"wait": -1}, "seconds from 0"),
        ({"wait": float("nan")}, "seconds from 0"),
        ({"wait": 60}, "at least wait=60"),
        ({"jitter": "some"}, "'full' or 'none'"),
        ({"budget": -0.1}, "retries for each first call"),
        ({"on": ()}, "an exception type"),
        ({"on": [TimeoutError]}, "an exception type"),
        ({"on": "busy"}, "an exception type"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_with_a_cure(settings: dict[str, Any], cure: str) -> None:
    with pytest.raises(InvalidSetting, match=cure):
        Retry(**settings)


def test_a_policy_is_data_that_pickles() -> None:
    assert pickle.loads(pickle.dumps(AT_ONCE)) == AT_ONCE
    assert hash(AT_ONCE) == hash(Retry(on=(ConnectionError, "busy"), attempts=3, wait=0.0))


@step("stop", retry=AT_ONCE, timeout=30.0)
def stop(_: int) -> int:
    raise StopIteration("no more")


@step("stop", retry=AT_ONCE, timeout=30.0)
async def astop(_: int) -> int:
    raise StopIteration("no more")


@every_runner
@pytest.mark.parametrize("stopping", [stop, astop], ids=["sync", "async"])
def test_an_error_that_generators_and_coroutines_take_for_their_end_is_a_failure(runner: Runner, stopping: Any) -> None:
    result = Processor(pipeline=stopping, runner=runner).execute(to_inputs([1]))

    assert [(failed.exception, failed.message) for failed in result.failed] == [("StopIteration", "no more")]

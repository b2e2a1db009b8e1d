"""Policies around a batch step: a call is one call, whatever the number of its inputs. Time is a fake clock's."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from pipeline import (
    Cache,
    CircuitBreaker,
    ConcurrencyLimit,
    Event,
    Failure,
    MemoryJournal,
    Pipeline,
    Processor,
    RateLimit,
    Result,
    Retry,
    Success,
    batch_step,
    to_inputs,
)
from pipeline.batchcall import run_batch
from pipeline.engine import Program
from pipeline.guard import Caching, Timing
from pipeline.guard.results import InMemory
from pipeline.testing import FakeClock
from pipeline.walk import Stop
from runners import AsyncRunner, ProcessRunner, Runner, SequentialRunner, ThreadRunner

RUNNERS: list[Runner] = [SequentialRunner(), ThreadRunner(2), AsyncRunner(2), ProcessRunner(2)]
every_runner = pytest.mark.parametrize("runner", RUNNERS, ids=lambda it: type(it).__name__)


class Desk:
    """A batch step with a fake clock, its calls, and a program of one."""

    def __init__(self, answer: Callable[[list[int]], Any], **settings: Any) -> None:
        self.clock = FakeClock()
        self.calls: list[list[int]] = []
        self.stopped = False

        def call(numbers: list[int]) -> Any:
            self.calls.append(numbers.copy())
            return answer(numbers)

        one = batch_step("call", max_size=64, **settings)(call)
        timing = Timing(self.clock.monotonic, self.clock.time, self.clock.sleep, self.clock.asleep, lambda: 1.0)
        caching = Caching(InMemory(), code={"call": "1"})
        self.program = Program(Pipeline.of([one]), timing=timing, stopping=lambda: self.stopped, caching=caching)

    def ends(self, *numbers: int) -> list[Any]:
        """What became of each: its output, or what it stopped with."""
        ends = run_batch(self.program, 0, [(f"{number}", number) for number in numbers])
        return [(end.parked or end.message) if isinstance(end, Stop) else end for end, _, _ in ends]


def same(numbers: list[int]) -> list[int]:
    return numbers


def busy(times: int) -> Callable[[list[int]], list[int]]:
    """Fails so many calls, then answers."""
    left = [ConnectionError("busy")] * times

    def answer(numbers: list[int]) -> list[int]:
        if left:
            raise left.pop()
        return numbers

    return answer


def test_a_call_that_may_pass_is_made_again_before_it_is_divided() -> None:
    desk = Desk(busy(2), retry=Retry(attempts=3, wait=1.0))

    assert desk.ends(1, 2, 3) == [1, 2, 3]
    assert desk.calls == [[1, 2, 3]] * 3
    assert sum(desk.clock.slept) == pytest.approx(3.0)


def test_values_whose_own_failure_may_pass_are_called_again_without_the_others() -> None:
    tries: dict[int, int] = {}

    def answer(numbers: list[int]) -> list[Result[int, Any]]:
        for number in numbers:
            tries[number] = tries.get(number, 0) + 1
        return [Failure(TimeoutError("later")) if tries[number] < number else Success(number) for number in numbers]

    desk = Desk(answer, retry=Retry(attempts=3, wait=0.1))

    assert desk.ends(1, 2, 3, 9) == [1, 2, 3, "later"]
    assert desk.calls == [[1, 2, 3, 9], [2, 3, 9], [3, 9]]


def test_values_whose_own_failure_stays_are_not_called_alone() -> None:
    desk = Desk(lambda numbers: [Failure(TimeoutError("late")) for _ in numbers], retry=Retry(attempts=2, wait=0.1))

    assert desk.ends(1, 2, 3) == ["late"] * 3
    assert desk.calls == [[1, 2, 3]] * 2


def test_every_call_gets_the_values_as_they_entered_whatever_an_earlier_one_did_to_them() -> None:
    seen: list[list[list[int]]] = []

    def spoil(rows: list[list[int]]) -> list[int]:
        seen.append([row.copy() for row in rows])
        for row in rows:
            row.append(99)
        if len(seen) < 3:
            raise ConnectionError("busy")
        return [len(row) for row in rows]

    spoiling = batch_step("spoil", retry=Retry(attempts=2, wait=0.0))(spoil)

    ends = run_batch(Program(Pipeline.of([spoiling])), 0, [("a", [1]), ("b", [2])])

    assert seen == [[[1], [2]], [[1], [2]], [[1]], [[2]]]
    assert [end for end, _, _ in ends] == [2, 2]


def test_a_value_whose_failure_does_not_pass_is_called_once() -> None:
    desk = Desk(lambda numbers: [Failure("never") for _ in numbers], retry=Retry(on=("busy",), attempts=3))

    assert desk.ends(1, 2) == ["never", "never"]
    assert desk.calls == [[1, 2]]


def test_every_try_is_told_with_each_input_that_was_in_it() -> None:
    desk = Desk(lambda numbers: [1 // number for number in numbers])

    ends: Any = run_batch(desk.program, 0, [("a", 1), ("b", 0)])

    good, bad = ends[0][2], ends[1][2]
    assert [attempt.message for attempt in good] == ["integer division or modulo by zero (in a call with 2 values)"]
    assert [attempt.message for attempt in bad] == [good[0].message, "integer division or modulo by zero"]


def test_each_input_is_told_its_share_of_the_time_of_the_calls_it_was_in() -> None:
    def answer(numbers: list[int]) -> list[float]:
        desk.clock.sleep(1.0)
        return [1 / number for number in numbers]

    desk = Desk(answer)

    ends = run_batch(desk.program, 0, [(f"{number}", number) for number in (1, 2, 0, 4)])

    shares = [share_ns / 1e9 for _, share_ns, _ in ends]
    assert len(desk.calls) == 5
    assert shares == [0.75, 0.75, 1.75, 1.75]


def test_a_breaker_counts_single_inputs_and_probes_not_calls_that_are_divided() -> None:
    def down(numbers: list[int]) -> list[int]:
        raise ConnectionError("down")

    desk = Desk(down, breaker=CircuitBreaker(failures=2, reset_s=60))

    ends = desk.ends(1, 2, 3, 4, 5, 6, 7, 8)
    halved = len(desk.calls)
    later = desk.ends(9, 10)

    assert desk.calls == [[1, 2, 3, 4, 5, 6, 7, 8], [1, 2, 3, 4], [1, 2], [1], [2]]
    assert ends[:2] == ["down", "down"]
    assert all("its circuit breaker is open" in end for end in [*ends[2:], *later])
    assert len(desk.calls) == halved

    desk.clock.sleep(60.0)
    probed = desk.ends(11, 12)

    assert desk.calls[halved:] == [[11, 12]]
    assert all("its circuit breaker is open" in end for end in probed)


def test_one_bad_input_does_not_open_a_breaker() -> None:
    desk = Desk(lambda numbers: [1 // number for number in numbers], breaker=CircuitBreaker(failures=2))

    assert desk.ends(0, 1, 2, 3, 4, 5, 6, 7)[1:] == [1, 0, 0, 0, 0, 0, 0]
    assert desk.program.supplies.breakers["step call"].state.phase == "closed"


def test_what_the_cache_knows_is_no_answer_of_a_service_that_is_down() -> None:
    def answer(numbers: list[int]) -> list[int]:
        if any(numbers):
            raise ConnectionError("down")
        return numbers

    desk = Desk(answer, cache=Cache(), breaker=CircuitBreaker(failures=2, reset_s=60))
    desk.ends(0)

    ends = [desk.ends(number, 0) for number in range(1, 5)]
    desk.clock.sleep(60.0)
    probed = desk.ends(5, 0)
    behind = desk.ends(6, 0)

    assert desk.calls == [[0], [1], [2], [5]]
    assert [end[0] for end in ends[:2]] == ["down", "down"]
    assert all("its circuit breaker is open" in end[0] for end in [*ends[2:], behind])
    assert [end[1] for end in [*ends, probed, behind]] == [0] * 6


class Listener:
    def __init__(self) -> None:
        self.events: list[str] = []

    def on_event(self, event: Event) -> None:
        name = type(event).__name__
        self.events += [name] if name.startswith("Breaker") else []


def raised(numbers: list[int]) -> list[Result[int, Exception]]:
    raise ConnectionError("down")


def returned(numbers: list[int]) -> list[Result[int, Exception]]:
    return [Failure(ConnectionError("down")) for _ in numbers]


@pytest.mark.parametrize("function", [raised, returned])
def test_a_breaker_tells_that_it_opened_however_the_step_failed(function: Any) -> None:
    listener = Listener()
    down = batch_step("call", max_size=2, breaker=CircuitBreaker(failures=1))(function)

    Processor(pipeline=down, observers=[listener]).execute(to_inputs([1, 2, 3]))

    assert listener.events == ["BreakerOpened"]


def raises(_error: object) -> bool:
    raise LookupError("no table of errors")


@pytest.mark.parametrize("policy", [{"retry": Retry(on=raises)}, {"breaker": CircuitBreaker(on=raises)}], ids=list)
def test_a_policy_that_raises_says_nothing_and_costs_no_further_call(
    policy: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    desk = Desk(lambda numbers: [Success(number) if number else Failure("no") for number in numbers], **policy)

    assert desk.ends(0) == ["no"]
    assert desk.ends(1, 0, 2) == [1, "no", 2]
    assert len(desk.calls) == 2
    assert "of step 'call' raised" in caplog.text


def test_a_rate_limit_counts_calls() -> None:
    desk = Desk(same, rate=RateLimit(per_second=1))

    desk.ends(1, 2, 3)
    desk.ends(4, 5, 6)

    assert sum(desk.clock.slept) == pytest.approx(1.0)


def test_when_the_run_is_stopped_a_failed_call_is_not_divided() -> None:
    def answer(numbers: list[int]) -> list[int]:
        desk.stopped = True
        raise ValueError("bad")

    desk = Desk(answer)

    ends = desk.ends(1, 2)

    assert desk.calls == [[1, 2]]
    assert all("the run was stopped" in end for end in ends)


@batch_step("late", max_size=4, max_wait_s=None, timeout=0.3, retry=Retry(attempts=2, on=TimeoutError, wait=0.0))
def late(numbers: list[int]) -> list[int]:
    if 0 in numbers:
        time.sleep(1.0)
    return numbers


@every_runner
def test_a_timeout_is_of_the_whole_call(runner: Runner) -> None:
    result = Processor(pipeline=late, runner=runner).execute(to_inputs([1, 0]))

    assert [outcome.output for outcome in result.succeeded] == [1]
    assert [(failed.kind, failed.payload.data) for failed in result.failed] == [("timeout", 0)]


@batch_step("embed", max_size=3, max_wait_s=None, cache=Cache(), version="1")
def embed(numbers: list[int]) -> list[int]:
    return [number * len(numbers) for number in numbers]


def test_a_cache_knows_each_value_and_calls_only_those_it_does_not_know() -> None:
    processor = Processor(pipeline=embed, journal=MemoryJournal())

    first = processor.execute(to_inputs([1, 2, 3]))
    again = processor.execute(to_inputs([3, 4, 1]))

    assert first.output == [3, 6, 9]
    assert again.output == [9, 4, 3]
    assert again.metrics.steps["embed"].cache_hits == 2


@batch_step("one at a time", max_size=2, max_wait_s=None, limit=ConcurrencyLimit(1))
def alone(numbers: list[int]) -> list[int]:
    began = time.monotonic()
    time.sleep(0.01)
    return [round(began * 1e6)] * len(numbers)


@every_runner
def test_a_concurrency_limit_counts_calls(runner: Runner) -> None:
    result = Processor(pipeline=alone, runner=runner).execute(to_inputs(range(8)))

    starts = sorted({int(outcome.output) for outcome in result.succeeded})
    assert len(starts) == 4
    assert all(after - before >= 10_000 for before, after in pairwise(starts))

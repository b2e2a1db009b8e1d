"""Laws of a batch that fails, for any inputs: only the bad ones fail, and the work of the good ones is done once."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pipeline import CircuitBreaker, Pipeline, Processor, Retry, batch_step, to_inputs
from pipeline.batchcall import run_batch
from pipeline.engine import Program
from pipeline.guard import Timing
from pipeline.testing import FakeClock
from pipeline.walk import Stop
from runners import Runner, SequentialRunner, ThreadRunner

BATCHES = st.lists(st.booleans(), max_size=40)


class Service:
    """Fails a call in which a value is bad; ``answered`` are the values of the calls that succeeded."""

    def __init__(self, goods: list[bool]) -> None:
        self.goods = goods
        self.calls = 0
        self.answered: list[int] = []

    def call(self, numbers: list[int]) -> list[int]:
        self.calls += 1
        if not all(self.goods[number] for number in numbers):
            raise ValueError(numbers)
        self.answered += numbers
        return [-number for number in numbers]


def ends_of(service: Service, **settings: Any) -> list[Any]:
    clock = FakeClock()
    timing = Timing(clock.monotonic, clock.time, clock.sleep, clock.asleep, lambda: 1.0)
    call = batch_step("call", **settings)(service.call)
    pairs = [(f"{number}", number) for number in range(len(service.goods))]
    return [end for end, _, _ in run_batch(Program(Pipeline.of([call]), timing=timing), 0, pairs)]


@given(BATCHES, st.integers(1, 3))
def test_only_bad_inputs_fail_and_the_good_ones_are_in_one_successful_call_each(
    goods: list[bool], attempts: int
) -> None:
    service = Service(goods)

    ends = ends_of(service, retry=Retry(on=ValueError, attempts=attempts))

    assert [not isinstance(end, Stop) for end in ends] == goods
    assert sorted(service.answered) == [number for number, good in enumerate(goods) if good]
    assert [end for end in ends if not isinstance(end, Stop)] == [-n for n, good in enumerate(goods) if good]
    assert [end.data for end in ends if isinstance(end, Stop)] == [n for n, good in enumerate(goods) if not good]


@given(BATCHES)
def test_one_bad_input_costs_two_calls_for_each_halving(goods: list[bool]) -> None:
    service = Service(goods)

    ends_of(service)

    halvings = max(0, len(goods) - 1).bit_length()
    assert service.calls <= 1 + 2 * halvings * goods.count(False) if goods else service.calls == 0


@given(BATCHES, st.integers(1, 4))
def test_nothing_is_called_once_a_breaker_is_open(goods: list[bool], failures: int) -> None:
    service = Service(goods)

    ends = ends_of(service, breaker=CircuitBreaker(failures=failures, reset_s=60))

    in_a_row = 0
    for good, end in zip(goods, ends, strict=True):
        if in_a_row == failures:
            assert isinstance(end, Stop)
            assert end.parked is not None
        else:
            assert isinstance(end, Stop) is not good or end.parked is None
            in_a_row = 0 if good else in_a_row + 1


@given(BATCHES, st.integers(1, 9), st.sampled_from([SequentialRunner(), ThreadRunner(3)]))
def test_a_run_gives_every_input_the_end_it_has_alone(goods: list[bool], max_size: int, runner: Runner) -> None:
    service = Service(goods)
    call = batch_step("call", max_size=max_size, max_wait_s=None)(service.call)

    result = Processor(pipeline=call, runner=runner).execute(to_inputs(range(len(goods))))

    assert [not hasattr(outcome, "exception") for outcome in result.outcomes] == goods
    assert sorted(service.answered) == [number for number, good in enumerate(goods) if good]

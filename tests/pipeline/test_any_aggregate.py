"""The aggregate is the user's own function: whatever it does, no outcome is lost, and no step runs again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import pytest

from pipeline import (
    Failure,
    InvalidSetting,
    Processor,
    RunInterrupted,
    Success,
    collect,
    merge_factors,
    step,
    to_inputs,
)


def processor(aggregate: Any) -> Processor[int, int, Any]:
    return Processor(pipeline=step("double")(lambda number: number * 2), aggregate=aggregate)


def test_ctrl_c_in_the_aggregate_ends_the_run_with_every_outcome() -> None:
    def interrupted(outputs: Sequence[int]) -> int:
        raise KeyboardInterrupt

    with pytest.raises(RunInterrupted, match="redo that with reaggregate") as raised:
        processor(interrupted).execute(to_inputs([1, 2]))

    result = raised.value.result
    assert result is not None
    assert [outcome.output for outcome in result.succeeded] == [2, 4]
    assert result.aggregation is not None
    assert processor(sum).reaggregate(result).output == 6


def test_ctrl_c_while_a_result_is_aggregated_again_goes_to_the_caller_who_has_that_result() -> None:
    def interrupted(outputs: Sequence[int]) -> int:
        raise KeyboardInterrupt

    result = processor(sum).execute(to_inputs([1]))

    with pytest.raises(KeyboardInterrupt):
        processor(interrupted).reaggregate(result)


def test_an_aggregate_that_exits_costs_no_outcome() -> None:
    def exits(outputs: Sequence[int]) -> int:
        raise SystemExit(3)

    result = processor(exits).execute(to_inputs([1, 2]))

    assert (result.success, result.aggregation and result.aggregation.exception) == (False, "SystemExit")
    assert len(result.succeeded) == 2


@pytest.mark.parametrize(
    ("answer", "exception", "told"),
    [
        (Failure("too few"), "Failure", "too few"),
        (Success(3), "WrongAnswer", "the aggregate returned <Success: 3>; return the value itself, or raise"),
        ((each for each in "ab"), "WrongAnswer", "the aggregate returned a generator, which can be read only once"),
    ],
)
def test_an_aggregate_that_returns_no_value_has_failed(answer: Any, exception: str, told: str) -> None:
    result = processor(lambda outputs: answer).execute(to_inputs([1]))

    assert (result.success, result.output) == (False, None)
    assert result.aggregation is not None
    assert result.aggregation.exception == exception
    assert told in result.aggregation.message


async def in_async(outputs: Sequence[int]) -> int:
    return sum(outputs)


def in_parts(outputs: Sequence[int]) -> Iterator[int]:
    yield from outputs


async def in_async_parts(outputs: Sequence[int]) -> AsyncIterator[int]:
    for output in outputs:
        yield output


@pytest.mark.parametrize(
    ("aggregate", "told"),
    [
        ("sum", "is not a function of the outputs"),
        (None, "is not a function of the outputs"),
        (in_async, "is async, or a generator"),
        (in_parts, "is async, or a generator"),
        (in_async_parts, "is async, or a generator"),
        (lambda outputs, start: start, "cannot be called with the outputs alone: missing a required argument: 'start'"),
        (lambda: 0, "cannot be called with the outputs alone: too many positional arguments"),
    ],
)
def test_what_cannot_be_an_aggregate_is_found_before_the_outputs_are_worked_out(aggregate: Any, told: str) -> None:
    with pytest.raises(InvalidSetting, match=told):
        processor(aggregate)


@pytest.mark.parametrize("aggregate", [sum, list, set, max, collect, lambda outputs, start=0: sum(outputs, start)])
def test_whatever_takes_the_outputs_is_an_aggregate(aggregate: Any) -> None:
    assert processor(aggregate).execute(to_inputs([1])).success


def test_an_aggregate_gets_a_list_of_its_own_and_the_outputs_themselves() -> None:
    def emptied(outputs: list[int]) -> int:
        outputs.clear()
        return 0

    result = processor(emptied).execute(to_inputs([1, 2]))

    assert [outcome.output for outcome in result.succeeded] == [2, 4]
    assert processor(sum).reaggregate(result).output == 6


def test_merging_factors_changes_no_output() -> None:
    as_factors = step("factors")(lambda number: {"all": [number], "by": {str(number): number}})
    merged = Processor(pipeline=as_factors, aggregate=merge_factors)

    result = merged.execute(to_inputs([1, 2]))

    assert result.output == {"all": [1, 2], "by": {"1": 1, "2": 2}}
    assert merged.reaggregate(result).output == result.output
    assert result.succeeded[0].output == {"all": [1], "by": {"1": 1}}

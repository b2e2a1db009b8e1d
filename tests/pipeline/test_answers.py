"""What a step may return: a value or a ``Result``; and what else it returns by mistake, which fails with the cure."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional, TypeVar

import pytest

from pipeline import (
    CircuitBreaker,
    ConcurrencyLimit,
    Failed,
    Failure,
    ForgottenReturn,
    InvalidStep,
    Processor,
    ProcessorInput,
    Result,
    Retry,
    StepContext,
    Success,
    WrongAnswer,
    batch_step,
    step,
    to_inputs,
)
from runners import Runner

if TYPE_CHECKING:
    from decimal import Decimal as OnlyForCheckers

T = TypeVar("T")


async def double(number: int) -> int:
    return 2 * number


def nested_success(number: int) -> Any:
    return Success(Success(number))


def nested_failure(number: int) -> Any:
    return Success(Failure("refused"))


def forgotten_await(number: int) -> Any:
    return double(number)


def generator(number: int) -> Any:
    return (each for each in range(number))


def generator_in_a_result(number: int) -> Any:
    return Success(each for each in range(number))


WRONG = [
    (nested_success, "returned a Success inside a Success: <Success: 1>; return the inner result itself"),
    (nested_failure, "returned a Failure inside a Success: <Failure: refused>; return the inner result itself"),
    (forgotten_await, "returned a coroutine, which nothing awaits; declare its function with 'async def'"),
    (generator, "returned a generator, which can be read only once"),
    (generator_in_a_result, "returned a generator, which can be read only once"),
]


@pytest.mark.parametrize(("function", "told"), WRONG)
def test_what_is_no_value_fails_the_input_with_what_entered(
    function: Callable[[int], Any], told: str, every_runner: Runner
) -> None:
    result = Processor(pipeline=step("call")(function), runner=every_runner).execute(to_inputs([1]))

    failed = result.failed[0]
    assert (failed.step, failed.exception, failed.payload.data) == ("call", "WrongAnswer", 1)
    assert f"step 'call' {told}" in failed.message


@pytest.mark.parametrize(("function", "told"), WRONG)
def test_a_step_that_is_called_says_the_same(function: Callable[[int], Any], told: str) -> None:
    alone = step("call")(function)

    error: Any = alone(1).failure()
    behind: Any = (step("start")(int) >> alone)("1").failure()

    assert isinstance(error, WrongAnswer)
    assert told in str(error)
    assert isinstance(behind.error, WrongAnswer)


@pytest.mark.parametrize(("function", "told"), WRONG)
def test_a_wrong_answer_is_the_same_behind_policies(function: Callable[[int], Any], told: str) -> None:
    guarded = step("call", retry=Retry(on=Exception, attempts=3, wait=0.0))(function)

    assert told in Processor(pipeline=guarded).execute(to_inputs([1])).failed[0].message


def forgotten(number: int) -> int:  # type: ignore[empty-body]  # pyright: ignore[reportReturnType]
    pass


async def aforgotten(number: int) -> int:  # type: ignore[empty-body]  # pyright: ignore[reportReturnType]
    pass


@pytest.mark.parametrize("settings", [{}, {"limit": ConcurrencyLimit(2)}], ids=["retry alone", "limit"])
@pytest.mark.parametrize("function", [forgotten, aforgotten, generator, nested_failure])
def test_a_mistake_in_what_a_step_returns_is_never_tried_again(
    function: Callable[[int], Any], settings: Any, every_runner: Runner
) -> None:
    stubborn = step("call", retry=Retry(on=Exception, attempts=3, wait=0.0), **settings)(function)

    failed = Processor(pipeline=stubborn, runner=every_runner).execute(to_inputs([1])).failed[0]

    assert [attempt.exception for attempt in failed.attempts] == [failed.exception]


def test_a_wrong_answer_after_other_tries_is_told_as_the_last_of_them() -> None:
    @step("call", retry=Retry(on=ConnectionError, attempts=3, wait=0.0))
    def call(number: int, context: StepContext) -> Any:
        if context.attempt == 1:
            raise ConnectionError("busy")
        return (each for each in range(number))

    result = Processor(pipeline=call).execute(to_inputs([1]))

    assert [attempt.exception for attempt in result.failed[0].attempts] == ["ConnectionError", "WrongAnswer"]
    assert result.metrics.steps["call"].retries == 1


def test_a_breaker_counts_a_wrong_answer_as_it_counts_what_a_step_raises() -> None:
    call = step("call", breaker=CircuitBreaker(failures=2))(generator)

    result = Processor(pipeline=call).execute(to_inputs([1, 2, 3]))

    assert [type(outcome).__name__ for outcome in result.outcomes] == ["Failed", "Failed", "NotRun"]


def test_one_value_of_a_batch_that_is_no_value_fails_that_input_only() -> None:
    @batch_step("embedding")
    def embed(numbers: list[int]) -> list[Any]:
        return [Success(Failure("refused")) if number == 2 else number for number in numbers]

    result = Processor(pipeline=embed).execute(to_inputs([1, 2, 3]))

    assert [outcome.output for outcome in result.succeeded] == [1, 3]
    assert "batch step 'embedding' returned a Failure inside a Success" in result.failed[0].message


def test_an_input_that_can_be_read_only_once_is_refused_because_a_retry_would_find_it_empty() -> None:
    pages: ProcessorInput[Iterator[int]] = ProcessorInput(input_id="doc_1", data=(page for page in range(3)))

    failed = Processor(pipeline=step("count")(len)).execute([pages]).failed[0]  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]

    assert (failed.step, failed.kind) == ("prevalidation", "invalid")
    assert "data is a generator, which can be read only once" in failed.message


def declared(number: int) -> Coroutine[Any, Any, int]:
    return double(number)


def declared_with_result(number: int) -> Coroutine[Any, Any, Result[int, str]]:
    async def refuse() -> Result[int, str]:
        return Failure("refused") if number == 2 else Success(number)

    return refuse()


def test_a_function_that_is_declared_to_give_a_coroutine_is_async(every_runner: Runner) -> None:
    pipeline = step("first")(declared_with_result) >> step("second")(declared)

    result = Processor(pipeline=pipeline, runner=every_runner).execute(to_inputs([1, 2]))

    assert [getattr(outcome, "output", None) for outcome in result.outcomes] == [2, None]
    assert result.failed[0].message == "refused"
    assert pipeline(1).unwrap() == 2


def test_async_steps_are_called_where_a_loop_is_running_as_in_a_notebook() -> None:
    async def cell() -> tuple[Any, Any]:
        return step("double")(double)(21), (step("double")(double) >> step("text")(str))(21)

    alone, pipeline = asyncio.run(cell())

    assert (alone.unwrap(), pipeline.unwrap()) == (42, "42")


def test_what_such_a_call_raises_comes_back_as_a_failure() -> None:
    async def refuse(number: int) -> int:
        raise ValueError(f"not {number}")

    async def cell() -> Any:
        return step("refuse")(refuse)(21)

    assert str(asyncio.run(cell()).failure()) == "not 21"


def annotated(number: int) -> Annotated[int | None, "a place"]:
    return None


def optional(number: int) -> Optional[int]:  # noqa: UP045 - the older way to write it
    return None


def literal(number: int) -> Literal[1, None]:  # noqa: PYI061 - None within the Literal is what is tested
    return None


def result_of_optional(number: int) -> Result[Annotated[int | None, "a place"], str]:
    return Success(None)


def result_or_none(number: int) -> Result[int, str] | None:
    return None


def only_for_checkers(number: int) -> OnlyForCheckers | None:
    return None


def of_unknown_input(number: OnlyForCheckers) -> int | None:
    return None


def generic(number: T) -> T | None:
    return None


async def in_async(number: int) -> Annotated[int | None, "a place"]:
    return None


def explicit(number: int) -> Result[int, str]:
    return Success(None)  # type: ignore[arg-type]  # pyright: ignore[reportReturnType]


@pytest.mark.parametrize(
    "function",
    [
        annotated,
        optional,
        literal,
        result_of_optional,
        result_or_none,
        only_for_checkers,
        of_unknown_input,
        generic,
        in_async,
        explicit,
    ],
)
def test_none_is_an_output_wherever_it_is_declared_or_said(function: Callable[[Any], Any]) -> None:
    assert Processor(pipeline=step("find")(function)).execute(to_inputs([1])).output == [None]


def forgets(number: OnlyForCheckers) -> OnlyForCheckers:  # type: ignore[empty-body]  # pyright: ignore[reportReturnType]
    pass


def forgets_generic(number: T) -> T:  # type: ignore[empty-body]  # pyright: ignore[reportReturnType]
    pass


@pytest.mark.parametrize("function", [forgets, forgets_generic, lambda number: None])
def test_none_is_a_forgotten_return_everywhere_else(function: Callable[[Any], Any]) -> None:
    assert isinstance(step("find")(function)(1).failure(), ForgottenReturn)


class Counter:
    def __call__(self, value: str) -> int:
        return len(value)

    def method(self, value: str) -> int:
        return len(value)


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (Counter, r"give one of its objects, not the class: Counter\(\)"),
        (Counter.method, "give the method of an object, not that of its class"),
        (lambda: 1, "it has to take the value"),
        (lambda amount, currency: 1, "several values travel as one tuple or dataclass"),
    ],
)
def test_a_function_that_does_not_fit_is_told_its_own_cure(function: Any, told: str) -> None:
    with pytest.raises(InvalidStep, match=told):
        step("count")(function)


def shared_twice(number: int, times: int) -> int:
    return number * times


def test_every_kind_of_callable_is_a_step(every_runner: Runner) -> None:
    kinds: list[Callable[[str], int]] = [Counter(), Counter().method, len]
    partials = [functools.partial(shared_twice, 2), functools.partial(shared_twice, times=2)]

    lengths = [Processor(pipeline=step("k")(kind), runner=every_runner).execute(to_inputs(["ab"])) for kind in kinds]
    doubles = [Processor(pipeline=step("k")(kind), runner=every_runner).execute(to_inputs([2])) for kind in partials]

    assert [result.output for result in lengths] == [[2]] * 3
    assert [result.output for result in doubles] == [[4]] * 2
    assert step(functools.partial(shared_twice, times=2)).name == "shared_twice"


def test_a_failure_that_holds_a_result_is_told_as_what_it_holds() -> None:
    failed = Processor(pipeline=step("odd")(lambda number: Failure(Success(number)))).execute(to_inputs([1])).failed[0]

    assert isinstance(failed, Failed)
    assert (failed.exception, failed.message) == ("Success", "<Success: 1>")

"""What a step returned: success, failure, or no answer, as nothing, a result in a result, or what is read only once."""

from __future__ import annotations

from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any, Final, cast

from returns.result import Failure, Result, Success
from typing_extensions import TypeIs, TypeVar

from pipeline.errors import ForgottenReturn, WrongAnswer
from pipeline.shown import quoted

B = TypeVar("B")
E = TypeVar("E")

READ_ONCE: Final = frozenset({GeneratorType, AsyncGeneratorType})
"""Types of what is empty after it was read: a retry would go on with nothing."""

NO_VALUES: Final = frozenset({Success, Failure, CoroutineType, *READ_ONCE})
"""Types of what no step can give on, inside a ``Success`` or alone."""


def forgotten_return(step: str) -> ForgottenReturn:
    """The error of a step that returned ``None`` although its declared output is not optional."""
    return ForgottenReturn(
        f"step {step!r} returned None; did you forget to return? "
        "If None is meant, declare it: '-> None' or '-> X | None'"
    )


def wrong_answer(who: str, value: Any) -> WrongAnswer:
    """The error of a function that returned ``value``, which is of one of ``NO_VALUES``.

    >>> wrong_answer("step 'fetch'", Failure("no route"))
    WrongAnswer("step 'fetch' returned a Failure inside a Success: <Failure: no route>; return the inner result itself")
    """
    kind = cast("type[object]", type(value))
    if kind is Success or kind is Failure:
        told = f"a {kind.__name__} inside a Success: {quoted(value)}; return the inner result itself"
    elif kind is CoroutineType:
        value.close()  # or Python warns as well that it was never awaited
        told = (
            "a coroutine, which nothing awaits; declare its function with 'async def' and await it there, "
            "and let a decorator of an async function use functools.wraps"
        )
    else:
        told = "a generator, which can be read only once, so that nothing could go on with it; return a list"
    return WrongAnswer(f"{who} returned {told}")


def is_success(result: Result[B, E]) -> TypeIs[Success[B]]:
    """Whether a step succeeded, for both type checkers.

    >>> is_success(Success(1)), is_success(Failure("no"))
    (True, False)
    """
    return type(result) is Success


def is_failure(result: Result[B, E]) -> TypeIs[Failure[E]]:
    """Whether a step failed, for both type checkers.

    >>> is_failure(Success(1)), is_failure(Failure("no"))
    (False, True)
    """
    return type(result) is Failure

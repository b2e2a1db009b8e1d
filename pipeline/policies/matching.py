"""Which errors a policy is about: exception types, error values, or a function that says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, cast

from pipeline.errors import InvalidSetting

Errors: TypeAlias = type[Any] | Callable[[Any], bool] | tuple[object, ...]
"""A type, a function of the error, or a tuple of types, functions and values that an error may equal."""


def matches(on: Errors, error: object) -> bool:
    """Whether ``error``, an exception or the value of a ``Failure``, is one of those that ``on`` names.

    >>> matches((TimeoutError, "busy"), TimeoutError()), matches((TimeoutError, "busy"), "busy")
    (True, True)
    >>> matches(lambda error: "busy" in str(error), "gone")
    False
    """
    named: tuple[object, ...] = cast("Any", on) if isinstance(on, tuple) else (on,)
    return any(_is(one, error) for one in named)


def _is(one: Any, error: object) -> bool:
    if isinstance(one, type):
        return isinstance(error, one)
    return bool(one(error) if callable(one) else one == error)


def check_errors(policy: str, on: object) -> None:
    """Raise ``InvalidSetting`` unless ``on`` is something that ``matches`` takes."""
    good = on != () if isinstance(on, tuple) else callable(on)
    if not good:
        raise InvalidSetting(
            f"{policy} cannot use on={on!r}; it takes an exception type, a function of the error, "
            "or a tuple of types, functions and error values: on=(TimeoutError, 'busy')"
        )


def check(policy: str, name: str, value: object, is_good: bool, wanted: str) -> None:
    """Raise ``InvalidSetting`` that says what ``policy`` takes as ``name``, unless ``is_good``."""
    if not is_good:
        raise InvalidSetting(f"{policy} cannot use {name}={value!r}; it takes {wanted}")


def is_number(value: object) -> bool:
    """Whether ``value`` is a finite number, and not a ``bool``."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) != float("inf")

"""A configurable step: a factory that fills in the settings and gives a typed, picklable step."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, Concatenate, Generic, Never, ParamSpec, TypeAlias, overload

from returns.result import Result
from typing_extensions import TypeVar, Unpack

from pipeline import signature
from pipeline.errors import InvalidStep
from pipeline.step import Awaited, Step
from pipeline.stepsettings import StepSettings, parts_of

A = TypeVar("A")
B = TypeVar("B")
E = TypeVar("E")
P = ParamSpec("P")

WithSettings: TypeAlias = Callable[Concatenate[A, P], B]
"""A function that a configurable step can be made of: it takes a value and settings."""


class Configured:
    """A configurable step's function with its settings filled in; it pickles by the factory's name."""

    def __init__(
        self, factory: Configurable[Any, ..., Any, Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self.factory = factory
        self.args = args
        self.kwargs = kwargs
        functools.update_wrapper(self, factory.fn)

    def __call__(self, value: Any) -> Any:
        """Call the function with the value and its settings."""
        return self.factory.fn(value, *self.args, **self.kwargs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Configured) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self.factory.fn)

    def _key(self) -> tuple[Any, ...]:
        return (self.factory.fn, self.args, self.kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        return Configured, (self.factory, self.args, self.kwargs)


class Configurable(Generic[A, P, B, E]):
    """A factory of steps: call it with the settings, and it gives the step."""

    def __init__(self, fn: Callable[..., Any], name: str, settings: StepSettings) -> None:
        self.fn = fn
        self.name = name
        self.settings = settings
        self.parts: dict[str, Any] = parts_of(name, settings)
        functools.update_wrapper(self, fn)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Step[A, B, E]:
        """The step with these settings; ``InvalidStep`` when the function does not take them, or needs more."""
        _check_settings(self.name, self.fn, args, kwargs)
        return Step(self.name, Configured(self, args, kwargs), **self.parts)

    def __repr__(self) -> str:
        return f"<configurable step {self.name}>"

    def __reduce__(self) -> str | tuple[Any, ...]:
        if signature.at_its_name(self.fn) is self:
            return self.fn.__qualname__
        return self._in_parts()

    def __reduce_by_value__(self) -> Any:
        """For workers that do not import the script."""
        is_importable = signature.at_its_name(self.fn) is self and self.__module__ != "__main__"
        return NotImplemented if is_importable else self._in_parts()

    def _in_parts(self) -> tuple[Any, ...]:
        return Configurable, (self.fn, self.name, self.settings)


def _check_settings(name: str, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Find early what would fail at every call, where the function's signature tells."""
    try:
        taken = inspect.signature(fn)
    except (TypeError, ValueError):
        return
    try:
        taken.bind(None, *args, **kwargs)
    except TypeError as error:
        asked = "; the call's context is StepContext.current()" if "StepContext" in str(taken) else ""
        raise InvalidStep(f"step {name!r} cannot be made with these settings of {taken}: {error}{asked}") from None


class ConfigurableDecorator:
    """What ``configurable("top")`` gives: it turns a function of a value and settings into a factory of steps."""

    def __init__(self, name: str | None, settings: StepSettings) -> None:
        self.name = name
        self.settings = settings

    @overload
    def __call__(self, fn: WithSettings[A, P, Result[B, E]], /) -> Configurable[A, P, B, E]: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, fn: WithSettings[A, P, Awaited[Result[B, E]]], /) -> Configurable[A, P, B, E]: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, fn: WithSettings[A, P, Awaited[B]], /) -> Configurable[A, P, B, Never]: ...
    @overload
    def __call__(self, fn: WithSettings[A, P, B], /) -> Configurable[A, P, B, Never]: ...
    def __call__(self, fn: Callable[..., Any], /) -> Configurable[Any, ..., Any, Any]:
        """The factory; the step's types are read from the function's annotations."""
        return Configurable(fn, self.name or fn.__name__, self.settings)


@overload
def configurable(fn: str, /, **settings: Unpack[StepSettings]) -> ConfigurableDecorator: ...
@overload
def configurable(fn: WithSettings[A, P, Result[B, E]], /) -> Configurable[A, P, B, E]: ...  # type: ignore[overload-overlap]
@overload
def configurable(fn: WithSettings[A, P, Awaited[Result[B, E]]], /) -> Configurable[A, P, B, E]: ...  # type: ignore[overload-overlap]
@overload
def configurable(fn: WithSettings[A, P, Awaited[B]], /) -> Configurable[A, P, B, Never]: ...
@overload
def configurable(fn: WithSettings[A, P, B], /) -> Configurable[A, P, B, Never]: ...
def configurable(
    fn: str | Callable[..., Any], /, **settings: Unpack[StepSettings]
) -> ConfigurableDecorator | Configurable[Any, ..., Any, Any]:
    """A factory of steps from a function of a value and settings: ``@configurable`` or ``@configurable("top")``.

    After the name it takes what ``step`` takes. ``functools.partial`` would lose the input type in mypy.

    >>> @configurable
    ... def top(rows: list[int], *, n: int) -> list[int]:
    ...     return sorted(rows)[-n:]
    >>> top(n=2)([3, 1, 2])
    <Success: [2, 3]>
    >>> top(n=2)("abc" * 0)
    <Success: []>
    >>> top(n=None)([1]).failure()
    TypeError("bad operand type for unary -: 'NoneType'")
    """
    if isinstance(fn, str):
        return ConfigurableDecorator(fn, settings)
    if not callable(fn):
        raise InvalidStep(
            f"configurable() takes a name or a function, got {fn!r}; write @configurable above a function"
        )
    return ConfigurableDecorator(None, settings)(fn)

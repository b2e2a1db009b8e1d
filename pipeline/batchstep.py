"""A batch step: a step made of a function of many values, which gives a result for each.

In a run, the inputs that come to it are called together, at most ``max_size`` of them (see ``stages``);
outside of a run, it is a step like any other: called with one value, it calls the function with a list of one.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Never, TypeAlias, TypeVar, cast, overload

from returns.result import Failure, Result, Success
from typing_extensions import TypeIs, Unpack

from pipeline import signature
from pipeline.errors import InvalidStep, WrongResults
from pipeline.policies.matching import check, is_number
from pipeline.step import Awaited, Step, StepDecorator
from pipeline.stepcontext import StepContext
from pipeline.stepsettings import StepSettings

A = TypeVar("A")
B = TypeVar("B")
E = TypeVar("E")

FunctionOfValues: TypeAlias = Callable[[list[A]], B] | Callable[[list[A], list[StepContext]], B]
"""A function that a batch step can be made of: it takes a list of values, and of their contexts if it wants them."""


class Batched:
    """A function of many values, as a function of one: the ``fn`` of a batch step.

    ``max_size`` is how many values one call gets at most; ``max_wait_s`` how long the first of them waits for others.
    """

    def __init__(self, stands_for: Callable[..., Any], name: str, max_size: int, max_wait_s: float | None) -> None:
        functools.update_wrapper(self, stands_for, updated=())
        del vars(self)["__wrapped__"]  # its types are others
        value, output = signature.item_types(stands_for)
        declared = {"value": value, "return": output}
        self.__annotations__: dict[str, Any] = {
            key: kind for key, kind in declared.items() if kind is not signature.UNREAD
        }
        self.stands_for = stands_for
        self.made_of: Batched = self
        self.name = name
        self.max_size = max_size
        self.max_wait_s = max_wait_s
        self.wants_contexts: bool = _wants_contexts(stands_for)

    def __call__(self, value: Any) -> Any:
        """The result of one value."""
        return self.only(self.stands_for([value], *self.contexts()))

    def __for_step__(self, name: str) -> Batched:
        """The same for a step of another name, which it then tells."""
        if name == self.name:
            return self
        other = object.__new__(type(self))
        vars(other).update(vars(self), name=name)
        return other

    def contexts(self) -> tuple[list[StepContext], ...]:
        """What the function wants after the values, for a call with one value."""
        if not self.wants_contexts:
            return ()
        alone = StepContext(run_id="", input_id="", step=self.name, idempotency_key=f"//{self.name}")
        return ([StepContext.current() or alone],)

    def only(self, answer: Any) -> Any:
        """What the function returned for one value, as the result of that value; a ``Failure`` of the call is it."""
        kind = cast("type[object]", type(answer))
        return answer if kind is Failure else self.results(answer, 1)[0]

    def results(self, answer: Any, count: int) -> list[Any]:
        """What the function returned for ``count`` values, one result for each; raises ``WrongResults``."""
        kind = cast("type[object]", type(answer))
        answer = answer.unwrap() if kind is Success else answer
        if not hasattr(answer, "__iter__") or isinstance(answer, str | bytes | Mapping | AbstractSet):
            raise WrongResults(
                f"batch step {self.name!r} returned {_shown(cast('object', answer))} for {count} values; "
                "return a list with one result for each, in their order"
            )
        results = list(answer)
        if len(results) != count:
            raise WrongResults(
                f"batch step {self.name!r} returned {len(results)} results for {count} values; "
                "return one for each, in their order, and a Failure for a value that has none"
            )
        return results

    def _key(self) -> tuple[Any, ...]:
        return (self.stands_for, self.name, self.max_size, self.max_wait_s)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Batched) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._key(), {"wants_contexts": self.wants_contexts}  # a script's may be read only there


class AsyncBatched(Batched):
    """``Batched`` for an async function."""

    async def __call__(self, value: Any) -> Any:
        """The result of one value."""
        return self.only(await self.stands_for([value], *self.contexts()))


class BatchStepDecorator:
    """What ``batch_step("embedding")`` gives: it turns a function of a list into a typed ``Step`` of that name."""

    def __init__(self, name: str, max_size: int, max_wait_s: float | None, settings: StepSettings) -> None:
        self.parts: dict[str, Any] = StepDecorator(name, settings).parts
        check(f"batch step {name!r}", "max_size", max_size, _is_count(max_size), "a number from 1")
        wait: Any = max_wait_s
        good = wait is None or (is_number(wait) and wait >= 0)
        check(f"batch step {name!r}", "max_wait_s", max_wait_s, good, "seconds from 0, or None: until it is full")
        self.name = name
        self.max_size = max_size
        self.max_wait_s = max_wait_s

    @overload
    def __call__(self, fn: FunctionOfValues[A, Sequence[Result[B, E]]], /) -> Step[A, B, E]: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, fn: FunctionOfValues[A, Awaited[Sequence[Result[B, E]]]], /) -> Step[A, B, E]: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, fn: FunctionOfValues[A, Awaited[Sequence[B]]], /) -> Step[A, B, Never]: ...
    @overload
    def __call__(self, fn: FunctionOfValues[A, Sequence[B]], /) -> Step[A, B, Never]: ...
    def __call__(self, fn: Callable[..., Any]) -> Step[Any, Any, Any]:
        """The step; its types are read from the function's annotations."""
        _check_fit(self.name, fn)
        kind = AsyncBatched if signature.is_async(fn) else Batched
        return Step(self.name, kind(fn, self.name, self.max_size, self.max_wait_s), **self.parts)


def batch_step(
    name: str, /, *, max_size: int = 32, max_wait_s: float | None = 0.05, **settings: Unpack[StepSettings]
) -> BatchStepDecorator:
    """A step from a function of many values: ``@batch_step("embedding", max_size=32)``.

    The function takes a list of values, and a list of their ``StepContext`` second if it asks for one.
    It returns a list with one result for each, in their order: plain values, or a ``Result`` each. It may be async.
    A call gets at most ``max_size`` values, and fewer when the first has waited ``max_wait_s`` seconds for others
    (``None``: as long as others may come). What ``step`` takes after the name stands around each call.

    When a call fails, its halves are called apart, and so on: only the inputs that fail alone fail.

    >>> @batch_step("inversion", max_size=2)
    ... def invert(numbers: list[float]) -> list[float]:
    ...     return [1 / number for number in numbers]
    >>> invert(4.0)
    <Success: 0.25>
    >>> invert(0.0).failure()
    ZeroDivisionError('float division by zero')
    >>> from pipeline import Processor, to_inputs
    >>> result = Processor(pipeline=invert).execute(to_inputs([2.0, 0.0, 4.0]))
    >>> [outcome.output for outcome in result.succeeded], [failed.input_id for failed in result.failed]
    ([0.5, 0.25], ['input-2'])
    """
    if callable(name):
        raise InvalidStep(f"batch_step() takes a name, got {name!r}; write @batch_step('embedding', max_size=32)")
    return BatchStepDecorator(name, max_size, max_wait_s, settings)


def is_batched(fn: object) -> TypeIs[Batched]:
    """Whether a step's function can be called with many values."""
    return isinstance(fn, Batched)


def _is_count(given: object) -> bool:
    return type(given) is int and given >= 1


def _check_fit(name: str, fn: Callable[..., Any]) -> None:
    if isinstance(fn, Step) or not callable(fn):
        raise InvalidStep(f"batch step {name!r} needs a function of a list of values, got {fn!r}")
    called = getattr(fn, "__name__", repr(fn))
    inner = signature.innermost(fn)
    if inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner):
        raise InvalidStep(f"batch step {name!r}: {called} is a generator; return a list with one result for each value")
    needed = [one.name for one in signature.positional(fn) if one.default is signature.UNREAD]
    if len(needed) > 1 + _wants_contexts(fn):
        raise InvalidStep(
            f"batch step {name!r}: {called} needs ({', '.join(needed)}), but it gets a list of values, "
            "and a list[StepContext] second if it asks for one"
        )
    declared = signature.input_type(fn)
    if declared in (str, bytes, int, float, bool):
        raise InvalidStep(
            f"batch step {name!r} needs a function of a list of values, but {called} takes {declared.__name__}; "
            f"write list[{declared.__name__}], or make it a step"
        )


def _wants_contexts(fn: Callable[..., Any]) -> bool:
    second = signature.positional(fn)[1:2]
    return bool(second) and signature.item_of(signature.hint_of(fn, second[0].name)) is StepContext


def _shown(answer: object) -> str:
    return "nothing" if answer is None else f"a {type(answer).__name__}"

"""A pipeline: an immutable sequence of named steps, composed with ``>>`` and cut by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from types import NoneType
from typing import Any, Generic, Never, TypeAlias, is_typeddict, overload

import msgspec
from returns.result import Failure, Result, Success
from typing_extensions import TypeIs, TypeVar

from pipeline.configurable import Configurable
from pipeline.errors import DuplicateStep, InvalidStep, StepMismatch, UnknownStep, did_you_mean
from pipeline.loops import to_the_end
from pipeline.model import Payload
from pipeline.shown import quoted
from pipeline.step import Step
from pipeline.walk import Call, Stop, Waiting, walk

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
E = TypeVar("E")
E2 = TypeVar("E2")
X = TypeVar("X")
Y = TypeVar("Y")
A_contra = TypeVar("A_contra", contravariant=True)
B_co = TypeVar("B_co", covariant=True)
E_co = TypeVar("E_co", covariant=True, default=Never)
V_co = TypeVar("V_co", covariant=True)

At: TypeAlias = int | str | Step[Any, Any, Any]
"""Where a pipeline is cut: a place from 0, the name of a step, or the step itself."""


class StepFailure(msgspec.Struct, Generic[V_co], frozen=True):
    """What ``pipeline(value)`` fails with: the step, the error itself, and the payload to go on from."""

    step: str
    error: V_co
    payload: Payload


class Pipeline(Generic[A_contra, B_co, E_co]):
    """Named steps in order, from ``A`` to ``B``, failing with one of ``E``. Immutable, hashable, picklable.

    Calling it runs one value and stops at the first failure; ``resume`` starts at a step.

    >>> from pipeline import step
    >>> double = step("double")(lambda n: n * 2)
    >>> invert = step("invert")(lambda n: 1 / n)
    >>> both = double >> invert
    >>> both, both["invert":], both(2)
    (<Pipeline double >> invert>, <Pipeline invert>, <Success: 0.25>)
    >>> failure = both(0).failure()
    >>> failure.step, failure.error, failure.payload.data
    ('invert', ZeroDivisionError('division by zero'), 0)
    >>> both.resume("invert", 4)
    <Success: 0.25>
    """

    __slots__ = ("__dict__", "_steps")

    @overload
    def __init__(self, step: Step[A_contra, B_co, E_co], /) -> None: ...
    @overload
    def __init__(self: Pipeline[Any, Any, Any], *steps: Step[Any, Any, Any]) -> None: ...
    def __init__(self, *steps: Step[Any, Any, Any]) -> None:
        self._steps = _checked(steps)

    @staticmethod
    def of(steps: Iterable[Step[Any, Any, Any]]) -> Pipeline[Any, Any, Any]:
        """A pipeline of steps known at run time; the types between them are not checked before it runs."""
        if isinstance(steps, Step) or not hasattr(steps, "__iter__"):
            raise InvalidStep(f"Pipeline.of() takes an iterable of steps, got {steps!r}; give a list: [first, second]")
        return Pipeline(*steps)

    @property
    def steps(self) -> tuple[Step[Any, Any, Any], ...]:
        """The steps in order."""
        return self._steps

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of the steps in order."""
        return tuple(step.name for step in self._steps)

    @cached_property
    def is_async(self) -> bool:
        """Whether a step is async."""
        return any(step.is_async for step in self._steps)

    def then(self, following: Pipeline[B_co, C, E2] | Step[B_co, C, E2]) -> Pipeline[A_contra, C, E_co | E2]:
        """This pipeline followed by a step or another pipeline."""
        return Pipeline(*self._steps, *steps_of(following))

    def __rshift__(self, following: Pipeline[B_co, C, E2] | Step[B_co, C, E2]) -> Pipeline[A_contra, C, E_co | E2]:
        return Pipeline(*self._steps, *steps_of(following))

    def __rrshift__(self, before: Never) -> Never:
        raise not_a_step(before)

    def index(self, step: str | Step[Any, Any, Any]) -> int:
        """The place of a step, from 0, by name or by step object."""
        if isinstance(step, Step):
            if step in self._steps:
                return self._steps.index(step)
            raise UnknownStep(f"{step!r} is not in pipeline ({self}); cut with one of its own steps")
        if step in self.names:
            return self.names.index(step)
        raise UnknownStep(f"no step {quoted(step)} in pipeline ({self}){did_you_mean(step, self.names)}")

    def find(self, name: str) -> int | None:
        """The place of the step that has, or once had, this name; ``None`` when there is none."""
        if name in self.names:
            return self.names.index(name)
        return next((place for place, step in enumerate(self._steps) if name in step.aliases), None)

    def replace(self, name: str, step: Step[Any, Any, Any]) -> Pipeline[A_contra, B_co, Any]:
        """A pipeline with another step in the place of ``name``."""
        place = self.index(name)
        return Pipeline(*self._steps[:place], step, *self._steps[place + 1 :])

    @overload
    def __getitem__(self, at: int | str, /) -> Step[Any, Any, Any]: ...
    @overload
    def __getitem__(self, at: slice[None, None, None], /) -> Pipeline[A_contra, B_co, E_co]: ...
    @overload
    def __getitem__(self, at: slice[Step[X, Any, Any], None, None], /) -> Pipeline[X, B_co, E_co]: ...
    @overload
    def __getitem__(self, at: slice[None, Step[X, Any, Any], None], /) -> Pipeline[A_contra, X, E_co]: ...
    @overload
    def __getitem__(self, at: slice[Step[X, Any, Any], Step[Y, Any, Any], None], /) -> Pipeline[X, Y, E_co]: ...
    @overload
    def __getitem__(self, at: slice[int | str, None, None], /) -> Pipeline[Any, B_co, E_co]: ...
    @overload
    def __getitem__(self, at: slice[None, int | str, None], /) -> Pipeline[A_contra, Any, E_co]: ...
    @overload
    def __getitem__(self, at: slice[At | None, At | None, None], /) -> Pipeline[Any, Any, E_co]: ...
    def __getitem__(self, at: int | str | slice[Any, Any, Any], /) -> Step[Any, Any, Any] | Pipeline[Any, Any, Any]:
        if not isinstance(at, slice):
            return self._steps[self._place(at)]
        if at.step is not None:
            raise UnknownStep(f"a pipeline has no stride, got {at.step!r}; steps run in their order")
        return Pipeline(*self._steps[self._bound(at.start) : self._bound(at.stop)])

    def _place(self, at: int | str) -> int:
        if isinstance(at, int) and not -len(self) <= at < len(self):
            raise UnknownStep(f"no step at place {at} in pipeline ({self}), which has {len(self)}; places are from 0")
        return at if isinstance(at, int) else self.index(at)

    def _bound(self, at: int | str | Step[Any, Any, Any] | None) -> int | None:
        return at if at is None or isinstance(at, int) else self.index(at)

    def __call__(self, value: A_contra) -> Result[B_co, StepFailure[E_co | Exception]]:
        """Run one value through every step, without policies. Async steps are run to their end."""
        if self.is_async:
            return to_the_end(self.acall(value))
        return self._result(walk(self._calls, 0, value, [0])[0])

    async def acall(self, value: A_contra) -> Result[B_co, StepFailure[E_co | Exception]]:
        """``__call__`` for a caller with a running event loop."""
        clock_ns = [0]
        end = walk(self._calls, 0, value, clock_ns)[0]
        while isinstance(end, Waiting):
            end = walk(self._calls, end.place, end.value, clock_ns, await end.answered())[0]
        return self._result(end)

    def resume(self, at: str | Step[Any, Any, Any], value: Any) -> Result[B_co, StepFailure[E_co | Exception]]:
        """Run one value from a step on; ``value`` is what enters that step."""
        return self[self.index(at) :](value)

    @cached_property
    def _calls(self) -> tuple[Call, ...]:
        return tuple(_bare(place, step) for place, step in enumerate(self._steps))

    def _result(self, end: Any) -> Result[Any, Any]:
        if not isinstance(end, Stop):
            return Success(end)
        step = self.names[end.index]
        payload = Payload(step=step, exception=end.exception, message=end.message, data=end.data)
        return Failure(StepFailure(step, end.error, payload))

    def check_types(self) -> None:
        """Raise ``StepMismatch`` where a declared output clearly cannot enter the next step.

        For steps composed at run time; a type checker finds the same earlier, and more.
        """
        for before, after in zip(self._steps, self._steps[1:], strict=False):
            if not _may_follow(before.output_type, after.input_type):
                raise StepMismatch(
                    f"step {after.name!r} takes {_name(after.input_type)}, but {before.name!r} before it gives "
                    f"{_name(before.output_type)}; put a step between them or correct an annotation"
                )

    def __contains__(self, item: object) -> bool:
        return item in self.names if isinstance(item, str) else item in self._steps

    def __len__(self) -> int:
        return len(self._steps)

    def __iter__(self) -> Iterator[Step[Any, Any, Any]]:
        return iter(self._steps)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pipeline) and self._steps == other._steps

    def __hash__(self) -> int:
        return hash(self._steps)

    def __str__(self) -> str:
        return " >> ".join(self.names)

    def __repr__(self) -> str:
        return f"<Pipeline {self}>" if self._steps else "<Pipeline (empty)>"

    def __reduce__(self) -> tuple[Any, ...]:
        return Pipeline, self._steps


def steps_of(part: object) -> tuple[Step[Any, Any, Any], ...]:
    """The steps of a pipeline, or a step alone; anything else is refused with the cure."""
    if isinstance(part, Pipeline):
        return part.steps
    if _is_step(part):
        return (part,)
    raise not_a_step(part)


def not_a_step(part: object) -> InvalidStep:
    """The error about what is neither a step nor a pipeline, with the cure."""
    return InvalidStep(f"a pipeline is made of steps, got {part!r}; {_cure(part)}")


def _cure(part: object) -> str:
    if isinstance(part, list | tuple):
        return "compose them: first >> second, or Pipeline.of(steps)"
    if isinstance(part, Configurable):
        return "call it with its settings, which gives the step"
    return "make a step of it with step(fn) or @step('name')"


def _is_step(part: object) -> TypeIs[Step[Any, Any, Any]]:
    return isinstance(part, Step)


def _checked(steps: tuple[Any, ...]) -> tuple[Step[Any, Any, Any], ...]:
    steps = tuple(step for part in steps for step in steps_of(part))
    places: dict[str, int] = {}
    for place, step in enumerate(steps):
        for name in dict.fromkeys((step.name, *step.aliases)):
            if name in places:
                raise DuplicateStep(_told_twice(name, places[name], steps[places[name]], place, step))
            places[name] = place
    return steps


def _told_twice(name: str, first: int, one: Step[Any, Any, Any], second: int, other: Step[Any, Any, Any]) -> str:
    told = f"stands at places {first + 1} and {second + 1}; a resume could not tell them apart."
    if name == one.name == other.name:
        without = ", aliases=()" if set(one.aliases) & set(other.aliases) else ""
        return f"step {name!r} {told} Give one another name: {name}.replace(name=...{without})"
    owner = one if name == other.name else other
    return f"{name!r}, an alias of step {owner.name!r}, {told} Leave it out there: {owner.name}.replace(aliases=())"


def _bare(place: int, step: Step[Any, Any, Any]) -> Call:
    fn = _with_context(step) if step.wants_context else step.fn
    return Call(place, step, _awaiting(fn) if step.is_async else fn)


def _with_context(step: Step[Any, Any, Any]) -> Callable[[Any], Any]:
    return lambda value: step.fn(value, *step.context_arguments())


def _awaiting(fn: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: Waiting(fn(value))


def _may_follow(given: Any, taken: Any) -> bool:
    """Whether the types may fit; only two plain classes of which neither can stand for the other do not."""
    if Any in (given, taken) or not (isinstance(given, type) and isinstance(taken, type)):
        return True
    if getattr(taken, "_is_protocol", False) or getattr(taken, "__abstractmethods__", None) or is_typeddict(taken):
        return True
    return issubclass(given, taken) or issubclass(taken, given) or (given, taken) in _NUMBERS or given is NoneType


_NUMBERS = {(int, float), (int, complex), (float, complex), (bool, float), (bool, complex)}


def _name(declared: Any) -> str:
    return declared.__name__ if isinstance(declared, type) else str(declared)

"""A step: a function of one value with a name, that a pipeline is made of."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, Never, TypeAlias, cast, overload

from returns.result import Failure, Result, Success
from typing_extensions import TypeVar, Unpack

from pipeline import signature
from pipeline.answer import NO_VALUES, forgotten_return, wrong_answer
from pipeline.errors import InvalidStep
from pipeline.loops import to_the_end
from pipeline.policies import Policies
from pipeline.signature import UNREAD
from pipeline.stepcontext import StepContext
from pipeline.stepsettings import StepSettings, parts_of

if TYPE_CHECKING:
    from pipeline.compose import Pipeline

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
E = TypeVar("E")
E2 = TypeVar("E2")
A_contra = TypeVar("A_contra", contravariant=True)
B_co = TypeVar("B_co", covariant=True)
E_co = TypeVar("E_co", covariant=True, default=Never)

Awaited: TypeAlias = Coroutine[Any, Any, B]
"""What calling an async function gives, or one that is declared to give a coroutine."""

FunctionOfOneValue: TypeAlias = Callable[[A], B] | Callable[[A, StepContext], B]
"""A function that a step can be made of: it takes a value, and the call's context if it wants that.

The overloads below take one kind of answer each. Were ``Result`` and ``Awaited[Result]`` a union in one of them, mypy
would take any ``Any`` in a function's types, as in ``dict[str, Any]``, for ambiguous, and give ``Step[Any, Any, Any]``.
"""

RESERVED = frozenset({"prevalidation", "resume", "aggregation"})
"""Names under which a run reports what is not a step's failure."""


class Step(Generic[A_contra, B_co, E_co]):
    """A named function from ``A`` to ``B`` that may fail with ``E``. Immutable and hashable.

    It pickles by the qualified name it is bound to, as a function does, or else by its parts.
    Calling it runs the plain function, without its policies, and lifts what comes back into a ``Result``.

    >>> parse = step("parse")(int)
    >>> parse("7")
    <Success: 7>
    >>> parse("seven").failure()
    ValueError("invalid literal for int() with base 10: 'seven'")
    """

    name: str
    fn: Callable[..., Any]
    policies: Policies
    version: str | None
    aliases: tuple[str, ...]
    checkpoint: bool

    def __init__(
        self,
        name: str,
        fn: Callable[..., Any],
        *,
        policies: Policies | None = None,
        version: str | None = None,
        aliases: tuple[str, ...] = (),
        checkpoint: bool = True,
        input_type: Any = UNREAD,
    ) -> None:
        _check(name, fn)
        for_step = getattr(type(fn), "__for_step__", None)  # a batch step's function tells of the step by its name
        fn = fn if for_step is None else for_step(fn, name)
        settings = {
            "name": name,
            "fn": fn,
            "policies": policies or Policies(),
            "version": version,
            "aliases": tuple(aliases),
            "checkpoint": checkpoint,
        }
        self.__dict__.update(settings, __doc__=getattr(fn, "__doc__", None))
        self.__dict__.update({key: getattr(fn, key) for key in ("__module__", "__qualname__") if hasattr(fn, key)})
        if input_type is not UNREAD:
            self.__dict__["input_type"] = input_type

    def __call__(self, value: A_contra) -> Result[B_co, E_co | Exception]:
        """Run the function on one value; what it raises becomes a ``Failure``. An async step is run to its end."""
        try:
            answer = self.fn(value, *self.context_arguments())
            return self.lift(to_the_end(answer) if self.is_async else answer)
        except Exception as error:  # noqa: BLE001 - a raising step is a failing step
            return Failure(error)

    async def acall(self, value: A_contra) -> Result[B_co, E_co | Exception]:
        """``__call__`` for a caller with a running event loop."""
        try:
            answer = self.fn(value, *self.context_arguments())
            return self.lift(await answer if self.is_async else answer)
        except Exception as error:  # noqa: BLE001 - a raising step is a failing step
            return Failure(error)

    def then(self, following: Pipeline[B_co, C, E2] | Step[B_co, C, E2]) -> Pipeline[A_contra, C, E_co | E2]:
        """A pipeline of this step and what follows it."""
        from pipeline.compose import Pipeline

        alone: Pipeline[A_contra, B_co, E_co] = Pipeline(self)
        return alone.then(following)

    def __rshift__(self, following: Pipeline[B_co, C, E2] | Step[B_co, C, E2]) -> Pipeline[A_contra, C, E_co | E2]:
        return self.then(following)

    def __rrshift__(self, before: Never) -> Never:
        from pipeline.compose import not_a_step

        raise not_a_step(before)

    def lift(self, answer: Any) -> Result[Any, Any]:
        """``answer`` as a ``Result``: a plain value succeeds, a forgotten ``return`` or what is no value fails."""
        if type(answer) is Failure:
            return cast("Result[Any, Any]", answer)
        if answer is None and not self.may_return_none:
            return Failure(forgotten_return(self.name))
        value: Any = cast("Any", answer).unwrap() if type(answer) is Success else answer
        return Failure(wrong_answer(f"step {self.name!r}", value)) if type(value) in NO_VALUES else Success(value)

    @cached_property
    def is_async(self) -> bool:
        """Whether the function's answer is awaited: a coroutine function, or one declared to give a coroutine."""
        return signature.is_async(self.fn)

    @cached_property
    def input_type(self) -> Any:
        """The declared type of the value, ``Any`` where it is not annotated or cannot be resolved."""
        declared = signature.input_type(self.fn)
        return Any if declared is UNREAD else declared

    @cached_property
    def output_type(self) -> Any:
        """The declared type of a success, ``Any`` where it is not annotated or cannot be resolved."""
        declared = signature.output_type(self.fn)
        return Any if declared is UNREAD else declared

    @cached_property
    def may_return_none(self) -> bool:
        """Whether ``None`` is a declared output, and not a forgotten ``return``."""
        return signature.may_return_none(self.fn)

    @cached_property
    def wants_context(self) -> bool:
        """Whether the function takes a ``StepContext`` as its second argument."""
        second = signature.positional(self.fn)[1:2]
        return bool(second) and signature.hint_of(self.fn, second[0].name) is StepContext

    def replace(self, *, name: str | None = None, **changes: Unpack[StepSettings]) -> Step[A_contra, B_co, E_co]:
        """A copy with another name or other settings: ``fetch.replace(retry=Retry(attempts=2), version="2")``."""
        called = self.name if name is None else name
        return self._with({**parts_of(self.name, changes, self.policies), "name": called})

    def with_function(self, fn: Callable[..., Any]) -> Step[A_contra, B_co, E_co]:
        """A copy that calls another function, under the same name and settings."""
        return self._with({"fn": fn})

    def _with(self, parts: dict[str, Any]) -> Step[A_contra, B_co, E_co]:
        return Step(**{**self._settings(), **parts})

    def context_arguments(self) -> tuple[StepContext, ...]:
        """What the function wants after the value, for a call outside of any run, as in a unit test."""
        alone = StepContext(run_id="", input_id="", step=self.name, idempotency_key=f"//{self.name}")
        return (StepContext.current() or alone,) if self.wants_context else ()

    def _settings(self) -> dict[str, Any]:
        own = ("name", "fn", "policies", "version", "aliases", "checkpoint", "input_type")
        return {key: self.__dict__[key] for key in own if key in self.__dict__}

    def _key(self) -> tuple[Any, ...]:
        return (self.name, self.fn, self.policies, self.version, self.aliases, self.checkpoint)

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Step) and self._key() == other._key())

    def __hash__(self) -> int:
        return hash((self.name, self.fn))

    def __setattr__(self, name: str, value: object) -> None:
        told = f".replace({name}=...)" if name in ("name", *StepSettings.__annotations__) else "step(...)"
        raise AttributeError(f"step {self.name!r} is immutable; make a changed copy with {told}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"step {self.name!r} is immutable; {name!r} stays")

    def __repr__(self) -> str:
        return f"<Step {self.name}>"

    def __reduce__(self) -> str | tuple[Any, ...]:
        named = signature.at_its_name(self.fn)
        return self.fn.__qualname__ if named is self else self._in_parts(named)

    def __reduce_by_value__(self) -> Any:
        """For workers that do not import the script: its parts, and what can be read of its function only here."""
        named = signature.at_its_name(self.fn)
        read = ("input_type", "output_type", "is_async", "may_return_none", "wants_context")
        parts = *self._in_parts(None if named is self else named), {key: getattr(self, key) for key in read}
        return NotImplemented if named is self and self.__module__ != "__main__" else parts

    def _in_parts(self, named: object) -> tuple[Any, ...]:
        settings = {key: value for key, value in self._settings().items() if key != "fn"}
        is_same = _function_of(named) is _function_of(self) and isinstance(named, Step)
        return _rebuild, (settings, named if is_same else self.fn)


def _function_of(step: object) -> Any:
    """The function, or what it was before the step had another name."""
    fn: Any = getattr(step, "fn", None)
    return getattr(fn, "made_of", fn)


def _rebuild(settings: dict[str, Any], source: Any) -> Step[Any, Any, Any]:
    return Step(fn=source.fn if isinstance(source, Step) else source, **settings)


def _check(name: object, fn: object) -> None:
    if not isinstance(name, str) or not name:
        raise InvalidStep(f"the name of a step is a text that is not empty, got {name!r}; write step('validation')")
    if name in RESERVED:
        raise InvalidStep(f"a step cannot be named {name!r}, results use that name; choose another")
    if not callable(fn):
        raise InvalidStep(f"step {name!r} needs a function of one value, got {fn!r}")


def _check_fit(name: str, fn: Callable[..., Any]) -> None:
    """Find early what would fail at every call, where the function's signature tells."""
    if isinstance(fn, Step):
        raise InvalidStep(f"step {name!r} is made of {fn!r}; a step of another name is its .replace(name={name!r})")
    problem = signature.misfit(fn, StepContext)
    if problem:
        called = getattr(fn, "__name__", repr(fn))
        raise InvalidStep(f"step {name!r} needs a function of one value, but {called}{problem}")


class StepDecorator:
    """What ``step("validation")`` gives: it turns a function into a typed ``Step`` of that name."""

    def __init__(self, name: str, settings: StepSettings) -> None:
        _check(name, len)
        self.name = name
        self.parts: dict[str, Any] = parts_of(name, settings)

    @overload
    def __call__(self, fn: FunctionOfOneValue[A, Result[B, E]], /) -> Step[A, B, E]: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, fn: FunctionOfOneValue[A, Awaited[Result[B, E]]], /) -> Step[A, B, E]: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, fn: FunctionOfOneValue[A, Awaited[B]], /) -> Step[A, B, Never]: ...
    @overload
    def __call__(self, fn: FunctionOfOneValue[A, B], /) -> Step[A, B, Never]: ...
    def __call__(self, fn: Callable[..., Any]) -> Step[Any, Any, Any]:
        """The step; its types are read from the function's annotations."""
        _check_fit(self.name, fn)
        return Step(self.name, fn, **self.parts)


@overload
def step(fn: str, /, **settings: Unpack[StepSettings]) -> StepDecorator: ...
@overload
def step(fn: FunctionOfOneValue[A, Result[B, E]], /) -> Step[A, B, E]: ...  # type: ignore[overload-overlap]
@overload
def step(fn: FunctionOfOneValue[A, Awaited[Result[B, E]]], /) -> Step[A, B, E]: ...  # type: ignore[overload-overlap]
@overload
def step(fn: FunctionOfOneValue[A, Awaited[B]], /) -> Step[A, B, Never]: ...
@overload
def step(fn: FunctionOfOneValue[A, B], /) -> Step[A, B, Never]: ...
def step(fn: str | Callable[..., Any], /, **settings: Unpack[StepSettings]) -> StepDecorator | Step[Any, Any, Any]:
    """A step from a function: ``@step("validation")``, or ``step(fn)`` which names it after the function.

    The function takes one value, and a ``StepContext`` second if it asks for one.
    It returns a ``Result`` or a plain value, or raises; it may be async. What is no value fails with ``WrongAnswer``:
    a ``Result`` inside a ``Success``, a coroutine that nothing awaits, a generator, which can be read only once.
    ``StepSettings`` has the keyword arguments that go with a name.

    >>> @step("validation")
    ... def validate(text: str) -> Result[int, str]:
    ...     return Success(int(text)) if text.isdigit() else Failure(f"not a number: {text}")
    >>> validate("12")
    <Success: 12>
    >>> validate("twelve")
    <Failure: not a number: twelve>
    """
    if isinstance(fn, str):
        return StepDecorator(fn, settings)
    return StepDecorator(signature.name_of(fn), settings)(fn)

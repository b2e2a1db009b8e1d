"""What a processor is given that is not what it should be: found before anything runs, each with its cure."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import isfinite
from typing import Any, TypeVar, cast

import msgspec

from pipeline import signature
from pipeline.codec import Registry
from pipeline.errors import InvalidSetting
from pipeline.model import ExecutionContext, ProcessorInput
from pipeline.result import ProcessingResult
from pipeline.shown import quoted
from runners import Runner

T = TypeVar("T")


def check_options(name: object, options: Mapping[str, Any]) -> None:
    """Raise ``InvalidSetting`` for an option of the wrong kind; a type checker finds the same earlier.

    >>> from runners import ThreadRunner
    >>> check_options("statements", {"runner": ThreadRunner})
    Traceback (most recent call last):
        ...
    pipeline.errors.InvalidSetting: runner=ThreadRunner is a class; make one: ThreadRunner()
    """
    if not isinstance(name, str) or not name:
        raise InvalidSetting(f"name={name!r} is not a name; give a text, by which runs are found again")
    for option, wrong in _CHECKS.items():
        given = options.get(option)
        problem = None if given is None else wrong(given)
        if problem:
            raise InvalidSetting(f"{option}={_shown(given)} {problem}")


def check_context(context: object) -> None:
    """Raise ``InvalidSetting`` for what is not a context."""
    problem = None if context is None else _not_a_context(context)
    if problem:
        raise InvalidSetting(f"context={_shown(context)} {problem}")


def batch(inputs: Iterable[T]) -> Iterable[T]:
    """The inputs of a batch or of a stream; ``InvalidSetting`` for what holds none.

    >>> batch(ProcessorInput(input_id="doc_1", data=b"%PDF"))
    Traceback (most recent call last):
        ...
    pipeline.errors.InvalidSetting: the inputs are one ProcessorInput; give them as a list: [item]
    """
    if _is_input(inputs):
        raise InvalidSetting("the inputs are one ProcessorInput; give them as a list: [item]")
    if _holds_no_inputs(inputs):
        told = quoted(cast("object", inputs))
        raise InvalidSetting(f"the inputs are {told}; give an iterable of ProcessorInput, see to_inputs(values)")
    return inputs


def check_result(result: object) -> None:
    """Raise ``InvalidSetting`` for what is not the result of a run."""
    if not isinstance(result, ProcessingResult):
        raise InvalidSetting(f"this takes the result of a run, got {quoted(result)}")


def check_run_id(run_id: object) -> None:
    """Raise ``InvalidSetting`` for what is neither the id of a run nor ``None``, which is the latest.

    >>> check_run_id(7)
    Traceback (most recent call last):
        ...
    pipeline.errors.InvalidSetting: this takes the id of a run, a text, got 7
    """
    if run_id is not None and not isinstance(run_id, str):
        told = f"this takes the id of a run, a text, got {quoted(run_id)}"
        raise InvalidSetting(f"{told}; give it to retry" if isinstance(run_id, ProcessingResult) else told)


def check_aggregate(aggregate: object) -> None:
    """Raise ``InvalidSetting`` for what cannot be called with the outputs: found before they are worked out.

    >>> check_aggregate(lambda outputs, start: start)
    Traceback (most recent call last):
        ...
    pipeline.errors.InvalidSetting: aggregate=<function <lambda> at ...> cannot be called with the outputs alone: \
missing a required argument: 'start'
    """
    problem = _not_an_aggregate(aggregate)
    if problem:
        raise InvalidSetting(f"aggregate={aggregate!r} {problem}")


def _not_an_aggregate(given: object) -> str | None:
    if not callable(given):
        return "is not a function of the outputs; leave it out for a list"
    inner = signature.innermost(given)
    if signature.is_async(given) or inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner):
        return "is async, or a generator; give a plain function, which returns the aggregate"
    try:
        inspect.signature(given).bind(())
    except TypeError as error:
        return f"cannot be called with the outputs alone: {error}"
    except ValueError:  # a built-in that does not tell what it takes
        return None
    return None


def _is_input(given: object) -> bool:
    return isinstance(given, ProcessorInput)


def _holds_no_inputs(given: object) -> bool:
    return not hasattr(given, "__iter__") or isinstance(given, str | bytes | Mapping)


def _not_a_runner(given: object) -> str | None:
    if isinstance(given, Runner):
        return None
    if isinstance(given, type):
        return f"is a class; make one: {given.__name__}()"
    if hasattr(given, "submit"):
        return "is an executor, not a runner; wrap it: ExecutorRunner(executor)"
    return "is not a runner; give SequentialRunner(), ThreadRunner(4) or another of the package runners"


def _not_a_journal(given: object) -> str | None:
    if isinstance(given, str) or hasattr(given, "__fspath__"):
        return f"is a path, not a journal; write SqliteJournal({str(given)!r})"
    if isinstance(given, type):
        return f"is a class; make one: {given.__name__}(...)"
    return None if hasattr(given, "begin") else "is not a journal; give SqliteJournal('runs.db') or MemoryJournal()"


def _not_observers(given: object) -> str | None:
    if not hasattr(given, "__len__"):
        return "is not a list of observers; give one: [observer]"
    strangers = [
        one
        for one in cast("Sequence[Any]", given)
        if isinstance(one, type) or not callable(getattr(one, "on_event", None))
    ]
    if strangers:
        return f"holds {quoted(strangers[0])}, but an observer has a method on_event(event)"
    unheard = [one for one in cast("Sequence[Any]", given) if signature.is_async(one.on_event)]
    return f"holds {quoted(unheard[0])}, whose on_event is async; give a plain method" if unheard else None


def _not_a_context(given: object) -> str | None:
    if isinstance(given, ExecutionContext):
        return _misfit(given)
    return "is not an ExecutionContext; write ExecutionContext(retry_count=1), for example"


def _misfit(context: ExecutionContext) -> str | None:
    """What is wrong with the fields of a context, which takes whatever it is given."""
    try:
        msgspec.convert(msgspec.structs.asdict(context), ExecutionContext)
    except msgspec.ValidationError as error:
        return f"does not fit: {error}"
    return "counts retries from 0" if context.retry_count < 0 else None


def _not_a_tolerance(given: object) -> str | None:
    number = isinstance(given, int | float) and not isinstance(given, bool) and isfinite(given)
    return None if number else "is not a number; give a count (20) or a ratio below 1 (0.1), or None for any number"


def _not_attempts(given: object) -> str | None:
    return None if type(given) is int else "is not a count; give the failed resumes to allow, from 1, or None"


def _not_a_registry(given: object) -> str | None:
    return None if isinstance(given, Registry) else "is not a Registry; make one, and register the types with it"


def _not_a_choice(given: object) -> str | None:
    return None if isinstance(given, bool) else "is neither True nor False"


def _not_an_id(given: object) -> str | None:
    return None if isinstance(given, str) else "is not a text; ids are texts"


def _shown(given: object) -> str:
    return given.__name__ if isinstance(given, type) else quoted(given)


_CHECKS: dict[str, Callable[[object], str | None]] = {
    "account_id": _not_an_id,
    "underwriting_id": _not_an_id,
    "runner": _not_a_runner,
    "journal": _not_a_journal,
    "observers": _not_observers,
    "context": _not_a_context,
    "registry": _not_a_registry,
    "max_failures": _not_a_tolerance,
    "max_attempts": _not_attempts,
    "fail_fast": _not_a_choice,
    "early_stop": _not_a_choice,
}

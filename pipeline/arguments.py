"""What a processor is given that is not what it should be: found before anything runs, each with its cure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar, cast

from pipeline.codec import Registry
from pipeline.errors import InvalidSetting
from pipeline.model import ExecutionContext, ProcessorInput
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
    """The inputs of a batch; ``InvalidSetting`` for what holds none.

    >>> batch(ProcessorInput(input_id="doc_1", data=b"%PDF"))
    Traceback (most recent call last):
        ...
    pipeline.errors.InvalidSetting: the inputs are one ProcessorInput; give them as a list: [item]
    """
    if _is_input(inputs):
        raise InvalidSetting("the inputs are one ProcessorInput; give them as a list: [item]")
    if not hasattr(inputs, "__iter__"):
        raise InvalidSetting(f"the inputs are {inputs!r}; give an iterable of ProcessorInput, see to_inputs(values)")
    return inputs


def _is_input(given: object) -> bool:
    return isinstance(given, ProcessorInput)


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
    return f"holds {strangers[0]!r}, but an observer has a method on_event(event)" if strangers else None


def _not_a_context(given: object) -> str | None:
    if isinstance(given, ExecutionContext):
        return None
    return "is not an ExecutionContext; write ExecutionContext(retry_count=1), for example"


def _not_a_number(given: object) -> str | None:
    number = isinstance(given, int | float) and not isinstance(given, bool)
    return None if number else "is not a number; give a count (20) or a ratio below 1 (0.1)"


def _not_a_registry(given: object) -> str | None:
    return None if isinstance(given, Registry) else "is not a Registry; make one, and register the types with it"


def _not_a_choice(given: object) -> str | None:
    return None if isinstance(given, bool) else "is neither True nor False"


def _not_an_id(given: object) -> str | None:
    return None if isinstance(given, str) else "is not a text; ids are texts"


def _shown(given: object) -> str:
    return given.__name__ if isinstance(given, type) else repr(given)


_CHECKS: dict[str, Callable[[object], str | None]] = {
    "account_id": _not_an_id,
    "underwriting_id": _not_an_id,
    "runner": _not_a_runner,
    "journal": _not_a_journal,
    "observers": _not_observers,
    "context": _not_a_context,
    "registry": _not_a_registry,
    "max_failures": _not_a_number,
    "fail_fast": _not_a_choice,
    "early_stop": _not_a_choice,
}

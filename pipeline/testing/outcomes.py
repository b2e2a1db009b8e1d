"""Asserts how one input ended, and says what happened instead."""

from __future__ import annotations

from typing import Any, TypeVar

from pipeline.errors import InvalidSetting, did_you_mean
from pipeline.model import Failed, NotRun, Skipped, Succeeded
from pipeline.result import ProcessingResult

Ended = TypeVar("Ended", Succeeded[Any], Skipped[Any], Failed, NotRun)


def assert_outcome(result: ProcessingResult[Any, Any], input_id: str, expected: type[Ended], /, **fields: Any) -> Ended:
    """The outcome of one input, which is ``expected`` and has these ``fields``, or an ``AssertionError``.

    A field is any attribute of the outcome; ``data`` is the payload's, and ``message`` is a part of the text.

    >>> from pipeline import Failed, Processor, Succeeded, step, to_inputs
    >>> result = Processor(pipeline=step("invert")(lambda n: 1 / n)).execute(to_inputs([4, 0]))
    >>> assert_outcome(result, "input-1", Succeeded).output
    0.25
    >>> assert_outcome(result, "input-2", Failed, step="invert", message="zero", data=0).kind
    'error'
    >>> assert_outcome(result, "input-2", Failed, exception="KeyError")
    Traceback (most recent call last):
        ...
    AssertionError: input 'input-2': exception is 'ZeroDivisionError', expected 'KeyError'
    Traceback (most recent call last):
      File ...
    ZeroDivisionError: division by zero
    """
    __tracebackhide__ = True  # pytest then shows the caller's line
    _check_kind(expected)
    outcome = _outcome_of(result, input_id)
    if not isinstance(outcome, expected):
        raise AssertionError(
            f"input {input_id!r} is {type(outcome).__name__}, expected {expected.__name__}{_told(outcome)}"
        )
    for name, wanted in fields.items():
        found = _field(outcome, name)
        holds = wanted in found if name == "message" else found == wanted
        if not holds:
            raise AssertionError(f"input {input_id!r}: {name} is {found!r}, expected {wanted!r}{_told(outcome)}")
    return outcome


def _check_kind(expected: object) -> None:
    if not isinstance(expected, type):
        raise InvalidSetting(f"assert_outcome: {expected!r} is no class; give Succeeded, Skipped, Failed or NotRun")


def _outcome_of(result: ProcessingResult[Any, Any], input_id: str) -> Any:
    ids = [outcome.input_id for outcome in result.outcomes]
    if input_id not in ids:
        raise AssertionError(f"no input {input_id!r} in the result{did_you_mean(input_id, ids) or f'; it has {ids}'}")
    return result.outcomes[ids.index(input_id)]


def _field(outcome: Any, name: str) -> Any:
    known = (*outcome.__struct_fields__, *(("data",) if hasattr(outcome, "payload") else ()))
    if name not in known:
        raise InvalidSetting(
            f"{type(outcome).__name__} has no field {name!r}{did_you_mean(name, known) or f'; it has {known}'}"
        )
    return getattr(outcome.payload, "data", None) if name == "data" else getattr(outcome, name)


def _told(outcome: Any) -> str:
    """What there is to know about an outcome that was not expected."""
    if isinstance(outcome, Failed):
        return f"\n{outcome.traceback}"
    return f": {outcome.reason}" if isinstance(outcome, NotRun) else ""

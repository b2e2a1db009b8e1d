"""What an input brought from an earlier run: read as data, or refused with the reason. Pure.

payload          read as
───────          ───────
Payload          itself, if its fields are what they should be
Completed        the same
a dictionary     either: the document's four keys, or what a dead letter holds
anything else    BadPayload, of which ``refused`` makes the outcome
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import msgspec
from typing_extensions import TypeIs

from pipeline.model import Completed, Failed, Outcome, Payload, ProcessorInput
from pipeline.shown import quoted
from pipeline.step import RESERVED

REFUSED = "resume"
"""The step of a payload that stands for one that could not be gone on with."""

STARTS_ANEW: frozenset[str] = RESERVED - {REFUSED}
"""What is no step of the pipeline, and what an input that failed there has nothing to go on with."""


_GET: Any = dict[str, Any].get  # of a dictionary whose class may have another
_TEXT: frozenset[type] = frozenset({str})
_TEXT_OR_NONE: frozenset[type] = frozenset({str, type(None)})


class Unreadable(msgspec.Struct, frozen=True):
    """What stands for a payload that is stored but cannot be read, and why."""

    problem: str


class BadPayload(ValueError):
    """Why a payload cannot be gone on from. ``decide`` makes a refusal of it."""


def read_payload(given: Any, retries: int = 0) -> Payload | Completed[Any]:
    """The payload of an input as data: a ``Payload``, a ``Completed``, or the document's plain dictionary.

    ``retries`` is the count of a dictionary that has none; ``BadPayload`` for anything else.
    """
    payload = _read(given, retries)
    if isinstance(payload, Payload) and payload.step == REFUSED:
        raise BadPayload(payload.message or "it stands for a payload that was refused")
    return payload


def _read(given: Any, retries: int) -> Payload | Completed[Any]:
    if _is_read(given):
        return given if _is_sound(given) else _made(type(given), msgspec.structs.asdict(given))
    if isinstance(given, Unreadable):
        raise BadPayload(given.problem)
    if not isinstance(given, Mapping):
        cure = "; read it first: json.loads(payload)" if isinstance(given, str | bytes) else ""
        told = f"{type(given).__name__} {quoted(given, 80)}{cure}"
        raise BadPayload(f"$: a payload is a dictionary with 'step' and 'data', got {told}")
    try:
        fields: dict[str, Any] = dict(cast("Mapping[str, Any]", given))
        completed, has_step = bool(fields.get("status") == "completed"), bool(fields.get("step"))
    except Exception as error:  # a mapping of the caller's, and what is in it, may raise anything
        raise BadPayload(f"$: the payload cannot be looked into: {quoted(error, 200)}") from error
    if not completed and not has_step:
        return Payload(step="", retry_count=retries)
    if not completed and "data" not in fields:
        cure = "; this is a whole error response, give its 'payload'" if "payload" in fields else ""
        raise BadPayload(f"$.data: missing; a payload holds the value that entered the failed step{cure}")
    if completed:
        return _made(Completed[Any], {**fields, "plain": True})
    return _made(Payload, {"retry_count": retries, **fields})


def _made(kind: Any, fields: dict[str, Any]) -> Payload | Completed[Any]:
    try:
        made: Payload | Completed[Any] = msgspec.convert(fields, kind)
    except (msgspec.ValidationError, TypeError, ValueError, RecursionError) as error:
        raise BadPayload(f"the payload is malformed: {error}") from error
    return made


def _is_sound(given: Payload | Completed[Any]) -> bool:
    """Whether the fields are of their types: a Struct takes whatever it is given."""
    it: Any = given
    seen, code = it.input_fingerprint, it.code
    if not (seen is None or isinstance(seen, str)) or not isinstance(code, dict):
        return False
    known = cast("dict[object, object]", code)
    if not _TEXT.issuperset(map(type, known)) or not _TEXT_OR_NONE.issuperset(map(type, known.values())):
        return False
    if isinstance(given, Completed):
        return type(it.plain) is bool and (it.run_id is None or isinstance(it.run_id, str))
    is_told = isinstance(it.step, str) and isinstance(it.exception, str) and isinstance(it.message, str)
    return is_told and type(it.retry_count) is int and type(it.edited) is type(it.checkpoint) is bool


def _is_read(given: object) -> TypeIs[Payload | Completed[Any]]:
    return isinstance(given, Payload | Completed)


def refused(item: ProcessorInput[Any], message: str, exception: str) -> Failed:
    """The outcome of an input that cannot be gone on with, because of what it brought."""
    told = msgspec.structs.replace(_as_given(item), exception=exception, message=message)
    return Failed(
        input_id=item.input_id,
        step=REFUSED,
        exception=exception,
        message=message,
        payload=told,
        kind="invalid",
        retryable=False,
    )


def is_refused(outcome: Outcome[Any]) -> bool:
    """Whether the input failed without a step of it having run."""
    return isinstance(outcome, Failed) and outcome.step in (REFUSED, "prevalidation")


def _as_given(item: ProcessorInput[Any]) -> Payload:
    """The payload that an input brought, or one that stands for it where it is none that can be gone on with."""
    try:
        payload = read_payload(item.payload)
    except BadPayload:
        return Payload(step=REFUSED, data=_data_in(item.payload, item.data))
    return payload if isinstance(payload, Payload) else Payload(step=REFUSED, data=item.data)


def _data_in(given: object, otherwise: Any) -> Any:
    """The data in a payload that cannot be gone on with, as far as it can be seen."""
    if isinstance(given, Payload):
        return given.data
    try:
        return _GET(given, "data", otherwise) if isinstance(given, dict) else otherwise
    except Exception:  # noqa: BLE001 - a key of the caller's may raise anything where it is compared
        return otherwise

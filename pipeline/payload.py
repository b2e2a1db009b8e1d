"""What an input brought from an earlier run: read as data, or refused with the reason. Pure.

payload          read as
───────          ───────
Payload          itself
Completed        itself
a dictionary     either: the document's four keys, or what a dead letter holds
anything else    BadPayload, of which ``refused`` makes the outcome
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import msgspec
from typing_extensions import TypeIs

from pipeline.model import Completed, Failed, Payload, ProcessorInput
from pipeline.shown import quoted
from pipeline.step import RESERVED

REFUSED = "resume"
"""The step of a payload that stands for one that could not be gone on with."""

STARTS_ANEW: frozenset[str] = RESERVED - {REFUSED}
"""What is no step of the pipeline, and what an input that failed there has nothing to go on with."""


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
        return given
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
    try:
        if completed:
            return msgspec.convert(fields, Completed[Any])
        return msgspec.convert({"retry_count": retries, **fields}, Payload)
    except (msgspec.ValidationError, TypeError, ValueError, RecursionError) as error:
        raise BadPayload(f"the payload is malformed: {error}") from error


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


def _as_given(item: ProcessorInput[Any]) -> Payload:
    """The payload that an input brought, or one that stands for it where it is none that can be gone on with."""
    try:
        payload = read_payload(item.payload)
    except BadPayload:
        given: Any = item.payload if isinstance(item.payload, dict) else {}
        return Payload(step=REFUSED, data=given.get("data", item.data))
    return payload if isinstance(payload, Payload) else Payload(step=REFUSED, data=item.data)

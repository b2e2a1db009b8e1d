"""A payload whose data a person replaced, checked against what its step declares. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import msgspec

from pipeline import codec, fingerprint
from pipeline.codec import CodecError, Registry
from pipeline.compose import Pipeline
from pipeline.errors import InvalidEdit, UnknownInput, did_you_mean
from pipeline.model import Completed, ExecutionContext, Failed, NotRun, Payload, ProcessorInput, Skipped, Succeeded
from pipeline.payload import BadPayload, read_payload
from pipeline.result import ProcessingResult
from pipeline.shown import quoted
from pipeline.step import RESERVED

Problems: TypeAlias = Callable[[Sequence[object]], dict[int, str]]
"""What is wrong with the inputs of a batch, by their places: see ``prevalidate``."""


def edited(
    pipeline: Pipeline[Any, Any, Any], item: ProcessorInput[Any], data: Any, registry: Registry | None
) -> Payload:
    """What ``item`` goes on with when ``data`` takes the place of its payload's; ``InvalidEdit`` when it does not fit.

    An input without a payload goes on from the first step. Its failed resumes are counted anew.
    """
    before = _payload_of(item)
    place = 0 if not before.step or before.step in RESERVED else pipeline.find(before.step)
    if place is None:
        hint = did_you_mean(before.step, pipeline.names)
        raise InvalidEdit(
            f"input {item.input_id!r} stopped at {quoted(before.step)}, which is no step of {pipeline}{hint}; "
            "if it was renamed, keep its old name: step('new', aliases=('old',))"
        )
    try:
        value = codec.conform(data, pipeline[place].input_type, registry=registry)
    except CodecError as error:
        told = f"the new data of input {item.input_id!r} does not fit step {pipeline.names[place]!r}"
        raise InvalidEdit(f"{told}: {error}", error.path) from error
    return msgspec.structs.replace(
        before,
        step=pipeline.names[place],
        data=value,
        retry_count=0,
        input_fingerprint=fingerprint.of_data(item.data),
        edited=True,
        checkpoint=False,
    )


def at_its_step(item: ProcessorInput[Any], outcome: Any) -> ProcessorInput[Any]:
    """The input at the step where it stopped, also where what entered that could not be stored."""
    payload, step = _payload_of(item), getattr(outcome, "step", None)
    if payload.step or not step or step in RESERVED:
        return item
    told, message = getattr(outcome, "exception", ""), getattr(outcome, "message", "")
    at_it = msgspec.structs.replace(payload, step=step, exception=told, message=message)
    return msgspec.structs.replace(item, payload=at_it)


def edited_result(
    result: ProcessingResult[Any, Any],
    pipeline: Pipeline[Any, Any, Any],
    input_id: str,
    data: Any,
    registry: Registry | None,
    problems: Problems,
) -> ProcessingResult[Any, Any]:
    """The result with one input waiting to go on with ``data``; everything else is as it was.

    ``problems`` says which inputs do not belong to the processor, by their places.
    """
    place = _place_of(result, input_id)
    item, outcome = result.inputs[place], result.outcomes[place]
    refuse_edit(outcome, lambda: problems(result.inputs).get(place))
    if isinstance(_brought(item), Completed):
        raise _has_succeeded(input_id)
    left = outcome.payload if isinstance(outcome, Failed | NotRun) and not _did_not_belong(outcome) else None
    payload = edited(pipeline, item if left is None else msgspec.structs.replace(item, payload=left), data, registry)
    waits = waiting(input_id, payload)
    outcomes = (*result.outcomes[:place], waits, *result.outcomes[place + 1 :])
    changed = msgspec.structs.replace(result, outcomes=outcomes, context=marked(result.context, input_id))
    vars(changed).update(vars(result))  # what belongs to a result but is not copied: how its failures are written
    return changed


def waiting(input_id: str, payload: Payload) -> NotRun:
    """The outcome of an input that was edited and has not gone on yet."""
    return NotRun(input_id=input_id, reason="edited, not run yet", step=payload.step, payload=payload)


def refuse_edit(outcome: Any, problem: Callable[[], str | None]) -> None:
    """Raise ``InvalidEdit`` for an input of which there is nothing to edit.

    Where it did not belong to the processor of its run, that may have been a wrong one: ``problem`` says what is wrong
    with it for the one that edits.
    """
    if isinstance(outcome, Succeeded | Skipped):
        raise _has_succeeded(outcome.input_id)
    if _did_not_belong(outcome) and (told := problem()) is not None:
        raise InvalidEdit(f"input {outcome.input_id!r} does not belong here ({told}); give a right one")


def _did_not_belong(outcome: Any) -> bool:
    return isinstance(outcome, Failed) and outcome.step == "prevalidation"


def _has_succeeded(input_id: str) -> InvalidEdit:
    return InvalidEdit(
        f"input {input_id!r} has succeeded; to run it with other data, give that as an input: "
        "execute(inputs, context=…)"
    )


def marked(context: ExecutionContext, input_id: str) -> ExecutionContext:
    """The lineage, with the input among those that were edited: ``execution_metadata["edited"]``."""
    ids = [part for part in context.execution_metadata.get("edited", "").split(", ") if part]
    told = ", ".join([*ids, *([] if input_id in ids else [input_id])])
    return msgspec.structs.replace(context, execution_metadata={**context.execution_metadata, "edited": told})


def _payload_of(item: ProcessorInput[Any]) -> Payload:
    payload = _brought(item)
    return payload if isinstance(payload, Payload) else Payload(step="")


def _brought(item: ProcessorInput[Any]) -> Payload | Completed[Any] | None:
    """The payload of an input, where it can be read."""
    try:
        return None if item.payload is None else read_payload(item.payload)
    except BadPayload:
        return None


def _place_of(result: ProcessingResult[Any, Any], input_id: str) -> int:
    ids = [item.input_id for item in result.inputs]
    if input_id not in ids:
        raise UnknownInput(f"no input {quoted(input_id)} in run {result.run_id!r}{did_you_mean(input_id, ids)}")
    return ids.index(input_id)

"""Outcomes to one ``ProcessingResult``. Pure: nothing runs but the aggregate.

all inputs succeeded, now or earlier?
  yes ─▶ aggregate their outputs ─▶ success
  no  ─▶ keep every outcome      ─▶ error result with payloads
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from pipeline.aggregate import Merged, aggregate_outputs
from pipeline.deadletters import DeadLetters
from pipeline.describe import describe, frames_of
from pipeline.metrics import Metrics
from pipeline.model import ExecutionContext, Failed, Outcome, Payload, ProcessorInput, Skipped, Succeeded
from pipeline.result import ProcessingResult


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What a run knows at its end besides the outcomes. ``complete`` is false where the inputs themselves broke off."""

    context: ExecutionContext
    metrics: Metrics
    steps: tuple[str, ...]
    stopped: str | None = None
    complete: bool = True
    code: dict[str, str | None] = {}
    letters: DeadLetters | None = None


def gather(
    inputs: Sequence[ProcessorInput[Any]],
    outcomes: Sequence[Outcome[Any]],
    aggregate: Callable[[Sequence[Any]], Any],
    known: Known,
) -> ProcessingResult[Any, Any]:
    """The result of a run: ``outcomes`` are in the order of ``inputs``, one each."""
    outputs = [(item.input_id, item.output) for item in outcomes if isinstance(item, Succeeded | Skipped)]
    complete = len(outputs) == len(inputs) and known.complete
    merged = _aggregated(aggregate, outputs) if complete else Merged(None)
    failure = merged if isinstance(merged, Failed) else None
    done = Merged(None) if isinstance(merged, Failed) else merged
    result: ProcessingResult[Any, Any] = ProcessingResult(
        success=complete and failure is None,
        output=done.output,
        outcomes=tuple(outcomes),
        inputs=tuple(inputs),
        context=known.context,
        conflicts=done.conflicts,
        metrics=known.metrics,
        aggregation=failure,
        stopped=known.stopped,
        code=known.code,
        steps=known.steps,
    )
    vars(result)["letters"] = known.letters
    return result


def _aggregated(aggregate: Callable[[Sequence[Any]], Any], outputs: Sequence[tuple[str, Any]]) -> Merged | Failed:
    try:
        return aggregate_outputs(aggregate, outputs)
    except Exception as error:  # noqa: BLE001 - a failing aggregate costs no step to redo
        exception, message = describe(error)
        payload = Payload(step="aggregation", exception=exception, message=message)
        return Failed(
            input_id="",
            step="aggregation",
            exception=exception,
            message=message,
            payload=payload,
            frames=frames_of(error),
        )

"""Outcomes to one ``ProcessingResult``. Pure: nothing runs but the aggregate.

all inputs succeeded, now or earlier?
  yes ─▶ aggregate their outputs ─▶ success
  no  ─▶ keep every outcome      ─▶ error result with payloads
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import msgspec
from returns.result import Failure, Success

from pipeline.aggregate import Merged, aggregate_outputs
from pipeline.answer import NO_VALUES, wrong_answer
from pipeline.deadletters import DeadLetters
from pipeline.describe import describe, frames_of
from pipeline.errors import WrongAnswer
from pipeline.metrics import Metrics
from pipeline.model import ExecutionContext, Failed, Outcome, Payload, ProcessorInput, Skipped, Succeeded
from pipeline.result import ProcessingResult
from pipeline.shown import quoted

_DONE = (Succeeded, Skipped)
"""A tuple, because a union of types made for every outcome costs as much as looking at one."""


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
    done = [outcome for outcome in outcomes if isinstance(outcome, _DONE)]
    complete = len(done) == len(inputs) and known.complete
    merged = _aggregated(aggregate, done) if complete else Merged(None)
    failure = merged if isinstance(merged, Failed) else None
    whole = Merged(None) if isinstance(merged, Failed) else merged
    result: ProcessingResult[Any, Any] = ProcessingResult(
        success=complete and failure is None,
        output=whole.output,
        outcomes=tuple(outcomes),
        inputs=tuple(inputs),
        context=known.context,
        conflicts=whole.conflicts,
        metrics=known.metrics,
        aggregation=failure,
        stopped=known.stopped,
        code=known.code,
        steps=known.steps,
    )
    vars(result)["letters"] = known.letters
    return result


def _aggregated(
    aggregate: Callable[[Sequence[Any]], Any], done: Sequence[Succeeded[Any] | Skipped[Any]]
) -> Merged | Failed:
    try:
        merged = aggregate_outputs(aggregate, done)
    except KeyboardInterrupt:  # Ctrl-C is no failure of the aggregate
        raise
    except BaseException as error:  # noqa: BLE001 - a failing aggregate, or one that exits, costs no outcome
        return _failed(error)
    output: Any = merged.output
    if type(output) is Failure:
        return _failed(output.failure())
    if type(output) is Success:
        told = quoted(cast("object", output))
        return _failed(WrongAnswer(f"the aggregate returned {told}; return the value itself, or raise"))
    return _failed(wrong_answer("the aggregate", output)) if type(output) in NO_VALUES else merged


def _failed(error: Any) -> Failed:
    """An aggregate that failed; it costs no step to redo."""
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

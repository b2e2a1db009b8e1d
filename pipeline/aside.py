"""Inputs that no worker gets: skipped, refused, parked, kept or not reached, each with what a retry of it needs.

A retry may be made without the journal that knows of an input, from the result or from a dead letter. So a bare input
gets what the journal holds of it, also in ``run.items``, of which the result is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_never

import msgspec

from pipeline.errors import JournalError
from pipeline.model import NotRun, Outcome, Payload, ProcessorInput, Skipped
from pipeline.payload import BadPayload, is_refused, read_payload
from pipeline.plan import Keep, Park, Refuse, Skip
from pipeline.prevalidate import no_input, offender
from pipeline.settle import Arrival

if TYPE_CHECKING:
    from pipeline.run import RunInProgress


def without_running(
    run: RunInProgress, place: int, item: ProcessorInput[Any], decision: Skip | Refuse | Park | Keep
) -> Arrival:
    """An input that needs no worker, with its outcome."""
    outcome = _without_running(item, decision)
    if isinstance(decision, Skip):
        return Arrival(place, _with(run, place, item, decision.done), outcome, changed=decision.changed)
    if is_refused(outcome):
        item = remembered(run, place, item)
    return Arrival(place, item, outcome, isinstance(decision, Keep))


def _without_running(item: ProcessorInput[Any], decision: Skip | Refuse | Park | Keep) -> Outcome[Any]:
    match decision:
        case Skip(done):
            return Skipped(input_id=item.input_id, output=done.output, run_id=done.run_id)
        case Refuse(failed):
            return failed
        case Park(not_run):
            return not_run
        case Keep(outcome):
            return outcome
        case _:
            assert_never(decision)


def not_reached(run: RunInProgress, place: int, item: ProcessorInput[Any]) -> Arrival:
    """An input that was not dispatched before the run stopped; what is no input at all fails all the same."""
    problem = no_input(item)
    if problem:
        return Arrival(place, item, offender(item, problem))
    earlier = run.again.kept.get(place)
    if earlier is not None:
        return Arrival(place, _at_the_end(run, place, item) if is_refused(earlier) else item, earlier, kept=True)
    item = _at_the_end(run, place, item)
    reason, payload = run.stopped or "the run ended early", _brought(item.payload, run.context.retry_count)
    return Arrival(place, item, NotRun(input_id=item.input_id, reason=reason, payload=payload))


def _brought(given: Any, retries: int) -> Payload | None:
    """Where an input that was not reached goes on, if it brought that and it can be read."""
    try:
        payload = None if given is None else read_payload(given, retries)
    except BadPayload:
        return None
    return payload if isinstance(payload, Payload) else None


def remembered(run: RunInProgress, place: int, item: ProcessorInput[Any]) -> ProcessorInput[Any]:
    """The input with what the journal holds of it, where it is bare."""
    if not (run.recorder.remembers and run.asks):
        return item
    try:
        known = run.recorder.remembered(place, item)
    except JournalError as error:
        run.asks = False
        run.fail(error)
        return item
    return item if known is item else _with(run, place, item, known.payload)


def _at_the_end(run: RunInProgress, place: int, item: ProcessorInput[Any]) -> ProcessorInput[Any]:
    """``remembered``, of which Ctrl-C leaves out the rest: it may be a million, and costs nothing that was finished."""
    try:
        return remembered(run, place, item)
    except KeyboardInterrupt:
        run.asks = False
        run.interrupt("interrupted while the journal was asked about inputs that were not reached")
        return item


def _with(run: RunInProgress, place: int, item: ProcessorInput[Any], payload: Any) -> ProcessorInput[Any]:
    """The input with a payload, as the result has it as well; of a stream there is none."""
    if run.total is None or item.payload is payload:
        return item
    run.items[place] = msgspec.structs.replace(item, payload=payload)
    return run.items[place]

"""What a run over a batch would do with each input. Nothing runs."""

from __future__ import annotations

from typing import Any, assert_never

from pipeline.aside import not_reached
from pipeline.compose import Pipeline
from pipeline.model import Failed, NotRun, Plan, PlannedInput, ProcessorInput
from pipeline.plan import Decision, Keep, Park, Refuse, Run, Skip
from pipeline.prevalidate import offender
from pipeline.run import RunInProgress


def planned(run: RunInProgress) -> Plan:
    """The plan of a run that has not begun, and will not."""
    problems = run.aborting()
    decisions = ((item, _decision(run, place, item, problems)) for place, item in enumerate(run.items))
    return Plan(tuple(describe_decision(run.pipeline, item, decision) for item, decision in decisions))


def _decision(run: RunInProgress, place: int, item: ProcessorInput[Any], problems: dict[int, str]) -> Decision:
    if not problems:
        return run.decide(place, item)
    if place in problems:
        return Refuse(offender(item, problems[place]))
    arrival = not_reached(run, place, item)
    outcome = arrival.outcome
    return Keep(outcome) if arrival.kept or not isinstance(outcome, NotRun) else Park(outcome)


def describe_decision(pipeline: Pipeline[Any, Any, Any], item: ProcessorInput[Any], decision: Decision) -> PlannedInput:
    """A decision as a person reads it."""
    match decision:
        case Run(index, _, reason):
            names = pipeline.names[index:]
            return PlannedInput(
                input_id=item.input_id, action="run", start=next(iter(names), None), steps=names, reason=reason
            )
        case Skip(_, reason):
            return PlannedInput(input_id=item.input_id, action="skip", start=None, steps=(), reason=reason)
        case Refuse(failed):
            return PlannedInput(input_id=failed.input_id, action="refuse", start=None, steps=(), reason=failed.message)
        case Park(not_run):
            return PlannedInput(input_id=item.input_id, action="park", start=None, steps=(), reason=not_run.reason)
        case Keep(outcome):
            told = outcome.message if isinstance(outcome, Failed) else getattr(outcome, "reason", "")
            reason = f"not selected; it stays {outcome.__struct_config__.tag}: {told}"
            return PlannedInput(input_id=item.input_id, action="keep", start=None, steps=(), reason=reason)
        case _:
            assert_never(decision)

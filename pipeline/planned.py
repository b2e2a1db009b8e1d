"""What a run over a batch would do with each input. Nothing runs."""

from __future__ import annotations

from typing import Any

from pipeline.model import NotRun, Plan, ProcessorInput
from pipeline.plan import Decision, Keep, Park, Refuse, describe_decision
from pipeline.prevalidate import offender
from pipeline.run import RunInProgress


def planned(run: RunInProgress) -> Plan:
    """The plan of a run that has not begun, and will not."""
    problems = run.aborting()
    decisions = ((item, _decision(run, place, item, problems)) for place, item in enumerate(run.items))
    return Plan(tuple(describe_decision(run.pipeline, item, decision) for item, decision in decisions))


def _decision(run: RunInProgress, place: int, item: ProcessorInput[Any], problems: dict[int, str]) -> Decision:
    if not problems:
        return run.decide(item)
    if place in problems:
        return Refuse(offender(item, problems[place]))
    arrival = run.not_reached(place, item)
    outcome = arrival.outcome
    return Keep(outcome) if arrival.kept or not isinstance(outcome, NotRun) else Park(outcome)

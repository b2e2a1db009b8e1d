"""The laws kill mutants of our own engine: each breaks one thing that a resume rests on."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import msgspec
import pytest
from hypothesis import strategies as st

from pipeline import NotRun, ProcessingResult, Succeeded
from pipeline.plan import Run, Skip
from pipeline.run import RunInProgress
from pipeline.settle import Settler
from pipeline.testing import Law, LawBroken, check_resume, laws
from pipeline.walk import Stop
from runners import SequentialRunner, ThreadRunner
from tests.testing.defective import load, pick, total

Mutation = Callable[[Callable[..., Any]], Callable[..., Any]]
replace = msgspec.structs.replace
pipeline = load >> total >> pick
RUNNERS = [SequentialRunner(), ThreadRunner(max_workers=2)]


def changed(change: Callable[[Any], Any]) -> Mutation:
    """What the function gave, changed."""
    return lambda original: lambda *args, **kwargs: change(original(*args, **kwargs))


def moved(by: int) -> Mutation:
    """A resume that starts at a neighbouring step."""

    def move(decision: Any) -> Any:
        if not isinstance(decision, Run) or decision.payload is None:
            return decision
        return replace(decision, index=min(len(pipeline) - 1, max(0, decision.index + by)))

    return changed(move)


def starting_over(original: Callable[..., Any]) -> Callable[..., Any]:
    def decide(pipeline: Any, item: Any, *rest: Any) -> Any:
        decision = original(pipeline, item, *rest)
        return decision if isinstance(decision, Skip) else Run(0, item.data, "always from the first step")

    return decide


def resuming_with_the_input(original: Callable[..., Any]) -> Callable[..., Any]:
    def decide(pipeline: Any, item: Any, *rest: Any) -> Any:
        decision = original(pipeline, item, *rest)
        return replace(decision, value=item.data) if isinstance(decision, Run) else decision

    return decide


def running_what_is_done(original: Callable[..., Any]) -> Callable[..., Any]:
    def decide(pipeline: Any, item: Any, *rest: Any) -> Any:
        decision = original(pipeline, item, *rest)
        return Run(0, item.data, "once more") if isinstance(decision, Skip) else decision

    return decide


def twice(original: Callable[..., Any]) -> Callable[..., Any]:
    def walk(calls: Any, start: int, value: Any, clock_ns: list[int], *rest: Any) -> Any:
        original(calls, start, value, [*clock_ns], *rest)
        return original(calls, start, value, clock_ns, *rest)

    return walk


def leaving_out_the_last_step(original: Callable[..., Any]) -> Callable[..., Any]:
    return lambda calls, *rest: original(calls[:-1], *rest)


def stopping_a_step_late(trace: Any) -> Any:
    end, readings, attempts = trace
    late = replace(end, index=min(end.index + 1, len(pipeline) - 1)) if isinstance(end, Stop) else end
    return late, readings, attempts


def with_the_payload_of_the_input_before(original: Callable[..., Any]) -> Callable[..., Any]:
    before: list[Any] = []

    def settle(self: Any, dispatched: Any, result: Any, *more: Any) -> Any:
        outcome = original(self, dispatched, result, *more)
        if isinstance(outcome, (Succeeded, NotRun)):
            return outcome
        before.append(outcome.payload)
        return replace(outcome, payload=replace(outcome.payload, data=before[-2:][0].data))

    return settle


def losing_one(original: Callable[..., Any]) -> Callable[..., Any]:
    def starts(self: Any, inputs: Any) -> Any:
        return original(self, list(inputs)[1:])

    return starts


def swapped(items: Any) -> Any:
    return [*items[1:2], *items[:1], *items[2:]]


def with_each_others_output(result: Any) -> Any:
    done = [item for item in result if getattr(item.payload, "output", None) is not None]
    outputs = [item.payload for item in done]
    turned = dict(zip((item.input_id for item in done), outputs[1:] + outputs[:1], strict=True))
    return [replace(item, payload=turned.get(item.input_id, item.payload)) for item in result]


MUTANTS: dict[str, tuple[Any, str, Mutation]] = {
    "resumes a step too late": ("pipeline.run", "decide", moved(1)),
    "resumes a step too early": ("pipeline.run", "decide", moved(-1)),
    "starts over": ("pipeline.run", "decide", starting_over),
    "resumes with the input's data": ("pipeline.run", "decide", resuming_with_the_input),
    "runs successes again": ("pipeline.run", "decide", running_what_is_done),
    "runs every step twice": ("pipeline.engine", "walk", twice),
    "leaves the last step out": ("pipeline.engine", "walk", leaving_out_the_last_step),
    "names the step after the one that failed": ("pipeline.engine", "walk", changed(stopping_a_step_late)),
    "keeps what the step made of the value": ("pipeline.snapshot", "restore", lambda _: lambda value, _before: value),
    "mixes payloads up": (Settler, "settle", with_the_payload_of_the_input_before),
    "loses an input": (RunInProgress, "starts", losing_one),
    "drops an outcome": (RunInProgress, "outcomes", changed(lambda outcomes: outcomes[1:])),
    "gives outcomes out of order": (RunInProgress, "outcomes", changed(swapped)),
    "gives an outcome twice": (RunInProgress, "outcomes", changed(lambda outcomes: [*outcomes[:1], *outcomes])),
    "mixes kept outputs up": (ProcessingResult, "retry_inputs", changed(with_each_others_output)),
    "forgets payloads": (
        ProcessingResult,
        "retry_inputs",
        changed(lambda inputs: [replace(item, payload=None) for item in inputs]),
    ),
    "plans another step": (
        "pipeline.planned",
        "describe_decision",
        changed(lambda planned: replace(planned, steps=planned.steps[1:])),
    ),
    "aggregates in another order": (
        "pipeline.gather",
        "aggregate_outputs",
        lambda original: lambda aggregate, outputs: original(aggregate, outputs[::-1]),
    ),
}


def test_without_a_mutant_all_laws_hold() -> None:
    check_resume(pipeline, st.integers(0, 100), runners=RUNNERS)


@pytest.mark.parametrize("name", MUTANTS)
def test_the_laws_kill_an_engine_that(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place, attribute, mutate = MUTANTS[name]
    target = import_module(place) if isinstance(place, str) else place
    monkeypatch.setattr(target, attribute, mutate(getattr(target, attribute)))

    with pytest.raises(LawBroken) as caught:
        check_resume(pipeline, st.integers(0, 100), runners=RUNNERS)

    assert caught.value.observed


KILLERS: list[tuple[Law, str]] = [
    (laws.the_payload_holds_what_entered_the_step, "keeps what the step made of the value"),
    (laws.every_runner_agrees, "leaves the last step out"),
    (laws.outcomes_are_conserved_and_in_order, "gives outcomes out of order"),
    (laws.resuming_equals_running_through, "resumes a step too late"),
    (laws.finished_steps_do_not_run_again, "runs every step twice"),
    (laws.the_plan_is_what_runs, "plans another step"),
    (laws.retry_until_success_equals_one_run, "aggregates in another order"),
]


@pytest.mark.parametrize(("law", "name"), KILLERS, ids=lambda one: getattr(one, "name", ""))
def test_each_law_of_a_run_kills_one_alone(law: Law, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place, attribute, mutate = MUTANTS[name]
    target = import_module(place) if isinstance(place, str) else place
    monkeypatch.setattr(target, attribute, mutate(getattr(target, attribute)))

    with pytest.raises(LawBroken, match=f"breaks the law '{law}'"):
        check_resume(pipeline, st.integers(0, 100), runners=RUNNERS, laws=[law])

"""Every runner agrees with the sequential one: results, outcomes, metrics and the story that events tell."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import msgspec

from pipeline import (
    Event,
    Failed,
    Failure,
    ProcessingResult,
    Processor,
    Result,
    Skipped,
    Succeeded,
    Success,
    merge_factors,
    step,
    to_inputs,
)
from runners import Runner, SequentialRunner


class Line(msgspec.Struct, frozen=True):
    account: str
    amount: float


@step("validation")
def validate(text: str) -> Result[Line, str]:
    account, _, amount = text.partition(" ")
    return Success(Line(account, float(amount))) if account else Failure("no account")


@step("processing")
async def process(line: Line) -> Line:
    return Line(line.account, 100 / line.amount)


@step("extraction")
def extract(line: Line) -> dict[str, dict[str, float]]:
    if line.account == "closed":
        raise LookupError(line.account)
    return {line.account: {"share": line.amount}}


STATEMENT = validate >> process >> extract
TEXTS = ["a 4", "b 0", " 3", "c 8", "closed 5", "d x", *(f"e{number} 10" for number in range(30))]


class Witness:
    def __init__(self) -> None:
        self.told: dict[str, list[str]] = defaultdict(list)

    def on_event(self, event: Event) -> None:
        about: Any = event
        self.told[getattr(about, "input_id", "run")].append(f"{type(event).__name__} {getattr(about, 'step', '')}")


def ran_on(runner: Runner) -> tuple[ProcessingResult[Any, Any], Witness]:
    witness = Witness()
    processor = Processor(pipeline=STATEMENT, runner=runner, aggregate=merge_factors, observers=[witness])
    return processor.execute(to_inputs(TEXTS)), witness


def told_of(outcome: Any) -> Any:
    """An outcome without what differs from run to run: times, and names of runs."""
    return without(msgspec.to_builtins(outcome), {"clock_ns", "duration_s", "run_id"})


def without(value: Any, names: set[str]) -> Any:
    if isinstance(value, dict):
        return {key: without(part, names) for key, part in value.items() if key not in names}
    return [without(part, names) for part in value] if isinstance(value, list | tuple) else value


def counted(result: ProcessingResult[Any, Any]) -> tuple[int, ...]:
    metrics = result.metrics
    return metrics.succeeded, metrics.failed, metrics.skipped, metrics.retried


def test_every_runner_agrees_with_the_sequential_one(any_runner: Runner) -> None:
    expected, story = ran_on(SequentialRunner())

    result, witness = ran_on(any_runner)

    assert list(map(told_of, result.outcomes)) == list(map(told_of, expected.outcomes))
    assert result.error_responses() == expected.error_responses()
    assert result.output == expected.output
    assert counted(result) == counted(expected)
    assert witness.told == story.told
    assert {type(outcome) for outcome in result.outcomes} == {Succeeded, Failed}


def test_what_failed_on_any_runner_goes_on_on_another(any_runner: Runner) -> None:
    first, _ = ran_on(any_runner)
    repaired = STATEMENT.replace("extraction", step("extraction")(share_of))

    again = Processor(pipeline=repaired, runner=any_runner, aggregate=merge_factors).retry(first)
    elsewhere = Processor(pipeline=repaired, aggregate=merge_factors).retry(first)

    assert list(map(told_of, again.outcomes)) == list(map(told_of, elsewhere.outcomes))
    assert isinstance(again.outcomes[0], Skipped)
    assert isinstance(again.outcomes[4], Succeeded)
    assert again.outcomes[4].steps == ("extraction",)


def share_of(line: Line) -> dict[str, dict[str, float]]:
    return {line.account: {"share": line.amount}}

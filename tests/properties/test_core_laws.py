"""The laws of resuming, over generated pipelines, inputs, failure points and runners."""

from __future__ import annotations

import operator
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import Failed, Pipeline, Processor, ProcessorInput, Skipped, Succeeded, configurable, to_inputs
from runners import ProcessRunner, Runner, SequentialRunner, ThreadRunner

Faults = frozenset[tuple[int, int]]
"""Which (step, input) pairs fail."""

RAN: Counter[tuple[int, int]] = Counter()


class Broken(Exception):
    """A planned fault."""


@configurable("step")
def advance(value: list[int], *, place: int, faults: Faults) -> list[int]:
    """Append the step's place; the first item is the input's number. Mutates before it fails, as bad steps do."""
    number = value[0]
    RAN[place, number] += 1
    if (place, number) in faults:
        value.append(-1)
        raise Broken(f"step {place}, input {number}")
    return [*value, place]


def pipeline_of(length: int, faults: Faults = frozenset()) -> Pipeline[list[int], list[int], Any]:
    return Pipeline.of(advance(place=place, faults=faults).replace(name=f"step_{place}") for place in range(length))


def processor_of(length: int, faults: Faults, runner: Runner) -> Processor[Any, Any, list[Any]]:
    return Processor(pipeline=pipeline_of(length, faults), runner=runner)


def inputs_of(count: int) -> list[ProcessorInput[list[int]]]:
    return list(to_inputs([[number] for number in range(count)], key=lambda value: f"doc_{value[0]}"))


@pytest.fixture(scope="module")
def runners() -> Iterator[dict[str, Runner]]:
    with ExitStack() as stack:
        made: dict[str, Any] = {
            "sequential": SequentialRunner(),
            "thread": ThreadRunner(max_workers=3),
            "process": ProcessRunner(max_workers=2),
        }
        yield {name: stack.enter_context(runner) for name, runner in made.items()}


lengths = st.integers(1, 8)
counts = st.integers(0, 6)
IS_OF_A_MUTANT = os.environ.get("STEPSLICE_HYPOTHESIS_PROFILE") == "mutants"  # thousands: workers take too long
names = st.sampled_from(["sequential", "thread", *([] if IS_OF_A_MUTANT else ["process"])])


@st.composite
def batches(draw: st.DrawFn) -> tuple[int, int, Faults]:
    length, count = draw(lengths), draw(counts)
    places = st.tuples(st.integers(0, length - 1), st.integers(0, max(0, count - 1)))
    return length, count, draw(st.frozensets(places, max_size=6))


def finished_before(outcome: Failed) -> int:
    return int(outcome.step.removeprefix("step_"))


@given(batch=batches(), name=names)
def test_resuming_equals_running_through(batch: tuple[int, int, Faults], name: str, runners: dict[str, Runner]) -> None:
    length, count, faults = batch
    through = processor_of(length, frozenset(), SequentialRunner()).execute(inputs_of(count))

    first = processor_of(length, faults, runners[name]).execute(inputs_of(count))
    again = processor_of(length, frozenset(), runners[name]).retry(first)

    assert again.success
    assert again.output == through.output


@given(batch=batches())
def test_finished_steps_do_not_run_again(batch: tuple[int, int, Faults]) -> None:
    length, count, faults = batch
    RAN.clear()

    first = processor_of(length, faults, SequentialRunner()).execute(inputs_of(count))
    processor_of(length, frozenset(), SequentialRunner()).retry(first)

    failing = {(finished_before(outcome), int(outcome.input_id.removeprefix("doc_"))) for outcome in first.failed}
    expected = {(place, number): 1 for place in range(length) for number in range(count)}
    assert Counter(expected) + Counter(failing) == RAN


@given(batch=batches(), name=names)
def test_every_input_ends_in_exactly_one_outcome_in_its_place(
    batch: tuple[int, int, Faults], name: str, runners: dict[str, Runner]
) -> None:
    length, count, faults = batch
    inputs = inputs_of(count)

    result = processor_of(length, faults, runners[name]).execute(inputs)

    assert [outcome.input_id for outcome in result.outcomes] == [item.input_id for item in inputs]
    assert len(result.succeeded) + len(result.failed) + len(result.not_run) == count


@given(length=lengths, cut=st.integers(0, 8), number=st.integers(0, 3))
def test_slices_compose(length: int, cut: int, number: int) -> None:
    whole = pipeline_of(length)
    cut = min(cut, length)

    entering = whole[:cut]([number]).unwrap() if cut else [number]

    assert whole[:cut] >> whole[cut:] == whole
    assert whole[cut:](entering) == whole([number])
    assert whole[cut:].names == whole.names[cut:]
    if cut < length:
        assert whole[f"step_{cut}" :] == whole[whole[cut] :] == whole[cut:]


@given(batch=batches(), name=st.sampled_from(["thread", "process"]))
def test_every_runner_agrees_with_sequential(
    batch: tuple[int, int, Faults], name: str, runners: dict[str, Runner]
) -> None:
    length, count, faults = batch

    expected = processor_of(length, faults, SequentialRunner()).execute(inputs_of(count))
    result = processor_of(length, faults, runners[name]).execute(inputs_of(count))

    assert [comparable(outcome) for outcome in result.outcomes] == [comparable(each) for each in expected.outcomes]


def comparable(outcome: Any) -> Any:
    """An outcome without its times, and without the code's fingerprint: the counter is a global the step uses."""
    if isinstance(outcome, Failed):
        payload = msgspec.structs.replace(outcome.payload, code={})
        return outcome.input_id, outcome.step, outcome.exception, outcome.message, outcome.kind, payload, outcome.steps
    assert isinstance(outcome, Succeeded | Skipped)
    return outcome.input_id, outcome.output


@given(batch=batches(), name=names)
def test_the_payload_holds_what_entered_the_step_and_survives_json(
    batch: tuple[int, int, Faults], name: str, runners: dict[str, Runner]
) -> None:
    length, count, faults = batch
    first = processor_of(length, faults, runners[name]).execute(inputs_of(count))
    wire = msgspec.json.encode(first.error_responses())

    returned = {response["input_id"]: response["payload"] for response in msgspec.json.decode(wire)}
    given_back = [msgspec.structs.replace(item, payload=returned.get(item.input_id)) for item in inputs_of(count)]
    again = processor_of(length, frozenset(), SequentialRunner()).execute(given_back)

    for outcome in first.failed:
        number = int(outcome.input_id.removeprefix("doc_"))
        assert outcome.payload.data == [number, *range(finished_before(outcome))]
    assert [outcome.output for outcome in again.succeeded] == [[number, *range(length)] for number in range(count)]


@given(batch=batches(), order=st.randoms(use_true_random=False))
def test_retrying_until_success_equals_one_run_including_the_aggregate(
    batch: tuple[int, int, Faults], order: Any
) -> None:
    length, count, faults = batch
    through = processor_of(length, frozenset(), SequentialRunner()).execute(inputs_of(count))
    remaining = sorted(faults)
    order.shuffle(remaining)

    result = processor_of(length, faults, SequentialRunner()).execute(inputs_of(count))
    while remaining:
        remaining.pop()
        result = processor_of(length, frozenset(remaining), SequentialRunner()).retry(result)

    assert result.success
    assert result.output == through.output


@given(batch=batches())
def test_the_plan_is_what_runs(batch: tuple[int, int, Faults]) -> None:
    length, count, faults = batch
    first = processor_of(length, faults, SequentialRunner()).execute(inputs_of(count))
    processor = processor_of(length, frozenset(), SequentialRunner())
    plan = processor.plan(first.retry_inputs())
    RAN.clear()

    processor.retry(first)

    planned = Counter(
        (int(step.removeprefix("step_")), int(item.input_id.removeprefix("doc_")))
        for item in plan
        for step in item.steps
    )
    assert operator.eq(RAN, planned)

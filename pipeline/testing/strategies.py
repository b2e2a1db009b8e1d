"""hypothesis strategies for what goes into a pipeline: values, inputs, payloads, contexts, faults, and pipelines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

try:
    from hypothesis import strategies as st
except ImportError as _missing:
    raise ImportError("hypothesis is missing: pip install 'stepslice[testing]'") from _missing

from pipeline.compose import Pipeline
from pipeline.configurable import configurable
from pipeline.errors import InvalidSetting
from pipeline.inputs import to_inputs
from pipeline.model import ExecutionContext, Payload, ProcessorInput
from pipeline.step import Step
from pipeline.testing import faults
from pipeline.testing.faults import Fault

T = TypeVar("T")

LARGEST_BATCH = 4
MOST_FAULTS = 3


def values_for(pipeline: Pipeline[Any, Any, Any] | Step[Any, Any, Any]) -> st.SearchStrategy[Any]:
    """Values of the first step's declared type; ``InvalidSetting`` when none is declared, or none can be made up."""
    first = pipeline if isinstance(pipeline, Step) else pipeline[0]
    if first.input_type is Any:
        raise InvalidSetting(f"step {first.name!r} declares no input type; annotate it, or give inputs")
    values: st.SearchStrategy[Any] = st.from_type(first.input_type)
    try:
        values.validate()
    except Exception as error:  # noqa: BLE001 - a class without annotations, a protocol, ...
        made = getattr(first.input_type, "__name__", first.input_type)
        raise InvalidSetting(
            f"step {first.name!r} takes {made}, of which no values can be made up; give inputs, or a strategy ({error})"
        ) from None
    return values


def inputs(
    values: st.SearchStrategy[T], *, max_size: int = LARGEST_BATCH
) -> st.SearchStrategy[list[ProcessorInput[T]]]:
    """Batches of one to ``max_size`` inputs with ids of their own, from ``input-1`` on."""
    return st.lists(values, min_size=1, max_size=max_size).map(lambda drawn: list(to_inputs(drawn)))


def batches(
    source: st.SearchStrategy[Any] | Sequence[ProcessorInput[Any]],
) -> st.SearchStrategy[list[ProcessorInput[Any]]]:
    """Batches of values of a strategy, or of some of the inputs given, in their order."""
    if isinstance(source, st.SearchStrategy):
        return inputs(source)
    places = st.lists(st.integers(0, len(source) - 1), min_size=1, max_size=LARGEST_BATCH, unique=True)
    return places.map(lambda drawn: [source[place] for place in sorted(drawn)])


def faults_in(pipeline: Pipeline[Any, Any, Any], input_ids: Sequence[str]) -> st.SearchStrategy[list[Fault]]:
    """One to three faults that every runner can meet, each in another call."""
    kinds = st.sampled_from([faults.fail, faults.raise_, faults.mutate_then_raise])
    calls = st.tuples(kinds, st.sampled_from(pipeline.names), st.sampled_from(input_ids))
    distinct = st.lists(calls, min_size=1, max_size=MOST_FAULTS, unique_by=lambda call: call[1:])
    return distinct.map(lambda drawn: [make(step, on=input_id) for make, step, input_id in drawn])


def payloads(pipeline: Pipeline[Any, Any, Any]) -> st.SearchStrategy[Payload]:
    """Payloads that this pipeline resumes: at one of its steps, with a value of that step's declared type."""
    declared = [step for step in pipeline if step.input_type is not Any]
    if not declared:
        raise InvalidSetting(f"no step of ({pipeline}) declares an input type; annotate one")
    return st.sampled_from(declared).flatmap(
        lambda step: st.builds(
            Payload,
            step=st.just(step.name),
            exception=st.sampled_from(["ValueError", "TimeoutError", "Failure"]),
            message=st.text(max_size=20),
            data=st.from_type(step.input_type),
            retry_count=st.integers(0, 3),
        )
    )


def contexts() -> st.SearchStrategy[ExecutionContext]:
    """Contexts of first runs and of retries."""
    names = st.none() | st.text(min_size=1, max_size=10)
    return st.builds(
        ExecutionContext,
        parent_run_id=names,
        previous_run_id=st.none(),
        last_error_step=names,
        retry_count=st.integers(0, 5),
        execution_metadata=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2),
    )


@configurable("append")
def append(numbers: list[int], *, place: int) -> list[int]:
    """Append the step's place: the value shows which steps it went through."""
    return [*numbers, place]


def pipelines(*, max_size: int = 6) -> st.SearchStrategy[Pipeline[list[int], list[int], Any]]:
    """Pipelines of one to ``max_size`` steps that take lists of integers, pickle, and never fail."""
    return st.integers(1, max_size).map(
        lambda size: Pipeline.of(append(place=place).replace(name=f"step_{place}") for place in range(size))
    )

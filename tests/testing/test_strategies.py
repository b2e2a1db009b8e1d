"""What the strategies draw is what a pipeline takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline import ExecutionContext, InvalidSetting, Payload, Pipeline, Processor, ProcessorInput, step, to_inputs
from pipeline.testing import check_resume, strategies
from runners import SequentialRunner


@step("split")
def split(text: str) -> list[str]:
    return text.split()


@step("count")
def count(words: list[str]) -> int:
    return len(words)


counted = split >> count


@given(payload=strategies.payloads(counted), text=st.text())
def test_a_payload_is_gone_on_from(payload: Payload, text: str) -> None:
    item = ProcessorInput(input_id="doc", data=text, payload=payload)

    (planned,) = Processor(pipeline=counted, on_input_change="resume").plan([item])
    result = Processor(pipeline=counted, on_input_change="resume").execute([item])

    assert planned.start == payload.step
    assert result.output == [counted.resume(payload.step, payload.data).unwrap()]


@given(context=strategies.contexts(), text=st.text())
def test_a_context_is_kept_by_a_run_and_counted_by_its_retry(context: ExecutionContext, text: str) -> None:
    result = Processor(pipeline=counted).execute(to_inputs([text]), context)

    assert result.context.parent_run_id == context.parent_run_id
    assert result.retry_context().retry_count == context.retry_count + 1
    assert result.context.execution_metadata == context.execution_metadata


@given(batch=strategies.inputs(st.text(), max_size=7))
def test_inputs_have_ids_of_their_own(batch: Sequence[ProcessorInput[str]]) -> None:
    assert 1 <= len(batch) <= 7
    assert len({item.input_id for item in batch}) == len(batch)


@settings(max_examples=5, suppress_health_check=[HealthCheck.nested_given])
@given(pipeline=strategies.pipelines(max_size=3))
def test_a_drawn_pipeline_keeps_every_law(pipeline: Pipeline[Any, Any, Any]) -> None:
    assert pipeline([]).unwrap() == list(range(len(pipeline)))
    check_resume(pipeline, [[7], [8]], runners=[SequentialRunner()], examples=1)


def test_where_no_type_is_declared_nothing_can_be_drawn() -> None:
    idle = step("idle")(lambda value: value)

    with pytest.raises(InvalidSetting, match=r"no step of \(idle\) declares an input type"):
        strategies.payloads(Pipeline(idle))
    with pytest.raises(InvalidSetting, match="'idle' declares no input type"):
        strategies.values_for(idle)

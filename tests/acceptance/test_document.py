"""The user's document, run as written: its usage examples, its execution examples, its tables, its flow."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import pytest

from pipeline import (
    BaseProcessor,
    ExecutionContext,
    Failed,
    NotRun,
    Processor,
    ProcessorInput,
    Skipped,
    Succeeded,
    merge_factors,
    step,
)
from runners import Runner, SequentialRunner

document_data = {"pages": ["total 12", "total 30"]}


class MyProcessor(BaseProcessor):
    PROCESSOR_NAME = "my_processor"

    def __init__(self, account_id: str, underwriting_id: str, runner: Runner = SequentialRunner()) -> None:  # noqa: B008 - as the document has it
        super().__init__(account_id, underwriting_id, runner)

    def _validate(self, data: Any) -> Any:
        if "pages" not in data:
            raise ValueError("Invalid document format")
        return data["pages"]

    def _process(self, data: Any) -> Any:
        return [int(page.split()[1]) for page in data]

    def _extract(self, data: Any) -> dict[str, str | list[int] | dict[str, int]]:
        return {"totals": data, "summary": {"sum": sum(data)}}


def an_input(input_id: str, data: Any = None, payload: Any = None) -> ProcessorInput[Any]:
    return ProcessorInput(input_id=input_id, account_id="acc_123", underwriting_id="uw_456", data=data, payload=payload)


def test_the_runner_examples_of_section_3_run(every_runner: Runner) -> None:
    results = every_runner.run(str.upper, ["a", "b", "c"])

    assert results == ["A", "B", "C"]


def test_the_usage_examples_of_section_9_run(every_runner: Runner) -> None:
    processor = MyProcessor(account_id="acc_123", underwriting_id="uw_456", runner=every_runner)
    inputs = [
        ProcessorInput(input_id="doc_1", account_id="acc_123", underwriting_id="uw_456", data=document_data),
    ]
    result = processor.execute(inputs)
    retry_context = ExecutionContext(
        parent_run_id="original_run_id",
        previous_run_id="failed_run_id",
        last_error_step="extraction",
        retry_count=1,
    )
    again = processor.execute(inputs, context=retry_context)

    assert result.success
    assert result.output == {"totals": [12, 30], "summary": {"sum": 42}}
    assert again.context.parent_run_id == "original_run_id"
    assert again.context.retry_count == 1


def test_the_class_of_section_10_runs_even_when_its_methods_do_nothing() -> None:
    class DoesNothing(BaseProcessor):
        PROCESSOR_NAME = "my_processor"

        def _validate(self, data: Any) -> Any:
            pass

        def _process(self, data: Any) -> Any:
            pass

        def _extract(self, data: Any) -> dict[str, str]:
            return {"seen": "yes"}

    result = DoesNothing("acc_123", "uw_456").execute([an_input("doc_1")])

    assert result.output == {"seen": "yes"}


class Bench:
    """A processor of the document's three steps that counts executions and fails where it is told to."""

    def __init__(self) -> None:
        self.ran: list[tuple[str, str]] = []
        self.failing: set[tuple[str, str]] = set()
        steps = [step(name)(self.make(name)) for name in ("validation", "processing", "extraction")]
        self.processor: Processor[Any, Any, Any] = Processor(
            name="bench",
            account_id="acc_123",
            underwriting_id="uw_456",
            pipeline=steps[0] >> steps[1] >> steps[2],
            aggregate=merge_factors,
        )

    def make(self, name: str) -> Any:
        def run(data: dict[str, Any]) -> dict[str, Any]:
            self.ran.append((data["doc"], name))
            if (data["doc"], name) in self.failing:
                raise ValueError(f"{name} error")
            return {**data, name: True}

        return run

    def inputs(self, *documents: str) -> list[ProcessorInput[Any]]:
        return [an_input(document, {"doc": document}) for document in documents]

    def steps_of(self, document: str) -> list[str]:
        return [name for doc, name in self.ran if doc == document]


ALL = ["validation", "processing", "extraction"]


def test_example_1_successful_execution() -> None:
    bench = Bench()
    documents = ("document.pdf", "statement.pdf", "license.pdf")

    result = bench.processor.execute(bench.inputs(*documents))

    assert result.success
    assert all(isinstance(outcome, Succeeded) for outcome in result.outcomes)
    assert all(bench.steps_of(document) == ALL for document in documents)
    assert result.output is not None


def test_example_2_partial_failure_with_retry() -> None:
    bench = Bench()
    bench.failing = {("document.pdf", "extraction")}
    first = bench.processor.execute(bench.inputs("document.pdf", "statement.pdf", "license.pdf"))
    bench.ran.clear()
    bench.failing.clear()

    again = bench.processor.retry(first)

    assert [type(outcome) for outcome in first.outcomes] == [Failed, Succeeded, Succeeded]
    assert first.output is None
    assert bench.ran == [("document.pdf", "extraction")]
    assert [type(outcome) for outcome in again.outcomes] == [Succeeded, Skipped, Skipped]
    assert again.success


def test_example_3_processing_step_failure() -> None:
    bench = Bench()
    bench.failing = {("document.pdf", "processing")}
    first = bench.processor.execute(bench.inputs("document.pdf", "statement.pdf"))
    bench.ran.clear()
    bench.failing.clear()
    payload = first.retry_inputs()[0].payload

    bench.processor.retry(first)

    assert payload.step == "processing"  # type: ignore[union-attr]
    assert payload.retry_count == 1  # type: ignore[union-attr]
    assert bench.ran == [("document.pdf", "processing"), ("document.pdf", "extraction")]


def test_example_4_validation_step_failure() -> None:
    bench = Bench()
    bench.failing = {("document.pdf", "validation")}
    first = bench.processor.execute(bench.inputs("document.pdf", "statement.pdf"))
    bench.ran.clear()
    bench.failing.clear()

    bench.processor.retry(first)

    assert bench.steps_of("document.pdf") == ALL
    assert bench.steps_of("statement.pdf") == []


@pytest.mark.parametrize(
    ("error_step", "runs"),
    [
        ("validation", ["validation", "processing", "extraction"]),
        ("processing", ["processing", "extraction"]),
        ("extraction", ["extraction"]),
        (None, ["validation", "processing", "extraction"]),
        ("", ["validation", "processing", "extraction"]),
    ],
)
def test_the_step_skipping_table_with_plain_dictionaries(error_step: str | None, runs: list[str]) -> None:
    bench = Bench()
    payload = {"step": error_step, "exception": "ValueError", "message": "no", "data": {"doc": "doc_1"}}

    bench.processor.execute([an_input("doc_1", {"doc": "doc_1"}, payload)])

    assert bench.steps_of("doc_1") == runs


@pytest.mark.parametrize("payload", [None, {}])
def test_without_payload_the_first_step_is_validation(payload: Any) -> None:
    bench = Bench()

    bench.processor.execute([an_input("doc_1", {"doc": "doc_1"}, payload)])

    assert bench.steps_of("doc_1") == ALL


def test_the_simplified_example_of_section_2() -> None:
    bench = Bench()
    bench.failing = {("doc2", "processing")}
    inputs = bench.inputs("doc1", "doc2")
    inputs.append(an_input("doc3", {"doc": "doc3"}, {"step": "processing", "data": {"doc": "doc3"}}))

    result = bench.processor.execute(inputs)

    assert [type(outcome) for outcome in result.outcomes] == [Succeeded, Failed, Succeeded]
    assert result.failed[0].payload.step == "processing"
    assert bench.steps_of("doc3") == ["processing", "extraction"]


def test_error_responses_are_byte_for_byte_those_of_section_6() -> None:
    class Failing(MyProcessor):
        def _extract(self, data: Any) -> Any:
            error = type("ValidationError", (Exception,), {})
            raise error("Invalid document format")

        def _process(self, data: Any) -> Any:
            return "processed_data_here"

    result = Failing("acc_123", "uw_456").execute([an_input("doc_123", document_data)])

    assert msgspec.json.encode(result.error_responses()) == (
        b'[{"input_id":"doc_123","success":false,"step":"extraction","exception":"ValidationError",'
        b'"message":"Invalid document format","payload":{"step":"extraction","exception":"ValidationError",'
        b'"message":"Invalid document format","data":"processed_data_here"}}]'
    )


def test_the_thirteen_steps_of_the_flow_happen_in_their_order() -> None:
    told: list[str] = []

    class Listener:
        def on_event(self, event: Any) -> None:
            told.append(f"{type(event).__name__} {getattr(event, 'input_id', '')} {getattr(event, 'step', '')}".strip())

    class CountingRunner(SequentialRunner):
        used = 0

        def stream(self, func: Any, inputs: Any) -> Any:
            CountingRunner.used += 1
            return super().stream(func, inputs)

    aggregated: list[list[Any]] = []

    def aggregate(outputs: Any) -> Any:
        aggregated.append(list(outputs))
        return merge_factors(outputs)

    bench = Bench()
    bench.failing = {("doc_2", "processing")}
    processor = Processor(
        account_id="acc_123",
        underwriting_id="uw_456",
        pipeline=bench.processor.pipeline,
        runner=CountingRunner(),
        aggregate=aggregate,
        observers=[Listener()],
    )
    resumed = an_input("doc_3", {"doc": "doc_3"}, {"step": "extraction", "data": {"doc": "doc_3"}})

    first = processor.execute([*bench.inputs("doc_1", "doc_2"), resumed])
    bench.failing.clear()
    told.clear()
    second = processor.retry(first)

    assert not first.success
    assert aggregated == [[outcome.output for outcome in second.succeeded]]
    assert CountingRunner.used == 2
    assert second.success
    assert told == [
        "RunStarted",
        "InputFinished doc_1",
        "InputStarted doc_2 processing",
        "StepStarted doc_2 processing",
        "StepFinished doc_2 processing",
        "StepStarted doc_2 extraction",
        "StepFinished doc_2 extraction",
        "InputFinished doc_2",
        "InputFinished doc_3",
        "RunFinished",
    ]


def test_prevalidation_aborts_before_anything_runs() -> None:
    bench = Bench()
    stranger = ProcessorInput(input_id="doc_2", account_id="acc_999", underwriting_id="uw_456", data={"doc": "doc_2"})

    result = bench.processor.execute([*bench.inputs("doc_1"), stranger])

    assert bench.ran == []
    assert [type(outcome) for outcome in result.outcomes] == [NotRun, Failed]
    assert result.failed[0].step == "prevalidation"
    assert "acc_999" in result.failed[0].message


def test_prevalidation_can_isolate() -> None:
    bench = Bench()
    processor = Processor(
        account_id="acc_123",
        underwriting_id="uw_456",
        pipeline=bench.processor.pipeline,
        prevalidation="isolate",
    )
    stranger = ProcessorInput(input_id="doc_2", account_id="acc_123", underwriting_id="uw_9", data={"doc": "doc_2"})

    result = processor.execute([*bench.inputs("doc_1"), stranger])

    assert [type(outcome) for outcome in result.outcomes] == [Succeeded, Failed]


def test_monitoring_tells_the_figures_of_section_7() -> None:
    bench = Bench()
    bench.failing = {("doc_2", "processing")}
    first = bench.processor.execute(bench.inputs("doc_1", "doc_2"))
    bench.failing.clear()

    second = bench.processor.retry(first)

    assert first.metrics.success_rate == 0.5
    assert second.metrics.retry_rate == 0.5
    assert first.metrics.steps["processing"].count == 2
    assert first.metrics.steps["processing"].failures == 1
    assert first.metrics.steps["extraction"].count == 1
    for metrics in first.metrics.steps.values():
        assert 0 <= metrics.p50_s <= metrics.p95_s <= metrics.max_s <= metrics.total_s
        assert metrics.mean_s == pytest.approx(metrics.total_s / metrics.count)
    assert first.metrics.busy_s <= first.metrics.duration_s
    assert 0 < first.metrics.efficiency <= 1
    assert first.metrics.throughput == pytest.approx(2 / first.metrics.duration_s)
    assert first.outcomes[0].duration_s > 0  # type: ignore[union-attr]


def test_the_context_is_merged_and_never_changed() -> None:
    bench = Bench()
    base = ExecutionContext(execution_metadata={"desk": "north", "by": "ana"})
    processor = Processor(pipeline=bench.processor.pipeline, context=base)
    override = ExecutionContext(retry_count=2, execution_metadata={"by": "ben"})

    result = processor.execute([], context=override)

    assert result.context.execution_metadata == {"desk": "north", "by": "ben"}
    assert result.context.retry_count == 2
    assert base.execution_metadata == {"desk": "north", "by": "ana"}
    assert override == ExecutionContext(retry_count=2, execution_metadata={"by": "ben"})


def test_lineage_names_the_first_run_and_the_one_before() -> None:
    bench = Bench()
    bench.failing = {("doc_1", "extraction")}
    first = bench.processor.execute(bench.inputs("doc_1"))
    second = bench.processor.retry(first)
    bench.failing.clear()

    third = bench.processor.retry(second)

    assert second.context.parent_run_id == third.context.parent_run_id == first.run_id
    assert third.context.previous_run_id == second.run_id
    assert (second.context.retry_count, third.context.retry_count) == (1, 2)
    assert third.context.last_error_step == "extraction"
    assert first.run_id < second.run_id < third.run_id
    assert Counter(bench.steps_of("doc_1")) == {"validation": 1, "processing": 1, "extraction": 3}


def test_like_failures_are_told_together() -> None:
    bench = Bench()
    bench.failing = {("doc_1", "processing"), ("doc_2", "processing"), ("doc_3", "extraction")}

    clusters = bench.processor.execute(bench.inputs("doc_1", "doc_2", "doc_3", "doc_4")).failure_clusters()

    assert [(step, exception, len(alike)) for (step, exception, _), alike in clusters.items()] == [
        ("processing", "ValueError", 2),
        ("extraction", "ValueError", 1),
    ]

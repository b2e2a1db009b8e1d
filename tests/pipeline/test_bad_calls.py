"""Calls that a type checker would refuse, made all the same: an early error that says what to give instead."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline import (
    BaseProcessor,
    ExecutionContext,
    Failed,
    Failure,
    InvalidSetting,
    InvalidStep,
    MemoryJournal,
    NotPicklable,
    NotRun,
    Payload,
    Pipeline,
    Processor,
    ProcessorInput,
    RunFailed,
    SqliteJournal,
    Succeeded,
    UnknownStep,
    configurable,
    step,
    to_inputs,
)
from runners import ProcessRunner, Runner, RunnerError, SequentialRunner


@step("parse")
def parse(text: str) -> int:
    return int(text)


@step("invert")
def invert(number: int) -> float:
    return 1 / number


WHOLE = parse >> invert
PROCESSOR = Processor(pipeline=WHOLE)


class Mute:
    """What raises whatever it is asked."""

    def __repr__(self) -> str:
        raise RuntimeError("no text")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("not comparable")

    def __hash__(self) -> int:
        raise RuntimeError("no hash")


STRANGERS = ["not an input", None, 5, {"input_id": "x", "data": "1"}, Mute()]


@pytest.mark.parametrize("stranger", [*STRANGERS, ProcessorInput(input_id=Mute(), data="1")])  # type: ignore[arg-type]
@pytest.mark.parametrize("make_journal", [lambda path: None, lambda path: MemoryJournal(), SqliteJournal])
def test_what_is_no_input_costs_nothing_where_the_run_stopped_before_it(
    stranger: Any, make_journal: Callable[[Path], Any], tmp_path: Path
) -> None:
    processor = Processor(
        pipeline=WHOLE, prevalidation="isolate", fail_fast=True, journal=make_journal(tmp_path / "runs.db")
    )
    inputs = [*to_inputs(["4", "0", "2"]), stranger]

    result = processor.execute(inputs)

    assert [type(outcome) for outcome in result.outcomes] == [Succeeded, Failed, NotRun, Failed]
    assert result.failed[1].step == "prevalidation"
    assert list(result.inputs) == inputs
    assert [type(outcome) for outcome in processor.retry(result).outcomes][-1] is Failed


def test_inputs_that_raise_are_told_also_where_one_of_them_does_not_belong() -> None:
    def broken() -> Iterator[Any]:
        yield from ["not an input", ProcessorInput(input_id="1", data="1")]
        raise OSError("disk gone")

    with pytest.raises(
        RunFailed, match=r"the inputs raised OSError: disk gone; prevalidation: 1 of 2 inputs"
    ) as raised:
        PROCESSOR.execute(broken())

    assert raised.value.result is not None
    assert len(raised.value.result.outcomes) == 2


@pytest.mark.parametrize("inputs", [None, 3, b"1", {"input_id": "1"}, ProcessorInput(input_id="1", data="1")])
@pytest.mark.parametrize(
    "call",
    [
        PROCESSOR.execute,
        lambda inputs: list(PROCESSOR.stream(inputs)),
        PROCESSOR.start,
        PROCESSOR.retry,
        PROCESSOR.plan,
    ],
)
def test_what_holds_no_inputs_is_refused_by_every_call_that_takes_them(call: Any, inputs: Any) -> None:
    with pytest.raises(InvalidSetting, match=r"^the inputs are .*give"):
        call(inputs)


def test_only_a_result_is_aggregated_again() -> None:
    nothing: Any = None

    with pytest.raises(InvalidSetting, match="this takes the result of a run, got None"):
        PROCESSOR.reaggregate(nothing)


@pytest.mark.parametrize("number", [7, 2.5, b"run", ["run"]])
def test_only_a_run_is_resumed_or_edited(number: Any) -> None:
    processor = Processor(pipeline=WHOLE, journal=MemoryJournal())

    with pytest.raises(InvalidSetting, match="this takes the id of a run, a text, got"):
        processor.resume(number)
    with pytest.raises(InvalidSetting, match="this takes the result of a run, got"):
        processor.edit(number, "1", "2")


def test_a_result_is_retried_and_not_resumed() -> None:
    processor = Processor(pipeline=WHOLE, journal=MemoryJournal())
    result: Any = processor.execute(to_inputs(["0"]))

    with pytest.raises(InvalidSetting, match=r"got <ProcessingResult of .*; give it to retry"):
        processor.resume(result)


@pytest.mark.parametrize("number", [0, -1, 1.5, True, float("nan"), "2"])
def test_max_attempts_is_a_count(number: Any) -> None:
    with pytest.raises(InvalidSetting, match=r"max_attempts=.*from 1"):
        Processor(pipeline=WHOLE, max_attempts=number)


@pytest.mark.parametrize("number", [-1, 1.5, float("nan"), float("inf"), True, "2"])
def test_max_failures_is_a_count_or_a_ratio(number: Any) -> None:
    with pytest.raises(InvalidSetting, match=r"max_failures=.*a count"):
        Processor(pipeline=WHOLE, max_failures=number)


@pytest.mark.parametrize(
    "given",
    [
        *({"older_than_s": age} for age in (-5, float("nan"), True, "7")),
        *({"keep_last": count} for count in (-1, 1.5, True, "2")),
    ],
)
def test_nothing_is_pruned_by_what_is_no_limit(given: Any) -> None:
    journal = MemoryJournal()
    Processor(pipeline=WHOLE, journal=journal).execute(to_inputs(["1"]))

    with pytest.raises(InvalidSetting, match=f"{next(iter(given))}=.*give"):
        journal.prune(**given)

    assert len(journal.runs()) == 1


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"retry_count": "1"}, r"\$\.retry_count"),
        ({"retry_count": -1}, "counts retries from 0"),
        ({"previous_run_id": 5}, r"\$\.previous_run_id"),
        ({"execution_metadata": None}, r"\$\.execution_metadata"),
        ({"execution_metadata": {"desk": {"floor": 1}}}, r"\$\.execution_metadata"),
    ],
)
def test_a_context_whose_fields_do_not_fit_is_refused_with_the_path(fields: Any, path: str) -> None:
    context = ExecutionContext(**fields)

    with pytest.raises(InvalidSetting, match=path):
        PROCESSOR.execute(to_inputs(["1"]), context)
    with pytest.raises(InvalidSetting, match=path):
        Processor(pipeline=WHOLE, context=context)


def test_a_payload_that_needs_one_more_step_says_which() -> None:
    failed = PROCESSOR.execute([ProcessorInput(input_id="1", data="0")]).failed[0]
    whole = failed.error_response()
    items = [
        ProcessorInput(input_id="whole", data="0", payload=whole),
        ProcessorInput(input_id="text", data="0", payload='{"step": "invert", "data": 2}'),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        ProcessorInput(input_id="mute", data="0", payload=Mute()),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        ProcessorInput(input_id="good", data="0", payload={**whole["payload"], "data": 2}),
    ]

    result = Processor(pipeline=WHOLE, on_input_change="resume").execute(items)

    told = {outcome.input_id: outcome.message for outcome in result.failed}
    assert told["whole"].endswith("this is a whole error response, give its 'payload'")
    assert told["text"].endswith("read it first: json.loads(payload)")
    assert "Mute without a text" in told["mute"]
    assert [outcome.input_id for outcome in result.succeeded] == ["good"]


def test_a_payload_with_a_step_that_is_no_text_is_refused() -> None:
    odd: Any = Payload(step=5, data=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    assert (
        "got `int` - at `$.step`"
        in PROCESSOR.execute([ProcessorInput(input_id="1", data="1", payload=odd)]).failed[0].message
    )


@pytest.mark.parametrize("steps", [None, parse, 5])
def test_a_pipeline_of_no_list_says_what_to_give(steps: Any) -> None:
    with pytest.raises(InvalidStep, match=r"takes an iterable of steps, got .*; give a list: \[first, second\]"):
        Pipeline.of(steps)


@pytest.mark.parametrize("place", [2, -3])
def test_a_place_that_no_step_has_names_the_pipeline(place: int) -> None:
    with pytest.raises(UnknownStep, match=rf"no step at place {place} in pipeline \(parse >> invert\), which has 2"):
        WHOLE[place]


def test_the_text_of_a_result_in_a_notebook_is_bounded_and_holds_no_data() -> None:
    result = PROCESSOR.execute(to_inputs(["4", "0", "secret"]))

    assert repr(result) == "<ProcessingResult of 3 inputs: 1 succeeded, 2 failed>"


class Handle:
    def __init__(self) -> None:
        self.pages: list[Any] = [b"%PDF", {"source file": lambda: None}]


@pytest.mark.parametrize(
    ("data", "path"),
    [
        (lambda: None, "$, a function, does not pickle"),
        ({"file": [1, lambda: None]}, "$.file[1], a function, does not pickle"),
        (Handle(), "$.pages[1]['source file'], a function, does not pickle"),
    ],
)
def test_data_that_cannot_go_to_a_worker_is_told_with_its_path_and_costs_its_input_only(data: Any, path: str) -> None:
    as_text = Processor(pipeline=step("text")(str), runner=ProcessRunner(1))
    items: list[ProcessorInput[Any]] = [
        *to_inputs([1, data, 3], key=lambda value: type(value).__name__ + str(value)[:1])
    ]

    result = as_text.execute(items)

    assert [outcome.output for outcome in result.succeeded] == ["1", "3"]
    assert (result.failed[0].step, result.failed[0].kind) == ("text", "invalid")
    assert path in result.failed[0].message
    assert "choose a runner in this process" in result.failed[0].message
    on_another = Processor(pipeline=step("text")(str), runner=SequentialRunner()).retry(result)
    assert on_another.success


def test_data_without_a_bottom_does_not_end_the_run() -> None:
    deep: list[Any] = [lambda: None]
    for _ in range(50_000):
        deep = [deep]
    ring: list[Any] = [lambda: None]
    ring.insert(0, ring)
    as_text = Processor(pipeline=step("type")(type), runner=ProcessRunner(1))

    result = as_text.execute([ProcessorInput(input_id=name, data=data) for name, data in [("d", deep), ("r", ring)]])

    assert [failed.kind for failed in result.failed] == ["invalid", "invalid"]
    while deep and isinstance(deep[0], list):  # so that letting go of it does not recurse
        deep = deep[0]


class Exiting(Exception):
    def __str__(self) -> str:
        raise SystemExit(4)


class Interrupting(Exception):
    def __str__(self) -> str:
        raise KeyboardInterrupt


@pytest.mark.parametrize("kind", [Exiting, Interrupting])
def test_an_exception_whose_text_ends_programs_fails_its_own_input_only(
    kind: type[Exception], every_runner: Runner
) -> None:
    result = Processor(pipeline=refusing(kind=kind), runner=every_runner).execute(to_inputs(["1", "2"]))

    assert [outcome.output for outcome in result.succeeded] == ["2"]
    assert (result.failed[0].exception, result.failed[0].step) == (kind.__name__, "refusing")
    assert result.failed[0].message.startswith(f"<no message: {kind.__name__}.__str__ raised")


@configurable
def refusing(text: str, *, kind: type[Exception]) -> str:
    if text == "1":
        raise kind
    return text


def test_what_is_printed_of_a_failure_is_bounded_and_moves_no_cursor() -> None:
    bad = step("na\x1b[2Jme")(lambda text: Failure("a\x1b[2Jb\nc"))

    result = Processor(pipeline=bad).execute([ProcessorInput(input_id="id\n" + 1_000 * "x", data="1")])

    _, line = str(result).splitlines()
    assert line.isprintable()
    assert len(line) < 600


@pytest.mark.parametrize(
    ("values", "key", "told"),
    [
        (None, None, r"makes an input of each value of a list, got None; give \[value\]"),
        (["1"], "id", "key='id' is not a function of a value"),
    ],
)
def test_what_makes_no_inputs_is_refused_at_once(values: Any, key: Any, told: str) -> None:
    with pytest.raises(InvalidSetting, match=told):
        to_inputs(values, key)


class Underwriting(BaseProcessor):
    PROCESSOR_NAME = "underwriting"

    def _validate(self, data: Any) -> Any:
        return data

    _process = _extract = _validate


def test_a_method_that_does_not_fit_is_found_when_the_processor_is_made() -> None:
    class TooMany(Underwriting):
        def _process(self, data: Any, more: Any) -> Any:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
            return data

    with pytest.raises(InvalidStep, match=r"step 'processing' needs a function of one value.*'more'"):
        TooMany("acc_123", "uw_456")


class Locked(Underwriting):
    def __init__(self, runner: Runner) -> None:
        super().__init__("acc_123", "uw_456", runner)
        self.lock = threading.Lock()


def test_of_a_processor_that_does_not_pickle_the_attribute_to_blame_is_named() -> None:
    with pytest.raises(NotPicklable, match="attribute 'lock' of its Locked does not pickle"):
        Locked(ProcessRunner(1)).execute([])


class Repeating(SequentialRunner):
    """Gives its first result a second time, at the end."""

    def stream(self, func: Callable[[Any], Any], inputs: Iterable[Any]) -> Iterator[tuple[int, Any]]:
        ended = [*super().stream(func, inputs)]
        yield from (*ended, ended[0])


def test_a_runner_that_gives_an_input_back_twice_is_told_so_and_costs_no_outcome() -> None:
    with pytest.raises(RunFailed, match=r"RunnerError: the runner gave a result for position 0 twice") as caught:
        Processor(pipeline=step("parse")(int), runner=Repeating()).execute(to_inputs(["1", "x"]))

    assert caught.value.result is not None
    assert [type(outcome) for outcome in caught.value.result.outcomes] == [Succeeded, Failed]
    assert isinstance(caught.value.__cause__, RunnerError)

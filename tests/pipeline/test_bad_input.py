"""What users do wrong, and what the world does wrong: a clear error each, and nothing lost."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import msgspec
import pytest

from pipeline import (
    Completed,
    DuplicateStep,
    Failed,
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
    StepContext,
    StepMismatch,
    Succeeded,
    Success,
    UnknownStep,
    configurable,
    merge_factors,
    step,
    to_inputs,
)
from pipeline.codec import Registry
from pipeline.policies import Policies, Retry
from runners import AsyncRunner, ExecutorRunner, ProcessRunner, Runner, RunnerError, ThreadRunner


@step("validation")
def validate(text: str) -> int:
    return int(text)


@step("processing")
def process(number: int) -> float:
    return 12 / number


@step("extraction")
def extract(quotient: float) -> dict[str, float]:
    return {"quotient": quotient}


WHOLE = validate >> process >> extract


def test_duplicate_names_name_both_places() -> None:
    with pytest.raises(DuplicateStep, match=r"'validation' stands at places 1 and 3"):
        validate >> process >> validate  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue]


def test_an_alias_counts_as_a_name_and_is_what_has_to_go() -> None:
    told = (
        r"'validation', an alias of step 'processing', stands at places 1 and 2.*: processing\.replace\(aliases=\(\)\)"
    )
    renamed = process.replace(aliases=("validation",))
    either_way: list[list[Any]] = [[validate, renamed], [renamed, validate]]
    for steps in either_way:
        with pytest.raises(DuplicateStep, match=told):
            Pipeline.of(steps)


def test_a_copy_of_another_name_is_told_of_the_aliases_that_it_shares() -> None:
    first = validate.replace(aliases=("checking",))
    copy = first.replace(name="again")

    with pytest.raises(DuplicateStep, match=r"'checking', an alias of step 'again', .* again\.replace\(aliases=\(\)\)"):
        Pipeline.of([first, copy])
    with pytest.raises(DuplicateStep, match=r"name: validation\.replace\(name=\.\.\., aliases=\(\)\)"):
        Pipeline.of([first, first])
    assert Pipeline.of([first, copy.replace(aliases=())]).names == ("validation", "again")


@pytest.mark.parametrize("cut", [lambda: WHOLE["extract"], lambda: WHOLE["extract":], lambda: WHOLE.index("extract")])
def test_an_unknown_step_guesses_what_was_meant(cut: Any) -> None:
    with pytest.raises(UnknownStep) as caught:
        cut()

    assert str(caught.value) == (
        "no step 'extract' in pipeline (validation >> processing >> extraction); did you mean 'extraction'?"
    )


def test_steps_that_cannot_follow_each_other_are_found_before_anything_runs() -> None:
    with pytest.raises(StepMismatch, match=r"'validation' takes str, but 'processing' before it gives float"):
        Processor(pipeline=Pipeline.of([process, validate]))


@pytest.mark.parametrize("thing", [42, None, "validation", object()])
def test_what_is_not_callable_is_no_step(thing: Any) -> None:
    with pytest.raises(InvalidStep, match="a step"):
        _ = validate >> thing
    with pytest.raises(InvalidStep, match="a pipeline is made of steps"):
        _ = thing >> validate
    with pytest.raises(InvalidStep, match="a pipeline is made of steps"):
        _ = thing >> WHOLE
    with pytest.raises(InvalidStep):
        step("named")(thing)


@pytest.mark.parametrize("name", ["prevalidation", "resume", "aggregation", ""])
def test_reserved_and_empty_names_are_refused(name: str) -> None:
    with pytest.raises(InvalidStep, match="name"):
        step(name)


def closure() -> Any:
    hidden = 2

    def scaled(number: int) -> int:
        return number * hidden

    return step("closure")(scaled)


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (step("lambda")(lambda number: number), "its function is a lambda"),
        (closure(), "is defined inside another"),
        (step("method")(threading.Lock().acquire), "'method'"),
    ],
)
def test_what_does_not_pickle_is_named_before_workers_start(bad: Any, told: str) -> None:
    processor = Processor(pipeline=Pipeline.of([validate, bad]), runner=ProcessRunner(max_workers=1))

    with pytest.raises(NotPicklable, match=told) as caught:
        processor.execute(to_inputs(["1"]))

    assert repr(bad.name) in str(caught.value)


class Client:
    def __init__(self) -> None:
        self.session = threading.Lock()

    def fetch(self, number: int) -> int:
        return number


def test_an_attribute_that_does_not_pickle_is_named() -> None:
    fetch = step("fetch")(Client().fetch)

    with pytest.raises(NotPicklable, match="attribute 'session' of its Client does not pickle"):
        Processor(pipeline=fetch, runner=ProcessRunner(max_workers=1)).execute(to_inputs([1]))


@step("forgets")
def forgets(number: int):  # type: ignore[no-untyped-def]
    _ = number + 1


def test_a_forgotten_return_is_a_failure_that_asks() -> None:
    result = Processor(pipeline=forgets).execute(to_inputs([1]))

    assert result.failed[0].exception == "ForgottenReturn"
    assert "did you forget to return?" in result.failed[0].message


def test_none_is_fine_where_it_is_declared() -> None:
    def store(number: int) -> None:
        return None

    assert Processor(pipeline=step(store)).execute(to_inputs([1])).output == [None]


class Halt(BaseException):
    pass


@step("raises")
def raises(name: str) -> str:
    errors: dict[str, BaseException] = {
        "exit": SystemExit(3),
        "interrupt": KeyboardInterrupt("inside"),
        "generator": GeneratorExit(),
        "base": Halt("halt"),
        "memory": MemoryError(),
        "recursion": RecursionError("too deep"),
        "stop": StopIteration(7),
    }
    if name in errors:
        raise errors[name]
    return name


def test_base_exceptions_fail_their_own_input_only(every_runner: Runner) -> None:
    names = ["fine", "exit", "interrupt", "generator", "base", "memory", "recursion", "stop", "also fine"]

    result = Processor(pipeline=raises, runner=every_runner).execute(to_inputs(names, key=str))

    assert [outcome.input_id for outcome in result.succeeded] == ["fine", "also fine"]
    assert [outcome.exception for outcome in result.failed] == [
        "SystemExit",
        "KeyboardInterrupt",
        "GeneratorExit",
        "Halt",
        "MemoryError",
        "RecursionError",
        "StopIteration",
    ]
    assert {outcome.kind for outcome in result.failed} == {"error"}


@step("endless")
def endless(number: int) -> int:
    return endless.fn(number + 1) if number else number


def test_a_real_recursion_error_is_bounded(every_runner: Runner) -> None:
    result = Processor(pipeline=endless, runner=every_runner).execute(to_inputs([1, 0]))

    assert result.failed[0].exception == "RecursionError"
    assert 0 < len(result.failed[0].frames) <= 20
    assert result.outcomes[1] == result.succeeded[0]


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@step("shouts")
def shouts(kind: str) -> str:
    if kind == "mute":
        raise Mute
    raise ValueError("x" * 1_000_000)


def test_huge_and_broken_messages_are_bounded_and_told(every_runner: Runner) -> None:
    huge, mute = Processor(pipeline=shouts, runner=every_runner).execute(to_inputs(["huge", "mute"])).failed

    assert len(huge.message) < 11_000
    assert huge.message.endswith("(1000000 characters in all)")
    assert mute.message == "<no message: Mute.__str__ raised RuntimeError>"


def test_input_ids_used_twice_are_offenders() -> None:
    twice = [*to_inputs(["1"], key=str), *to_inputs(["1"], key=str)]

    result = Processor(pipeline=WHOLE).execute(twice)

    assert isinstance(result.outcomes[0], NotRun)
    assert isinstance(result.outcomes[1], Failed)
    assert "is used twice" in result.failed[0].message
    assert result.retry_inputs() == twice


@pytest.mark.parametrize("item", ["plain", None, {"input_id": "x"}])
def test_what_is_no_input_says_how_to_make_one(item: Any) -> None:
    result = Processor(pipeline=WHOLE, prevalidation="isolate").execute([item, *to_inputs(["2"])])

    assert "to_inputs(values)" in result.failed[0].message
    assert isinstance(result.outcomes[1], Succeeded)


@pytest.mark.parametrize(
    ("payload", "path"),
    [
        (42, "$: a payload is a dictionary"),
        ("processing", "$: a payload is a dictionary"),
        (["processing"], "$: a payload is a dictionary"),
        ({"step": "processing"}, "$.data: missing"),
        ({"step": 5, "data": 1}, "$.step"),
        ({"step": "processing", "data": 1, "retry_count": "often"}, "$.retry_count"),
        ({"step": "extrction", "data": 1}, "did you mean 'extraction'?"),
        ({"step": "processing", "data": "seven"}, "'processing'"),
        ({"step": "processing", "data": {"n": 1}}, "'processing'"),
    ],
)
def test_a_payload_that_cannot_be_used_fails_closed_and_says_where(payload: Any, path: str) -> None:
    item = ProcessorInput(input_id="doc_1", data="4", payload=payload)

    result = Processor(pipeline=WHOLE).execute([item])
    restarted = Processor(pipeline=WHOLE, on_bad_payload="restart").execute([item])

    assert (result.failed[0].step, result.failed[0].kind) == ("resume", "invalid")
    assert path in result.failed[0].message
    assert result.retry_inputs() == [item]
    assert restarted.output == [{"quotient": 3.0}]


class Moody(dict[str, Any]):
    """A mapping whose own methods do not work."""

    def get(self, *_: object) -> Any:
        raise OSError("gone")


MADE_BY_HAND: list[tuple[Any, str]] = [
    (Moody(step="processing"), "$.data: missing"),
    (Payload(step=cast("str", 7), data=1), "$.step"),
    (Payload(step=cast("str", None), data=1), "$.step"),
    (Payload(step="processing", data=1, message=cast("str", None)), "$.message"),
    (Payload(step="processing", data=1, exception=cast("str", 5)), "$.exception"),
    (Payload(step="processing", data=1, retry_count=cast("int", "x")), "$.retry_count"),
    (Payload(step="processing", data=1, input_fingerprint=cast("str", 7)), "$.input_fingerprint"),
    (Payload(step="processing", data=1, edited=cast("bool", "no")), "$.edited"),
    (Payload(step="processing", data=1, code=cast("dict[str, str | None]", 7)), "$.code"),
    (Payload(step="processing", data=1, code=cast("dict[str, str | None]", {"a": 1})), "$.code"),
    (Completed(output=1, code=cast("dict[str, str | None]", None)), "$.code"),
    (Completed(output=1, run_id=cast("str", 7)), "$.run_id"),
    (Completed(output=1, input_fingerprint=cast("str", 5)), "$.input_fingerprint"),
]


@pytest.mark.parametrize("is_recorded", [False, True])
@pytest.mark.parametrize(("payload", "path"), MADE_BY_HAND)
def test_a_payload_whose_fields_are_of_wrong_types_costs_its_own_input_only(
    payload: Any, path: str, is_recorded: bool
) -> None:
    items = [ProcessorInput(input_id="a", data="4", payload=payload), ProcessorInput(input_id="b", data="4")]
    processor = Processor(pipeline=WHOLE, journal=MemoryJournal() if is_recorded else None)

    plan = processor.plan(items)
    result = processor.execute(items)

    assert [item.action for item in plan] == ["refuse", "run"]
    assert (result.failed[0].step, result.failed[0].exception) == ("resume", "BadPayload")
    assert path in result.failed[0].message
    assert isinstance(result.outcomes[1], Succeeded)


def test_texts_of_a_class_of_their_own_are_texts_in_a_payload() -> None:
    class Name(str):
        pass

    payload = Payload(step=Name("processing"), data=4, code={"validation": Name("x")})

    assert Processor(pipeline=WHOLE).execute([ProcessorInput(input_id="a", data="4", payload=payload)]).success


class Page(msgspec.Struct, frozen=True):
    n: int


class Document(msgspec.Struct, frozen=True):
    pages: list[Page]


@step("count")
def count(document: Document) -> int:
    return sum(page.n for page in document.pages)


def test_the_path_to_the_datum_is_in_the_message() -> None:
    pages = [{"n": 1}, {"n": 2}, {"n": 3}, {"n": "four"}]
    item: ProcessorInput[Any] = ProcessorInput(
        input_id="doc", data=None, payload={"step": "count", "data": {"pages": pages}}
    )
    good = msgspec.structs.replace(item, payload={"step": "count", "data": {"pages": pages[:3]}})
    processor = Processor(pipeline=step("open")(Document) >> count, on_input_change="resume")

    assert "$.pages[3].n" in processor.execute([item]).failed[0].message
    assert processor.execute([good]).output == [6]


def test_an_input_generator_that_raises_ends_as_an_error_with_what_it_has() -> None:
    def broken() -> Iterator[ProcessorInput[str]]:
        yield from to_inputs(["1", "0"])
        raise OSError("disk gone")

    with pytest.raises(RunFailed, match="disk gone") as caught:
        Processor(pipeline=WHOLE).execute(broken())

    result = caught.value.result
    assert isinstance(caught.value.__cause__, OSError)
    assert result is not None
    assert not result.success
    assert [type(outcome) for outcome in result.outcomes] == [Succeeded, Failed]


def test_a_stream_whose_inputs_raise_gives_what_came_before() -> None:
    def broken() -> Iterator[ProcessorInput[str]]:
        yield from to_inputs(["1", "2"])
        raise OSError("disk gone")

    got: list[Any] = []
    with pytest.raises(RunFailed, match="disk gone"):
        got.extend(Processor(pipeline=WHOLE).stream(broken()))

    assert len(got) == 2


class Forgetful(Runner):
    def run(self, func: Any, inputs: Any) -> list[Any]:
        return [func(value) for value in inputs][:-1]


class Raising(Runner):
    def run(self, func: Any, inputs: Any) -> list[Any]:
        raise RuntimeError("no workers today")


def test_a_runner_that_loses_an_input_does_not_lose_it_for_us() -> None:
    result = Processor(pipeline=WHOLE, runner=Forgetful()).execute(to_inputs(["1", "2"]))

    assert [type(outcome) for outcome in result.outcomes] == [Succeeded, Failed]
    assert result.failed[0].exception == "LostByRunner"
    assert Processor(pipeline=WHOLE).retry(result).success


def test_a_runner_that_raises_ends_the_run_with_what_it_has() -> None:
    with pytest.raises(RunFailed, match="no workers today") as caught:
        Processor(pipeline=WHOLE, runner=Raising()).execute(to_inputs(["1", "2"]))

    assert caught.value.result is not None
    assert [type(outcome) for outcome in caught.value.result.outcomes] == [NotRun, NotRun]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"prevalidation": "ignore"}, "choose 'abort' or 'isolate'"),
        ({"on_input_change": "panic"}, "choose one of"),
        ({"on_bad_payload": "resume"}, "choose one of"),
        ({"max_failures": 2.5}, "a count"),
        ({"max_failures": -1}, "a count"),
        ({"runer": None}, "did you mean 'runner'?"),
        ({"aggregate": 3}, "leave it out for a list"),
    ],
)
def test_settings_outside_their_domain_raise_early(options: Any, told: str) -> None:
    with pytest.raises(InvalidSetting, match=told.replace("?", r"\?")):
        Processor(pipeline=WHOLE, **options)


def test_a_pipeline_without_steps_gives_its_inputs_and_fails_those_that_do_not_belong() -> None:
    item = ProcessorInput(input_id="a", data=1)

    result = Processor(pipeline=Pipeline(), prevalidation="isolate").execute([item, item])

    assert [type(outcome).__name__ for outcome in result.outcomes] == ["Succeeded", "Failed"]
    assert (result.metrics.succeeded, result.metrics.failed) == (1, 1)


def test_an_empty_batch_succeeds_with_an_empty_output() -> None:
    assert Processor(pipeline=WHOLE).execute([]).output == []
    merged = Processor(pipeline=WHOLE, aggregate=merge_factors).execute([])
    assert (merged.success, merged.output) == (True, {})


def test_a_failing_aggregate_costs_no_step_to_redo() -> None:
    def strict(outputs: Any) -> Any:
        raise ArithmeticError("totals differ")

    processor = Processor(pipeline=WHOLE, aggregate=strict)
    result = processor.execute(to_inputs(["1", "2"]))
    again = Processor(pipeline=WHOLE, aggregate=len).reaggregate(result)

    assert not result.success
    assert result.aggregation is not None
    assert (result.aggregation.step, result.aggregation.message) == ("aggregation", "totals differ")
    assert len(result.succeeded) == 2
    assert (again.success, again.output) == (True, 2)


def two_values(first: int, second: int) -> int:
    return first + second


def no_value() -> int:
    return 1


def generator(number: int) -> Iterator[int]:
    yield number


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (two_values, r"two_values\(first: .*\) .*missing a required argument: 'second'; several values travel"),
        (no_value, r"no_value\(\) .*too many positional arguments"),
        (generator, "is a generator, which can be read only once.*return a list"),
        (validate, r"made of <Step validation>; .* its \.replace\(name='named'\)"),
    ],
)
def test_a_function_that_would_fail_at_every_call_is_refused_when_the_step_is_made(function: Any, told: str) -> None:
    with pytest.raises(InvalidStep, match=told):
        step("named")(function)


def with_a_client(function: Any) -> Any:
    @functools.wraps(function)
    def filled(number: int) -> int:
        filled_in: int = function(number, 2)
        return filled_in

    return filled


def defined_before_its_types(number: Later, context: StepContext) -> int:
    return context.attempt


class Later:
    """A class that the annotations of an earlier function name."""


def test_what_a_decorator_fills_in_is_not_asked_for() -> None:
    assert step("filled")(with_a_client(two_values))(1) == Success(3)


def test_types_that_cannot_be_read_yet_do_not_forbid_a_context() -> None:
    assert step("early")(defined_before_its_types)(Later()) == Success(1)


@configurable
def largest(numbers: list[int], *, n: int) -> list[int]:
    return sorted(numbers)[-n:]


@configurable
def asking(number: int, context: StepContext, *, n: int) -> int:
    return n


UNCHECKED: Any = largest  # what a type checker would have found


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: UNCHECKED(), r"step 'largest' .*missing a required .*argument: 'n'"),
        (lambda: UNCHECKED(m=3), "'largest' cannot be made with these settings"),
        (lambda: cast("Any", asking)(n=3), r"the call's context is StepContext\.current\(\)"),
        (lambda: validate >> UNCHECKED, "call it with its settings"),
        (
            lambda: Processor(pipeline=cast("Any", [validate, process])),
            r"compose them: first >> second, or Pipeline\.of",
        ),
    ],
)
def test_settings_that_do_not_fit_are_found_when_the_step_is_made(make: Any, told: str) -> None:
    with pytest.raises(InvalidStep, match=told):
        make()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"retry": 3}, "retry=3; it takes a Retry"),
        ({"version": 2}, "version=2; a version is a text"),
        ({"aliases": "old"}, r"aliases='old'; write \('old',\)"),
        ({"aliases": ("old", 3)}, r"aliases=\('old', 3\); former names are texts"),
        ({"checkpoint": "no"}, "checkpoint='no'; give True or False"),
        ({"policies": 3}, "no setting 'policies'"),
    ],
)
def test_a_setting_of_the_wrong_kind_is_found_when_the_step_is_made_or_changed(settings: Any, told: str) -> None:
    made = step("named")(len)

    with pytest.raises(InvalidSetting, match=told):
        step("named", **settings)
    with pytest.raises(InvalidSetting, match=told):
        made.replace(**settings)


def test_a_changed_copy_of_a_step_keeps_the_settings_that_are_not_named() -> None:
    fetch = step("fetch", retry=Retry(attempts=2), timeout=3.0, version="1")(len)

    again = fetch.replace(name="fetch again", retry=None, version="2")
    slow = fetch.replace(timeout=30.0)

    assert (again.name, again.version, again.policies) == ("fetch again", "2", Policies(timeout_s=3.0))
    assert (slow.name, slow.version, slow.policies) == ("fetch", "1", Policies(retry=Retry(attempts=2), timeout_s=30.0))
    with pytest.raises(InvalidStep, match="the name of a step is a text that is not empty"):
        fetch.replace(name="")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"runner": ThreadRunner}, r"runner=ThreadRunner is a class; make one: ThreadRunner\(\)"),
        ({"runner": "threads"}, "runner='threads' is not a runner; give SequentialRunner"),
        ({"runner": ThreadPoolExecutor()}, r"wrap it: ExecutorRunner\(executor\)"),
        ({"journal": "runs.db"}, r"write SqliteJournal\('runs\.db'\)"),
        ({"journal": MemoryJournal}, "journal=MemoryJournal is a class"),
        ({"journal": {}}, "is not a journal"),
        ({"observers": print}, r"not a list of observers; give one: \[observer\]"),
        ({"observers": [print]}, r"an observer has a method on_event\(event\)"),
        ({"context": {"retry_count": 1}}, "is not an ExecutionContext"),
        ({"max_failures": "10%"}, "max_failures='10%' is not a number"),
        ({"max_failures": True}, "max_failures=True is not a number"),
        ({"max_failures": float("nan")}, "max_failures=nan is not a number"),
        ({"max_failures": float("inf")}, "max_failures=inf is not a number; .* None for any number"),
        ({"max_attempts": "2"}, "max_attempts='2' is not a count"),
        ({"max_attempts": 1.5}, "max_attempts=1.5 is not a count"),
        ({"registry": Registry}, "registry=Registry is not a Registry; make one"),
        ({"fail_fast": "yes"}, "fail_fast='yes' is neither True nor False"),
        ({"account_id": 123}, "account_id=123 is not a text"),
        ({"name": ""}, "name='' is not a name"),
    ],
)
def test_an_option_of_the_wrong_kind_is_found_when_the_processor_is_made(options: Any, told: str) -> None:
    with pytest.raises(InvalidSetting, match=told):
        Processor(pipeline=WHOLE, **options)


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        (ProcessorInput(input_id="1", data="1"), r"one ProcessorInput; give them as a list: \[item\]"),
        (None, "the inputs are None; give an iterable of ProcessorInput"),
        (3, r"the inputs are 3; .* see to_inputs\(values\)"),
    ],
)
def test_inputs_that_are_no_batch_are_refused_before_a_run_begins(inputs: Any, told: str) -> None:
    with pytest.raises(InvalidSetting, match=told):
        Processor(pipeline=WHOLE).execute(inputs)


def test_a_context_of_the_wrong_kind_is_refused_before_a_run_begins() -> None:
    context: Any = {"retry_count": 1}

    with pytest.raises(InvalidSetting, match=r"context=\{'retry_count': 1\} is not an ExecutionContext"):
        Processor(pipeline=WHOLE).execute(to_inputs(["1"]), context)


@pytest.mark.parametrize("text", ["one.pdf", b"%PDF"])
def test_one_text_is_not_taken_for_a_batch_of_its_characters(text: Any) -> None:
    with pytest.raises(InvalidSetting, match=r"every character of a text; give a list: \[text\]"):
        to_inputs(text)


@pytest.mark.parametrize(
    "make",
    [ThreadRunner, AsyncRunner, ProcessRunner, lambda many: ExecutorRunner(ThreadPoolExecutor, max_workers=many)],
)
@pytest.mark.parametrize("many", [0, -1, "4", 2.5, True])
def test_a_number_of_workers_is_a_number_from_one(make: Any, many: Any) -> None:
    with pytest.raises(RunnerError, match="it takes a number from 1"):
        make(many)


def test_a_printed_result_tells_what_has_no_output_failures_first() -> None:
    def fail(text: str) -> str:
        raise ValueError(f"{text}\nsecond line")

    processor = Processor(pipeline=step("validation")(fail), max_failures=1)
    result = processor.execute(to_inputs(["a"] * 30))
    lines = str(result).splitlines()

    assert lines[:4] == [
        "30 inputs: 2 failed, 28 not run",
        "input-1  validation  ValueError: a second line",
        "input-2  validation  ValueError: a second line",
        "input-3  not run  too many failures: 2 inputs failed, 1 are allowed (max_failures=1)",
    ]
    assert lines[-1] == "… and 10 more"
    assert len(lines) == 22
    assert str(processor.execute([])) == "0 inputs"


def test_a_printed_result_tells_why_the_aggregate_failed() -> None:
    def divide(outputs: Sequence[int]) -> float:
        return 1 / sum(outputs)

    result = Processor(pipeline=validate, aggregate=divide).execute(to_inputs(["0"]))

    assert str(result) == "1 input: 1 succeeded\naggregation  ZeroDivisionError: division by zero"


def test_a_plan_tells_that_inputs_which_do_not_belong_keep_the_others_from_running() -> None:
    stranger: Any = "not an input"
    inputs = [ProcessorInput(input_id="1", account_id="acc", data="1"), stranger]
    processor = Processor(pipeline=validate, account_id="acc")
    isolating = Processor(pipeline=validate, account_id="acc", prevalidation="isolate")

    planned = [(item.input_id, item.action) for item in processor.plan(inputs)]
    outcomes = processor.execute(inputs).outcomes

    assert planned == [("1", "park"), ("'not an input'", "refuse")]
    assert [type(outcome) for outcome in outcomes] == [NotRun, Failed]
    assert processor.plan(inputs).inputs[0].reason == outcomes[0].reason  # type: ignore[union-attr]
    assert [item.action for item in isolating.plan(inputs)] == ["run", "refuse"]

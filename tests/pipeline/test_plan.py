"""Where an input goes on, with what, and what a person is told of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from pipeline import (
    Completed,
    Event,
    Failed,
    NotRun,
    Payload,
    Pipeline,
    Processor,
    ProcessorInput,
    Selection,
    Skipped,
    step,
    to_inputs,
)
from pipeline.codec import Registry
from pipeline.events import CodeChanged
from pipeline.plan import OnChange
from pipeline.testing import assert_outcome, faults


@step("read")
def read(text: str) -> int:
    return int(text)


@step("double")
def double(n: int) -> int:
    return 2 * n


@step("label")
def label(n: int) -> str:
    return f"no. {n}"


WHOLE = read >> double >> label
CURE = "remove its payload to start over, or choose another rule (on_input_change, on_code_change)"


def told(pipeline: Pipeline[Any, Any, Any], inputs: Sequence[ProcessorInput[Any]], **rules: Any) -> list[str]:
    """What the plan says of each input."""
    plan = Processor(pipeline=pipeline, **rules).plan(inputs)
    return [f"{planned.action} {' >> '.join(planned.steps)}: {planned.reason}" for planned in plan]


def finished(pipeline: Pipeline[Any, Any, Any] = WHOLE) -> list[ProcessorInput[Any]]:
    """A batch that was finished, as it comes to a retry."""
    return Processor(pipeline=pipeline).execute(to_inputs(["1", "2"])).retry_inputs()


def stopped(pipeline: Pipeline[Any, Any, Any] = WHOLE) -> list[ProcessorInput[Any]]:
    """An input that failed in the last step."""
    broken = faults.raise_("label", TimeoutError("busy")).into(pipeline)
    return Processor(pipeline=broken).execute(to_inputs(["1"])).retry_inputs()


def with_data(inputs: list[ProcessorInput[Any]], data: str) -> list[ProcessorInput[Any]]:
    """The same inputs, of which the first has other data now."""
    first = inputs[0]
    return [ProcessorInput(input_id=first.input_id, data=data, payload=first.payload), *inputs[1:]]


def test_what_is_finished_is_skipped_and_says_so() -> None:
    assert told(WHOLE, finished()) == ["skip : already successful", "skip : already successful"]


def test_what_is_finished_keeps_its_output_though_the_input_changed_where_that_is_the_rule() -> None:
    inputs = with_data(finished(), "7")

    result = Processor(pipeline=WHOLE, on_input_change="resume").execute(inputs)

    first, second = (outcome for outcome in result.outcomes if isinstance(outcome, Skipped))
    assert (first.output, second.output) == ("no. 2", "no. 4")
    assert first.run_id == second.run_id is not None
    assert told(WHOLE, inputs, on_input_change="resume")[0] == "skip : already successful; the input changed since"


def test_what_is_finished_runs_anew_when_the_input_changed() -> None:
    inputs = with_data(finished(), "7")

    assert told(WHOLE, inputs)[0] == "run read >> double >> label: the input changed: from the first step"
    assert Processor(pipeline=WHOLE).execute(inputs).output == ["no. 14", "no. 4"]


def test_a_skipped_input_tells_the_steps_whose_code_changed_since() -> None:
    changed = read.replace(version="2") >> double >> label.replace(version="2")
    inputs = finished()

    assert told(changed, inputs)[1] == "skip : already successful; the code of 'read', 'label' changed"
    first = assert_outcome(Processor(pipeline=changed).execute(inputs), "input-1", Skipped, output="no. 2")
    assert isinstance(inputs[0].payload, Completed)
    assert first.run_id == inputs[0].payload.run_id is not None


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (Payload(step="label", data=2), "stopped at 'label'"),
        (Payload(step="label", data=2, exception="TimeoutError"), "stopped at 'label': TimeoutError"),
        (Payload(step="label", data=2, edited=True), "stopped at 'label'; its data was edited"),
        (Payload(step="label", data=2, checkpoint=True), "from step 'label': its checkpoint"),
        (Payload(step="label", data=2, checkpoint=True, message="killed"), "from step 'label': its checkpoint; killed"),
        (Payload(step="label", data=2, code={"read": "other code"}), "stopped at 'label'; the code of 'read' changed"),
    ],
)
def test_the_reason_tells_why_an_input_goes_on_where_it_does(payload: Payload, reason: str) -> None:
    item = ProcessorInput(input_id="doc", data="1", payload=payload)

    assert told(WHOLE, [item]) == [f"run label: {reason}"]


@pytest.mark.parametrize(
    "rules", [{"on_input_change": "error"}, {"on_input_change": "error", "on_code_change": "error"}]
)
def test_an_input_that_changed_is_refused_with_the_cure_and_can_be_gone_on_with_all_the_same(rules: Any) -> None:
    inputs = with_data(stopped(), "7")

    result = Processor(pipeline=WHOLE, **rules).execute(inputs)

    refused = assert_outcome(result, "input-1", Failed, step="resume", exception="InputChanged", kind="invalid")
    assert refused.message == f"the input changed since it stopped; {CURE}"
    assert not refused.retryable
    assert (refused.payload.step, refused.payload.data) == ("label", 2)
    assert (refused.payload.exception, refused.payload.message) == (refused.exception, refused.message)
    assert Processor(pipeline=WHOLE, on_input_change="resume").retry(result).output == ["no. 2"]


def test_a_change_of_code_is_refused_with_the_same_cure() -> None:
    changed = read.replace(version="2") >> double >> label

    failed = Processor(pipeline=changed, on_code_change="error").execute(stopped()).failed[0]

    assert failed.message == f"the code of 'read' changed since it stopped; {CURE}"


@pytest.mark.parametrize(
    ("payload", "step", "data"),
    [
        ({"step": "lable", "data": 2}, "lable", 2),
        ({"step": "lable", "data": 2, "message": 7}, "resume", 2),
        ({"step": 3, "data": 2}, "resume", 2),
        ({"step": "label"}, "resume", "1"),
        ("label", "resume", "1"),
    ],
)
def test_a_payload_that_cannot_be_used_is_kept_as_far_as_it_can_be_told(payload: Any, step: str, data: Any) -> None:
    item: ProcessorInput[Any] = ProcessorInput(input_id="doc", data="1", payload=payload)

    failed = Processor(pipeline=WHOLE).execute([item]).failed[0]

    assert (failed.step, failed.kind, failed.retryable) == ("resume", "invalid", False)
    assert (failed.payload.step, failed.payload.data) == (step, data)


@pytest.mark.parametrize("written", [lambda payload: payload, Payload.as_document], ids=["as it is", "as a document"])
@pytest.mark.parametrize("bad", ["label", {"step": "label"}, {"step": "label", "data": 2, "message": 7}])
def test_a_payload_that_was_refused_is_refused_when_it_comes_back(bad: Any, written: Callable[[Payload], Any]) -> None:
    item: ProcessorInput[Any] = ProcessorInput(input_id="doc", data="1", payload=bad)
    refused = Processor(pipeline=WHOLE).execute([item]).failed[0]

    back = msgspec.structs.replace(item, payload=written(refused.payload))
    again = Processor(pipeline=WHOLE).execute([back]).failed[0]
    anew = Processor(pipeline=WHOLE, on_bad_payload="restart").execute([back])

    assert (again.step, again.message) == ("resume", refused.message)
    assert anew.success


def test_a_payload_with_a_slip_in_its_step_goes_on_once_the_pipeline_knows_that_name() -> None:
    item: ProcessorInput[Any] = ProcessorInput(input_id="doc", data="1", payload={"step": "lable", "data": 2})
    refused = Processor(pipeline=WHOLE).execute([item])

    again = Processor(pipeline=WHOLE.replace("label", label.replace(aliases=("lable",)))).retry(refused)

    assert again.output == ["no. 2"]


class Witness:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def on_event(self, event: Event) -> None:
        self.events.append(event)


def test_a_step_that_finished_under_other_code_is_told_as_an_event_when_its_input_goes_on() -> None:
    witness = Witness()
    changed = read.replace(version="2") >> double >> label

    result = Processor(pipeline=changed, observers=[witness]).execute(stopped())

    assert result.output == ["no. 2"]
    assert [(event.input_id, event.step) for event in witness.events if isinstance(event, CodeChanged)] == [
        ("input-1", "read")
    ]


@pytest.mark.parametrize("rules", [{"on_code_change": "restart"}, {"on_code_change": "error"}])
def test_only_finished_steps_count_as_changed(rules: Any) -> None:
    changed = read >> double >> label.replace(version="2")

    assert told(changed, stopped(), **rules) == ["run label: stopped at 'label': TimeoutError"]
    assert told(read.replace(version="2") >> double >> label, stopped(), on_code_change="restart") == [
        "run read >> double >> label: the code of 'read' changed: from the first step"
    ]


def test_a_success_may_come_as_a_plain_dictionary() -> None:
    item: ProcessorInput[Any] = ProcessorInput(
        input_id="doc", data="1", payload={"status": "completed", "output": "no. 2", "run_id": "earlier"}
    )

    skipped = assert_outcome(Processor(pipeline=WHOLE).execute([item]), "doc", Skipped, output="no. 2")

    assert skipped.run_id == "earlier"


def test_a_success_that_holds_no_output_is_malformed() -> None:
    item: ProcessorInput[Any] = ProcessorInput(input_id="doc", data="1", payload={"status": "completed"})

    failed = assert_outcome(Processor(pipeline=WHOLE).execute([item]), "doc", Failed, exception="BadPayload")

    assert failed.message == "the payload is malformed: Object missing required field `output`"


@pytest.mark.parametrize(
    ("payload", "data", "reason"),
    [
        ({"step": "read", "data": "1"}, "1", "stopped at 'read'"),
        ({"step": "read", "data": "1"}, "7", "the input changed: from the first step"),
        (Payload(step="read", data="7", edited=True), "1", "stopped at 'read'; its data was edited"),
        ({"step": "double", "data": 1}, "7", "stopped at 'double'"),
    ],
)
def test_what_entered_the_first_step_tells_whether_the_input_changed(payload: Any, data: str, reason: str) -> None:
    item: ProcessorInput[Any] = ProcessorInput(input_id="doc", data=data, payload=payload)

    assert told(WHOLE, [item])[0].endswith(f": {reason}")


def test_an_input_in_quarantine_tells_the_step_that_it_fails_in() -> None:
    item = ProcessorInput(input_id="doc", data="1", payload=Payload(step="label", data=2, retry_count=3))

    parked = assert_outcome(Processor(pipeline=WHOLE, max_attempts=2).execute([item]), "doc", NotRun, step="label")

    assert parked.reason == "quarantined: 2 resumes failed, 2 are allowed (max_attempts)"
    assert parked.payload == item.payload


class Third:
    """A type that only a registry can store."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Third) and other.n == self.n

    __hash__ = None  # type: ignore[assignment]


@step("times")
def times(third: Third) -> int:
    return 3 * third.n


def test_the_registry_reads_what_a_payload_holds() -> None:
    registry = Registry()
    registry.register(Third, wire=int, to_wire=lambda third: third.n, from_wire=Third)
    item: ProcessorInput[Any] = ProcessorInput(input_id="doc", data=Third(2), payload={"step": "times", "data": 2})

    assert Processor(pipeline=times, registry=registry, on_input_change="resume").execute([item]).output == [6]
    failed = Processor(pipeline=times, on_input_change="resume").execute([item]).failed[0]
    assert "no longer fits step 'times'" in failed.message


def test_a_name_that_no_step_has_is_told_with_a_guess_and_the_cure() -> None:
    near: ProcessorInput[Any] = ProcessorInput(input_id="near", data="1", payload={"step": "lable", "data": 2})
    far: ProcessorInput[Any] = ProcessorInput(input_id="far", data="1", payload={"step": "total", "data": 2})
    cure = "If the step was renamed, keep its old name: step('new', aliases=('old',))"

    assert told(WHOLE, [near, far]) == [
        f"refuse : $.step: no step 'lable' in pipeline (read >> double >> label); did you mean 'label'? {cure}",
        f"refuse : $.step: no step 'total' in pipeline (read >> double >> label). {cure}",
    ]


def test_an_input_that_a_stopped_retry_did_not_reach_stays_where_it_was() -> None:
    broken = faults.raise_("label", TimeoutError("busy")).into(WHOLE)
    first = Processor(pipeline=broken).execute(to_inputs(["1", "2"]))

    stopped_early = Processor(pipeline=broken, fail_fast=True).retry(first)

    second = assert_outcome(stopped_early, "input-2", NotRun)
    assert second.payload is not None
    assert (second.payload.step, second.payload.data) == ("label", 4)
    assert told(WHOLE, stopped_early.retry_inputs())[1].startswith("run label: stopped at 'label'")
    assert Processor(pipeline=WHOLE).retry(stopped_early).output == ["no. 2", "no. 4"]


def test_an_input_that_was_not_selected_stays_as_it_was_in_a_retry_that_stopped() -> None:
    broken = faults.raise_("label", TimeoutError("busy")).into(WHOLE)
    first = Processor(pipeline=broken).execute(to_inputs(["1", "2"]))

    stopped_early = Processor(pipeline=broken, fail_fast=True).retry(first, only=Selection(input_ids="input-1"))

    kept = assert_outcome(stopped_early, "input-2", Failed, step="label", message="busy")
    assert kept.payload == first.failed[1].payload


AUDIT = step("audit")(lambda n: n)
LONG = read >> AUDIT >> double >> label
MOVED = read >> double >> AUDIT >> label
TAG = step("tag")(lambda text: f"<{text}>")
RULES: tuple[Any, ...] = ("resume", "restart", "error")


def test_a_success_goes_on_at_steps_that_were_added_behind_it() -> None:
    tagged = WHOLE >> TAG

    result = Processor(pipeline=tagged).execute(finished())

    assert told(tagged, finished()) == ["run tag: already successful up to 'label'; step 'tag' is new"] * 2
    assert told(tagged >> step("sign")(str), finished())[0] == (
        "run tag >> sign: already successful up to 'label'; steps 'tag', 'sign' are new"
    )
    assert result.output == ["<no. 2>", "<no. 4>"]
    assert [outcome.steps for outcome in result.outcomes if not isinstance(outcome, NotRun | Skipped)] == [("tag",)] * 2


def test_a_success_goes_on_at_an_added_step_though_steps_before_it_or_its_input_changed() -> None:
    tagged = read.replace(version="2") >> double >> label >> TAG
    witness = Witness()

    inputs = with_data(finished(), "7")
    reason, change = "already successful up to 'label'; step 'tag' is new", "the code of 'read' changed"

    assert told(tagged, inputs, on_input_change="resume") == [
        f"run tag: {reason}; the input changed since; {change}",
        f"run tag: {reason}; {change}",
    ]
    assert Processor(pipeline=tagged, observers=[witness]).execute(finished()).success
    assert [event.step for event in witness.events if isinstance(event, CodeChanged)] == ["read", "read"]


def test_steps_added_behind_a_success_count_as_a_change_of_code() -> None:
    tagged = WHOLE >> TAG

    assert told(tagged, finished(), on_code_change="error")[0] == (
        f"refuse : step 'tag' is new here, and did not run since it stopped; {CURE}"
    )
    assert told(tagged, finished(), on_code_change="restart")[0] == (
        "run read >> double >> label >> tag: step 'tag' is new here, and did not run: from the first step"
    )


def test_a_success_that_does_not_fit_an_added_step_is_refused() -> None:
    loose = read >> AUDIT

    failed = Processor(pipeline=loose >> step("spell")(spell)).execute(finished(loose)).failed[0]

    assert (failed.step, failed.exception) == ("resume", "BadPayload")
    assert failed.message.startswith("its output of 'audit' does not fit step 'spell', which is new: ")


def spell(number: str) -> str:
    return number.upper()


@pytest.mark.parametrize(
    ("pipeline", "before", "change"),
    [
        (read >> AUDIT >> double >> label, WHOLE, "step 'audit' is new here, and did not run"),
        (read >> label, WHOLE, "step 'double' is gone"),
        (read >> double, WHOLE, "step 'label' is gone"),
        (MOVED, LONG, "'audit', 'double' moved"),
        (Pipeline(AUDIT), WHOLE, "step 'audit' is new here, and did not run; steps 'read', 'double', 'label' are gone"),
        (
            read >> double.replace(name="twice") >> label,
            WHOLE,
            "step 'twice' is new here, and did not run; step 'double' is gone",
        ),
    ],
)
def test_the_output_of_other_steps_is_never_a_success(
    pipeline: Pipeline[Any, Any, Any], before: Pipeline[Any, Any, Any], change: str
) -> None:
    refusing: tuple[OnChange, ...] = ("resume", "error")
    for rule in refusing:
        result = Processor(pipeline=pipeline, on_code_change=rule).execute(finished(before))

        refused = assert_outcome(result, "input-1", Failed, step="resume", exception="PipelineChanged", kind="invalid")
        assert not result.success
        assert refused.message.startswith(f"{change}: the output that it has is not one of these steps; ")
        assert "choose on_code_change='restart'" in refused.message
        assert told(pipeline, result.retry_inputs(), on_code_change=rule)[0] == f"refuse : {refused.message}"
    assert (
        told(pipeline, finished(before), on_code_change="restart")[0]
        == f"run {pipeline}: {change}: from the first step"
    )


def test_the_output_of_other_steps_is_no_success_though_the_input_may_have_changed() -> None:
    inputs = with_data(finished(), "7")

    assert not Processor(pipeline=read >> double, on_input_change="resume").execute(inputs).success


def test_a_success_of_which_no_steps_are_known_stays_one() -> None:
    inputs: Any = [ProcessorInput(input_id="doc", data="1", payload=Completed(output="no. 2"))]

    for rule in RULES:
        assert told(WHOLE >> TAG, inputs, on_code_change=rule) == ["skip : already successful"]


def test_a_step_without_a_fingerprint_is_known_by_its_name() -> None:
    unseen: Any = {"read": None, "double": None, "label": None}
    inputs: Any = [ProcessorInput(input_id="doc", data="1", payload=Completed(output="no. 2", code=unseen))]

    assert told(WHOLE, inputs, on_code_change="error") == ["skip : already successful"]
    assert told(read >> label, inputs)[0].startswith("refuse : step 'double' is gone")


BEFORE_LABEL = [
    (MOVED, WHOLE, "step 'audit' is new here, and did not run", ["audit"]),
    (read >> label, WHOLE, "step 'double' is gone", ["double"]),
    (MOVED, LONG, "'audit', 'double' moved", ["audit", "double"]),
    (WHOLE >> AUDIT, LONG, "'audit' moved", ["audit"]),
]


@pytest.mark.parametrize(("pipeline", "before", "change", "steps"), BEFORE_LABEL)
def test_other_steps_before_the_failed_one_are_told_and_count_as_a_change_of_code(
    pipeline: Pipeline[Any, Any, Any], before: Pipeline[Any, Any, Any], change: str, steps: list[str]
) -> None:
    witness = Witness()
    rest = " >> ".join(pipeline.names[pipeline.index("label") :])

    Processor(pipeline=pipeline, observers=[witness]).execute(stopped(before))

    assert told(pipeline, stopped(before)) == [f"run {rest}: stopped at 'label': TimeoutError; {change}"]
    assert [event.step for event in witness.events if isinstance(event, CodeChanged)] == steps
    assert told(pipeline, stopped(before), on_code_change="restart") == [
        f"run {pipeline}: {change}: from the first step"
    ]
    assert told(pipeline, stopped(before), on_code_change="error") == [f"refuse : {change} since it stopped; {CURE}"]


def test_a_step_that_stood_behind_the_failed_one_is_new_before_it() -> None:
    earlier = Payload(step="label", data=2, code=dict.fromkeys(("read", "label", "double")))
    item = ProcessorInput(input_id="doc", data="1", payload=earlier)

    assert told(WHOLE, [item]) == ["run label: stopped at 'label'; step 'double' is new here, and did not run"]


def test_two_steps_of_which_one_has_the_names_of_both_are_one_that_is_gone() -> None:
    earlier = Payload(step="label", data=2, code=dict.fromkeys(("read", "once", "twice", "label")))
    item = ProcessorInput(input_id="doc", data="1", payload=earlier)
    merged = read >> double.replace(aliases=("once", "twice")) >> label

    assert told(merged, [item]) == ["run label: stopped at 'label'; step 'twice' is gone"]


@pytest.mark.parametrize("inputs", [finished, stopped])
def test_a_renamed_step_whose_code_changed_counts_as_changed(inputs: Any) -> None:
    renamed = read.replace(name="scan", aliases=("read",)) >> double >> label
    rewritten = renamed.replace("scan", read.replace(name="scan", aliases=("read",), version="2"))

    assert told(renamed, inputs(), on_code_change="error") == told(WHOLE, inputs())
    assert told(rewritten, inputs(), on_code_change="error")[0] == (
        f"refuse : the code of 'scan' changed since it stopped; {CURE}"
    )
    assert told(rewritten, inputs(), on_code_change="restart")[0] == (
        "run scan >> double >> label: the code of 'scan' changed: from the first step"
    )


def test_a_success_that_is_kept_although_its_code_changed_is_told_as_an_event() -> None:
    witness = Witness()
    changed = read.replace(version="2") >> double >> label

    result = Processor(pipeline=changed, observers=[witness]).execute(finished())

    assert [type(outcome) for outcome in result.outcomes] == [Skipped, Skipped]
    assert [(event.input_id, event.step) for event in witness.events if isinstance(event, CodeChanged)] == [
        ("input-1", "read"),
        ("input-2", "read"),
    ]

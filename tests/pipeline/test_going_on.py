"""Going on with a part of what failed, with other data, or not any more: of a result, and of a journal's run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, assert_never

import pytest

from pipeline import (
    Failed,
    InvalidEdit,
    MemoryJournal,
    NotRun,
    Payload,
    Plan,
    ProcessingResult,
    Processor,
    ProcessorInput,
    Selection,
    Skipped,
    SqliteJournal,
    Succeeded,
    UnknownInput,
    UnknownStep,
    step,
    to_inputs,
)
from pipeline.errors import InvalidSetting, RunOwned
from pipeline.events import Event, InputFinished, StepStarted
from pipeline.step import Step

ran: list[tuple[str, Any]] = []
broken: dict[Any, Exception] = {}


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    ran.clear()
    broken.clear()


@step("parse")
def parse(text: str) -> int:
    ran.append(("parse", text))
    return int(text)


@step("check")
def check(value: int) -> int:
    ran.append(("check", value))
    if value in broken:
        raise broken[value]
    return value * 10


class Way(NamedTuple):
    """How a test goes on: with the result in memory, or with the run that a journal holds."""

    journal: Any
    in_memory: bool

    def processor(self, **options: Any) -> Processor[str, int, list[int]]:
        return Processor(name="numbers", pipeline=parse >> check, journal=self.journal, **options)

    def of(self, result: ProcessingResult[int, list[int]]) -> Any:
        return result if self.in_memory else result.run_id

    def again(self, result: Any, options: dict[str, Any] | None = None, **how: Any) -> ProcessingResult[int, list[int]]:
        processor = self.processor(**(options or {}))
        return processor.retry(result, **how) if self.in_memory else processor.resume(result.run_id, **how)

    def plan(self, result: Any, options: dict[str, Any] | None = None, **how: Any) -> Plan:
        return self.processor(**(options or {})).plan(self.of(result), **how)

    def edit(self, result: Any, input_id: str, data: Any) -> Any:
        """What ``again`` and ``plan`` take: the edited result, or the one whose run was edited in the journal."""
        edited = self.processor().edit(self.of(result), input_id, data)
        return edited if self.in_memory else result


@pytest.fixture(params=["result", "result of a run with a journal", "memory", "sqlite"])
def way(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    makes: dict[str, Callable[[], Any]] = {
        "result": lambda: None,
        "result of a run with a journal": MemoryJournal,
        "memory": MemoryJournal,
        "sqlite": lambda: SqliteJournal(tmp_path / "runs.db"),
    }
    journal = makes[request.param]()
    yield Way(journal, request.param.startswith("result"))
    if journal is not None:
        journal.close()


def inputs(*texts: str) -> list[ProcessorInput[str]]:
    return [ProcessorInput(input_id=f"in {text}", data=text) for text in texts]


def failing(way: Way, **options: Any) -> ProcessingResult[int, list[int]]:
    """Of five inputs one succeeds, one stops in ``parse``, three in ``check``."""
    broken.update({2: ValueError("two"), 3: ValueError("three"), 4: TimeoutError("four")})
    result = way.processor(**options).execute(inputs("1", "x", "2", "3", "4"))
    broken.clear()
    ran.clear()
    return result


def told(result: ProcessingResult[Any, Any]) -> list[str]:
    return [f"{outcome.input_id}: {said(outcome)}" for outcome in result.outcomes]


def said(outcome: Any) -> str:
    match outcome:
        case Succeeded(output=output):
            return f"succeeded {output}"
        case Skipped(output=output):
            return f"skipped {output}"
        case Failed(step=step_name, exception=exception, message=message):
            return f"failed at {step_name} with {exception}: {message}"
        case NotRun(reason=reason):
            return f"not run: {reason}"
        case other:
            assert_never(other)


# a part of it


SELECTIONS = {
    "a step": (Selection(steps="parse"), ["in x"]),
    "several steps": (Selection(steps=["parse", "check"]), ["in x", "in 2", "in 3", "in 4"]),
    "an exception": (Selection(exceptions=TimeoutError), ["in 4"]),
    "the name of an exception": (Selection(exceptions="TimeoutError"), ["in 4"]),
    "several exceptions": (Selection(exceptions=[TimeoutError, "LookupError"]), ["in 4"]),
    "an exception at a step": (Selection(steps="check", exceptions="ValueError"), ["in 2", "in 3"]),
    "an id": (Selection(input_ids="in 3"), ["in 3"]),
    "ids": (Selection(input_ids=["in 3", "in x", "in 1"]), ["in x", "in 3"]),
    "a question in a selection": (
        Selection(steps="check", where=lambda failed: "o" in failed.message),
        ["in 2", "in 4"],
    ),
    "a question": (lambda failed: failed.payload.data == 3, ["in 3"]),
    "nothing that there is": (Selection(exceptions="KeyError"), []),
}


@pytest.mark.parametrize("selected", SELECTIONS)
def test_only_what_is_selected_runs_and_the_rest_stays_as_it_was(way: Way, selected: str) -> None:
    only, chosen = SELECTIONS[selected]
    first = failing(way)
    planned = {item.input_id: item.action for item in way.plan(first, only=only)}

    second = way.again(first, only=only)

    assert [item for item, action in planned.items() if action == "run"] == chosen
    assert {value for _, value in ran} == {data_of(first, input_id) for input_id in chosen}
    unselected = {line for line in told(first) if line.partition(":")[0] not in chosen}
    kept = [line.replace("skipped", "succeeded") for line in told(second) if line.partition(":")[0] not in chosen]
    assert set(kept) == unselected
    assert len(second.outcomes) == second.metrics.inputs == 5


def data_of(result: ProcessingResult[Any, Any], input_id: str) -> Any:
    return next(failed.payload.data for failed in result.failed if failed.input_id == input_id)


def test_a_cluster_of_like_failures_is_retried_alone(way: Way) -> None:
    first = failing(way)
    cluster = max(first.failure_clusters().values(), key=len)

    second = way.again(first, only=cluster)

    assert [failed.input_id for failed in cluster] == ["in 2", "in 3"]
    assert ran == [("check", 2), ("check", 3)]
    assert [failed.input_id for failed in second.failed] == ["in x", "in 4"]


def test_what_was_not_selected_is_there_for_the_next_retry(way: Way) -> None:
    first = failing(way)
    second = way.again(first, only=Selection(exceptions=TimeoutError))
    ran.clear()

    third = way.again(second, only=Selection(exceptions=ValueError, steps="check"))

    assert ran == [("check", 2), ("check", 3)]
    assert told(third)[0] == "in 1: skipped 10"
    assert told(third)[2:] == ["in 2: succeeded 20", "in 3: succeeded 30", "in 4: skipped 40"]
    kept = third.failed[0]
    assert (kept.step, kept.kind, kept.payload.data, kept.payload.retry_count) == ("parse", "error", "x", 0)
    assert kept.frames[-1][2] == "parse"


def test_a_question_that_is_always_yes_is_a_retry_of_all_failures(way: Way) -> None:
    first = failing(way)

    assert told(way.again(first, only=lambda _: True))[2:] == [
        "in 2: succeeded 20",
        "in 3: succeeded 30",
        "in 4: succeeded 40",
    ]


def test_an_input_that_did_not_run_is_selected_by_id_alone(way: Way) -> None:
    broken[1] = ValueError("one")
    first = way.processor(fail_fast=True).execute(inputs("1", "2", "3"))
    broken.clear()
    ran.clear()

    second = way.again(first, only=Selection(input_ids="in 3"))

    assert ran == [("parse", "3"), ("check", 3)]
    assert [outcome.input_id for outcome in second.not_run] == ["in 2"]
    assert way.again(second).output == [10, 20, 30]


def test_kept_failures_do_not_stop_a_run_and_are_not_told_as_if_they_ran(way: Way) -> None:
    told_events: list[Event] = []
    first = failing(way)

    class Ear:
        def on_event(self, event: Event) -> None:
            told_events.append(event)

    strict = {"fail_fast": True, "observers": [Ear()]}
    second = way.again(first, strict, only=Selection(input_ids="in 4"))

    assert second.stopped is None
    assert told(second)[-1] == "in 4: succeeded 40"
    assert [event.input_id for event in told_events if isinstance(event, StepStarted)] == ["in 4"]
    assert len([event for event in told_events if isinstance(event, InputFinished)]) == 5
    assert (second.metrics.failed, second.metrics.steps["check"].failures) == (3, 0)


def test_a_success_is_kept_though_another_input_has_its_id_and_is_not_selected(way: Way) -> None:
    broken.update({2: ValueError("two")})
    isolating = {"prevalidation": "isolate"}
    first = way.processor(prevalidation="isolate").execute(
        [*inputs("1"), ProcessorInput(input_id="in 1", data="5"), *inputs("2")]
    )
    ran.clear()

    plan = way.plan(first, isolating, only=Selection(steps="check"))
    second = way.again(first, isolating, only=Selection(steps="check"))

    assert [item.action for item in plan] == ["skip", "refuse", "run"]
    assert [type(outcome) for outcome in second.outcomes] == [Skipped, Failed, Failed]
    assert [failed.step for failed in second.failed] == ["prevalidation", "check"]
    assert ran == [("check", 2)]


def test_names_that_nothing_has_are_refused_with_a_guess(way: Way) -> None:
    first = failing(way)

    with pytest.raises(UnknownStep, match="no step 'pars' in this pipeline; did you mean 'parse'"):
        way.again(first, only=Selection(steps="pars"))
    with pytest.raises(UnknownInput, match="no input 'in 33' in this run; did you mean 'in 3'"):
        way.again(first, only=Selection(input_ids="in 33"))
    with pytest.raises(UnknownInput, match="no input 'in 9'"):
        way.again(first, lift="in 9")
    assert ran == []


@pytest.mark.parametrize("wrong", ["parse", TimeoutError, [1], {"steps": "parse"}], ids=repr)
def test_something_that_selects_nothing_is_refused(way: Way, wrong: Any) -> None:
    first = failing(way)

    with pytest.raises(InvalidSetting, match="give a Selection, a function of a Failed, or a list of Failed"):
        way.again(first, only=wrong)


def test_an_empty_selection_is_refused() -> None:
    with pytest.raises(InvalidSetting, match="selects by nothing"):
        Selection()
    with pytest.raises(InvalidSetting, match="give a result or the id of a run"):
        Processor(pipeline=parse >> check).plan(inputs("1"), only=Selection(steps="parse"))


# with other data


def test_a_result_can_be_retried_again_although_a_step_changed_what_it_got() -> None:
    entered: list[dict[str, int]] = []

    def empty(basket: dict[str, int]) -> int:
        entered.append(dict(basket))
        basket.clear()
        if len(entered) < 4:
            raise ValueError("not yet")
        return 1

    baskets = Processor(pipeline=step("fill")(lambda count: {"apples": count}) >> step("empty")(empty))
    whole: Processor[Any, Any, Any] = Processor(pipeline=step("empty")(empty))
    first = baskets.execute([ProcessorInput(input_id="a", data=3)])
    baskets.retry(first)
    unstarted = whole.execute([ProcessorInput(input_id="a", data={"apples": 3})])

    assert baskets.retry(first).success
    assert whole.retry(unstarted).success
    assert entered == [{"apples": 3}] * 5


def test_edited_data_goes_on_at_the_step_that_failed(way: Way) -> None:
    first = failing(way)

    edited = way.edit(way.edit(first, "in x", "7"), "in 4", 40)
    plan = {item.input_id: item for item in way.plan(edited)}
    second = way.again(edited)

    assert ran == [("parse", "7"), ("check", 7), ("check", 2), ("check", 3), ("check", 40)]
    assert second.output == [10, 70, 20, 30, 400]
    assert plan["in 4"].steps == ("check",)
    assert plan["in 4"].reason == "stopped at 'check': TimeoutError; its data was edited"
    assert second.context.execution_metadata["edited"] == "in x, in 4"
    assert second.context.retry_count == 1


def test_an_edit_alone_runs_nothing_and_leaves_the_rest_as_it_was(way: Way) -> None:
    first = failing(way)

    edited = way.edit(first, "in 4", 40)
    second = way.again(edited, only=Selection(input_ids="in x"))

    assert ran == [("parse", "x")]
    assert told(second)[2:4] == told(first)[2:4]
    assert told(second)[4] == "in 4: not run: edited, not run yet"
    assert told(way.again(second))[4] == "in 4: succeeded 400"


def test_the_failures_of_an_edited_result_can_be_written(tmp_path: Path) -> None:
    way = Way(None, in_memory=True)

    assert way.edit(failing(way), "in x", "7").write_failures(tmp_path / "failures.jsonl") == 3


def test_an_edited_payload_says_so_until_the_input_succeeds(way: Way) -> None:
    first = failing(way)
    broken[5] = ValueError("five")

    second = way.again(way.edit(first, "in 4", 5), only=Selection(input_ids="in 4"))

    (failed,) = [failed for failed in second.failed if failed.input_id == "in 4"]
    assert (failed.payload.edited, failed.payload.data, failed.message) == (True, 5, "five")


def test_data_of_another_type_is_refused_with_its_path(way: Way) -> None:
    first = failing(way)

    with pytest.raises(
        InvalidEdit, match=r"input 'in 4' does not fit step 'check': \$: expected `int`, got `str`"
    ) as no:
        way.edit(first, "in 4", "forty")

    assert no.value.path == "$"
    assert told(way.again(first))[4] == "in 4: succeeded 40"


def test_what_cannot_be_edited_says_why(way: Way) -> None:
    first = failing(way)

    with pytest.raises(InvalidEdit, match="input 'in 1' has succeeded"):
        way.edit(first, "in 1", "9")
    with pytest.raises(UnknownInput, match=r"no input 'in 44' in run .*; did you mean 'in 4'"):
        way.edit(first, "in 44", 9)


def test_a_success_that_came_as_a_dictionary_and_was_not_reached_cannot_be_edited(way: Way) -> None:
    broken[1] = ValueError("one")
    done = ProcessorInput(input_id="done", data="3", payload={"status": "completed", "output": 33})
    first = way.processor(fail_fast=True).execute([*inputs("1"), done])
    broken.clear()

    with pytest.raises(InvalidEdit, match="input 'done' has succeeded"):
        way.edit(first, "done", "7")
    assert way.again(first).output == [10, 33]


def test_an_input_whose_data_could_not_be_stored_is_edited_at_the_step_that_failed_it(way: Way) -> None:
    def take(value: object) -> int:
        return int(str(value))

    take_it: Step[Any, Any, Any] = step("take")(take)
    pipeline: Any = step("wrap")(lambda value: {value}) >> take_it  # a set, which undeclared JSON has not
    processor: Processor[Any, Any, Any] = Processor(pipeline=pipeline, journal=way.journal)
    first = processor.execute(to_inputs([1], key=str))

    edited: Any = processor.edit(way.of(first), "1", 40)

    assert processor.plan(edited).inputs[0].start == "take"
    assert (processor.retry if way.in_memory else processor.resume)(edited).output == [40]


def test_an_input_that_a_wrong_processor_refused_is_edited_by_the_right_one(way: Way) -> None:
    broken[1] = ValueError("one")
    given = [ProcessorInput(input_id=f"in {text}", account_id="A", data=text) for text in "1x"]
    ours, theirs = {"account_id": "A", "fail_fast": True}, {"account_id": "B"}
    refused = way.again(way.processor(**ours).execute(given), theirs)
    broken.clear()

    def edit(of: Any, options: Any, input_id: str, data: Any) -> Any:
        edited = way.processor(**options).edit(way.of(of), input_id, data)
        return edited if way.in_memory else of

    with pytest.raises(InvalidEdit, match="account_id 'A' is not this processor's account_id 'B'"):
        edit(refused, theirs, "in x", "2")
    edited = edit(edit(refused, ours, "in x", "2"), ours, "in 1", 3)
    plan = way.plan(edited, ours)

    assert [failed.step for failed in refused.failed] == ["prevalidation", "prevalidation"]
    assert [item.start for item in plan] == ["check", "parse"]
    assert plan.inputs[1].reason == "stopped at 'parse'; its data was edited"
    assert way.again(edited, ours).output == [30, 20]


def test_the_first_of_two_inputs_of_an_id_is_the_one_that_is_edited(way: Way) -> None:
    broken[1] = ValueError("one")
    isolating = {"prevalidation": "isolate"}
    first = way.processor(prevalidation="isolate").execute([*inputs("1"), ProcessorInput(input_id="in 1", data="5")])
    broken.clear()

    again = way.again(way.edit(first, "in 1", 4), isolating)

    assert told(again)[0] == "in 1: succeeded 40"
    assert again.failed[0].step == "prevalidation"


def test_an_input_that_never_started_is_edited_at_its_first_step(way: Way) -> None:
    broken[1] = ValueError("one")
    first = way.processor(fail_fast=True).execute(inputs("1", "x"))
    broken.clear()

    assert way.again(way.edit(first, "in x", "2")).output == [10, 20]


def test_a_path_leads_to_the_field_that_does_not_fit() -> None:
    def add(pages: list[dict[str, int]]) -> int:
        return sum(page["n"] // 0 for page in pages)

    adding: Step[Any, Any, Any] = step("add")(add)
    processor: Processor[Any, Any, Any] = Processor(pipeline=adding)
    result = processor.execute([ProcessorInput(input_id="a", data=[{"n": 1}])])

    with pytest.raises(InvalidEdit, match=r"\$\[1\]\.n: expected `int`, got `str`"):
        processor.edit(result, "a", [{"n": 1}, {"n": "two"}])


def test_an_edit_of_a_run_in_progress_is_refused() -> None:
    way = Way(MemoryJournal(), in_memory=False)
    first = failing(way)
    stream: Any = way.processor().stream(inputs("1", "2"), context=first.retry_context())
    next(stream)

    with pytest.raises(RunOwned, match="in progress"):
        way.edit(first, "in x", "7")
    stream.close()


# not any more


def test_an_input_that_fails_every_time_is_quarantined_and_can_be_let_out(way: Way) -> None:
    broken[2] = ValueError("two")
    limited = {"max_attempts": 2}
    result = way.processor(**limited).execute(inputs("1", "2"))
    for _ in range(2):
        result = way.again(result, limited)
        assert [failed.input_id for failed in result.failed] == ["in 2"]
    ran.clear()

    (planned,) = [item for item in way.plan(result, limited) if item.input_id == "in 2"]
    quarantined = way.again(result, limited)
    still = way.again(quarantined, limited)
    (listed,) = [item for item in way.plan(still, limited, lift=["in 2"]) if item.input_id == "in 2"]

    assert ran == []
    assert (planned.action, planned.reason) == (
        "park",
        "quarantined: 2 resumes failed, 2 are allowed (max_attempts)",
    )
    assert told(still)[1] == "in 2: not run: quarantined: 2 resumes failed, 2 are allowed (max_attempts)"
    assert isinstance(still.not_run[0].payload, Payload)
    assert (listed.action, listed.steps) == ("run", ("check",))
    lifted = way.again(still, limited, lift="in 2")
    assert [failed.payload.retry_count for failed in lifted.failed] == [0]
    broken.clear()
    assert way.again(lifted, limited).output == [10, 20]


def test_everybody_can_be_let_out_at_once(way: Way) -> None:
    broken.update({2: ValueError("two"), 3: ValueError("three")})
    limited = {"max_attempts": 1}
    result = way.processor(**limited).execute(inputs("2", "3"))
    result = way.again(way.again(result, limited), limited)
    broken.clear()

    assert len(result.not_run) == 2
    assert way.again(result, limited, lift=True).output == [20, 30]


def test_an_edit_and_a_changed_input_count_anew(way: Way) -> None:
    broken[2] = ValueError("two")
    limited = {"max_attempts": 1}
    result = way.processor(**limited).execute(inputs("2"))
    result = way.again(way.again(result, limited), limited)

    assert len(result.not_run) == 1
    assert way.again(way.edit(result, "in 2", 5), limited).output == [50]


def test_resumes_in_which_an_input_did_not_run_do_not_count(way: Way) -> None:
    broken.update({1: ValueError("one"), 2: ValueError("two")})
    limited = {"max_attempts": 1}
    result = way.processor(**limited).execute(inputs("1", "2"))
    for _ in range(3):
        result = way.again(result, limited, only=Selection(input_ids="in 1"))
    ran.clear()

    way.again(result, limited)

    assert ran == [("check", 2)]


def test_a_plain_payload_is_counted_by_the_lineage() -> None:
    broken[2] = ValueError("two")
    processor = Processor(pipeline=parse >> check, max_attempts=2)
    result = processor.execute(inputs("2"))
    while not result.not_run:
        (response,) = result.error_responses()
        plain = [ProcessorInput(input_id="in 2", data="2", payload=response["payload"])]
        result = processor.execute(plain, context=result.retry_context())

    assert result.context.retry_count == 3
    assert result.not_run[0].reason == "quarantined: 2 resumes failed, 2 are allowed (max_attempts)"


def test_the_limit_is_a_number_from_one() -> None:
    with pytest.raises(InvalidSetting, match="max_attempts=0"):
        Processor(pipeline=parse, max_attempts=0)


# what is kept of an input that cannot be gone on with


def test_a_renamed_step_fails_closed_and_its_old_name_brings_the_payload_back(way: Way) -> None:
    first = failing(way)
    renamed: Any = Step("verify", check.fn)
    known: Any = Step("verify", check.fn, aliases=("check",))

    def go_on(last: Step[Any, Any, Any], result: Any) -> ProcessingResult[Any, Any]:
        processor: Any = Processor(name="numbers", pipeline=parse >> last, journal=way.journal)
        again: ProcessingResult[Any, Any] = (
            processor.retry(result) if way.in_memory else processor.resume(result.run_id)
        )
        return again

    second = go_on(renamed, first)
    third = go_on(renamed, second)
    ran.clear()
    fourth = go_on(known, third)

    assert [failed.step for failed in third.failed] == ["resume", "parse", "resume", "resume", "resume"]
    assert [pair for pair in ran if pair[0] == "check"] == [("check", 2), ("check", 3), ("check", 4)]
    assert [outcome.input_id for outcome in fourth.succeeded] == ["in 1", "in 2", "in 3", "in 4"]


def test_a_retry_is_an_execution_of_what_the_result_gives() -> None:
    rates = {"EUR": 1}
    prices = Processor(pipeline=step("convert")(rates.__getitem__), aggregate=sum)
    first = prices.execute(to_inputs(["EUR", "USD"]))
    rates["USD"] = 2

    retried = prices.retry(first)
    executed = prices.execute(first.retry_inputs(), context=first.retry_context())

    assert (retried.output, executed.output) == (3, 3)
    assert retried.context.retry_count == executed.context.retry_count == 1
    assert retried.context.previous_run_id == executed.context.previous_run_id == first.run_id
    assert [type(outcome) for outcome in retried.outcomes] == [type(outcome) for outcome in executed.outcomes]

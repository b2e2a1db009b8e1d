"""What a journal holds of an input is in the result and in dead letters too, for a retry that has not the journal."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from pipeline import (
    Completed,
    ExecutionContext,
    Payload,
    Pipeline,
    Processor,
    ProcessorInput,
    Selection,
    Skipped,
    step,
    to_inputs,
)
from pipeline.errors import InvalidEdit, JournalError, RunFailed, RunInterrupted
from pipeline.journal.recall import Recall
from pipeline.result import ProcessingResult
from tests.journal.roster import Store

ran: list[tuple[str, int]] = []
broken: set[int] = set()


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    ran.clear()
    broken.clear()


@step("a")
def a(value: int) -> int:
    ran.append(("a", value))
    if value in broken:
        raise ValueError(f"{value} is broken")
    return value + 1


@step("new")
def new(value: int) -> int:
    return value


@step("b")
def b(value: int) -> int:
    ran.append(("b", value))
    if value in broken:
        raise ValueError(f"{value} is broken")
    return value * 10


def processor(journal: Any = None, pipeline: Any = a >> b, account_id: str = "acc", **options: Any) -> Processor[Any]:
    return Processor(name="p", pipeline=pipeline, account_id=account_id, journal=journal, **options)


def inputs(**data: int) -> list[ProcessorInput[int]]:
    return [ProcessorInput(input_id=name, account_id="acc", data=value) for name, value in data.items()]


def joins(result: ProcessingResult[Any, Any]) -> ExecutionContext:
    return ExecutionContext(previous_run_id=result.run_id)


def plan_of(plan: Any) -> list[tuple[str, str | None]]:
    return [(item.action, item.start) for item in plan]


def done_and_failed(journal: Any) -> ProcessingResult[Any, Any]:
    """A run in which x succeeded and y stopped at b; what was broken is mended."""
    broken.add(3)
    result = processor(journal).execute(inputs(x=1, y=2))
    broken.clear()
    ran.clear()
    return result


def cut_short(journal: Any, first: ProcessingResult[Any, Any], **data: int) -> ProcessingResult[Any, Any]:
    """A run that joins the first, and ends before it comes to these inputs."""
    broken.add(99)
    result = processor(journal, fail_fast=True).execute(inputs(z=99, **data), joins(first))
    broken.clear()
    ran.clear()
    return result


# refused


REFUSING: dict[str, Callable[[Any], ProcessingResult[Any, Any]]] = {
    "by other steps": lambda journal: processor(journal, a >> new >> b, on_code_change="error").resume(),
    "for another account": lambda journal: processor(journal, account_id="acc2").resume(),
    "for another account, one by one": lambda journal: processor(
        journal, account_id="acc2", prevalidation="isolate"
    ).resume(),
    "for other data": lambda journal: processor(journal, on_input_change="error").execute(
        inputs(x=5, y=6), ExecutionContext(previous_run_id=journal.runs()[-1].run_id)
    ),
}


@pytest.mark.parametrize("refuse", REFUSING.values(), ids=REFUSING)
def test_a_retry_without_the_journal_goes_on_where_a_refused_input_was(journal: Any, refuse: Any) -> None:
    done_and_failed(journal)

    result = refuse(journal)

    assert len(result.failed) == 2
    assert plan_of(processor(on_input_change="resume").plan(result)) == [("skip", None), ("run", "b")]


@pytest.mark.parametrize("refuse", REFUSING.values(), ids=REFUSING)
def test_dead_letters_of_refused_inputs_bring_what_the_journal_holds(journal: Any, refuse: Any, tmp_path: Path) -> None:
    done_and_failed(journal)

    refuse(journal).write_failures(tmp_path / "dead.jsonl")
    back = processor().read_failures(tmp_path / "dead.jsonl")

    assert plan_of(processor(on_input_change="resume").plan(back)) == [("skip", None), ("run", "b")]


def test_what_is_refused_and_not_selected_comes_back_with_what_the_journal_holds(journal: Any) -> None:
    done_and_failed(journal)
    refused = processor(journal, a >> new >> b).resume()

    kept = processor(journal, a >> new >> b).resume(only=Selection(input_ids="y"))

    assert len(refused.failed) == 1
    assert processor().plan(kept).inputs[0].action == "skip"


def test_a_damaged_row_is_refused_in_dead_letters_and_a_retry_too(store: Store, tmp_path: Path) -> None:
    journal = store.journal("step")
    done_and_failed(journal)
    store.execute("UPDATE outcomes SET step = 'a' WHERE status = 'failed'")

    result = processor(journal).resume()
    result.write_failures(tmp_path / "dead.jsonl")
    back = processor().read_failures(tmp_path / "dead.jsonl")

    assert [failed.exception for failed in result.failed] == ["BadPayload"]
    assert plan_of(processor().plan(result)) == [("skip", None), ("refuse", None)]
    assert plan_of(processor().plan(back)) == [("refuse", None)]


def test_an_input_of_an_id_that_is_used_twice_is_not_taken_for_the_other(journal: Any) -> None:
    first = done_and_failed(journal)

    twice = processor(journal, prevalidation="isolate").execute([*inputs(x=1), *inputs(x=7)], joins(first))

    assert twice.failed[0].step == "prevalidation"
    assert [type(item.payload) for item in twice.retry_inputs()] == [Completed, type(None)]


@pytest.mark.parametrize("refuse", [REFUSING["by other steps"], REFUSING["for another account"]])
def test_a_refused_input_that_changes_starts_over(journal: Any, refuse: Any) -> None:
    done_and_failed(journal)
    result = refuse(journal)
    changed = [msgspec.structs.replace(item, data=item.data + 5) for item in result.retry_inputs()]

    again = processor(journal).execute(changed, result.retry_context())

    assert again.output == [70, 80]
    assert ran == [("a", 6), ("b", 7), ("a", 7), ("b", 8)]


def test_a_refused_input_is_left_as_it_is_recorded(journal: Any) -> None:
    done_and_failed(journal)
    before = [*journal.outcomes(1)]

    for refuse in REFUSING.values():
        refuse(journal)

    assert [(row.status, row.step, row.data) for row in before] == [
        (row.status, row.step, row.data) for row in journal.outcomes(1)
    ]


@step("when")
def when(text: str) -> date:
    ran.append(("when", len(text)))
    return date.fromisoformat(text)


@step("later")
def later(day: date) -> dict[date, tuple[bytes, Decimal]]:
    return {day: (b"ab", Decimal("1.10"))}


@step("between")
def between(day: date) -> date:
    return day


@step("any of it")
def any_of_it(value: Any) -> Any:
    return value


DAYS: Any = when >> later
OUTPUT = {date(2026, 1, 1): (b"ab", Decimal("1.10"))}


def as_number(value: Any) -> int:
    return int(value)


def as_what_cannot_be_read(value: Any) -> Path:
    return cast("Path", value)


def of_days(journal: Any = None, pipeline: Any = DAYS, **options: Any) -> Processor[Any]:
    return Processor(name="p", pipeline=pipeline, journal=journal, **options)


def refused_by_other_steps(journal: Any) -> ProcessingResult[Any, Any]:
    """What a pipeline with a step in between makes of what the journal holds of these steps."""
    of_days(journal).execute(to_inputs(["2026-01-01"]))
    ran.clear()
    result = of_days(journal, when >> between >> later).resume()
    assert [failed.exception for failed in result.failed] == ["PipelineChanged"]
    return result


@pytest.mark.parametrize("with_journal", [True, False])
def test_a_success_that_other_steps_refused_is_of_its_declared_type_again(journal: Any, with_journal: bool) -> None:
    result = refused_by_other_steps(journal)

    again = of_days(journal if with_journal else None).retry(result)

    assert again.output == [OUTPUT]
    assert isinstance(done := again.retry_inputs()[0].payload, Completed)
    assert (done.output, done.plain) == (OUTPUT, False)
    assert ran == []
    assert not with_journal or of_days(journal).resume().output == [OUTPUT]


def test_a_success_of_other_steps_that_cannot_be_stored_is_refused_until_another_comes(journal: Any) -> None:
    done = of_days().execute(to_inputs(["2026-01-01"]))
    ran.clear()
    other = of_days(journal, when >> between >> later)

    refused = other.retry(done)
    again = [of_days(journal).resume(), other.resume()]

    assert [result.failed[0].exception for result in (refused, *again)] == ["PipelineChanged", *["BadPayload"] * 2]
    assert all("its output could not be stored" in result.failed[0].message for result in again)
    assert ran == []
    assert of_days(journal).retry(refused).output == of_days(journal).resume().output == [OUTPUT]
    assert of_days(journal, on_bad_payload="restart").retry(again[0]).success


def test_steps_behind_those_that_made_an_output_get_it_as_its_declared_type(journal: Any) -> None:
    result = refused_by_other_steps(journal)

    longer = of_days(pipeline=when >> later >> any_of_it)

    assert longer.retry(result).output == [OUTPUT]
    assert ran == []


def test_dead_letters_of_a_success_bring_its_declared_type_also_where_it_is_refused_again(
    journal: Any, tmp_path: Path
) -> None:
    stranger = of_days(account_id="other").retry(refused_by_other_steps(journal))
    stranger.write_failures(tmp_path / "dead.jsonl")

    own = of_days()

    assert stranger.failed[0].step == "prevalidation"
    assert own.execute(own.read_failures(tmp_path / "dead.jsonl")).output == [OUTPUT]


@pytest.mark.parametrize("with_journal", [True, False])
def test_an_output_that_does_not_fit_its_steps_is_refused_until_another_comes(journal: Any, with_journal: bool) -> None:
    held = journal if with_journal else None
    items: Any = [ProcessorInput(input_id="x", data="2026-01-01", payload={"status": "completed", "output": "no"})]

    result = of_days(held).execute(items)

    assert "its output is not what its steps declare: $: expected" in result.failed[0].message
    assert not of_days(held).retry(result).success
    assert not with_journal or of_days(held).resume().failed[0].step == "resume"
    assert of_days(held, on_bad_payload="restart").retry(result).output == [OUTPUT]


def test_a_success_in_a_dead_letter_that_does_not_fit_any_more_is_refused(tmp_path: Path) -> None:
    done: Any = processor(None, Pipeline(step("s")(str))).execute(inputs(x=1))
    processor(None, Pipeline(step("s")(str)), account_id="other").retry(done).write_failures(tmp_path / "dead.jsonl")
    whole = processor(None, Pipeline(step("s")(as_number)))

    back = whole.read_failures(tmp_path / "dead.jsonl")

    assert "$: expected `int`, got `str`" in whole.execute(back).failed[0].message


def test_an_output_that_never_left_memory_need_not_be_readable() -> None:
    unreadable: Any = Pipeline(step("s")(as_what_cannot_be_read))
    first = processor(None, unreadable).execute(inputs(x=1))

    again = processor(None, unreadable).retry(first)

    assert again.output == [1]
    assert isinstance(again.outcomes[0], Skipped)


# not reached


def test_an_input_that_was_not_reached_is_edited_where_the_journal_says_it_stopped(journal: Any) -> None:
    cut = cut_short(journal, done_and_failed(journal), y=2)

    of_the_result = processor(journal).edit(cut, "y", 50)
    of_the_run = processor(journal).edit(cut.run_id, "y", 50)

    assert processor(journal).plan(of_the_result).inputs[1] == processor(journal).plan(of_the_run).inputs[1]
    assert processor(journal).plan(of_the_result).inputs[1].start == "b"


def test_a_retry_without_the_journal_goes_on_where_an_input_was_that_was_not_reached(journal: Any) -> None:
    cut = cut_short(journal, done_and_failed(journal), x=1, y=2, w=8)

    again = processor().retry(cut)

    assert cut.not_run[1].payload is not None
    assert cut.not_run[1].payload.step == "b"
    assert ran == [("a", 99), ("b", 100), ("b", 3), ("a", 8), ("b", 9)]
    assert again.output == [1000, 20, 30, 90]


def test_a_success_that_was_not_reached_cannot_be_edited(journal: Any) -> None:
    cut = cut_short(journal, done_and_failed(journal), x=1)

    for of in (cut, cut.run_id):
        with pytest.raises(InvalidEdit, match="'x' has succeeded"):
            processor(journal).edit(of, "x", 50)


@pytest.mark.parametrize(
    ("raised", "told"), [(JournalError("the disk is gone"), RunFailed), (KeyboardInterrupt(), RunInterrupted)]
)
def test_what_cannot_be_asked_at_the_end_costs_no_outcome(
    journal: Any, raised: BaseException, told: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = done_and_failed(journal)

    def fails(*_: Any) -> Any:
        raise raised

    monkeypatch.setattr(Recall, "remembered", fails)
    with pytest.raises(told) as caught:
        cut_short(journal, first, x=1, y=2)

    assert [type(outcome).__name__ for outcome in caught.value.result.outcomes] == ["Failed", "NotRun", "NotRun"]


# kept


@pytest.mark.parametrize("with_journal", [True, False])
def test_an_output_keeps_the_code_that_made_it(journal: Any, with_journal: bool) -> None:
    held = journal if with_journal else None
    first = done_and_failed(held)
    newer: Any = Pipeline(step("a", version="2")(lambda value: value + 1000), b)
    kept = processor(held, newer, on_code_change="resume").retry(first)

    again = processor(held, newer, on_code_change="restart").retry(kept)

    assert kept.output == [20, 30]
    assert again.output == [10010, 30]


@pytest.mark.parametrize("with_journal", [True, False])
def test_an_output_keeps_the_data_that_made_it(journal: Any, with_journal: bool) -> None:
    held = journal if with_journal else None
    first = processor(held).execute(inputs(x=1))
    changed = [msgspec.structs.replace(item, data=5) for item in first.retry_inputs()]
    kept = processor(held, on_input_change="resume").execute(changed, first.retry_context())

    again = processor(held).retry(kept)

    assert kept.output == [20]
    assert again.output == [60]


def test_a_retry_of_kept_outputs_tells_the_journal_nothing_new(journal: Any) -> None:
    first = done_and_failed(journal)
    newer: Any = Pipeline(step("a", version="2")(lambda value: value + 1000), b)
    kept = processor(journal, newer).retry(first)

    processor(journal, newer).retry(kept)

    strict = processor(journal, newer, on_code_change="restart")
    assert strict.plan(journal.runs()[-1].run_id).inputs[0].reason == "the code of 'a' changed: from the first step"


def test_an_output_from_the_journal_that_then_changes_is_not_kept(journal: Any) -> None:
    done_and_failed(journal)
    kept = processor(journal).resume()
    changed = [msgspec.structs.replace(item, data=5) for item in kept.retry_inputs()]

    again = processor(journal).execute(changed, kept.retry_context())

    assert again.output == [60, 60]


# edited


def test_an_edit_outlasts_that_the_input_changed_before_it(journal: Any) -> None:
    first = done_and_failed(journal)
    cut = cut_short(journal, first, y=7)

    edited = processor(journal).edit(cut.run_id, "y", 50)
    by_the_result = processor().plan(processor(journal).edit(cut, "y", 50))

    assert plan_of(by_the_result)[1] == ("run", "b")
    assert plan_of(processor(journal).plan(edited))[1] == ("run", "b")
    assert processor(journal).resume(edited).output == [1000, 500]


def test_an_input_that_was_refused_because_it_changed_may_be_edited(journal: Any) -> None:
    first = done_and_failed(journal)
    strict = processor(journal, on_input_change="error")
    refused = strict.execute(inputs(x=1, y=7), joins(first))

    edited = strict.edit(refused.run_id, "y", 50)

    assert refused.failed[0].exception == "InputChanged"
    assert plan_of(strict.plan(strict.edit(refused, "y", 50)))[1] == ("run", "b")
    assert strict.resume(edited).output == [20, 500]


def test_an_edit_counts_for_the_data_that_it_was_made_for(journal: Any) -> None:
    first = done_and_failed(journal)
    edited = processor(journal).edit(first, "y", 50)
    changed = [msgspec.structs.replace(item, data=7) for item in edited.retry_inputs()]

    plan = processor(journal).plan(changed, edited.retry_context())

    assert isinstance(changed[1].payload, Payload)
    assert plan.inputs[1].reason == "the input changed: from the first step"

"""What a run left behind is gone on with: after a failure, a fix, a changed input, a kill."""

from __future__ import annotations

import asyncio
import datetime as dt
import multiprocessing
import os
import re
import sqlite3
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from msgspec.structs import replace

from pipeline import (
    Completed,
    Event,
    ExecutionContext,
    Failed,
    NotRun,
    Pipeline,
    Processor,
    ProcessorInput,
    Selection,
    Skipped,
    Succeeded,
    batch_step,
    step,
    to_inputs,
)
from pipeline.errors import InputsNeeded, InvalidSetting, JournalDamaged, JournalError, RunFailed, RunOwned, UnknownRun
from pipeline.events import CodeChanged
from pipeline.journal import SqliteJournal
from pipeline.journal.sql import SqlJournal
from tests.journal.roster import SHARED, Store, Stores

ran: list[tuple[str, Any]] = []
broken: set[int] = set()


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    ran.clear()
    broken.clear()


@step("double")
def double(value: int) -> int:
    ran.append(("double", value))
    return value * 2


@step("check")
def check(value: int) -> int:
    ran.append(("check", value))
    if value in broken:
        raise ValueError(f"{value} is broken")
    return value + 1


def processor(journal: Any, **options: Any) -> Processor[int, int, list[int]]:
    return Processor(name="numbers", pipeline=double >> check, journal=journal, **options)


def inputs(*values: int) -> list[ProcessorInput[int]]:
    return list(to_inputs(values, key=str))


def test_a_resume_runs_only_what_did_not_succeed_from_the_step_that_failed(journal: Any) -> None:
    broken.add(4)
    first = processor(journal).execute(inputs(1, 2, 3))
    broken.clear()
    ran.clear()

    again = processor(journal).resume()

    assert [failed.step for failed in first.failed] == ["check"]
    assert ran == [("check", 4)]
    assert again.output == [3, 5, 7]
    assert [type(outcome) for outcome in again.outcomes] == [Skipped, Succeeded, Skipped]
    assert again.context.previous_run_id == first.run_id
    assert again.context.retry_count == 1


def test_bare_inputs_find_what_they_had_and_new_ones_join(journal: Any) -> None:
    broken.add(4)
    first = processor(journal).execute(inputs(1, 2))
    broken.clear()
    ran.clear()

    context = ExecutionContext(previous_run_id=first.run_id)
    again = processor(journal).execute(inputs(9, 2, 1), context=context)

    assert ran == [("double", 9), ("check", 18), ("check", 4)]
    assert again.output == [19, 5, 3]


def test_an_input_left_out_of_the_latest_run_is_left_out_of_its_resume(journal: Any) -> None:
    first = processor(journal).execute(inputs(1, 2, 3))
    processor(journal).execute(inputs(3, 1), context=ExecutionContext(previous_run_id=first.run_id))

    assert processor(journal).resume().output == [7, 3]


def test_a_changed_input_starts_over(journal: Any) -> None:
    first = processor(journal).execute([ProcessorInput(input_id="a", data=1)])
    ran.clear()

    changed = [ProcessorInput(input_id="a", data=5)]
    again = processor(journal).execute(changed, context=ExecutionContext(previous_run_id=first.run_id))

    assert again.output == [11]
    assert ran == [("double", 5), ("check", 10)]
    assert processor(journal).resume().output == [11]


def outcomes(processor: Any, way: str, given: Any, context: ExecutionContext) -> list[Any]:
    if way == "stream":
        return list(processor.stream(given, context))

    async def streamed() -> list[Any]:
        return [outcome async for outcome in processor.astream(given, context)]

    return asyncio.run(streamed()) if way == "astream" else list(processor.execute(given, context).outcomes)


def changed_and_not(value: int) -> list[ProcessorInput[int]]:
    return [ProcessorInput(input_id="a", data=value), ProcessorInput(input_id="b", data=2)]


BY_THE_RULE: dict[Any, tuple[str, Any, list[Any]]] = {
    "restart": ("run", 11, [("double", 5), ("check", 10)]),
    "error": ("refuse", "InputChanged", []),
    "resume": ("skip", 3, []),
}


@pytest.mark.parametrize("way", ["execute", "stream", "astream"])
@pytest.mark.parametrize("rule", BY_THE_RULE)
def test_a_changed_input_meets_its_rule_on_every_way_as_the_plan_says(journal: Any, way: str, rule: Any) -> None:
    action, ends, steps = BY_THE_RULE[rule]
    first = processor(journal).execute(changed_and_not(1))
    strict, context = processor(journal, on_input_change=rule), ExecutionContext(previous_run_id=first.run_id)
    ran.clear()

    plan = strict.plan(changed_and_not(5), context)
    met = outcomes(strict, way, changed_and_not(5), context)

    assert [item.action for item in plan] == [action, "skip"]
    assert [getattr(outcome, "output", None) or outcome.exception for outcome in met] == [ends, 5]
    assert ran == steps
    assert [item.action for item in strict.plan(runs(journal)[-1])] == [
        "refuse" if ends == "InputChanged" else "skip",
        "skip",
    ]


@pytest.mark.parametrize("way", ["execute", "stream", "astream"])
def test_a_payload_that_was_not_reached_does_not_outlast_that_its_input_changed(journal: Any, way: str) -> None:
    broken.add(2)
    waits: Any = replace(inputs(7)[0], payload={"step": "check", "data": 14})
    first = processor(journal, fail_fast=True).execute([*inputs(1), waits])
    ran.clear()

    changed = [ProcessorInput(input_id="7", data=8)]
    context = ExecutionContext(previous_run_id=first.run_id)
    plan = processor(journal).plan(changed, context)

    assert [type(outcome) for outcome in first.outcomes] == [Failed, NotRun]
    assert [item.start for item in plan] == ["double"]
    assert [outcome.output for outcome in outcomes(processor(journal), way, changed, context)] == [17]
    assert ran == [("double", 8), ("check", 16)]


def test_the_plan_says_what_the_resume_then_does(journal: Any) -> None:
    broken.add(4)
    first = processor(journal).execute(inputs(1, 2))
    ran.clear()

    plan = list(processor(journal).plan(first.run_id))

    assert [(item.action, item.steps) for item in plan] == [("skip", ()), ("run", ("check",))]
    assert ran == []


def test_a_run_in_progress_is_not_resumed_by_another(journal: Any) -> None:
    stream: Any = processor(journal).stream(inputs(1, 2, 3))
    next(stream)

    with pytest.raises(RunOwned, match=f"in progress in process {os.getpid()}"):
        processor(journal).resume()
    stream.close()

    assert processor(journal).resume().success


def test_a_retry_of_the_result_and_the_journal_agree(journal: Any) -> None:
    broken.add(4)
    numbers = processor(journal)
    first = numbers.execute(inputs(1, 2))
    second = numbers.retry(first)
    broken.clear()
    ran.clear()

    assert not second.success
    assert numbers.resume().output == [3, 5]
    assert ran == [("check", 4)]


def test_a_resume_has_the_lineage_that_a_retry_of_the_result_has(journal: Any) -> None:
    @step("last")
    def last(value: int) -> int:
        raise ValueError(value)

    broken.add(4)
    numbers = Processor(name="numbers", pipeline=double >> check >> last, journal=journal)
    first = numbers.execute(inputs(1, 2, 3))
    resumed = numbers.resume()
    numbers.execute(inputs(1, 3), resumed.retry_context())

    assert replace(resumed.context, run_id=None) == first.retry_context()
    assert first.retry_context().last_error_step == "check"
    assert numbers.resume(only=Selection(input_ids="1")).context.last_error_step == "last"


@pytest.mark.parametrize("kind", ["memory", *SHARED])
def test_a_damaged_row_hides_no_failing_step_but_its_own(make_store: Stores, kind: str) -> None:
    broken.add(4)
    store = make_store(kind)
    processor(store()).execute(inputs(1, 2))
    store.execute("UPDATE outcomes SET data = '999' WHERE id % 2 = 0")

    assert processor(store()).resume().context.last_error_step == "check"


@pytest.mark.parametrize("at", ["double", "check"])
def test_the_failing_step_is_found_without_all_that_failed(store: Store, at: str) -> None:
    @step("double")
    def first(value: int) -> int:
        if at == "double":
            raise ValueError("no")
        return value

    broken.update(range(20))
    numbers = Processor(name="numbers", pipeline=first >> check, journal=store())
    numbers.execute(inputs(*range(20)))
    whole = list[int]()
    left = store()
    read = left.outcome

    def outcome(number: int) -> Any:
        whole.append(number)
        return read(number)

    with patch.object(left, "outcome", outcome):
        found = Processor(name="numbers", pipeline=first >> check, journal=left)._past().left(None)

    assert found.context.last_error_step == at
    assert len(whole) == 1


def test_the_number_of_resumes_is_remembered(journal: Any) -> None:
    broken.add(4)
    processor(journal).execute(inputs(2))
    processor(journal).resume()

    assert processor(journal).resume().failed[0].payload.retry_count == 2


def test_a_processor_without_runs_has_nothing_to_resume(journal: Any) -> None:
    with pytest.raises(UnknownRun, match="no run of processor 'numbers'"):
        processor(journal).resume()
    with pytest.raises(LookupError, match="no run 'x'"):
        processor(journal).resume("x")


def test_an_unknown_previous_run_is_an_error_that_names_the_one_meant(journal: Any) -> None:
    run_id = processor(journal).execute(inputs(1)).run_id
    ran.clear()

    misspelt = ExecutionContext(previous_run_id=run_id[:-1])
    with pytest.raises(UnknownRun, match=f"did you mean '{run_id}'"):
        processor(journal).execute(inputs(1), context=misspelt)
    with pytest.raises(LookupError, match=rf"no run 'yesterday' .* the latest is '{run_id}'"):
        next(processor(journal).stream(inputs(1), context=ExecutionContext(previous_run_id="yesterday")))
    assert ran == []


@pytest.mark.parametrize("way", ["execute", "stream", "plan"])
def test_an_unknown_previous_run_is_an_error_where_an_input_brings_no_payload(journal: Any, way: str) -> None:
    processor(journal).execute(inputs(1))
    brings: Any = replace(inputs(2)[0], payload={"step": "double", "data": 2})
    ran.clear()

    def told(given: list[Any]) -> str:
        asked: Any = getattr(processor(journal), way)(given, ExecutionContext(previous_run_id="yesterday"))
        return type(next(iter(asked if way != "execute" else asked.outcomes))).__name__

    for given in ([brings, *inputs(1)], [brings, 7, *inputs(1)], [7], []):
        with pytest.raises(UnknownRun):
            told(given)
    assert ran == []
    assert told([brings, 7]) == ("PlannedInput" if way == "plan" else "Succeeded" if way == "stream" else "NotRun")


def test_a_result_without_a_journal_is_retried_with_one_also_where_an_input_was_not_reached(journal: Any) -> None:
    broken.add(6)
    result = processor(None, fail_fast=True).execute(inputs(3, 1))
    broken.clear()
    ran.clear()

    plan = processor(journal).plan(result)
    again = processor(journal).retry(result)

    assert len(result.not_run) == 1
    assert [(item.action, item.start) for item in plan] == [("run", "check"), ("run", "double")]
    assert again.output == [7, 3]


def test_a_run_of_another_processor_is_not_gone_on_with(journal: Any) -> None:
    other = Processor(name="other", pipeline=double, journal=journal)
    theirs = ExecutionContext(previous_run_id=other.execute(inputs(1)).run_id)

    with pytest.raises(UnknownRun, match=r"of processor 'numbers' .* it is of 'other'"):
        processor(journal).execute(inputs(1), context=theirs)


def test_a_result_of_a_run_without_a_journal_can_be_retried_with_one(journal: Any) -> None:
    broken.add(4)
    first = processor(None).execute(inputs(1, 2))
    broken.clear()
    ran.clear()

    assert processor(journal).retry(first).output == [3, 5]
    assert ran == [("check", 4)]


def test_an_input_that_cannot_be_stored_has_to_be_given_again(journal: Any) -> None:
    anything = step("anything")(lambda value: 1 / 0)
    opaque: Processor[Any, Any, Any] = Processor(name="opaque", pipeline=anything, journal=journal)
    first = opaque.execute([ProcessorInput(input_id="a", data={1, 2})])

    with pytest.raises(InputsNeeded, match=first.run_id):
        opaque.resume()


@pytest.mark.parametrize("name", ["a\x00b", "\ud800", "back\\slash", "'; DROP TABLE runs; --", "\u202e", "é" * 3000])
def test_any_text_is_an_input_id_and_a_message(journal: Any, name: str) -> None:
    def fail(value: int) -> int:
        raise ValueError(name)

    naughty = Processor(name=name or "x", pipeline=step("fail")(fail), journal=journal)
    naughty.execute([ProcessorInput(input_id=name, data=1)])
    again = naughty.resume()

    assert again.failed[0].input_id == name
    assert again.failed[0].message == name


# the file


def test_a_newer_format_is_refused_with_its_version(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "runs.db")
    processor(journal).execute(inputs(1))
    journal.close()
    change(tmp_path, "PRAGMA user_version = 99")

    with pytest.raises(JournalError, match="version 99"):
        processor(SqliteJournal(tmp_path / "runs.db")).resume()


def test_a_database_of_something_else_is_refused(tmp_path: Path) -> None:
    change(tmp_path, "CREATE TABLE theirs (x)")

    with pytest.raises(JournalError, match="something else"):
        processor(SqliteJournal(tmp_path / "runs.db")).execute(inputs(1))


@pytest.mark.parametrize("kind", ["memory", *SHARED])
def test_a_changed_row_is_never_taken_for_a_value(make_store: Stores, kind: str) -> None:
    store = make_store(kind)
    processor(store()).execute(inputs(1, 2))
    store.execute("UPDATE outcomes SET data = '999' WHERE id % 2 = 0")

    again = processor(store()).resume()
    still = processor(store()).resume()

    assert [failed.message for failed in still.failed] == [failed.message for failed in again.failed]
    assert [(failed.step, failed.kind) for failed in again.failed] == [("resume", "invalid")]
    assert "of outcomes is not what was written" in again.failed[0].message

    store.execute("UPDATE inputs SET data = '999'")
    with pytest.raises(JournalDamaged, match=rf"{re.escape(store().name)}: row .* of inputs .*previous_run_id"):
        processor(store()).resume()


@pytest.fixture(params=["memory", *SHARED])
def in_rows(make_store: Stores, request: pytest.FixtureRequest) -> Store:
    """A place where each of few inputs has a row of its own."""
    return make_store(request.param)


@pytest.mark.parametrize("paged", [False, True])
def test_inputs_that_are_given_again_take_the_place_of_a_damaged_row(
    in_rows: Store, monkeypatch: pytest.MonkeyPatch, paged: bool
) -> None:
    if paged:
        monkeypatch.setattr("pipeline.journal.pages.FEWEST", 1)
    first = processor(in_rows()).execute(inputs(1, 2, 3))
    if paged:  # a second run, in which the inputs have rows of their own, that of the third one last
        first = processor(in_rows()).execute(inputs(3, 2, 1), context=going_on_from(first))
    in_rows.execute("UPDATE inputs SET data = '999' WHERE id % 4 = 0")
    ran.clear()

    again = processor(in_rows()).execute(inputs(1, 2, 3), context=going_on_from(first))
    ran_again = [*ran]
    resumed = processor(in_rows()).resume()

    assert again.output == resumed.output == [3, 5, 7]
    assert ran_again == [("double", 1), ("check", 2)]


def test_what_was_recorded_of_an_input_whose_row_is_damaged_is_not_taken_for_other_data(in_rows: Store) -> None:
    first = processor(in_rows()).execute(inputs(1, 2))
    in_rows.execute("UPDATE inputs SET account_id = 'x' WHERE id % 2 = 0")
    changed = [ProcessorInput(input_id="1", data=7), *inputs(2)]

    strict = processor(in_rows(), on_input_change="error").execute(changed, context=going_on_from(first))
    again = processor(in_rows()).execute(changed, context=going_on_from(strict))

    assert [failed.exception for failed in strict.failed] == ["InputChanged"]
    assert again.output == [15, 5]


def test_a_damaged_row_of_an_input_that_is_left_out_is_in_nobodys_way(in_rows: Store) -> None:
    first = processor(in_rows()).execute(inputs(1, 2, 3))
    in_rows.execute("UPDATE inputs SET data = '999' WHERE id % 4 = 0")

    processor(in_rows()).execute(inputs(2), context=going_on_from(first))

    assert processor(in_rows()).resume().output == [5]


@pytest.mark.parametrize("way", ["execute", "stream", "astream"])
@pytest.mark.parametrize("turned_into", ["q", "3"])
def test_an_input_whose_id_is_damaged_is_not_taken_for_a_new_one_that_nobody_paid_for(
    in_rows: Store, way: str, turned_into: str
) -> None:
    first = processor(in_rows()).execute(inputs(1, 2, 3))
    in_rows.execute(f"UPDATE inputs SET input_id = '{turned_into}' WHERE input_id = '1'")
    ran.clear()

    plan = processor(in_rows()).plan(inputs(3, 2, 1), going_on_from(first))
    met = outcomes(processor(in_rows()), way, inputs(3, 2, 1), going_on_from(first))
    still = processor(in_rows()).execute(inputs(3, 2, 1), going_on_from(first))

    assert [item.action for item in plan] == ["skip", "skip", "refuse"]
    assert [type(outcome) for outcome in met] == [Skipped, Skipped, Failed]
    assert re.search(r"row \d+ of inputs is not what was written, and may be this input's; restore", met[2].message)
    assert plan.inputs[2].reason == met[2].message == still.failed[0].message
    assert processor(None).plan(still).inputs[2].action == "refuse"
    assert ran == []
    assert processor(in_rows(), on_bad_payload="restart").resume().output == [7, 5, 3]


@pytest.mark.parametrize("way", ["execute", "stream", "astream"])
@pytest.mark.parametrize("later", ["resume", "stream"])
def test_a_refused_new_input_begins_once_the_damaged_row_has_its_input(in_rows: Store, way: str, later: str) -> None:
    first = processor(in_rows()).execute(inputs(1, 2))
    in_rows.execute("UPDATE inputs SET account_id = 'q' WHERE input_id = '1'")
    refused = outcomes(processor(in_rows()), way, inputs(9, 2), going_on_from(first))
    still = outcomes(processor(in_rows()), "stream", inputs(9, 2), going_on_from(first))
    outcomes(processor(in_rows()), "stream", inputs(2, 1), going_on_from(first))

    plan = processor(in_rows()).plan(inputs(9, 2), going_on_from(first))
    again = processor(in_rows())
    met = again.resume().outcomes if later == "resume" else outcomes(again, later, inputs(9, 2), going_on_from(first))

    assert [type(outcome) for outcome in [*refused, *still]] == 2 * [Failed, Skipped]
    assert [item.action for item in plan] == ["run", "skip"]
    assert [outcome.output for outcome in met if isinstance(outcome, Succeeded)] == [19]


def test_a_refusal_that_a_retry_brought_from_a_batch_that_is_gone_is_for_good(in_rows: Store) -> None:
    first = processor(in_rows()).execute(inputs(1, 2))
    in_rows.execute("UPDATE inputs SET input_id = 'q' WHERE input_id = '1'")
    refused = processor(in_rows()).execute(inputs(1, 2), going_on_from(first))
    in_rows().prune(run_id=first.run_id)
    ran.clear()

    processor(in_rows()).retry(refused)
    again = processor(in_rows()).resume()

    assert ([failed.step for failed in again.failed], ran) == (["resume"], [])


def test_a_new_input_joins_where_each_damaged_row_has_its_input(in_rows: Store) -> None:
    first = processor(in_rows()).execute(inputs(1, 2))
    in_rows.execute("UPDATE inputs SET data = '999' WHERE input_id = '1'")

    met = outcomes(processor(in_rows()), "stream", inputs(1, 9), going_on_from(first))
    in_rows.execute("UPDATE inputs SET data = '999' WHERE input_id = '1'")
    again = processor(in_rows()).execute(inputs(8, 1, 2, 9), going_on_from(first))

    assert [outcome.output for outcome in met] == [3, 19]
    assert again.output == [17, 3, 5, 19]


@pytest.mark.parametrize("way", ["execute", "stream"])
def test_a_new_input_that_was_not_reached_may_still_be_one_whose_id_was_damaged(in_rows: Store, way: str) -> None:
    first = processor(in_rows()).execute(inputs(1, 2))
    in_rows.execute("UPDATE inputs SET input_id = 'q' WHERE input_id = '1'")
    broken.add(10)
    brings: Any = replace(inputs(5)[0], payload={"step": "check", "data": 10})
    stopping = processor(in_rows(), fail_fast=True)
    outcomes(stopping, way, [brings, *inputs(1, 2)], going_on_from(first))
    ran.clear()

    again = processor(in_rows()).execute(inputs(1, 2), going_on_from(first))

    assert ([failed.step for failed in again.failed], ran) == (["resume"], [])


@pytest.mark.parametrize("options", [{}, {"on_bad_payload": "restart"}])
def test_a_damaged_outcome_under_a_changed_input_is_told_for_that_input(in_rows: Store, options: Any) -> None:
    first = processor(in_rows()).execute(inputs(1, 2))
    in_rows.execute("UPDATE outcomes SET data = '999' WHERE id % 2 = 0")
    changed = [ProcessorInput(input_id="1", data=7), *inputs(2)]

    again = processor(in_rows(), **options).execute(changed, context=going_on_from(first))

    assert isinstance(again.outcomes[1], Skipped)
    assert [failed.step for failed in again.failed] == ([] if options else ["resume"])
    assert again.output == ([15, 5] if options else None)
    assert all("on_bad_payload=" in failed.message for failed in again.failed)


def test_a_payload_that_cannot_be_stored_joins_an_input_whose_outcome_is_damaged(in_rows: Store) -> None:
    first = processor(in_rows()).execute(inputs(1, 2))
    in_rows.execute("UPDATE outcomes SET data = '999' WHERE id % 2 = 0")
    brought = [ProcessorInput(input_id="1", data=1, payload=Completed(output=object())), *inputs(2)]

    again = processor(in_rows()).execute(brought, context=going_on_from(first))

    assert [type(outcome) for outcome in again.outcomes] == [Skipped, Skipped]


def test_a_stream_that_joins_leaves_the_inputs_in_their_order_and_puts_new_ones_behind(journal: Any) -> None:
    first = processor(journal).execute(inputs(1, 2, 3))

    list(processor(journal).stream(inputs(9, 2, 8), going_on_from(first)))
    resumed = processor(journal).resume()
    list(processor(journal).stream(inputs(7, 9), going_on_from(first)))

    assert [outcome.input_id for outcome in resumed.outcomes] == ["1", "2", "3", "9", "8"]
    assert [outcome.input_id for outcome in processor(journal).resume().outcomes] == ["1", "2", "3", "9", "8", "7"]


def test_the_id_of_a_run_is_given_once(store: Store) -> None:
    journal, named = store(), ExecutionContext(run_id="nightly")
    processor(journal).execute(inputs(1), context=named)
    ran.clear()

    for again in (processor(journal), processor(store()), Processor(name="other", pipeline=double, journal=store())):
        with pytest.raises(InvalidSetting, match=r"run_id='nightly' is the id of a run in .* already; give another"):
            again.execute(inputs(2), context=named)

    assert ran == []
    assert processor(journal).resume().output == [3]


def going_on_from(result: Any) -> ExecutionContext:
    return ExecutionContext(previous_run_id=result.run_id)


@step("is one")
def is_one(value: int) -> int:
    return value == 1  # a bool, which is an int


@pytest.mark.parametrize("durability", ["input", "step"])
def test_a_bool_goes_on_where_a_number_is_declared(store: Store, durability: Any) -> None:
    broken.add(True)
    numbers = Processor(name="numbers", pipeline=is_one >> check, journal=store(durability))
    first = numbers.execute(inputs(1))
    broken.clear()
    ran.clear()

    retried, resumed = Processor(pipeline=is_one >> check).retry(first), numbers.resume()

    assert (retried.output, resumed.output) == ([2], [2])
    assert ran == [("check", True), ("check", True)]


def test_when_the_journal_fails_nothing_more_is_acknowledged(
    journal: SqlJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.group_s = 0.0
    writes = iter(range(100))

    def full(lease: Any, change: Any) -> None:
        if next(writes) >= 2:
            raise JournalError("the disk is full")
        SqlJournal.write(journal, lease, change)

    monkeypatch.setattr(journal, "write", full)
    handed: list[str] = []
    with pytest.raises(RunFailed, match="the disk is full"):
        handed.extend(outcome.input_id for outcome in processor(journal).stream(inputs(1, 2, 3, 4)))
    monkeypatch.undo()
    ran.clear()

    assert handed == ["1", "2"]
    again = processor(journal).execute(inputs(1, 2, 3, 4), context=ExecutionContext(previous_run_id=runs(journal)[0]))
    assert again.output == [3, 5, 7, 9]
    assert {value for name, value in ran if name == "double"} == {3, 4}


def runs(journal: Any) -> list[str]:
    return [run.run_id for run in journal.runs()]


def test_prune_keeps_the_latest_and_forgets_the_rest(journal: Any) -> None:
    for _ in range(3):
        processor(journal).execute(inputs(1, 2))
    kept = runs(journal)[-1]

    pruned = journal.prune(keep_last=1)

    assert (pruned.batches, pruned.runs) == (2, 2)
    assert runs(journal) == [kept]
    assert processor(journal).resume().output == [3, 5]


def test_runs_of_many_processes_do_not_disturb_each_other(shared_store: Store) -> None:
    context = multiprocessing.get_context("spawn")
    journal = shared_store()
    writers = [context.Process(target=write_many, args=(journal, name)) for name in "abcd"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)

    outcomes = sum(len(list(journal.outcomes(run.batch))) for run in journal.runs())
    assert [writer.exitcode for writer in writers] == [0, 0, 0, 0]
    assert outcomes == 4 * 100


def write_many(journal: SqlJournal, name: str) -> None:
    journal.group_s = 0.0
    assert Processor(name=name, pipeline=double, journal=journal).execute(inputs(*range(100))).success


def change(folder: Path, sql: str) -> None:
    connection = sqlite3.connect(folder / "runs.db")
    connection.execute(sql)
    connection.commit()
    connection.close()


def test_what_is_finished_is_durable_though_nothing_else_finishes_for_long(shared_store: Store) -> None:
    journal, other = shared_store(), shared_store()
    journal.group_s = 3_600.0  # the first outcome waits for others to be committed with it
    seen: list[int] = []

    @step("wait")
    def wait(value: int) -> int:
        if value == 2:
            deadline = time.monotonic() + 30
            while not seen and time.monotonic() < deadline:
                seen.extend(row.run for row in other.outcomes(1))
                time.sleep(0.01)
        return value

    result = Processor(name="slow", pipeline=wait, journal=journal).execute(inputs(1, 2))

    assert (result.output, len(seen)) == ([1, 2], 1)


def test_what_cannot_be_written_late_is_told_by_the_next_that_finishes(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "late.db")
    journal.group_s = 3_600.0
    told: list[bool] = []

    def fail(lease: Any, change: Any) -> None:
        told.append(True)
        raise JournalError("no space")

    @step("wait")
    def wait(value: int) -> int:
        if value == 1:
            journal.write = fail  # type: ignore[method-assign]
        deadline = time.monotonic() + 30
        while value == 2 and not told and time.monotonic() < deadline:
            time.sleep(0.01)
        return value

    with pytest.raises(RunFailed, match="no space") as caught:
        Processor(name="slow", pipeline=wait, journal=journal).execute(inputs(1, 2))

    assert caught.value.result is not None
    assert told


def test_values_that_are_no_inputs_are_refused_as_without_a_journal(journal: Any) -> None:
    given: Any = [1, *inputs(2)]

    result = processor(journal).execute(given)
    isolated = processor(journal, prevalidation="isolate").execute(given)

    assert [outcome.step for outcome in result.failed] == ["prevalidation"]
    assert "not a ProcessorInput but int" in result.failed[0].message
    assert [type(outcome).__name__ for outcome in isolated.outcomes] == ["Failed", "Succeeded"]
    assert processor(journal).resume().output == [5]


@batch_step("together", max_size=2)
def together(values: list[int]) -> list[int]:
    return [value + 1 for value in values]


def test_inputs_that_meet_at_a_batch_step_are_kept_whole(store: Store) -> None:
    def processor() -> Processor[Any, Any, Any]:
        return Processor(name="meeting", pipeline=double >> together >> check, journal=store("step"))

    broken.add(5)
    processor().execute(inputs(1, 2, 3))
    broken.clear()
    ran.clear()

    result = processor().resume()

    assert (result.output, ran) == ([4, 6, 8], [("check", 5)])


def rewritten(journal: Any) -> Processor[int, int, list[int]]:
    """The processor with other code in its first step, which has what it changes run anew."""
    return Processor(
        name="numbers",
        pipeline=double.replace(version="2") >> check,
        journal=journal,
        on_code_change="restart",
        fail_fast=True,
    )


def test_what_a_retry_was_given_and_did_not_reach_is_still_of_the_code_that_made_it(journal: Any) -> None:
    first = processor(journal).execute(inputs(1, 2, 3))
    broken.add(2)
    cut_short = rewritten(journal).retry(first)  # stops at its first input
    broken.clear()
    ran.clear()

    rewritten(journal).resume()

    assert [failed.input_id for failed in cut_short.failed] == ["1"]
    assert [value for name, value in ran if name == "double"] == [2, 3]


@step("report")
def report(value: int) -> str:
    ran.append(("report", value))
    if value in broken:
        raise ValueError(f"{value} is broken")
    return f"no. {value}"


def with_steps(*steps: Any, journal: Any, **options: Any) -> Processor[Any, Any, Any]:
    """The processor with other steps, as a later version of the program has."""
    return Processor(name="numbers", pipeline=Pipeline.of(steps), journal=journal, **options)


def test_a_success_goes_on_at_a_step_that_was_added_behind_it(journal: Any) -> None:
    processor(journal).execute(inputs(1, 2))
    ran.clear()
    longer = with_steps(double, check, report, journal=journal)

    planned = [(one.action, one.steps, one.reason) for one in longer.plan(journal.find("numbers").run_id)]
    broken.add(3)
    failed = longer.resume()
    broken.clear()

    assert planned == [("run", ("report",), "already successful up to 'check'; step 'report' is new")] * 2
    assert ran == [("report", 3), ("report", 5)]
    assert [one.payload.data for one in failed.failed] == [3]
    assert longer.resume().output == ["no. 3", "no. 5"]
    assert ran == [("report", 3), ("report", 5), ("report", 3)]


def test_a_success_that_is_stopped_before_an_added_step_is_not_forgotten(journal: Any) -> None:
    processor(journal).execute(inputs(1, 2))
    broken.add(3)
    stopped = with_steps(double, check, report, journal=journal, fail_fast=True).resume()
    broken.clear()
    ran.clear()

    again = with_steps(double, check, report, journal=journal).resume()

    assert [len(stopped.failed), len(stopped.not_run)] == [1, 1]
    assert again.output == ["no. 3", "no. 5"]
    assert ran == [("report", 3), ("report", 5)]


@step("date")
def date(value: int) -> dt.date:
    return dt.date(2026, 1, value)


@step("note")
def note(day: Any) -> str:
    return repr(day)


def test_what_enters_an_added_step_is_of_the_type_that_the_step_before_it_declares(journal: Any) -> None:
    with_steps(date, journal=journal).execute(inputs(1))

    assert with_steps(date, note, journal=journal).resume().output == ["datetime.date(2026, 1, 1)"]


@step("pass on")
def passed_on(value: int) -> int:
    ran.append(("pass on", value))
    return value


OTHER_STEPS = [(double, passed_on, check), (check, double), (report,), (double,)]


@pytest.mark.parametrize("steps", OTHER_STEPS)
def test_the_output_of_other_steps_is_refused_and_not_forgotten(journal: Any, steps: Any) -> None:
    first = processor(journal).execute(inputs(1, 2))
    ran.clear()

    for refusing in (with_steps(*steps, journal=journal), with_steps(*steps, journal=journal, on_code_change="error")):
        refused = (refusing.resume(), refusing.resume(), refusing.retry(first), refusing.resume())
        assert [one.exception for result in refused for one in result.failed] == ["PipelineChanged"] * 8
    back = processor(journal).resume()

    assert ran == []
    assert back.output == [3, 5]


def test_the_output_of_other_steps_is_made_anew_where_that_is_the_rule(journal: Any) -> None:
    processor(journal).execute(inputs(1, 2))
    ran.clear()

    result = with_steps(double, report, journal=journal, on_code_change="restart").resume()

    assert result.output == ["no. 2", "no. 4"]
    assert ran == [("double", 1), ("report", 2), ("double", 2), ("report", 4)]


def test_a_success_that_a_new_journal_is_given_is_refused_and_not_forgotten(journal: Any) -> None:
    first = processor(None).execute(inputs(1))
    ran.clear()
    turned = with_steps(check, double, journal=journal)

    refused = (turned.retry(first), turned.resume())

    assert [one.exception for result in refused for one in result.failed] == ["PipelineChanged"] * 2
    assert processor(journal).resume().output == [3]
    assert ran == []


@pytest.mark.parametrize(("rule", "calls"), [("resume", ["check"]), ("restart", ["double", "pass on", "check"])])
def test_a_step_added_before_the_failed_one_is_told(journal: Any, rule: Any, calls: list[str]) -> None:
    broken.add(2)
    processor(journal).execute(inputs(1))
    broken.clear()
    ran.clear()
    told: list[Event] = []
    longer = with_steps(double, passed_on, check, journal=journal, on_code_change=rule, observers=[Told(told)])

    (planned,) = longer.plan(journal.find("numbers").run_id)
    longer.resume()

    assert [name for name, _ in ran] == calls
    assert "step 'pass on' is new here, and did not run" in planned.reason
    assert [event.step for event in told if isinstance(event, CodeChanged)] == (["pass on"] if rule == "resume" else [])


class Told:
    def __init__(self, events: list[Event]) -> None:
        self.events = events

    def on_event(self, event: Event) -> None:
        self.events.append(event)

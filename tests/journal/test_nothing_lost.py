"""What is recorded of an input, or was brought with it, stays there until something ran that knows better."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pipeline import Attempt, ExecutionContext, Failed, Processor, ProcessorInput, Selection, Skipped, Succeeded, step
from pipeline.errors import InvalidSetting, UnknownRun
from pipeline.journal import Past, SqliteJournal, recorder_for
from pipeline.journal.sql import SqlJournal
from pipeline.settle import Arrival
from tests.journal.roster import Store

ran: list[tuple[str, Any]] = []
broken: set[int] = set()


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    ran.clear()
    broken.clear()


@step("a")
def a(value: int) -> int:
    ran.append(("a", value))
    return value + 1


@step("b")
def b(value: int) -> int:
    ran.append(("b", value))
    if value in broken:
        raise ValueError(f"{value} is broken")
    return value * 10


def processor(journal: Any, account_id: str | None = "acc", **options: Any) -> Processor[int, int, Any]:
    return Processor(name="p", pipeline=a >> b, account_id=account_id, journal=journal, **options)


def inputs(*values: int, **options: Any) -> list[ProcessorInput[int]]:
    return [ProcessorInput(input_id=str(value), account_id="acc", data=value, **options) for value in values]


def kinds(outcomes: Iterable[object]) -> list[str]:
    return [type(outcome).__name__ for outcome in outcomes]


# refused: nothing ran


@pytest.mark.parametrize("prevalidation", ["abort", "isolate"])
def test_a_resume_for_another_account_leaves_every_success_and_payload(journal: Any, prevalidation: Any) -> None:
    broken.add(3)
    processor(journal).execute(inputs(0, 1, 2))
    broken.clear()
    ran.clear()

    wrong = processor(journal, "acc2", prevalidation=prevalidation).resume()
    again = processor(journal).resume()

    assert {failed.step for failed in wrong.failed} == {"prevalidation"}
    assert kinds(again.outcomes) == ["Skipped", "Skipped", "Succeeded"]
    assert ran == [("b", 3)]


def test_a_stream_for_another_account_leaves_every_success_and_payload(journal: Any) -> None:
    broken.add(3)
    first = processor(journal).execute(inputs(0, 1, 2))
    broken.clear()
    ran.clear()

    context = ExecutionContext(previous_run_id=first.run_id)
    wrong = list(processor(journal, "acc2").stream(inputs(0, 1, 2), context=context))
    again = processor(journal).resume()

    assert kinds(wrong) == ["Failed"] * 3
    assert kinds(again.outcomes) == ["Skipped", "Skipped", "Succeeded"]
    assert ran == [("b", 3)]


def test_a_retry_for_another_account_leaves_what_its_inputs_brought(journal: Any) -> None:
    broken.add(3)
    first = processor(None).execute(inputs(1, 2))
    broken.clear()
    ran.clear()

    processor(journal, "acc2").retry(first)
    again = processor(journal).resume()

    assert kinds(again.outcomes) == ["Skipped", "Succeeded"]
    assert ran == [("b", 3)]


def test_an_input_that_joins_and_does_not_belong_is_recorded_as_that(journal: Any) -> None:
    first = processor(journal).execute(inputs(1))
    stranger = ProcessorInput(input_id="2", account_id="acc2", data=2)

    context = ExecutionContext(previous_run_id=first.run_id)
    second = processor(journal, prevalidation="isolate").execute([*inputs(1), stranger], context=context)
    plan = processor(journal, "acc2").plan(second.run_id, only=lambda failed: failed.step == "prevalidation")

    assert [item.action for item in plan if item.input_id == "2"] != ["keep"]


def other_code(journal: Any) -> Processor[int, int, Any]:
    changed = a.replace(version="2") >> b
    return Processor(name="p", pipeline=changed, journal=journal, on_code_change="error")


@pytest.mark.parametrize("value", [1, 2])
def test_a_retry_that_other_code_refuses_leaves_what_is_recorded(journal: Any, value: int) -> None:
    broken.add(3)
    first = processor(journal, None).execute(inputs(value))
    broken.clear()
    ran.clear()

    refused = other_code(journal).retry(first)
    again = processor(journal, None).resume()

    assert [failed.step for failed in refused.failed] == ["resume"]
    assert kinds(again.outcomes) == (["Skipped"] if value == 1 else ["Succeeded"])
    assert ran == ([] if value == 1 else [("b", 3)])


def test_a_retry_that_other_code_refuses_leaves_what_its_inputs_brought(journal: Any) -> None:
    broken.add(3)
    first = processor(None, None).execute(inputs(1, 2))
    broken.clear()
    ran.clear()

    refused = other_code(journal).retry(first)
    again = processor(journal, None).resume()

    assert [failed.step for failed in refused.failed] == ["resume", "resume"]
    assert kinds(again.outcomes) == ["Skipped", "Succeeded"]
    assert ran == [("b", 3)]


@pytest.mark.parametrize(
    "other",
    [{"pipeline": a >> step("new")(lambda value: value) >> b}, {"account_id": "acc2"}],
    ids=["steps", "account"],
)
def test_what_was_refused_and_is_not_selected_leaves_what_is_recorded(journal: Any, other: Any) -> None:
    broken.add(3)
    first = processor(journal).execute(inputs(0, 2))
    options: Any = {"name": "p", "pipeline": a >> b, "journal": journal, "prevalidation": "isolate", **other}
    wrong: Any = Processor(**options)
    refused = wrong.retry(first)
    kept = wrong.retry(refused, only=Selection(input_ids="2"))
    broken.clear()
    ran.clear()

    again = processor(journal).resume()

    assert kept.failed[0].step in ("resume", "prevalidation")
    assert kinds(again.outcomes) == ["Skipped", "Succeeded"]
    assert ran == [("b", 3)]


def test_a_refusal_that_is_kept_is_no_resume_that_failed(journal: Any) -> None:
    broken.update({1, 3})
    first = processor(journal).execute(inputs(0, 2))
    changed = [msgspec.structs.replace(item, data=item.data + (item.input_id == "0")) for item in first.retry_inputs()]
    strict = processor(journal, on_input_change="error", max_attempts=1)
    refused = strict.execute(changed, first.retry_context())

    kept = strict.retry(refused, only=Selection(input_ids="2"))
    plan = processor(journal, on_input_change="resume", max_attempts=1).plan(kept.run_id)

    assert refused.failed[0].exception == "InputChanged"
    assert plan.inputs[0].reason == "stopped at 'b': ValueError"


def test_a_retry_that_other_data_refuses_leaves_what_is_recorded(journal: Any) -> None:
    first = processor(journal).execute(inputs(1))
    ran.clear()
    (done,) = first.retry_inputs()
    changed = ProcessorInput(input_id="1", account_id="acc", data=5, payload=done.payload)

    context = ExecutionContext(previous_run_id=first.run_id)
    refused = processor(journal, on_input_change="error").execute([changed], context=context)
    again = processor(journal).execute(inputs(1), context=context)

    assert [failed.step for failed in refused.failed] == ["resume"]
    assert [type(outcome) for outcome in again.outcomes] == [Skipped]
    assert ran == []


# brought as a plain dictionary


STOPPED = {"step": "b", "exception": "E", "message": "m", "data": 6}
DONE = {"status": "completed", "output": 70}


def test_a_dictionary_that_a_run_did_not_reach_is_gone_on_with(journal: Any) -> None:
    broken.add(0)
    first = processor(journal, fail_fast=True).execute(
        [*inputs(7, payload={**STOPPED, "data": 0}), *inputs(5, payload=STOPPED), *inputs(6, payload=DONE)]
    )
    broken.clear()
    ran.clear()

    plan = list(processor(journal).plan(first.run_id))
    again = processor(journal).resume()

    assert [(item.action, item.steps) for item in plan] == [("run", ("b",)), ("run", ("b",)), ("skip", ())]
    assert [outcome.output for outcome in again.outcomes if isinstance(outcome, Succeeded | Skipped)] == [0, 60, 70]
    assert ran == [("b", 0), ("b", 6)]


def test_the_outcome_of_an_input_that_was_not_reached_has_its_dictionary() -> None:
    broken.add(0)
    result = processor(None, fail_fast=True).execute(
        [*inputs(7, payload={**STOPPED, "data": 0}), *inputs(5, payload=STOPPED), *inputs(6, payload={"step": "b"})]
    )

    _, reached, malformed = result.outcomes
    assert reached.payload is not None  # type: ignore[union-attr]
    assert reached.payload.as_document() == STOPPED  # type: ignore[union-attr]
    assert malformed.payload is None  # type: ignore[union-attr]


def test_a_dictionary_counts_the_resumes_of_its_lineage_in_the_journal_too(journal: Any) -> None:
    broken.add(0)
    lineage = ExecutionContext(retry_count=3)
    first = processor(journal, fail_fast=True).execute(
        [*inputs(7, payload={**STOPPED, "data": 0}), *inputs(5, payload=STOPPED)], context=lineage
    )

    plan = list(processor(journal, max_attempts=2).plan(first.run_id))

    assert [item.action for item in plan] == ["park", "park"]


class Odd(dict[str, Any]):
    """A dictionary that cannot be looked into."""

    def keys(self) -> Any:
        raise OSError("the file is gone")

    def __iter__(self) -> Any:
        raise OSError("the file is gone")


NOT_STORED: list[Any] = [{"step": "b", "data": (1, 2)}, {"step": "b", "data": object()}, {"step": "c", "data": (1,)}]
"""Payloads that are refused, and whose data no journal can hold."""

UNREADABLE = pytest.mark.parametrize("bad", [{"step": "b"}, "text", 7, {**STOPPED, "message": 1}, Odd(), *NOT_STORED])


@UNREADABLE
def test_a_payload_that_cannot_be_read_fails_its_input_alone(journal: Any, bad: Any) -> None:
    for kept_in in (None, journal):
        result = processor(kept_in).execute([*inputs(7, payload=bad), *inputs(5, payload=STOPPED)])

        assert kinds(result.outcomes) == ["Failed", "Succeeded"]
        assert result.failed[0].exception == "BadPayload"


@UNREADABLE
def test_a_payload_that_cannot_be_read_is_refused_until_another_one_comes(journal: Any, bad: Any) -> None:
    first = processor(journal).execute(inputs(7, payload=bad))
    plan = processor(journal).plan(first.run_id)
    again = processor(journal).resume()
    mended = processor(journal).execute(
        inputs(7, payload={"step": "b", "data": 8}), context=ExecutionContext(previous_run_id=again.run_id)
    )

    assert [item.action for item in plan] == ["refuse"]
    assert [(failed.step, failed.message) for failed in again.failed] == [("resume", first.failed[0].message)]
    assert ran == [("b", 8)]
    assert mended.output == [80]


@UNREADABLE
def test_a_payload_that_cannot_be_read_restarts_where_that_was_asked_for(journal: Any, bad: Any) -> None:
    processor(journal).execute(inputs(7, payload=bad))

    assert processor(journal, on_bad_payload="restart").resume().output == [80]
    assert ran == [("a", 7), ("b", 8)]


def test_a_payload_that_cannot_be_read_may_be_edited(journal: Any) -> None:
    first = processor(journal).execute(inputs(7, payload="text"))

    edited = processor(journal).edit(first.run_id, "7", 70)

    assert processor(journal).resume(edited).output == [710]


@pytest.mark.parametrize("given", ["batch", "stream"])
def test_a_payload_that_cannot_be_read_is_refused_after_a_run_for_another_account(journal: Any, given: str) -> None:
    wrong = processor(journal, "acc2", prevalidation="isolate")
    items = inputs(7, payload="text")
    outcomes = wrong.execute(items).outcomes if given == "batch" else list(wrong.stream(items))

    again = processor(journal).resume()

    assert [outcome.step for outcome in outcomes if isinstance(outcome, Failed)] == ["prevalidation"]
    assert [failed.step for failed in again.failed] == ["resume"]
    assert ran == []


def test_a_payload_that_cannot_be_read_is_refused_after_a_run_that_did_not_reach_it(journal: Any) -> None:
    broken.add(6)
    stopped = processor(journal, fail_fast=True).execute([*inputs(5), *inputs(7, payload="text")])
    assert kinds(stopped.outcomes) == ["Failed", "NotRun"]
    broken.clear()

    again = processor(journal).resume()

    assert kinds(again.outcomes) == ["Succeeded", "Failed"]
    assert [failed.step for failed in again.failed] == ["resume"]


def test_a_payload_that_cannot_be_read_leaves_what_is_recorded(journal: Any) -> None:
    first = processor(journal).execute(inputs(1))
    ran.clear()

    context = ExecutionContext(previous_run_id=first.run_id)
    refused = processor(journal).execute(inputs(1, payload={"step": "b"}), context=context)
    again = processor(journal).resume()

    assert [failed.exception for failed in refused.failed] == ["BadPayload"]
    assert kinds(again.outcomes) == ["Skipped"]
    assert ran == []


@pytest.mark.parametrize("durability", ["input", "step"])
def test_a_dictionary_in_a_stream_that_is_refused_is_gone_on_with(store: Store, durability: Any) -> None:
    wrong = list(processor(store(durability), "acc2").stream([*inputs(5, payload=STOPPED), *inputs(6, payload=DONE)]))

    again = processor(store(durability)).resume()

    assert kinds(wrong) == ["Failed", "Failed"]
    assert again.output == [60, 70]
    assert ran == [("b", 6)]


def killed_in_b(journal: SqlJournal) -> None:
    @step("b")
    def dies(value: int) -> int:
        os.kill(os.getpid(), signal.SIGKILL)
        return value

    Processor(name="p", pipeline=a >> dies, journal=journal).execute(inputs(5, payload=STOPPED))


def test_a_dictionary_survives_a_kill_in_its_step(shared_store: Store) -> None:
    program = multiprocessing.get_context("spawn").Process(target=killed_in_b, args=(shared_store(),))
    program.start()
    program.join(60)

    again = processor(shared_store()).resume()

    assert program.exitcode == -signal.SIGKILL
    assert again.output == [60]
    assert ran == [("b", 6)]


# ids that are no texts


@pytest.mark.parametrize("wrong", [7, b"x", object(), ["acc"]])
@pytest.mark.parametrize("name", ["account_id", "underwriting_id"])
@pytest.mark.parametrize("account_id", [None, "acc"])
def test_an_id_that_is_no_text_is_its_inputs_own_failure(
    journal: Any, name: str, wrong: Any, account_id: str | None
) -> None:
    given: Any = {"input_id": "x", "account_id": "acc", "data": 3, name: wrong}
    items = [*inputs(1), ProcessorInput(**given)]

    for kept_in in (None, journal):
        aborted = processor(kept_in, account_id).execute(items)
        isolated = processor(kept_in, account_id, prevalidation="isolate").execute(items)
        streamed = list(processor(kept_in, account_id).stream(items))

        assert kinds(aborted.outcomes) == ["NotRun", "Failed"]
        assert kinds(isolated.outcomes) == kinds(streamed) == ["Succeeded", "Failed"]
        (failed,) = isolated.failed
        assert (failed.step, failed.kind) == ("prevalidation", "invalid")
        assert failed.message.startswith(f"{name} must be a text, or None, got ")
    assert processor(journal, account_id).resume().output == [20]


@pytest.mark.parametrize("wrong", [7, b"x", ["doc"], ""])
def test_an_input_id_that_is_no_text_is_its_inputs_own_failure(journal: Any, wrong: Any) -> None:
    items = [*inputs(1), ProcessorInput(input_id=wrong, account_id="acc", data=3)]

    for kept_in in (None, journal):
        aborted = processor(kept_in).execute(items)
        isolated = processor(kept_in, prevalidation="isolate").execute(items)
        streamed = list(processor(kept_in).stream(items))

        assert kinds(aborted.outcomes) == ["NotRun", "Failed"]
        assert kinds(isolated.outcomes) == kinds(streamed) == ["Succeeded", "Failed"]
        assert isolated.failed[0].message.startswith("input_id must be a text that is not empty, got ")


# what a cipher leaves readable


class Reversed:
    def encrypt(self, data: bytes) -> bytes:
        return data[::-1]

    def decrypt(self, data: bytes) -> bytes:
        return data[::-1]


def test_a_cipher_seals_data_and_leaves_ids_messages_and_metadata_readable(tmp_path: Path) -> None:
    @step("judge")
    def judge(text: str) -> str:
        if text == "data-of-the-second":
            raise ValueError("told-by-the-exception")
        return "output-of-the-first"

    journal = SqliteJournal(tmp_path / "runs.db", cipher=Reversed())
    items = [
        ProcessorInput(input_id="id-of-one", account_id="its-account", underwriting_id="its-case", data=data)
        for data in ("data-of-the-first",)
    ] + [ProcessorInput(input_id="id-of-two", data="data-of-the-second")]
    Processor(name="its-processor", pipeline=judge, journal=journal).execute(
        items, context=ExecutionContext(execution_metadata={"desk": "its-metadata"})
    )
    journal.close()
    stored = b"".join(file.read_bytes() for file in tmp_path.glob("runs.db*"))

    sealed = ["data-of-the-first", "data-of-the-second", "output-of-the-first"]
    clear = ["id-of-one", "its-account", "its-case", "its-processor", "judge", "told-by-the-exception", "its-metadata"]
    assert [text for text in sealed if text.encode() in stored] == []
    assert [text for text in clear if text.encode() not in stored] == []


# asked before it is done


def test_the_plan_of_inputs_that_join_a_run_is_what_happens_to_them(journal: Any) -> None:
    broken.add(3)
    context = ExecutionContext(previous_run_id=processor(journal).execute(inputs(0, 2)).run_id)
    broken.clear()
    ran.clear()

    plan = processor(journal).plan(inputs(0, 2, 9), context)
    processor(journal).execute(inputs(0, 2, 9), context)

    assert [(item.action, item.start) for item in plan] == [("skip", None), ("run", "b"), ("run", "a")]
    assert ran == [("b", 3), ("a", 9), ("b", 10)]


@pytest.mark.parametrize("durability", ["input", "step"])
def test_the_plan_of_inputs_that_changed_is_what_happens_to_them(store: Store, durability: Any) -> None:
    journal = store.journal(durability)
    broken.add(3)
    context = ExecutionContext(previous_run_id=processor(journal).execute(inputs(0, 2)).run_id)
    changed = [msgspec.structs.replace(item, data=item.data + 5) for item in inputs(0, 2)]
    ran.clear()

    plan = processor(journal).plan(changed, context)
    processor(journal).execute(changed, context)

    assert [(item.action, item.start) for item in plan] == [("run", "a"), ("run", "a")]
    assert ran == [("a", 5), ("b", 6), ("a", 7), ("b", 8)]


@pytest.mark.parametrize("wrong", [7, None, ProcessorInput(input_id=3, account_id="acc", data=1)])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
def test_the_plan_of_what_is_no_input_is_what_happens_to_it(journal: Any, wrong: Any) -> None:
    context = ExecutionContext(previous_run_id=processor(journal).execute(inputs(0)).run_id)
    jobs = processor(journal, prevalidation="isolate")

    for lift in (False, True):
        plan = jobs.plan([*inputs(0), wrong], context, lift=lift)
        assert [item.action for item in plan] == ["skip", "refuse"]
    result = jobs.execute([*inputs(0), wrong], context)
    assert result.failed[0].step == "prevalidation"
    assert kinds(jobs.retry(result, only=Selection(input_ids="0")).outcomes) == ["Skipped", "Failed"]


def test_a_changed_input_whose_row_is_damaged_is_refused_alone(store: Store) -> None:
    journal = store.journal("step")
    broken.add(3)
    context = ExecutionContext(previous_run_id=processor(journal).execute(inputs(0, 2)).run_id)
    store.execute("UPDATE outcomes SET step = 'a' WHERE status = 'failed'")
    changed = [msgspec.structs.replace(item, data=item.data + 5) for item in inputs(0, 2)]

    plan = processor(journal).plan(changed, context)
    result = processor(journal).execute(changed, context)

    assert [item.action for item in plan] == ["run", "refuse"]
    assert kinds(result.outcomes) == ["Succeeded", "Failed"]
    assert result.failed[0].exception == "BadPayload"


def test_a_plan_of_inputs_that_join_no_run_is_refused_as_the_run_would_be(journal: Any) -> None:
    with pytest.raises(UnknownRun):
        processor(journal).plan(inputs(0), ExecutionContext(previous_run_id="of nobody"))


def test_a_plan_of_a_run_takes_no_context() -> None:
    result = processor(None).execute(inputs(0))

    with pytest.raises(InvalidSetting, match="a run's own context is known"):
        processor(None).plan(result, ExecutionContext())


# a handler that raises in the midst of a commit


class Interruption(BaseException):
    """What a signal's handler raises."""


@pytest.mark.parametrize("committed", [True, False])
def test_tries_are_recorded_once_though_their_commit_was_interrupted(
    journal: Any, committed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    processor = Processor(name="p", pipeline=a >> b, journal=journal)
    past = Past("p", journal, processor.pipeline, None)
    item = ProcessorInput(input_id="7", data=7)
    recorder = recorder_for(past, ExecutionContext(run_id="run"), dict, [item])
    outcome = Succeeded(input_id="7", output=80, attempts=(Attempt(step="a", exception="Odd", message="once"),))
    write = journal.write

    def interrupted(*arguments: Any) -> None:
        if committed:
            write(*arguments)
        raise Interruption

    monkeypatch.setattr(journal, "write", interrupted)
    with pytest.raises(Interruption):
        (*recorder.record(Arrival(0, item, outcome)), *recorder.flush())  # which commits is a matter of time
    monkeypatch.setattr(journal, "write", write)
    recorder.flush()
    recorder.abandon()

    number = recorder.admission.number(0)
    assert len(journal.attempts(number)) == 1
    assert journal.outcome(number).status == "succeeded"

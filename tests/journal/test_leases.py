"""A run writes where it began, as long as it is its own, and knows what others did a moment before."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from pipeline import ExecutionContext, Processor, ProcessorInput, Selection, SqliteJournal, step
from pipeline.errors import JournalError, RunFailed, RunOwned
from pipeline.journal import MemoryJournal, Past, recorder_for
from pipeline.journal.owner import LIVE
from pipeline.journal.protocol import Change
from pipeline.journal.waiting import Waiting
from pipeline.model import Succeeded
from pipeline.run import RunInProgress
from pipeline.settle import Arrival
from tests.journal.roster import Store


@step("hundredfold")
def hundredfold(value: int) -> int:
    return value * 100


def processor(journal: Any, pipeline: Any = hundredfold, **options: Any) -> Processor[int, int, Any]:
    return Processor(name="p", pipeline=pipeline, journal=journal, **options)


def inputs(*values: int) -> list[ProcessorInput[int]]:
    return [ProcessorInput(input_id=f"input {value}", data=value) for value in values]


# what others did a moment before


@pytest.mark.parametrize("way", ["batch", "stream"])
def test_inputs_that_another_run_added_a_moment_ago_keep_their_rows(
    shared_store: Store, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ExecutionContext(previous_run_id=processor(shared_store()).execute(inputs(0)).run_id)
    late = shared_store()
    begin = late.begin

    def after_another(*arguments: Any) -> Any:
        processor(shared_store()).execute(inputs(0, 1), context)
        return begin(*arguments)

    monkeypatch.setattr(late, "begin", after_another)
    if way == "batch":
        assert processor(late).execute(inputs(0, 2), context).output == [0, 200]
    else:
        outcomes: list[Any] = list(processor(late).stream(inputs(0, 2), context))
        assert [outcome.output for outcome in outcomes] == [0, 200]

    batch = late.runs()[0].batch
    assert [row.input_id for row in late.inputs(batch)] == ["input 0", "input 1", "input 2"]
    assert [row.data for row in late.outcomes(batch)] == [b"0", b"100", b"200"]


def left_to(others: Store, journal: Any, monkeypatch: pytest.MonkeyPatch, go_on: Callable[[Any], object]) -> None:
    """When a run begins in the journal, another process has gone on a moment before."""
    begin = journal.begin

    def after_another(*arguments: Any) -> Any:
        go_on(processor(others()))
        return begin(*arguments)

    monkeypatch.setattr(journal, "begin", after_another)


@pytest.mark.parametrize("only", [None, Selection(input_ids="input 0")])
def test_a_resume_does_not_put_its_inputs_over_those_that_another_run_brought_a_moment_ago(
    shared_store: Store, only: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = processor(shared_store()).execute(inputs(0, 1))
    changed = [ProcessorInput(input_id="input 0", data=7), *inputs(1, 2)]
    late = shared_store()

    left_to(shared_store, late, monkeypatch, lambda other: other.execute(changed, first.retry_context()))
    with pytest.raises(RunOwned, match=f"went on with run {first.run_id} a moment ago; resume again"):
        processor(late).resume(only=only)
    monkeypatch.undo()

    assert processor(late).resume().output == [700, 100, 200]


def test_a_resume_does_not_leave_out_what_a_stream_that_has_just_ended_took_in(
    shared_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = processor(shared_store()).execute(inputs(0))
    stream: Any = processor(shared_store()).stream(iter(inputs(0, 1, 2)), first.retry_context())
    next(stream)
    late = shared_store()

    left_to(shared_store, late, monkeypatch, lambda _: list(stream))
    with pytest.raises(RunOwned, match="resume again"):
        processor(late).resume()
    monkeypatch.undo()

    assert processor(late).resume().output == [0, 100, 200]


def test_a_retry_of_a_result_has_its_own_inputs_whatever_others_did(
    shared_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = processor(shared_store()).execute(inputs(0, 1))
    late = shared_store()

    left_to(shared_store, late, monkeypatch, lambda other: other.resume())

    assert processor(late).retry(first).output == [0, 100]


# a run that is not its own any more


def test_a_lease_is_no_other_owners_though_its_numbers_are_the_same(store: Store) -> None:
    journal = store()
    stream: Any = processor(journal).stream(inputs(0, 1))
    with closing(stream) as outcomes:
        next(outcomes)
        run = journal.runs()[0]
        other = recorder_for(Past("q", journal, processor(journal).pipeline, None), ExecutionContext(), dict, [])
        lease = replace(other.lease, batch=run.batch, run=run.run)

        with pytest.raises(RunOwned):
            journal.write(lease, Change())
        with pytest.raises(RunOwned):
            journal.end(lease, run)
        assert not journal.beat(lease)
        other.abandon()


def test_a_run_whose_file_is_replaced_by_a_copy_ends_there(tmp_path: Path) -> None:
    path, copy = tmp_path / "runs.db", tmp_path / "copy.db"

    @step("work")
    def work(value: int) -> int:
        if value == 2:
            with closing(sqlite3.connect(path)) as now, closing(sqlite3.connect(copy)) as then:
                now.backup(then)
        if value == 5:
            copy.replace(path)
        return value

    with pytest.raises(RunFailed, match="deleted or replaced while a run was in progress"):
        processor(SqliteJournal(path), work).execute(inputs(*range(9)))


def test_a_run_whose_file_is_deleted_after_its_last_commit_is_no_success(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"

    def deleting(outputs: Any) -> int:
        path.unlink()
        return sum(outputs)

    with pytest.raises(RunFailed, match="deleted or replaced") as failed:
        processor(SqliteJournal(path), aggregate=deleting).execute(inputs(1, 2))

    assert failed.value.result is not None
    assert failed.value.result.output == 300


def test_a_run_does_not_write_into_what_another_began_in_its_place(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    first = processor(SqliteJournal(path)).stream(inputs(1, 2, 3))
    next(first)
    for file in tmp_path.iterdir():
        file.unlink()
    second = processor(SqliteJournal(path)).stream(inputs(10, 20, 30))
    next(second)

    with pytest.raises(RunFailed, match="deleted or replaced"):
        list(first)
    assert [outcome.output for outcome in second if isinstance(outcome, Succeeded)] == [2000, 3000]
    assert processor(SqliteJournal(path)).resume().output == [1000, 2000, 3000]


# a beginning that does not come to its end


def test_a_run_that_is_interrupted_as_it_begins_can_be_resumed_by_the_same_process(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(RunInProgress, "begin", interrupted)
    with pytest.raises(KeyboardInterrupt):
        processor(store()).execute(inputs(1))
    monkeypatch.undo()

    assert processor(store()).resume().output == [100]


def test_a_refused_beginning_leaves_no_owner_in_this_process(store: Store) -> None:
    stream: Any = processor(store()).stream(inputs(1))
    with closing(stream) as outcomes:
        next(outcomes)
        live = set(LIVE)
        with pytest.raises(RunOwned):
            processor(store()).resume()

        assert live == LIVE


def test_a_beginning_whose_answer_is_lost_leaves_no_owner_in_this_process(shared_store: Store) -> None:
    journal = shared_store()
    transact = journal._transact

    def lost(work: Callable[[Any], Any]) -> Any:
        transact(work)
        raise JournalError("the answer was lost")

    journal._transact = lost  # type: ignore[method-assign]
    with pytest.raises(JournalError, match="the answer was lost"):
        processor(journal).execute(inputs(1))

    assert processor(shared_store()).resume().output == [100]


# forks, collections and signals


def test_a_forked_copy_of_the_process_leaves_the_run_to_it(shared_store: Store) -> None:
    outcomes: Any = processor(shared_store()).stream(inputs(1, 2, 3))
    next(outcomes)
    child = os.fork()
    if child == 0:
        outcomes.close()
        sys.stdout.flush()
        os._exit(0)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(list(outcomes)) == 2
    assert processor(shared_store()).resume().output == [100, 200, 300]


def test_a_forked_copy_of_the_process_records_nothing(shared_store: Store) -> None:
    journal = shared_store()
    recorder = recorder_for(Past("p", journal, processor(journal).pipeline, None), ExecutionContext(), dict, inputs(1))
    recorder._process -= 1
    with pytest.raises(JournalError, match="forked copy"):
        (*recorder.record(Arrival(0, inputs(1)[0], Succeeded(input_id="input 1", output=100))), *recorder.flush())

    recorder.finish("succeeded")
    assert journal.runs()[0].state == "started"
    LIVE.discard(recorder.lease.token)


def test_a_transaction_in_the_midst_of_another_is_refused_and_does_not_end_it() -> None:
    journal = MemoryJournal()

    def begun(connection: Any) -> None:
        connection.execute("INSERT INTO batches (processor, heartbeat) VALUES ('p', 0)")
        with pytest.raises(JournalError, match="in the midst of a transaction"):
            journal._transact(bool)

    journal._transact(begun)
    assert journal._rows("owner", 1)[0][0] is None


def test_rows_whose_commit_was_interrupted_before_it_began_are_written_with_the_next(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = store()
    recorder = recorder_for(Past("p", journal, processor(journal).pipeline, None), ExecutionContext(), dict, inputs(1))

    def interrupted(_: Waiting) -> Change:
        raise KeyboardInterrupt

    monkeypatch.setattr(Waiting, "change", interrupted)
    with pytest.raises(KeyboardInterrupt):
        (*recorder.record(Arrival(0, inputs(1)[0], Succeeded(input_id="input 1", output=100))), *recorder.flush())
    monkeypatch.undo()
    recorder.flush()
    recorder.abandon()

    assert [row.data for row in journal.outcomes(journal.runs()[0].batch)] == [b"100"]

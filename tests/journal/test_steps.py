"""With ``durability="step"`` what a finished step returned is there for the next run, however this one ended."""

from __future__ import annotations

import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pipeline import (
    Cache,
    CircuitBreaker,
    ExecutionContext,
    MemoryJournal,
    NotRun,
    Pipeline,
    Processor,
    ProcessorInput,
    Retry,
    Skipped,
    SqliteJournal,
    Succeeded,
    step,
    to_inputs,
)
from pipeline.errors import JournalError, NotPicklable, RunFailed, RunInterrupted, StopNow
from pipeline.journal.protocol import Lease
from pipeline.journal.sql import SqlJournal
from pipeline.journal.stored import Stored
from runners import ProcessRunner, ThreadRunner
from tests.journal.roster import Store
from tests.journal.stepped import (
    RUNNERS,
    cut_off,
    ending,
    hang,
    inputs,
    jobs,
    kill_run,
    kill_worker,
    witnessed,
)

ROOT = Path(__file__).parents[2]
ALL = ["check 10", "check 20", "check 30", "fetch 1", "fetch 2", "fetch 3", "total 11", "total 21", "total 31"]


@pytest.fixture
def journal(shared_store: Store) -> SqlJournal:
    return shared_store("step")


@pytest.fixture
def either(store: Store) -> SqlJournal:
    """Also one in memory."""
    return store("step")


# however it ends


@pytest.mark.parametrize("runner", RUNNERS)
def test_after_a_kill_the_plan_names_the_checkpoint_and_the_run_starts_there(
    journal: SqlJournal, tmp_path: Path, runner: str
) -> None:
    ending(tmp_path, kill_run)
    (tmp_path / "journal").write_bytes(pickle.dumps(journal))
    program = [sys.executable, "-m", "tests.journal.stepped", str(tmp_path), runner]
    assert subprocess.run(program, cwd=ROOT, check=False).returncode == -signal.SIGKILL
    assert sorted(witnessed(tmp_path)) == ALL
    ending(tmp_path, None)

    resuming = jobs(journal, RUNNERS[runner]())
    (run,) = journal.runs()
    plan = {item.input_id: (item.steps, item.reason) for item in resuming.plan(run.run_id)}
    result = resuming.resume()

    assert plan["2"] == (("total",), "from step 'total': its checkpoint")
    assert witnessed(tmp_path) == ["total 21"]
    assert result.output == [11, 31, 21]


def test_a_run_that_is_cut_off_goes_on_from_the_step_in_flight(journal: SqlJournal, tmp_path: Path) -> None:
    ending(tmp_path, cut_off)
    processor = jobs(journal)
    with pytest.raises(RunInterrupted) as caught:
        processor.execute(inputs(tmp_path))
    assert caught.value.result is not None
    outcome: Any = caught.value.result.outcomes[2]
    witnessed(tmp_path)
    ending(tmp_path, None)

    assert (type(outcome), outcome.step, outcome.payload.data) == (NotRun, "total", (str(tmp_path), 21))
    assert next(reason_of(processor, caught.value.result.run_id)) == "from step 'total': its checkpoint"
    assert processor.retry(caught.value.result).output == [11, 31, 21]
    assert witnessed(tmp_path) == ["total 21"]


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_stream_that_its_consumer_left_goes_on_from_the_checkpoints(
    journal: SqlJournal, tmp_path: Path, runner: str
) -> None:
    processor = jobs(journal, RUNNERS[runner]())
    stream: Any = processor.stream(inputs(tmp_path), context=ExecutionContext(run_id="left"))
    handed = int(next(stream).input_id)
    stream.close()
    before = witnessed(tmp_path)

    again = processor.execute(inputs(tmp_path), context=ExecutionContext(previous_run_id="left"))

    assert again.output == [11, 31, 21]
    repeated = {*before} & {*witnessed(tmp_path)}
    assert not repeated or runner in ("processes", "async")  # there, what is in flight ends at once
    assert not {call.split()[1] for call in repeated} & {*map(str, (handed, handed * 10, handed * 10 + 1))}


@pytest.mark.parametrize("end", [kill_worker, hang])
def test_a_worker_that_dies_costs_the_step_it_was_on(journal: SqlJournal, tmp_path: Path, end: Any) -> None:
    ending(tmp_path, end)
    processor = jobs(journal, ProcessRunner(2, timeout=2.0 if end is hang else None))
    result = processor.execute(inputs(tmp_path))
    (failed,) = result.failed
    witnessed(tmp_path)
    ending(tmp_path, None)

    assert failed.kind == ("crash" if end is kill_worker else "timeout")
    assert (failed.step, failed.payload.data) == ("total", (str(tmp_path), 21))
    assert next(reason_of(processor, result.run_id)).startswith("stopped at 'total'")
    assert processor.resume().output == [11, 31, 21]
    assert witnessed(tmp_path) == ["total 21"]


def reason_of(processor: Processor[Any, Any, Any], run_id: str, input_id: str = "2") -> Iterator[str]:
    return (item.reason for item in processor.plan(run_id) if item.input_id == input_id)


def test_an_input_that_runs_again_because_its_worker_died_starts_at_its_checkpoint(
    journal: SqlJournal, tmp_path: Path
) -> None:
    ending(tmp_path, kill_worker)
    result = jobs(journal, ProcessRunner(2, crash_retries=2)).execute(inputs(tmp_path))

    assert [failed.step for failed in result.failed] == ["total"]
    assert sorted(witnessed(tmp_path)) == sorted([*ALL, "total 21", "total 21"])


class OnlyHere(msgspec.Struct):
    """A value that does not pickle."""

    number: int

    def __reduce__(self) -> Any:
        raise TypeError("not over there")


@step("wrap")
def wrap(number: int) -> OnlyHere:
    return OnlyHere(number)


def test_what_a_worker_finished_and_could_not_deliver_is_there(journal: SqlJournal) -> None:
    processor: Processor[int, OnlyHere] = Processor(name="n", pipeline=wrap, journal=journal, runner=ProcessRunner(1))
    result = processor.execute(to_inputs([1, 2]))

    assert result.output == [OnlyHere(1), OnlyHere(2)]
    assert processor.resume().output == result.output


# what is kept, and what is not


ran: list[str] = []


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    ran.clear()


def told(name: str, answer: Any = None, **settings: Any) -> Any:
    """A step that adds to a list of numbers, or does something else with it."""

    def call(value: list[int]) -> list[int]:
        ran.append(name)
        return [*value, len(value)] if answer is None else answer(value)

    return step(name, version="1", **settings)(call)


def stop_now(_: list[int]) -> Any:
    raise StopNow("told twice to stop")


def cut(journal: Any, *steps: Any, **options: Any) -> tuple[str, str]:
    """Run one input through steps of which the last stops the run; where the plan says that it goes on, and why."""
    processor: Processor[Any, Any, Any] = Processor(name="told", pipeline=steps_of(steps), journal=journal, **options)
    with pytest.raises(RunInterrupted):
        processor.execute(ONE)
    (planned,) = processor.plan(journal.find("told").run_id)
    ran.clear()
    return planned.start or "", planned.reason


def steps_of(steps: Any) -> Pipeline[Any, Any, Any]:
    return Pipeline.of(steps)


def go_on(journal: Any, *steps: Any, **options: Any) -> Any:
    return Processor(name="told", pipeline=steps_of(steps), journal=journal, **options).resume()


ONE = [ProcessorInput(input_id="1", data=[7])]


def test_a_step_that_is_not_to_be_kept_runs_again(either: Any) -> None:
    quick = told("b", checkpoint=False)

    assert cut(either, told("a"), quick, told("c", stop_now)) == ("b", "from step 'b': its checkpoint")
    assert go_on(either, told("a"), quick, told("c")).output == [[7, 1, 2, 3]]
    assert ran == ["b", "c"]


def test_the_outcome_of_a_last_step_that_is_not_to_be_kept_is_recorded_all_the_same(either: Any) -> None:
    steps = (told("a"), told("b", checkpoint=False))
    Processor(name="told", pipeline=steps_of(steps), journal=either).execute(ONE)
    ran.clear()

    assert go_on(either, *steps).output == [[7, 1, 2]]
    assert ran == []


def test_a_value_that_cannot_be_stored_leaves_the_checkpoint_before_it_and_its_reason(either: Any) -> None:
    odd = told("b", lambda value: [{1, 2}])

    start, reason = cut(either, told("a"), odd, told("c", stop_now))
    result = go_on(either, told("a"), told("b"), told("c"))

    assert start == "b"
    assert reason.startswith("from step 'b': its checkpoint; what came later could not be stored ($[0]: ")
    assert "in what 'b' returned" in reason
    assert ran == ["b", "c"]
    assert result.output == [[7, 1, 2, 3]]


def test_where_nothing_before_could_be_stored_the_input_starts_over(either: Any) -> None:
    start, reason = cut(either, told("a", lambda value: [{1, 2}]), told("b", stop_now))

    assert start == "a"
    assert "in what 'a' returned): from the first step" in reason
    assert go_on(either, told("a"), told("b")).output == [[7, 1, 2]]


def test_an_output_that_cannot_be_stored_is_made_again_from_the_last_checkpoint(either: Any) -> None:
    steps = (told("a"), told("b"), told("c", lambda value: [{1, 2}]))
    first = Processor(name="told", pipeline=steps_of(steps), journal=either).execute(ONE)
    ran.clear()
    again = go_on(either, *steps)

    assert first.success
    assert again.output == first.output
    assert ran == ["c"]


def test_a_changed_input_starts_over_though_it_has_a_checkpoint(either: Any) -> None:
    cut(either, told("a"), told("b", stop_now))
    processor: Processor[Any, Any, Any] = Processor(name="told", pipeline=told("a") >> told("b"), journal=either)
    context = ExecutionContext(previous_run_id=either.find("told").run_id)

    result = processor.execute([ProcessorInput(input_id="1", data=[8])], context=context)

    assert result.output == [[8, 1, 2]]
    assert ran == ["a", "b"]


@pytest.mark.parametrize(("rule", "runs"), [("resume", ["b"]), ("restart", ["a", "b"]), ("error", [])])
def test_changed_code_of_a_step_before_a_checkpoint_counts_as_before_a_payload(
    either: Any, rule: Any, runs: list[str]
) -> None:
    cut(either, told("a"), told("b", stop_now))
    result = go_on(either, told("a").replace(version="2"), told("b"), on_code_change=rule)

    assert ran == runs
    assert [failed.exception for failed in result.failed] == ([] if runs else ["InputChanged"])


def test_a_renamed_step_finds_its_checkpoint(either: Any) -> None:
    cut(either, told("a"), told("b", stop_now))

    assert go_on(either, told("a"), told("bee", aliases=("b",))).success
    assert ran == ["bee"]


def test_a_checkpoint_of_a_step_that_is_gone_is_refused_and_not_forgotten(either: Any) -> None:
    cut(either, told("a"), told("b", stop_now))
    gone = go_on(either, told("a"), told("c"))
    back = go_on(either, told("a"), told("b"))

    assert [failed.step for failed in gone.failed] == ["resume"]
    assert back.success
    assert ran == ["b"]


def test_a_resume_that_is_cut_off_goes_on_from_where_that_one_came(either: Any) -> None:
    cut(either, told("a"), told("b", stop_now), told("c"), told("d"))
    with pytest.raises(RunInterrupted):
        go_on(either, told("a"), told("b"), told("c"), told("d", stop_now))
    ran.clear()

    assert go_on(either, told("a"), told("b"), told("c"), told("d")).output == [[7, 1, 2, 3, 4]]
    assert ran == ["d"]


def test_a_failure_and_its_checkpoint_count_as_one(either: Any) -> None:
    """The failed resumes of an input are counted through the runs that were cut off."""
    failing = told("c", lambda value: 1 / 0)
    processor: Any = Processor(name="told", pipeline=told("a") >> told("b") >> failing, journal=either)
    processor.execute(ONE)
    processor.resume()
    with pytest.raises(RunInterrupted):
        go_on(either, told("a"), told("b"), told("c"), told("d", stop_now))
    resumed = go_on(either, told("a"), told("b"), told("c"), told("d", lambda value: 1 / 0))

    assert [failed.payload.retry_count for failed in resumed.failed] == [2]


def test_an_edit_takes_the_place_of_a_checkpoint(either: Any) -> None:
    cut(either, told("a"), told("b", stop_now))
    processor: Processor[Any, Any, Any] = Processor(name="told", pipeline=told("a") >> told("b"), journal=either)
    run_id = processor.edit(either.find("told").run_id, "1", [0])

    (planned,) = processor.plan(run_id)
    assert (planned.start, planned.reason) == ("b", "stopped at 'b'; its data was edited")
    assert processor.resume().output == [[0, 1]]


def test_prune_forgets_checkpoints(either: Any) -> None:
    cut(either, told("a"), told("b", stop_now))
    (run,) = either.runs()
    assert [row.status for row in either.outcomes(run.batch)] == ["checkpoint"]

    either.prune(run_id=run.run_id)

    assert list(either.outcomes(run.batch)) == []


@pytest.mark.parametrize("later", ["input", "step"])
def test_a_run_of_either_durability_goes_on_with_one_of_the_other(store: Store, later: Any) -> None:
    cut(store("step"), told("a"), told("b", stop_now), told("c"))
    second = store(later)
    with pytest.raises(RunInterrupted):
        go_on(second, told("a"), told("b"), told("c", stop_now))
    ran.clear()

    assert go_on(second, told("a"), told("b"), told("c")).success
    assert ran == (["c"] if later == "step" else ["b", "c"])


# with what stands around a step


def test_tries_of_a_step_are_recorded_with_an_outcome_that_its_last_step_wrote(either: Any) -> None:
    tries = iter([1, 2])

    def second_time_lucky(value: list[int]) -> list[int]:
        if next(tries) == 1:
            raise TimeoutError("busy")
        return value

    retried = told("b", second_time_lucky, retry=Retry(on=(TimeoutError,), attempts=2, wait=0.001))
    result = Processor(name="told", pipeline=told("a") >> retried, journal=either).execute(ONE)
    (run,) = either.runs()
    ((number, _),) = either.input_ids(run.batch)

    assert [attempt.exception for attempt in result.outcomes[0].attempts] == ["TimeoutError"]  # type: ignore[union-attr]
    assert len(either.attempts(number)) == 1


def test_a_cached_answer_is_kept_like_any_other(either: Any) -> None:
    cached = told("b", cache=Cache(max_age_s=60))
    for _ in range(2):
        assert cut(either, told("a"), cached, told("c", stop_now))[0] == "c"

    assert go_on(either, told("a"), cached, told("c")).output == [[7, 1, 2, 3]]
    assert ran == ["c"]


def test_an_input_that_a_breaker_sets_aside_goes_on_before_that_step(either: Any) -> None:
    down = told("b", lambda value: 1 / 0, breaker=CircuitBreaker(failures=1, reset_s=1000))
    processor: Any = Processor(name="told", pipeline=told("a") >> down >> told("c"), journal=either)
    processor.execute(to_inputs([[1], [2]], key=str))
    ran.clear()

    assert go_on(either, told("a"), told("b"), told("c")).success
    assert ran == ["b", "c", "b", "c"]


# what it costs


def test_what_a_worker_encoded_is_not_encoded_again(either: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    written = list[Any]()
    writer = Stored._writer

    def counting(stored: Stored, declared: Any, registry: Any) -> Any:
        write = writer(stored, declared, registry)

        def noted(value: Any) -> bytes:
            written.append([*value])
            return write(value)

        return noted

    monkeypatch.setattr(Stored, "_writer", counting)
    failing = told("b", lambda value: 1 / 0 if value[0] == 2 else value)
    processor: Any = Processor(name="told", pipeline=told("a") >> failing, journal=either)
    processor.execute(to_inputs([[1], [2]], key=str))

    assert sorted(map(len, written)) == [1, 1, 2, 2, 2], (
        "two inputs, two checkpoints, an output; the failure has its checkpoint's"
    )


def test_threads_that_finish_steps_at_the_same_time_share_a_commit(journal: SqlJournal) -> None:
    commits = list[int]()
    write, gate = journal.write, threading.Barrier(4)

    def counting(lease: Any, change: Any) -> None:
        commits.append(len(change.outcomes))
        write(lease, change)

    def together(number: int) -> int:
        gate.wait(30)
        return number

    journal.write = counting  # type: ignore[method-assign]
    pipeline = step("together")(together) >> step("after")(lambda number: number)
    Processor(pipeline=pipeline, runner=ThreadRunner(4), journal=journal).execute(to_inputs(range(40)))

    assert sum(commits) == 80
    assert len(commits) <= 80


# what goes wrong


def test_a_journal_that_fails_ends_the_run_and_finished_stays_finished(
    journal: SqlJournal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes = iter(range(100))

    def full(lease: Any, change: Any) -> None:
        if next(writes) >= 4:
            raise JournalError("the disk is full")
        SqlJournal.write(journal, lease, change)

    monkeypatch.setattr(journal, "write", full)
    with pytest.raises(RunFailed, match="the disk is full") as caught:
        jobs(journal).execute(inputs(tmp_path))
    monkeypatch.undo()
    witnessed(tmp_path)

    assert caught.value.result is not None
    assert [type(outcome) for outcome in caught.value.result.outcomes] == [Succeeded, NotRun, NotRun]
    resumed = jobs(journal).resume()
    assert [type(outcome) for outcome in resumed.outcomes] == [Skipped, Succeeded, Succeeded]
    assert witnessed(tmp_path) == ["check 30", "total 31", "fetch 2", "check 20", "total 21"]


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_worker_whose_run_was_taken_over_stops_and_says_so(shared_store: Store, tmp_path: Path, runner: str) -> None:
    stream: Any = jobs(shared_store("step"), RUNNERS[runner]()).stream(endless(shared_store, tmp_path))

    with pytest.raises(RunFailed, match="another process has taken over this run"):
        for _ in stream:
            pass


def endless(store: Store, folder: Path) -> Iterator[ProcessorInput[Any]]:
    """Inputs without an end, behind the first of which somebody takes the run over."""
    for number in range(10_000):
        yield ProcessorInput(input_id=str(number), data=(str(folder), number))
        if number == 3:
            store.execute("UPDATE batches SET owner_run = 99")


def test_a_journal_in_memory_cannot_hear_of_steps_in_other_processes(tmp_path: Path) -> None:
    with pytest.raises(NotPicklable, match=r"durability='step' .* MemoryJournal lives in one process"):
        jobs(MemoryJournal("step"), ProcessRunner(2)).execute(inputs(tmp_path))

    assert witnessed(tmp_path) == []


@pytest.mark.parametrize("is_there", [False, True])
def test_a_worker_on_a_machine_without_the_journal_says_so(tmp_path: Path, is_there: bool) -> None:
    journal = SqliteJournal(tmp_path / "runs.db", "step")
    cut(journal, told("a"), told("b", stop_now))
    (run,) = journal.runs()
    elsewhere = SqliteJournal(tmp_path / "elsewhere.db", "step")
    if is_there:
        cut(elsewhere, told("a"), told("b", stop_now))
    lease = Lease(run.batch, run.run, "of the run")

    with pytest.raises(JournalError, match=r"elsewhere\.db is (not|another one) on this worker's machine"):
        elsewhere.join(lease)
    assert (tmp_path / "elsewhere.db").exists() == is_there
    journal.close()
    elsewhere.close()

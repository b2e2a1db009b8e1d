"""R9: several processes, threads and machines on one database: nothing is lost, and a run has one owner."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from pipeline import ExecutionContext, Processor, ProcessorInput, SqliteJournal, step, to_inputs
from pipeline.errors import RunFailed, RunOwned
from pipeline.journal import owner
from pipeline.journal.heartbeat import Heart
from pipeline.journal.sql import SqlJournal
from tests.journal.roster import Store

WRITERS = 8
ROWS = 500
SPAWN = multiprocessing.get_context("spawn")

Job = tuple[str, int]
"""A folder to write the witness into, and a number."""


@step("double")
def double(value: int) -> int:
    return value * 2


def write_many(journal: SqlJournal, name: str) -> None:
    """A run whose every outcome is a commit of its own."""
    journal.group_s = 0.0
    assert Processor(name=name, pipeline=double, journal=journal).execute(to_inputs(range(ROWS), key=str)).success


def recorded(journal: SqlJournal) -> dict[str, list[bytes]]:
    """What each processor's run has."""
    return {
        run.processor: sorted(row.data or b"" for row in journal.outcomes(run.batch) if row.status == "succeeded")
        for run in journal.runs()
    }


EXPECTED = {f"writer {number}": sorted(str(2 * value).encode() for value in range(ROWS)) for number in range(WRITERS)}


@pytest.mark.slow
def test_eight_processes_that_write_at_once_lose_no_row(shared_store: Store) -> None:
    journal = shared_store()
    writers = [SPAWN.Process(target=write_many, args=(journal, name)) for name in EXPECTED]
    exit_codes = together(writers)

    assert exit_codes == [0] * WRITERS
    assert recorded(journal) == EXPECTED


@pytest.mark.slow
@pytest.mark.parametrize("connections", ["one", "eight"])
def test_eight_threads_that_write_at_once_lose_no_row(store: Store, connections: str) -> None:
    one = store()
    journals = [one if connections == "one" else store() for _ in EXPECTED]
    with ThreadPoolExecutor(WRITERS) as threads:
        list(threads.map(write_many, journals, EXPECTED))

    assert recorded(one) == EXPECTED


# two who want the same run


@step("work")
def work(job: Job) -> int:
    with Path(job[0], "witness").open("ab", buffering=0) as witness:
        witness.write(f"{job[1]}\n".encode())
    if not Path(job[0], "repaired").exists():
        raise ValueError("not yet")
    return job[1]


def jobs(journal: Any, pipeline: Any = work) -> Processor[Job, int, list[int]]:
    return Processor(name="jobs", pipeline=pipeline, journal=journal)


def inputs(folder: Path) -> list[ProcessorInput[Job]]:
    return [ProcessorInput(input_id=str(number), data=(str(folder), number)) for number in range(5)]


def claim(journal: SqlJournal, folder: Path, run_id: str, start: Any, stay: Any) -> None:
    """Resume the run at the same moment as others, and stay its owner until all have tried."""
    jobs(journal).plan(run_id)
    start.wait(60)
    again = jobs(journal).stream(inputs(folder), context=ExecutionContext(previous_run_id=run_id))
    told = "done"
    try:
        next(again)
    except RunOwned as refused:
        told = str(refused)
    stay.wait(60)
    list(again)
    (folder / f"claim {os.getpid()}").write_text(told)


@pytest.mark.slow
def test_of_processes_that_fight_for_a_run_one_wins_and_the_others_are_told_who(
    shared_store: Store, tmp_path: Path
) -> None:
    journal = shared_store()
    run_id = jobs(journal).execute(inputs(tmp_path)).run_id
    (tmp_path / "repaired").touch()
    (tmp_path / "witness").unlink()
    start, stay = SPAWN.Barrier(4), SPAWN.Barrier(4)
    fighters = [SPAWN.Process(target=claim, args=(journal, tmp_path, run_id, start, stay)) for _ in range(4)]
    exit_codes = together(fighters)

    claims = {int(path.name.split()[1]): path.read_text() for path in tmp_path.glob("claim *")}
    (winner,) = [pid for pid, told in claims.items() if told == "done"]
    assert exit_codes == [0] * 4
    assert len(claims) == 4
    assert all(f"is in progress in process {winner} on " in told for pid, told in claims.items() if pid != winner)
    assert Counter((tmp_path / "witness").read_text().split()) == Counter("01234")


def test_of_threads_that_fight_for_a_run_one_wins(store: Store, tmp_path: Path) -> None:
    journals = [store() for _ in range(4)]
    run_id = jobs(journals[0]).execute(inputs(tmp_path)).run_id
    (tmp_path / "repaired").touch()
    (tmp_path / "witness").unlink()
    start, stay = Barrier(4), Barrier(4)

    def fight(journal: SqlJournal) -> bool:
        start.wait(60)
        again = jobs(journal).stream(inputs(tmp_path), context=ExecutionContext(previous_run_id=run_id))
        try:
            next(again)
        except RunOwned:
            return False
        finally:
            stay.wait(60)
        list(again)
        return True

    with ThreadPoolExecutor(4) as threads:
        won = list(threads.map(fight, journals))

    assert sorted(won) == [False, False, False, True]
    assert Counter((tmp_path / "witness").read_text().split()) == Counter("01234")


# an owner that is gone


def hold(journal: SqlJournal, folder: Path, begun: Any, machine: str | None) -> None:
    """Begin a run, as if on another machine where one is named, and never end it."""
    if machine is not None:
        owner.machine = lambda: machine  # type: ignore[assignment]
    stream = jobs(journal).stream(inputs(folder), context=ExecutionContext(run_id="held"))
    next(stream)
    begun.set()
    signal.pause()


def held(store: Store, folder: Path, machine: str | None = None) -> Any:
    """A process that holds a run."""
    begun = SPAWN.Event()
    holder = SPAWN.Process(target=hold, args=(store(), folder, begun, machine))
    holder.start()
    assert begun.wait(60)
    return holder


def killed(holder: Any) -> None:
    holder.kill()
    holder.join()
    holder.close()


@pytest.mark.slow
def test_the_run_of_a_process_that_was_killed_is_taken_over(shared_store: Store, tmp_path: Path) -> None:
    holder, journal = held(shared_store, tmp_path), shared_store()
    (tmp_path / "repaired").touch()
    with pytest.raises(RunOwned, match=f"run held is in progress in process {holder.pid} on "):
        jobs(journal).resume()
    killed(holder)

    again = ExecutionContext(previous_run_id="held")
    assert jobs(journal).execute(inputs(tmp_path), context=again).output == [0, 1, 2, 3, 4]
    assert [run.state for run in journal.runs()] == ["died", "succeeded"]


@pytest.mark.slow
def test_the_run_of_a_machine_that_is_silent_is_taken_over_and_not_before(shared_store: Store, tmp_path: Path) -> None:
    holder, journal = held(shared_store, tmp_path, machine="elsewhere/1/2"), shared_store()
    (tmp_path / "repaired").touch()
    again = ExecutionContext(previous_run_id="held")
    killed(holder)
    with pytest.raises(RunOwned, match=r"run held is in progress in process \d+ on elsewhere;"):
        jobs(journal).execute(inputs(tmp_path), context=again)
    shared_store.execute("UPDATE batches SET heartbeat = heartbeat - 31")

    assert jobs(journal).execute(inputs(tmp_path), context=again).output == [0, 1, 2, 3, 4]
    assert [run.state for run in journal.runs()] == ["died", "succeeded"]


def test_an_owner_that_was_taken_for_dead_records_nothing_more(
    shared_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, other = shared_store(), shared_store()
    journal.group_s = 0.0  # so that one outcome is handed out at a time, and the others come after the take-over
    (tmp_path / "repaired").touch()
    monkeypatch.setattr(owner, "machine", lambda: "elsewhere")
    monkeypatch.setattr("pipeline.journal.recorder.HEART", Heart())  # whose first beat is far off
    slow = jobs(journal).stream(inputs(tmp_path), context=ExecutionContext(run_id="held"))
    first = next(slow).input_id
    monkeypatch.undo()
    shared_store.execute("UPDATE batches SET heartbeat = heartbeat - 31")
    again = ExecutionContext(previous_run_id="held")
    result = jobs(other).execute(inputs(tmp_path), context=again)
    before = recorded(other)
    with pytest.raises(RunFailed, match="another process has taken over this run") as failed:
        list(slow)

    assert first == "0"
    assert result.output == [0, 1, 2, 3, 4]
    assert isinstance(failed.value.__cause__, RunOwned)
    assert recorded(other) == before
    assert [run.state for run in other.runs()] == ["died", "succeeded"]


def together(processes: list[Any]) -> list[int | None]:
    """Run them all; how each ended."""
    for process in processes:
        process.start()
    for process in processes:
        process.join(100)
    return [process.exitcode for process in processes]


def test_many_may_make_a_file_at_once(tmp_path: Path) -> None:
    def opened(path: Path) -> list[Any]:
        start.wait(60)
        journal = SqliteJournal(path)
        found = journal.runs()
        journal.close()
        return found

    start = Barrier(WRITERS)
    with ThreadPoolExecutor(WRITERS) as threads:
        for number in range(60):
            assert list(threads.map(opened, [tmp_path / f"{number}.db"] * WRITERS)) == [[]] * WRITERS

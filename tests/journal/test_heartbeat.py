"""A run shows that it lives, also while nothing is written; whoever lost it stops, says so, and loses nothing."""

from __future__ import annotations

import os
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pipeline import MemoryJournal, NotRun, Processor, SqliteJournal, Succeeded, step, to_inputs
from pipeline.errors import RunFailed, RunOwned
from pipeline.journal import heartbeat, owner
from pipeline.journal.heartbeat import Heart
from pipeline.journal.owner import LIVE
from pipeline.journal.protocol import Change, Lease
from pipeline.journal.records import RunRow
from pipeline.journal.sql import SqlJournal
from runners import SequentialRunner
from runners.pool.launch import count_threads
from tests.journal.roster import Store


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From its call on, this process takes itself for one on another machine."""
    return lambda: monkeypatch.setattr(owner, "machine", lambda: "another machine")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "BEAT_S", 0.02)


@pytest.fixture
def owners() -> Iterator[None]:
    """Runs of this process, by their tokens."""
    LIVE.update("abc")
    yield
    LIVE.difference_update("abc")


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.005)


def silence_s(journal: SqlJournal) -> float:
    """Seconds since the last heartbeat, on the database's clock."""
    ((_, _, _, beat, now),) = journal._rows("owners")
    return float(now - beat)


def test_a_run_holds_its_lease_while_one_input_takes_longer_than_that(
    shared_store: Store, elsewhere: Callable[[], None]
) -> None:
    watching, refused = shared_store(), list[str]()

    def take_long(number: int) -> int:
        shared_store.execute("UPDATE batches SET heartbeat = heartbeat - 3600")
        until(lambda: silence_s(watching) < owner.LEASE_S)
        elsewhere()
        try:
            processor.resume()
        except RunOwned as error:
            refused.append(str(error))
        return number

    slow = step("take", version="1")(take_long)
    processor = Processor(name="slow", pipeline=slow, journal=watching)
    result = Processor(name="slow", pipeline=slow, journal=shared_store()).execute(to_inputs([1]))

    assert result.output == [1]
    assert len(refused) == 1
    assert "is in progress in process" in refused[0]


def test_a_run_that_was_silent_too_long_is_taken_over_and_stops(
    shared_store: Store, elsewhere: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its machine slept, or the network was gone: what it had recorded is kept, and what it does now counts no more."""
    ran, started, resumed = list[int](), list[Any](), list[Any]()

    def work(number: int) -> int:
        ran.append(number)
        if ran == [1, 2]:
            monkeypatch.setattr(owner, "LEASE_S", -1.0)
            elsewhere()
            resumed.append(processor(shared_store).resume())
            until(lambda: started[0].progress().stopped is not None)
        return number

    def processor(store: Store) -> Processor[int, int]:
        journal = store()
        journal.group_s = 0.0
        return Processor(name="n", pipeline=step("work", version="1")(work), journal=journal)

    begin = threading.Event()
    inputs = to_inputs([1, 2, 3])
    monkeypatch.setattr(SequentialRunner, "stream", when(begin, SequentialRunner.stream))
    started.append(processor(shared_store).start(inputs))
    begin.set()
    with pytest.raises(RunFailed, match="another process has taken over this run") as caught:
        started[0].result(timeout=60)

    assert caught.value.result is not None
    assert [type(outcome) for outcome in caught.value.result.outcomes] == [Succeeded, Succeeded, NotRun]
    assert ran == [1, 2, 2, 3], "what was recorded did not run again, what was not begun did not begin"
    assert resumed[0].output == [1, 2, 3]
    assert [run.state for run in shared_store().runs()] == ["died", "succeeded"]


def when(begin: threading.Event, stream: Any) -> Any:
    """The stream, which waits for the test to have a handle of the run."""

    def waiting(*given: Any) -> Any:
        begin.wait(60)
        return stream(*given)

    return waiting


# the thread


@pytest.mark.usefixtures("owners")
def test_one_thread_beats_for_all_runs_and_ends_when_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "IDLE_S", 0.01)
    others, beats, mine = {*threading.enumerate()}, list[str](), Heart()
    for token in "ab":
        mine.start(token, partial(beats.append, token))
    until(lambda: {*beats} == {"a", "b"})
    threads = [thread for thread in threading.enumerate() if thread not in others]

    for token in "ab":
        mine.stop(token)
    until(lambda: not any(thread.is_alive() for thread in threads))
    mine.start("c", partial(beats.append, "c"))
    until(lambda: "c" in beats)
    mine.stop("c")

    assert len(threads) == 1


@pytest.mark.usefixtures("owners")
def test_it_does_not_count_where_a_process_asks_whether_it_may_fork() -> None:
    mine = Heart()
    before = count_threads()
    mine.start("a", list)
    after = count_threads()
    mine.stop("a")

    assert before == after


@pytest.mark.usefixtures("owners")
def test_a_fork_waits_for_a_heartbeat_so_that_no_lock_is_copied_as_held() -> None:
    mine, beating, release, done = Heart(), threading.Event(), threading.Event(), list[bool]()

    def beat() -> None:
        beating.set()
        release.wait(60)
        done.append(True)

    mine.start("a", beat)
    assert beating.wait(60)
    threading.Timer(0.05, release.set).start()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # this process has threads, which is what is tested
        child = os.fork()
    if child == 0:
        os._exit(0 if done else 1)
    mine.stop("a")

    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.usefixtures("owners")
def test_it_does_not_beat_for_a_run_that_is_over_though_nobody_stopped_it() -> None:
    mine, beats = Heart(), list[str]()
    for token in "ab":
        mine.start(token, partial(beats.append, token))
    until(lambda: {*beats} == {"a", "b"})

    LIVE.discard("a")
    until(lambda: beats[-3:] == ["b", "b", "b"])
    mine.stop("b")


@pytest.mark.usefixtures("owners")
def test_a_run_that_is_collected_in_the_midst_of_a_look_ends() -> None:
    mine = Heart()
    mine.start("a", list)

    def collect() -> None:
        with mine._lock:
            mine.stop("a")

    thread = threading.Thread(target=collect, daemon=True)
    thread.start()
    thread.join(60)

    assert not thread.is_alive()
    assert mine._beats == {}


class Served(SqliteJournal):
    """A journal of somebody else's, which knows nothing of how ours name their owners."""

    beaten = 0

    def begin(self, run: RunRow, previous: RunRow | None, changes: Callable[[Lease], Iterable[Change]]) -> Lease:
        lease = super().begin(run, previous, changes)
        LIVE.discard(lease.token)
        return lease

    def beat(self, lease: Lease) -> bool:
        self.beaten += 1
        return super().beat(lease)


def test_it_beats_for_a_journal_of_somebody_else_s(tmp_path: Path) -> None:
    journal = Served(tmp_path / "runs.db")

    def wait(value: int) -> int:
        until(lambda: journal.beaten > 1)
        return value

    assert Processor(pipeline=step("wait")(wait), journal=journal).execute(to_inputs([1])).output == [1]


def test_a_run_in_memory_needs_no_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat.HEART, "start", lambda *_: pytest.fail("nobody can see it"))

    assert Processor(pipeline=step("n")(int), journal=MemoryJournal()).execute(to_inputs(["1"])).success

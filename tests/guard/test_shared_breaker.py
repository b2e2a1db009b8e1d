"""A breaker whose state is in the journal: every process sees it open, and one input of all of them is the probe."""

from __future__ import annotations

import multiprocessing
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pipeline import CircuitBreaker, InvalidSetting, MemoryJournal, Processor, SqliteJournal, step, to_inputs
from pipeline.guard.breaker import Ticket
from pipeline.guard.sharedbreaker import SharedBreaker
from pipeline.policies.breaker import BreakerState
from runners import ProcessRunner, ThreadRunner

FAILING = CircuitBreaker(failures=3, reset_s=3_600, shared=True)


@step("call", breaker=FAILING)
def call(path: str) -> int:
    with Path(path).open("a") as log:
        log.write("called\n")
    raise ConnectionError("down")


def journal_in(folder: Path) -> SqliteJournal:
    return SqliteJournal(folder / "runs.db")


def test_all_worker_processes_count_together_and_stop_together(tmp_path: Path) -> None:
    processor = Processor(pipeline=call, runner=ProcessRunner(3), journal=journal_in(tmp_path))

    result = processor.execute(to_inputs([str(tmp_path / "log")] * 60))

    calls = len((tmp_path / "log").read_text().splitlines())
    assert 3 <= calls <= 5  # the third failure opens it; the other two workers may be in a call at that moment
    assert len(result.failed) == calls
    assert all("its circuit breaker is open" in outcome.reason for outcome in result.not_run)


def test_a_later_run_and_another_process_find_it_open(tmp_path: Path) -> None:
    processor = Processor(pipeline=call, journal=journal_in(tmp_path))
    processor.execute(to_inputs([str(tmp_path / "log")] * 3))

    later = Processor(pipeline=call, runner=ProcessRunner(1), journal=journal_in(tmp_path)).execute(
        to_inputs([str(tmp_path / "log")])
    )

    assert len(later.not_run) == 1
    assert len((tmp_path / "log").read_text().splitlines()) == 3


def test_without_a_name_it_belongs_to_the_processor_and_by_its_name_to_all(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    named = call.replace(breaker=CircuitBreaker(failures=3, shared=True, name="api"))

    def left_waiting(name: str, pipeline: Any) -> int:
        inputs = to_inputs([str(tmp_path / "log")] * 3)
        return len(Processor(name=name, pipeline=pipeline, journal=journal).execute(inputs).not_run)

    assert [left_waiting(name, call) for name in ("one", "one", "two")] == [0, 3, 0]
    assert [left_waiting(name, named) for name in ("one", "two")] == [0, 3]


class Clocked(MemoryJournal):
    """A journal whose clock is the test's."""

    now = 1_000.0

    def change_breaker(self, name: str, change: Callable[[BreakerState, float], BreakerState]) -> BreakerState:
        return super().change_breaker(name, lambda state, _: change(state, self.now))


def breakers(reset_s: float = 60.0, failures: int = 1) -> tuple[Clocked, SharedBreaker, SharedBreaker]:
    """Two processes' hold on one breaker."""
    journal, policy = Clocked(), CircuitBreaker(failures=failures, reset_s=reset_s, shared=True)
    return journal, *(SharedBreaker(policy, lambda: 0.0, "api", journal) for _ in range(2))  # type: ignore[return-value]


def arrived(breaker: SharedBreaker) -> Ticket:
    ticket = breaker.arrive()
    assert ticket is not None
    return ticket


def test_of_all_processes_one_is_the_probe_and_its_answer_closes_it_for_all() -> None:
    journal, one, other = breakers()
    one.end("call", arrived(one), failed=True)
    early = other.arrive()
    journal.now += 60

    probe = arrived(other)
    second = one.arrive()
    notes = other.end("call", probe, failed=False)

    assert early is None
    assert probe.is_probe
    assert second is None
    assert [note.what for note in notes] == ["breaker_half_opened", "breaker_closed"]
    assert not arrived(one).is_probe


def test_a_probe_whose_process_died_is_replaced_and_says_nothing_if_it_comes_back() -> None:
    journal, one, other = breakers()
    one.end("call", arrived(one), failed=True)
    journal.now += 60
    lost = arrived(one)
    journal.now += 59
    too_early = other.arrive()
    journal.now += 1

    probe = arrived(other)
    late = one.end("call", lost, failed=False)

    assert too_early is None
    assert probe.is_probe
    assert "breaker_closed" not in [note.what for note in late]
    assert one.bars(Ticket(is_probe=False), tries=0)


def test_a_clock_that_is_set_back_keeps_nobody_waiting() -> None:
    journal, one, other = breakers(reset_s=60.0)
    one.end("call", arrived(one), failed=True)

    journal.now -= 36_000
    first = arrived(one)
    second = other.arrive()
    journal.now -= 36_000
    third = arrived(other)

    assert (first.is_probe, second, third.is_probe) == (True, None, True)


def test_an_answer_starts_the_count_anew_for_all() -> None:
    _, one, other = breakers(failures=2)

    one.end("call", arrived(one), failed=True)
    other.end("call", arrived(other), failed=False)
    one.end("call", arrived(one), failed=True)

    assert other.arrive() is not None


def test_of_many_threads_on_connections_of_their_own_one_is_the_probe(tmp_path: Path) -> None:
    policy = CircuitBreaker(failures=1, reset_s=0.0, shared=True)
    SharedBreaker(policy, lambda: 0.0, "api", journal_in(tmp_path)).end("call", Ticket(False, -1.0), failed=True)
    ready = threading.Barrier(6)

    def arrive(_: int) -> bool:
        journal = journal_in(tmp_path)
        ready.wait(30)
        ticket = SharedBreaker(policy, lambda: 0.0, "api", journal).arrive()
        journal.close()
        return ticket is not None

    with ThreadPoolExecutor(6) as pool:
        admitted = list(pool.map(arrive, range(6)))

    assert sum(admitted) == 1


def test_a_journal_that_fails_costs_no_input_and_the_breaker_counts_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Clocked):
        def breaker(self, name: str) -> BreakerState:
            raise sqlite3.OperationalError("disk I/O error")

    policy = CircuitBreaker(failures=2, reset_s=60, shared=True)
    breaker = SharedBreaker(policy, lambda: 0.0, "api", Broken())

    for _ in range(2):
        breaker.end("call", arrived(breaker), failed=True)

    assert breaker.arrive() is None
    assert "cannot be shared now" in caplog.text


def test_it_needs_a_journal_that_all_its_processes_can_open() -> None:
    with pytest.raises(InvalidSetting, match="is kept in a journal; give the processor journal=SqliteJournal"):
        Processor(pipeline=call).execute([])
    with pytest.raises(InvalidSetting, match="is kept in a journal"):
        Processor(pipeline=call).plan([])
    with pytest.raises(InvalidSetting, match="cannot keep it for other processes"):
        Processor(pipeline=call, runner=ProcessRunner(1), journal=MemoryJournal()).execute([])
    Processor(pipeline=call, runner=ThreadRunner(1), journal=MemoryJournal()).execute([])


def test_it_is_found_open_by_a_program_of_its_own(tmp_path: Path) -> None:
    Processor(name="p", pipeline=call, journal=journal_in(tmp_path)).execute(to_inputs([str(tmp_path / "log")] * 3))
    program = f"""
from pipeline import CircuitBreaker, Processor, SqliteJournal, step, to_inputs
called = step("call", breaker=CircuitBreaker(failures=3, reset_s=3_600, shared=True))(abs)
journal = SqliteJournal({str(tmp_path / "runs.db")!r})
result = Processor(name="p", pipeline=called, journal=journal).execute(to_inputs([-1]))
print(result.not_run[0].reason)
"""

    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout

    assert "its circuit breaker is open" in printed
    assert multiprocessing.active_children() == []


def test_every_journal_that_processes_share_keeps_it(shared_store: Any) -> None:
    policy = CircuitBreaker(failures=2, reset_s=3_600, shared=True, name="api")
    one, other = (SharedBreaker(policy, lambda: 0.0, "api", shared_store()) for _ in range(2))

    before = other.arrive()
    notes = [each.end("call", arrived(each), failed=True) for each in (one, other)]

    assert before is not None
    assert [[note.what for note in told] for told in notes] == [[], ["breaker_opened"]]
    assert one.arrive() is None
    assert other.bars(Ticket(is_probe=False), tries=1)


def test_failures_of_many_threads_at_once_are_all_counted(shared_store: Any) -> None:
    policy = CircuitBreaker(failures=1_000, shared=True)
    breakers = [SharedBreaker(policy, lambda: 0.0, "api", shared_store()) for _ in range(4)]
    for breaker in breakers:  # each has its connection; what is counted here is what is told at once
        breaker.states.breaker("api")

    def fail(breaker: SharedBreaker) -> None:
        for _ in range(25):
            breaker.end("call", arrived(breaker), failed=True)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(fail, breakers))

    assert breakers[0].states.breaker("api").failures == 100

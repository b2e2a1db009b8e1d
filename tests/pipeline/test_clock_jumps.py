"""R16: the wall clock jumps ten years, goes backwards, crosses daylight saving: nothing depends on it but labels.

Durations come from a monotonic clock, order from sequence numbers; what has an age is not trusted from the future.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import BuiltinFunctionType
from typing import Any

import msgspec
import pytest

from pipeline import Cache, CircuitBreaker, Event, Processor, ProcessorInput, RateLimit, Retry, SqliteJournal, step
from pipeline.errors import RunOwned
from pipeline.journal.owner import LEASE_S, Owner
from pipeline.runid import new_run_id
from runners import AsyncRunner, Runner, SequentialRunner, ThreadRunner

YEARS = 10 * 365.25 * 86_400
JUMPS = {
    "ten years ahead": YEARS,
    "ten years back": -YEARS,
    "an hour back, as in autumn": -3_600.0,
    "an hour ahead, as in spring": 3_600.0,
    "a millisecond back": -0.001,
    "before the epoch": -60 * YEARS / 10,
}
REAL = {time.time: "time", time.time_ns: "time_ns"}
RUNNERS: dict[str, Callable[[], Runner]] = {
    "sequential": SequentialRunner,
    "thread": lambda: ThreadRunner(2),
    "async": lambda: AsyncRunner(4),
}


class Wall:
    """The wall clock of this process, which can be set."""

    def __init__(self) -> None:
        self.ahead_s = 0.0
        self._time, self._time_ns = time.time, time.time_ns

    def time(self) -> float:
        return self._time() + self.ahead_s

    def time_ns(self) -> int:
        return self._time_ns() + int(self.ahead_s * 1e9)

    def jump(self, seconds: float) -> None:
        self.ahead_s += seconds


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Wall:
    """Takes the place of the real clock wherever our code has it by name."""
    made, places = Wall(), list[str]()
    for name, module in [*sys.modules.items()]:
        if name == "time" or name.partition(".")[0] in ("pipeline", "runners"):
            for attribute, value in [*vars(module).items()]:
                if isinstance(value, BuiltinFunctionType) and value in REAL:
                    monkeypatch.setattr(module, attribute, getattr(made, REAL[value]))
                    places.append(name)
    assert {"time", "pipeline.run", "pipeline.runid", "pipeline.guard.results"} <= {*places}
    return made


each_jump = pytest.mark.parametrize("jump", JUMPS.values(), ids=JUMPS)


class Witness:
    def __init__(self) -> None:
        self.events: list[Any] = []

    def on_event(self, event: Event) -> None:
        self.events.append(event)


@each_jump
@pytest.mark.parametrize("runner", RUNNERS)
def test_durations_are_never_negative_and_order_is_by_sequence(
    jump: float, runner: str, wall: Wall, tmp_path: Path
) -> None:
    def fetch(value: int) -> int:
        wall.jump(jump if value % 2 else -jump)
        return value

    def check(value: int) -> int:
        wall.jump(jump)
        if value == 3:
            raise ValueError("three")
        wall.jump(-jump)
        return value

    witness, journal = Witness(), SqliteJournal(tmp_path / "runs.db")
    processor = Processor(
        name="n",
        pipeline=step("fetch", version="1")(fetch) >> step("check", version="1", retry=Retry(wait=0.0))(check),
        runner=RUNNERS[runner](),
        journal=journal,
        observers=[witness],
    )
    result = processor.execute([ProcessorInput(input_id=str(value), data=value) for value in range(8)])
    again = processor.resume()
    journal.close()

    for outcome in result.outcomes:
        assert [*outcome.clock_ns] == sorted(outcome.clock_ns)  # type: ignore[union-attr]
        assert 0 <= outcome.duration_s < 60  # type: ignore[union-attr]
        assert all(0 <= attempt.duration_s < 60 for attempt in outcome.attempts)  # type: ignore[union-attr]
    for metrics in (result.metrics, again.metrics):
        assert 0 <= metrics.duration_s < 60
        assert 0 <= metrics.efficiency <= 1
        assert all(0 <= one.total_s < 60 and 0 <= one.max_s < 60 for one in metrics.steps.values())
    by_run: dict[str, list[int]] = {}
    for event in witness.events:
        by_run.setdefault(event.run_id, []).append(event.sequence)
    assert [*by_run] == [result.run_id, again.run_id]
    assert all(sequence == [*range(1, len(sequence) + 1)] for sequence in by_run.values())
    assert all(getattr(event, "duration_s", 0.0) >= 0 for event in witness.events)
    assert [failed.input_id for failed in again.failed] == ["3"]


@each_jump
def test_run_ids_sort_in_the_order_they_were_made(jump: float, wall: Wall) -> None:
    ids = [new_run_id()]
    for seconds in (jump, -jump, -jump, jump):
        wall.jump(seconds)
        ids.append(new_run_id())

    assert ids == sorted(ids)
    assert len({*ids}) == 5


def double(value: int) -> int:
    return 2 * value


@each_jump
def test_the_latest_run_is_the_last_one_begun_whatever_its_date(jump: float, wall: Wall, tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "runs.db")
    processor = Processor(name="n", pipeline=step("double", version="1")(double), journal=journal)
    processor.execute([ProcessorInput(input_id="a", data=1)])
    wall.jump(jump)
    processor.execute([ProcessorInput(input_id="a", data=2)])
    wall.jump(-2 * jump)
    last = processor.execute([ProcessorInput(input_id="a", data=3)])

    assert processor.resume().output == [6]
    journal.prune(keep_last=1)
    (kept, *_) = journal.runs()
    journal.close()
    assert kept.run_id == last.run_id


def test_a_run_from_the_future_is_not_pruned_for_its_age(wall: Wall, tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "runs.db")
    processor = Processor(name="n", pipeline=step("double", version="1")(double), journal=journal)
    processor.execute([ProcessorInput(input_id="a", data=1)])
    wall.jump(-YEARS)

    assert journal.prune(older_than_s=0.001).batches == 0
    wall.jump(2 * YEARS)
    assert journal.prune(older_than_s=YEARS / 2).batches == 1
    journal.close()


@pytest.mark.parametrize("durable", [False, True])
def test_a_cached_result_from_the_future_is_not_used_while_it_lies_there(
    durable: bool, wall: Wall, tmp_path: Path
) -> None:
    called: list[int] = []

    def slow(value: int) -> int:
        called.append(value)
        return value

    journal = SqliteJournal(tmp_path / "runs.db") if durable else None
    cached = step("slow", version=f"{durable} {tmp_path}", cache=Cache(max_age_s=600.0))(slow)
    processor = Processor(name="n", pipeline=cached, journal=journal)

    def calls() -> int:
        called.clear()
        assert processor.execute([ProcessorInput(input_id="a", data=1)]).output == [1]
        return len(called)

    assert (calls(), calls()) == (1, 0)
    wall.jump(YEARS)
    assert (calls(), calls()) == (1, 0)
    wall.jump(-2 * YEARS)
    assert (calls(), calls()) == (1, 0)
    wall.jump(599.0)
    assert calls() == 0
    wall.jump(2.0)
    assert calls() == 1


@each_jump
@pytest.mark.parametrize("runner", RUNNERS)
def test_policies_wait_by_a_clock_that_does_not_jump(jump: float, runner: str, wall: Wall) -> None:
    tries: list[int] = []

    def flaky(value: int) -> int:
        tries.append(value)
        wall.jump(jump)
        if len(tries) < 3:
            raise TimeoutError("busy")
        return value

    patient = step(
        "flaky",
        version="1",
        retry=Retry(on=TimeoutError, attempts=3, wait=0.001, max_wait=0.002),
        timeout=30.0,
        breaker=CircuitBreaker(failures=5, reset_s=60.0),
        rate=RateLimit(per_second=1_000, burst=10),
    )(flaky)
    result = Processor(name="n", pipeline=patient, runner=RUNNERS[runner]()).execute(
        [ProcessorInput(input_id="a", data=1)]
    )

    assert result.output == [1]
    assert result.metrics.duration_s < 20


SILENT = {
    "a moment ago": (1.0, True),
    "longer ago than a lease": (LEASE_S + 1, False),
    "ten years ago": (YEARS, False),
    "in a moment, by a clock set back a little": (-1.0, True),
    "in ten years, by a clock set back": (-YEARS, False),
}


@pytest.mark.parametrize("case", SILENT)
def test_a_lease_is_held_by_a_heartbeat_of_these_seconds_not_of_another_age(case: str, tmp_path: Path) -> None:
    silent_s, is_held = SILENT[case]
    journal = SqliteJournal(tmp_path / "runs.db")
    processor = Processor(name="n", pipeline=step("double", version="1")(double), journal=journal)
    processor.execute([ProcessorInput(input_id="a", data=1)])
    elsewhere = msgspec.json.encode(Owner(machine="elsewhere", pid=1, started="1", token="x")).decode()
    beaten = "UPDATE batches SET owner_run = 1, owner = ?, heartbeat = (julianday('now') - 2440587.5) * 86400.0 - ?"
    journal._transact(lambda connection: connection.execute(beaten, (elsewhere, silent_s)))

    if is_held:
        with pytest.raises(RunOwned, match="elsewhere"):
            processor.resume()
    else:
        assert processor.resume().output == [2]
    journal.close()


@pytest.fixture
def berlin() -> Iterator[None]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = "CET-1CEST,M3.5.0,M10.5.0/3"
    time.tzset()
    yield
    os.environ.pop("TZ")
    os.environ.update({} if before is None else {"TZ": before})
    time.tzset()


@pytest.mark.usefixtures("berlin")
@pytest.mark.parametrize("hour", ["2026-10-25T00:59:59.999", "2027-03-28T00:59:59.999"], ids=["autumn", "spring"])
def test_the_hour_that_comes_twice_and_the_one_that_never_comes(hour: str, wall: Wall, tmp_path: Path) -> None:
    change = datetime.fromisoformat(hour).replace(tzinfo=UTC).timestamp()
    wall.jump(change - wall.time())

    def wait(value: int) -> int:
        wall.jump(0.001 if value else 3_600.0)
        return value

    journal = SqliteJournal(tmp_path / "runs.db")
    processor = Processor(name="n", pipeline=step("wait", version="1")(wait), journal=journal)
    runs = [processor.execute([ProcessorInput(input_id="a", data=value)]) for value in (1, 1, 0, 1)]
    times = [(row.started_at, row.ended_at or 0.0) for row in journal.runs()]
    journal.close()

    assert [run.run_id for run in runs] == sorted(run.run_id for run in runs)
    assert all(start <= end for start, end in times)
    assert times == sorted(times)
    assert all(0 <= run.metrics.duration_s < 60 for run in runs)

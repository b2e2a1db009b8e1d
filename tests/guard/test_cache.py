"""The cache of a step: the same call is made once, in this run or an earlier one, and only if it is the same."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pipeline import (
    Cache,
    Event,
    Failure,
    InvalidSetting,
    MemoryJournal,
    Processor,
    Result,
    Retry,
    SqliteJournal,
    StepContext,
    Success,
    configurable,
    step,
    to_inputs,
)
from pipeline.guard.results import IN_MEMORY, InMemory, Kept, Results
from pipeline.journal.sql import SqlJournal
from runners import AsyncRunner, ProcessRunner, Runner, SequentialRunner, ThreadRunner
from tests.journal.roster import Stores

RUNNERS: list[Runner] = [SequentialRunner(), ThreadRunner(2), AsyncRunner(4), ProcessRunner(2)]
every_runner = pytest.mark.parametrize("runner", RUNNERS, ids=lambda it: type(it).__name__)


@pytest.fixture(autouse=True)
def nothing_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(IN_MEMORY, "_kept", {})
    monkeypatch.setattr(IN_MEMORY, "_steps", {})
    monkeypatch.setattr(IN_MEMORY, "_sizes", {})


class Listener:
    def __init__(self) -> None:
        self.reused: list[str] = []

    def on_event(self, event: Event) -> None:
        if type(event).__name__ == "StepReused":
            self.reused.append(event.input_id)  # type: ignore[union-attr]


def called(value: tuple[str, int]) -> dict[date, tuple[int, int]]:
    log, number = value
    with Path(log).open("a") as file:
        file.write(f"{number}\n")
    return {date(2026, 1, number): (number, -number)}


@step("call", cache=Cache())
def call(value: tuple[str, int]) -> dict[date, tuple[int, int]]:
    return called(value)


@step("call", cache=Cache())
async def acall(value: tuple[str, int]) -> dict[date, tuple[int, int]]:
    return called(value)


def calls_in(log: Path) -> list[str]:
    return sorted(log.read_text().split()) if log.exists() else []


@every_runner
@pytest.mark.parametrize("calling", [call, acall], ids=["sync", "async"])
def test_a_later_run_uses_the_results_of_an_earlier_one(
    runner: Runner, calling: Any, tmp_path: Path, shared_journal: SqlJournal
) -> None:
    log, listener, journal = tmp_path / "log", Listener(), shared_journal
    processor: Any = Processor(pipeline=calling, runner=runner, journal=journal, observers=[listener])

    first = processor.execute(to_inputs([(str(log), 1), (str(log), 2)]))
    again = processor.execute(to_inputs([(str(log), 2), (str(log), 3), (str(log), 1)]))

    assert calls_in(log) == ["1", "2", "3"]
    assert [outcome.output for outcome in again.succeeded] == [
        {date(2026, 1, number): (number, -number)} for number in (2, 3, 1)
    ]
    assert (first.metrics.steps["call"].cache_hits, again.metrics.steps["call"].cache_hits) == (0, 2)
    assert sorted(listener.reused) == ["input-1", "input-3"]
    assert [outcome.attempts for outcome in again.outcomes] == [(), (), ()]


@pytest.mark.parametrize("journal", [lambda: None, MemoryJournal], ids=["none", "memory"])
def test_without_a_file_results_live_as_long_as_the_process(journal: Callable[[], Any], tmp_path: Path) -> None:
    log = tmp_path / "log"
    processor = Processor(pipeline=call, journal=journal())

    processor.execute(to_inputs([(str(log), 1)]))
    result = processor.execute(to_inputs([(str(log), 1)]))

    assert calls_in(log) == ["1"]
    assert result.succeeded[0].output == {date(2026, 1, 1): (1, -1)}


def test_a_result_is_not_used_for_another_value_or_another_version_of_the_step(tmp_path: Path) -> None:
    log, journal = tmp_path / "log", SqliteJournal(tmp_path / "runs.db")
    changed = call.replace(version="2")

    Processor(pipeline=call, journal=journal).execute(to_inputs([(str(log), 1)]))
    Processor(pipeline=call, journal=journal).execute(to_inputs([(str(log), 2)]))
    Processor(pipeline=changed, journal=journal).execute(to_inputs([(str(log), 1)]))

    assert calls_in(log) == ["1", "1", "2"]


@configurable("top", cache=Cache(), version="1")
def top(rows: list[int], *, n: int) -> list[int]:
    return sorted(rows)[-n:]


def bottom(n: int, rows: list[int]) -> list[int]:
    return sorted(rows)[:n]


VERSIONED: dict[str, Any] = {"cache": Cache(), "version": "1"}
SIDE_BY_SIDE = [
    [top(n=1), top(n=2)],
    [step("end", **VERSIONED)(partial(bottom, n)) for n in (1, 2)],
    [step("end", **VERSIONED)(fn) for fn in (min, max)],
]


@pytest.mark.parametrize("steps", SIDE_BY_SIDE, ids=["configurable", "partial", "functions"])
def test_a_version_speaks_for_one_function_and_not_for_the_settings_of_its_call(steps: list[Any]) -> None:
    journal = MemoryJournal()

    given = [Processor(pipeline=one, journal=journal).execute(to_inputs([[3, 1, 2]])).output for one in steps * 2]

    assert given[:2] == given[2:] != given[1::-1]
    assert given[0] != given[1]


def test_a_step_whose_code_cannot_be_seen_is_called_every_time(caplog: pytest.LogCaptureFixture) -> None:
    unseen = step("upper", cache=Cache())(Upper(iter("")))
    hidden = step("size", cache=Cache(), version="1")(len)

    first = Processor(pipeline=unseen >> hidden).execute(to_inputs(["a"]))
    again = Processor(pipeline=unseen >> hidden).execute(to_inputs(["a"]))

    assert first.output == again.output == [1]
    assert (again.metrics.steps["upper"].cache_hits, again.metrics.steps["size"].cache_hits) == (0, 1)
    assert "the code of step 'upper', or a setting of it, cannot be seen" in caplog.text


class Upper:
    def __init__(self, state: Any) -> None:
        self.state = state

    def __call__(self, text: str) -> str:
        return text.upper() if self.state is not None else text


CALLS: list[object] = []


@step("look", cache=Cache())
def look(value: object) -> Any:
    CALLS.append(value)
    return value


@pytest.mark.parametrize("value", [float("nan"), (1, 2), lambda: 0], ids=["NaN", "tuple under Any", "function"])
def test_what_cannot_be_kept_exactly_or_be_told_apart_is_made_again(value: Any) -> None:
    CALLS.clear()
    processor = Processor(pipeline=look)

    processor.execute(to_inputs([value]))
    result = processor.execute(to_inputs([value]))

    assert len(CALLS) == 2
    assert result.success


@step("fail", cache=Cache(), retry=Retry(on=("busy",), attempts=2, wait=0.0))
def fail(number: int, context: StepContext) -> Result[int, str]:
    CALLS.append(number)
    if number == 1 and context.attempt == 2:
        return Success(7)
    return Failure("busy" if number == 1 else "no")


def test_a_success_after_retries_is_kept_and_a_failure_never() -> None:
    CALLS.clear()
    processor: Any = Processor(pipeline=fail)

    first = processor.execute(to_inputs([1, 2]))
    again = processor.execute(to_inputs([1, 2]))

    assert CALLS == [1, 1, 2, 2]
    assert [outcome.output for outcome in again.succeeded] == [7]
    assert [len(outcome.attempts) for outcome in first.outcomes] == [1, 1]
    assert [len(outcome.attempts) for outcome in again.outcomes] == [0, 1]


def test_a_result_that_is_too_old_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    CALLS.clear()
    aging = look.replace(cache=Cache(max_age_s=60))
    now = [1_000.0]
    monkeypatch.setattr("pipeline.guard.results.time", lambda: now[0])

    for now[0] in (1_000.0, 1_060.0, 1_061.0, 900.0):
        Processor(pipeline=aging).execute(to_inputs([1]))

    assert len(CALLS) == 3


def test_in_memory_the_oldest_results_go_when_there_are_too_many() -> None:
    the_oldest_go(InMemory())


def test_in_a_journal_the_oldest_results_go_when_there_are_too_many(shared_journal: Any) -> None:
    the_oldest_go(shared_journal)


def the_oldest_go(results: Results) -> None:
    for number in range(200):
        results.keep_result("a", f"a{number}", Kept(float(number), b"x" * 90), 2_000)
        results.keep_result("b", f"b{number % 4}", Kept(float(number), b"y"), 2_000)

    kept = [number for number in range(200) if results.kept_result(f"a{number}") is not None]
    assert kept == list(range(200 - len(kept), 200))
    assert 10 <= len(kept) <= 22 + 64
    assert [results.kept_result(f"b{number}") for number in range(4)] == [Kept(196.0 + n, b"y") for n in range(4)]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("sqlite", "CAST(substr(body, 1, length(body) - 1) || 'x' AS BLOB)"),
        pytest.param("postgres", "set_byte(body, length(body) - 1, 120)", marks=pytest.mark.postgres),
    ],
)
def test_a_damaged_result_is_made_again_and_told_in_the_log(
    kind: str, body: str, tmp_path: Path, make_store: Stores, caplog: pytest.LogCaptureFixture
) -> None:
    log, store = tmp_path / "log", make_store(kind)
    processor = Processor(pipeline=call, journal=store())
    processor.execute(to_inputs([(str(log), 1)]))
    store.execute(f"UPDATE results SET body = {body}")

    with caplog.at_level(logging.WARNING):
        result = processor.execute(to_inputs([(str(log), 1)]))

    assert result.success
    assert calls_in(log) == ["1", "1"]
    assert "the cache of step 'call' cannot be read" in caplog.text


class Unreachable:
    def kept_result(self, key: str) -> Kept | None:
        raise OSError("no disk")

    def keep_result(self, step: str, key: str, kept: Kept, max_size: int) -> None:
        raise OSError("no disk")


def test_a_cache_that_fails_costs_no_input(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr("pipeline.guard.results.IN_MEMORY", Unreachable())

    assert Processor(pipeline=look).execute(to_inputs([1, 2])).output == [1, 2]
    assert "cannot be read" in caplog.text
    assert "cannot be written" in caplog.text


@pytest.mark.parametrize("settings", [{"max_age_s": 0}, {"max_age_s": "1 day"}, {"max_size": 0}, {"max_size": 1e6}])
def test_a_setting_that_makes_no_sense_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidSetting, match="Cache cannot use"):
        Cache(**settings)

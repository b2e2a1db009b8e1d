"""What other systems lose or get wrong when they save and resume, a test each; its docstring says whose failure it was.

Where code changes between a run and its resume, each is a process of its own with the same journal.
"""

from __future__ import annotations

import io
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pipeline import (
    ExecutionContext,
    Processor,
    ProcessorInput,
    RunFailed,
    StepContext,
    step,
    to_inputs,
)
from pipeline.errors import UnknownStep
from pipeline.journal.sql import SqlJournal
from pipeline.journal.waiting import GROUP_ROWS
from runners import ProcessRunner, ThreadRunner
from tests.journal.roster import Store

ROOT = Path(__file__).parents[2]


@pytest.fixture
def journal(shared_journal: SqlJournal) -> SqlJournal:
    return shared_journal


def inputs(*values: Any) -> list[ProcessorInput[Any]]:
    return list(to_inputs(values, key=str))


class Program:
    """A user's program, run again and again with other code; it prints what it did."""

    BEFORE = """
        import sys
        from pipeline import ExecutionContext, Processor, ProcessorInput, PostgresJournal, SqliteJournal
        from pipeline import step, to_inputs

        journal = {journal}
        ran = []

        def say(result):
            print("output", result.output)
            print("ran", *ran)
            for failed in result.failed:
                print("failed", failed.input_id, "at", failed.step)
    """

    def __init__(self, folder: Path, store: Store) -> None:
        self.folder = folder
        self.store = store
        self.before = textwrap.dedent(self.BEFORE).format(journal=store.code)

    def __call__(self, code: str) -> list[str]:
        """The lines that it prints with ``code``."""
        (self.folder / "program.py").write_text(self.before + textwrap.dedent(code))
        done = subprocess.run(
            [sys.executable, "program.py"],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()


@pytest.fixture
def program(tmp_path: Path, shared_store: Store) -> Program:
    return Program(tmp_path, shared_store)


HALVES = """
    @step("half")
    def half(value: int) -> int:
        ran.append(value)
        {body}

    halves = Processor(name="halves", pipeline=half, journal=journal)
"""


def halves(body: str, then: str) -> str:
    return textwrap.dedent(HALVES).format(body=body) + textwrap.dedent(then)


# what a resume runs


def test_failed_items_are_retried_with_the_new_code(program: Program) -> None:
    """In pipefunc a resume never retries failed items, and changed code returns what the old code gave."""
    first = program(halves("return 10 // (value - 2)", "say(halves.execute(to_inputs([1, 2, 3], key=str)))"))
    second = program(halves("return 100 // (value + 2)", "say(halves.resume())"))

    assert first == ["output None", "ran 1 2 3", "failed 2 at half"]
    assert second == ["output [-10, 25, 10]", "ran 2"]


def test_one_more_input_joins_the_resume(program: Program) -> None:
    """In pipefunc one more input refuses the whole resume."""
    program(halves("return 10 // (value - 2)", "say(halves.execute(to_inputs([1, 2], key=str)))"))
    again = """
        previous = ExecutionContext(previous_run_id=journal.find("halves").run_id)
        say(halves.execute(to_inputs([1, 2, 5], key=str), context=previous))
    """

    assert program(halves("return 10 // value", again)) == ["output [-10, 5, 2]", "ran 2 5"]


def test_the_same_id_with_another_input_runs_again(program: Program) -> None:
    """In DBOS the same id with another input gives the old output."""
    program(halves("return value // 2", 'say(halves.execute([ProcessorInput(input_id="a", data=8)]))'))
    other = """
        previous = ExecutionContext(previous_run_id=journal.find("halves").run_id)
        say(halves.execute([ProcessorInput(input_id="a", data=20)], context=previous))
    """

    assert program(halves("return value // 2", other)) == ["output [10]", "ran 20"]


def test_a_resume_runs_again_what_failed_and_does_not_replay_the_error(program: Program) -> None:
    """In DBOS resuming a workflow that ended in an error gives the recorded error."""
    flaky = (
        'if not __import__("os").path.exists("repaired"):\n            raise ValueError(value)\n        return value'
    )
    first = program(halves(flaky.replace("        ", "    "), "say(halves.execute(to_inputs([7], key=str)))"))
    (program.folder / "repaired").touch()

    assert first == ["output None", "ran 7", "failed 7 at half"]
    assert program(halves(flaky.replace("        ", "    "), "say(halves.resume())")) == ["output [7]", "ran 7"]


RATES = """
    RATE = {rate}

    def convert(value):
        return value * RATE

    @step("convert")
    def converted(value: int) -> int:
        ran.append(value)
        return convert(value)

    totals = Processor(name="totals", pipeline=converted, journal=journal, on_code_change="restart")
"""


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("return value * RATE", "return value * RATE + 1"),
        ("RATE = 2", "RATE = 3"),
        ("return convert(value)", "return convert(value) + 1"),
    ],
    ids=["the body of a helper", "a constant of a helper", "the body of the step itself"],
)
def test_a_changed_helper_makes_what_it_helped_to_make_run_again(program: Program, before: str, after: str) -> None:
    """In Prefect a changed helper function gives the cached result, in DBOS the version does not see step bodies."""
    code = textwrap.dedent(RATES).format(rate=2)
    program(code + "say(totals.execute(to_inputs([5], key=str)))\n")
    (output, ran) = program(code.replace(before, after) + "say(totals.resume())\n")

    assert output in ("output [11]", "output [15]")
    assert ran == "ran 5"
    assert program(code.replace(before, after) + "say(totals.resume())\n")[1] == "ran"


TWO = """
    @step("first")
    def one(value: int) -> int:
        ran.append(("first", value))
        return value + 1

    @step("{name}"{aliases})
    def two(value: int) -> int:
        ran.append(("second", value))
        return 10 // {divisor}

    both = Processor(name="both", pipeline=one >> two, journal=journal)
"""


def test_a_renamed_step_fails_closed_and_goes_on_under_its_old_name(program: Program) -> None:
    """In LangGraph a renamed step gives the state so far, as a success."""
    two = textwrap.dedent(TWO)
    program(
        two.format(name="second", aliases="", divisor="(value - 2)") + "say(both.execute(to_inputs([1], key=str)))\n"
    )
    renamed = program(two.format(name="last", aliases="", divisor="value") + "say(both.resume())\n")
    twice = program(two.format(name="last", aliases="", divisor="value") + "say(both.resume())\n")
    known = program(two.format(name="last", aliases=', aliases=("second",)', divisor="value") + "say(both.resume())\n")

    assert renamed == twice == ["output None", "ran", "failed 1 at resume"]
    assert known == ["output [5]", "ran ('second', 2)"]


def test_inputs_that_never_started_are_not_forgotten(journal: SqlJournal) -> None:
    """In Dagster a retry from failure skips mapped steps that never started: 'silent data loss'."""
    ran: list[int] = []

    def careful(value: int) -> int:
        ran.append(value)
        return 12 // value

    def processor(fail_fast: bool) -> Processor[Any, Any, Any]:
        return Processor(name="n", pipeline=step("divide")(careful), journal=journal, fail_fast=fail_fast)

    processor(fail_fast=True).execute(inputs(1, 0, 2, 3))
    assert ran == [1, 0]
    again = processor(fail_fast=False).resume()

    assert ran == [1, 0, 0, 2, 3]
    assert [outcome.input_id for outcome in again.succeeded] == ["1", "2", "3"]


def test_one_bad_row_costs_one_row(journal: SqlJournal) -> None:
    """In Ray Data, Daft and Beam one row ends the batch."""
    processor: Processor[Any, Any, Any] = Processor(
        name="n", pipeline=step("divide")(lambda value: 12 // value), journal=journal
    )

    result = processor.execute(inputs(1, 0, 2))

    assert [outcome.output for outcome in result.succeeded] == [12, 6]
    assert [failed.exception for failed in processor.resume().failed] == ["ZeroDivisionError"]


def test_the_skip_limit_is_one_number_for_all_workers_and_a_restart_goes_by_id(journal: SqlJournal) -> None:
    """In Spring Batch the limit counts per worker, and a restart after it skips what was not processed."""
    ran: list[int] = []

    def sort(value: int) -> int:
        ran.append(value)
        time.sleep(0.001)
        if value % 2:
            raise ValueError("odd")
        return value

    def processor(limit: int | None) -> Processor[Any, Any, Any]:
        sorting = step("sort")(sort)
        return Processor(name="n", pipeline=sorting, journal=journal, runner=ThreadRunner(4), max_failures=limit)

    first = processor(3).execute(inputs(*range(200)))
    started = {*ran}
    left = {int(outcome.input_id) for outcome in first.not_run}
    again = processor(None).resume()

    assert first.stopped == "too many failures: 4 inputs failed, 3 are allowed (max_failures=3)"
    assert left == {*range(200)} - started != set()
    assert {int(outcome.input_id) for outcome in again.succeeded} == {*range(0, 200, 2)}
    assert sorted(value for value in ran if value % 2 == 0) == list(range(0, 200, 2))


def test_a_generator_that_raises_ends_the_run_as_an_error_that_keeps_what_came_before(journal: SqlJournal) -> None:
    """In joblib an input generator that raises cuts the results short, silently."""

    def values() -> Iterator[ProcessorInput[int]]:
        yield from inputs(1, 2)
        raise ConnectionError("the feed broke")

    processor: Processor[Any, Any, Any] = Processor(name="n", pipeline=step("add")(add_one), journal=journal)

    with pytest.raises(RunFailed, match="the feed broke"):
        processor.execute(values())
    assert processor.resume().output == [2, 3]


def add_one(value: int) -> int:
    return value + 1


# what is saved


def test_what_entered_a_step_is_saved_though_the_step_changes_it(journal: SqlJournal) -> None:
    """In pipefunc and LangGraph a step that mutates its input and then raises spoils what was saved."""
    entered: list[dict[str, int]] = []

    def empty(basket: dict[str, int]) -> int:
        entered.append(dict(basket))
        total = 0
        while basket:
            total += basket.popitem()[1]
        if len(entered) == 1:
            raise ValueError("once")
        return total

    processor: Processor[Any, Any, Any] = Processor(name="n", pipeline=step("empty")(empty), journal=journal)
    processor.execute([ProcessorInput(input_id="a", data={"x": 1, "y": 2})])

    assert processor.resume().output == [3]
    assert entered == [{"x": 1, "y": 2}] * 2


class Scan(msgspec.Struct):
    pages: list[dict[str, Any]]


def test_what_cannot_be_saved_is_told_with_its_path_and_is_not_left_out(journal: SqlJournal) -> None:
    """In Haystack a field that cannot be serialised is dropped, and a resume fails for another reason."""
    entered: list[Scan] = []

    @step("scan")
    def scan(name: str) -> Scan:
        return Scan(pages=[{"n": 1}, {"n": 2, "image": io.BytesIO(name.encode())}])

    @step("read")
    def read(scanned: Scan) -> int:
        entered.append(scanned)
        if len(entered) == 1:
            raise ValueError("once")
        return len(scanned.pages[1]["image"].getvalue())

    processor = Processor(name="n", pipeline=scan >> read, journal=journal)
    result = processor.execute(inputs("four"))
    (planned,) = processor.plan(result.run_id)

    assert planned.reason.startswith("what it stopped with could not be stored ($.pages[1].image: ")
    assert planned.steps == ("scan", "read")
    assert processor.resume().output == [4]


Rich = tuple[int, date, datetime, Decimal, tuple[int, ...], frozenset[str], bytes]


def test_types_are_the_same_after_a_save(journal: SqlJournal, shared_store: Store) -> None:
    """In Spring Batch integers and dates change type; msgpack turns offset datetimes into UTC while they stay equal."""
    entered: list[Any] = []
    value: Rich = (
        2**60,
        date(2026, 11, 24),
        datetime(2026, 11, 24, 1, tzinfo=timezone(timedelta(hours=5, minutes=30))),
        Decimal("0.10"),
        (1, 2),
        frozenset({"a"}),
        b"\x00\xff",
    )

    @step("keep")
    def keep(rich: Rich) -> Rich:
        entered.append(rich)
        if len(entered) == 1:
            raise ValueError("once")
        return rich

    Processor(name="n", pipeline=keep, journal=journal).execute([ProcessorInput(input_id="a", data=value)])
    again = Processor(name="n", pipeline=keep, journal=shared_store()).resume()

    (output,) = again.output or []
    assert output == entered[1] == value
    assert [*map(type, output)] == [*map(type, value)]
    assert output[2].utcoffset() == timedelta(hours=5, minutes=30)
    assert str(output[3]) == "0.10"


MODEL = """
    import msgspec

    class Page(msgspec.Struct):
        n: int
"""

PAGES = """
    {where}

    @step("number")
    def number(page: Page) -> int:
        return 10 // {divisor}

    pages = Processor(name="pages", pipeline=number, journal=journal)
"""


def test_a_class_that_moved_to_another_module_reads_what_it_wrote(program: Program) -> None:
    """In Spring Batch and LangGraph a moved module or an upgrade makes what was saved unreadable."""
    pages = textwrap.dedent(PAGES)
    here = textwrap.dedent(MODEL)
    program(
        pages.format(where=here, divisor="page.n")
        + 'say(pages.execute([ProcessorInput(input_id="a", data=Page(0))]))\n'
    )
    (program.folder / "elsewhere.py").write_text("from __future__ import annotations\n" + here)
    moved = program(pages.format(where="from elsewhere import Page", divisor="(page.n + 1)") + "say(pages.resume())\n")

    assert moved[0] == "output [10]"
    assert b"pages" in program.store.dump()
    assert not any(name in program.store.dump() for name in (b"__main__", b"Page", b"msgspec"))


def test_nothing_is_pickled(journal: SqlJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    """In DBOS, LangGraph and Prefect the database holds pickles: 'an adoption blocker'."""
    ran: list[int] = []

    def once(value: int) -> int:
        ran.append(value)
        return 12 // (value if len(ran) > 1 else 0)

    processor: Processor[Any, Any, Any] = Processor(name="n", pipeline=step("once")(once), journal=journal)
    processor.execute(inputs(4))
    monkeypatch.setattr(pickle, "loads", refuse)
    monkeypatch.setattr(pickle, "Unpickler", refuse)

    assert processor.resume().output == [3]


def refuse(*_: object, **__: object) -> Any:
    raise AssertionError("something was unpickled")


def test_writes_that_wait_are_bounded(journal: SqlJournal) -> None:
    """In LangGraph checkpoints are written behind the run's back, without back-pressure."""
    journal.group_s = 3600.0
    waiting: list[int] = []
    processor: Processor[Any, Any, Any] = Processor(name="n", pipeline=step("add")(add_one), journal=journal)
    pulled = 0

    def values() -> Iterator[ProcessorInput[int]]:
        nonlocal pulled
        for value in range(5_000):
            pulled += 1
            yield ProcessorInput(input_id=str(value), data=value)

    for handed, _ in enumerate(processor.stream(values()), 1):
        waiting.append(pulled - handed)

    assert len(waiting) == 5_000
    assert max(waiting) <= GROUP_ROWS


# what takes a process down


KILLED = """
    import time

    @step("wait")
    def wait(value: int) -> int:
        print("started", value, flush=True)
        time.sleep({seconds})
        return value

    waits = Processor(name="waits", pipeline=wait, journal=journal)
"""


def test_a_killed_run_is_not_in_progress_for_ever(program: Program) -> None:
    """In Spring Batch kill -9 leaves a run STARTED for ever, and a restart is refused (since 17 years)."""
    code = program.before + textwrap.dedent(KILLED)
    (program.folder / "killed.py").write_text(code.format(seconds=600) + "waits.execute(to_inputs([1], key=str))\n")
    running = subprocess.Popen(
        [sys.executable, "killed.py"],
        cwd=program.folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert running.stdout is not None
    assert running.stdout.readline() == "started 1\n"
    running.send_signal(signal.SIGKILL)
    running.wait()
    running.stdout.close()

    found = program.store().find("waits")
    assert found is not None
    assert found.state == "died"
    again = program(textwrap.dedent(KILLED).format(seconds=0) + "say(waits.resume())\n")
    assert again == ["started 1", "output [1]", "ran"]


@step("fragile")
def fragile(value: int, context: StepContext) -> int:
    if value == 7 and context.run_id == "first":
        os.kill(os.getpid(), signal.SIGKILL)
    return value


def test_a_worker_that_dies_costs_one_input_which_a_resume_runs_again(journal: SqlJournal) -> None:
    """In Dagster a crash bypasses the retry policy; in concurrent.futures and joblib it costs the whole batch."""
    processor = Processor(name="n", pipeline=fragile, journal=journal, runner=ProcessRunner(2), max_attempts=1)

    first = processor.execute(inputs(*range(20)), context=ExecutionContext(run_id="first"))

    assert [(failed.input_id, failed.kind) for failed in first.failed] == [("7", "crash")]
    assert processor.resume().output == list(range(20))


class NeedsTwo(Exception):
    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code}: {text}")


@step("two")
def fails_with_two(value: int) -> int:
    raise NeedsTwo(value, "needs two arguments")


def test_an_exception_that_cannot_be_unpickled_is_saved_readable(journal: SqlJournal) -> None:
    """In concurrent.futures, loky and multiprocessing it breaks or hangs the pool."""
    processor = Processor(name="n", pipeline=fails_with_two, journal=journal, runner=ProcessRunner(2))
    processor.execute(inputs(1, 2))

    kept = processor.resume(only=lambda _: False).failed

    assert [(failed.exception, failed.message) for failed in kept] == [
        ("NeedsTwo", "1: needs two arguments"),
        ("NeedsTwo", "2: needs two arguments"),
    ]


def test_a_success_has_an_output_of_every_input_and_a_missing_step_is_told_early(journal: SqlJournal) -> None:
    """In LangGraph a partial state counts as success."""
    processor: Processor[Any, Any, Any] = Processor(name="n", pipeline=step("add")(add_one), journal=journal)
    result = processor.execute(inputs(1, 2))

    assert result.success
    assert len(result.succeeded) == len(result.inputs) == 2
    with pytest.raises(UnknownStep, match="did you mean 'add'"):
        processor.pipeline["ad"]


def test_a_resume_is_one_call(journal: SqlJournal) -> None:
    """In Kedro a resume is a line in the log, to be copied by hand: still no feature in 2026."""
    rates: dict[int, float] = {}
    pipeline = step("first")(add_one) >> step("rate")(rates.__getitem__)
    processor: Processor[Any, Any, Any] = Processor(name="n", pipeline=pipeline, journal=journal)
    processor.execute(inputs(1))
    rates[2] = 0.5

    assert processor.resume().output == [0.5]

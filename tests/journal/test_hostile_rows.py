"""Hostile rows whose checksums are right, and hostile dead letters: refused with a path, in bounded time and memory."""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

import msgspec
import pytest

from pipeline import DeadLettersDamaged, Failed, Processor, Succeeded, step
from pipeline.errors import InputsNeeded, JournalDamaged
from tests.pipeline.forged import Forger
from tests.pipeline.test_codec_hostile import HOSTILE

TYPED = ("a million keys of the wrong type", "a million elements, the last wrong", "an object for a list")
UNREADABLE = {name: data for name, (data, _) in HOSTILE.items() if name not in TYPED and "text for" not in name}
"""Bytes that are hostile whatever type is declared: too deep, too long, malformed."""

each_hostile = pytest.mark.parametrize("name", UNREADABLE)


class Page(msgspec.Struct):
    n: int
    extra: dict[str, Any] = {}


@step("first")
def first(value: Any) -> Page:
    return Page(5 if value == "fails" else 1)


@step("last")
def last(page: Page) -> int:
    if page.n == 5:
        raise ValueError("fails")
    return page.n


@pytest.fixture(scope="module")
def forger(tmp_path_factory: pytest.TempPathFactory) -> Forger:
    return Forger(tmp_path_factory.mktemp("forged"), first >> last)


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@contextmanager
def bounded() -> Iterator[None]:
    """Neither a stall nor a flood; a megabyte is held as bytes, as text and as objects, and as often in a message."""
    began, before = perf_counter(), peak()
    yield
    assert perf_counter() - began < 20
    assert peak() - before < 300e6


COLUMNS = [
    *("inputs.data", "inputs.input_id", "outcomes.data", "outcomes.detail", "outcomes.step"),
    *("attempts.detail", "runs.detail", "batches.owner"),
]


@pytest.mark.parametrize("column", COLUMNS)
def test_whatever_a_column_holds_the_errors_are_declared(column: str, forger: Forger) -> None:
    is_text = column in ("inputs.input_id", "outcomes.step")  # a megabyte of which is read often
    for name in [*UNREADABLE][:: 5 if is_text else 1]:
        with forger.forged(column, UNREADABLE[name]) as journal, bounded():
            errors = forger.go_on(journal)
        assert all(len(str(error)) < 2_000 for error in errors), name


@each_hostile
def test_a_hostile_payload_fails_its_input_with_a_path(name: str, forger: Forger) -> None:
    with forger.forged("outcomes.data", UNREADABLE[name]) as journal:
        result = Processor(name="p", pipeline=forger.pipeline, journal=journal).resume()

    for outcome in result.outcomes:
        assert isinstance(outcome, Failed)
        assert (outcome.step, outcome.kind) == ("resume", "invalid")
        assert "$" in outcome.message
        assert len(outcome.message) < 2_000


def test_a_hostile_input_is_asked_for_again_with_a_path(forger: Forger) -> None:
    for name in UNREADABLE:
        with (
            forger.forged("inputs.data", UNREADABLE[name]) as journal,
            pytest.raises(InputsNeeded, match=r"\$.*give the inputs"),
        ):
            Processor(name="p", pipeline=forger.pipeline, journal=journal).resume()


def test_hostile_details_of_a_run_are_damage_that_names_the_run(forger: Forger) -> None:
    for data in [data for data in UNREADABLE.values() if not data.startswith(b"{")]:  # details may have more fields
        with forger.forged("runs.detail", data) as journal, pytest.raises(JournalDamaged, match="'run'"):
            Processor(name="p", pipeline=forger.pipeline, journal=journal).resume()


def test_an_owner_that_cannot_be_read_does_not_keep_its_run_for_ever(forger: Forger) -> None:
    for data in UNREADABLE.values():
        with forger.forged("batches.owner", data) as journal:
            result = Processor(name="p", pipeline=forger.pipeline, journal=journal).resume()
        assert [failed.input_id for failed in result.failed] == ["b"]


@each_hostile
def test_hostile_dead_letters_cost_no_other_line(name: str, tmp_path: Path) -> None:
    data, path = UNREADABLE[name], tmp_path / "dead.jsonl"
    processor = Processor(pipeline=first >> last)
    for letter in letters(data):
        path.write_bytes(GOOD + b"\n" + letter + b"\n" + GOOD.replace(b"good", b"too"))
        with bounded():
            *told, read = read_letters(processor, path)
            outcomes = processor.execute(read).outcomes
        assert told in ([], [2])
        assert [outcome.input_id for outcome in outcomes] == (["good", "too"] if told else ["good", "a", "too"])
        assert [type(outcomes[place]) for place in (0, -1)] == [Succeeded, Succeeded]
        assert told or isinstance(outcomes[1], Succeeded) or "$" in getattr(outcomes[1], "message", "")


def read_letters(processor: Processor[Any, Any, Any], path: Path) -> tuple[Any, ...]:
    """The lines that are damaged, and the inputs of the others."""
    try:
        return (processor.read_failures(path),)
    except DeadLettersDamaged as damaged:
        return (*(line for line, problem in damaged.problems if len(problem) < 1_000), damaged.inputs)


GOOD = b'{"input_id":"good","payload":{"step":"last","data":{"n":1}}}'


def letters(data: bytes) -> list[bytes]:
    """The data as a line, and wherever a line has room for any."""
    return [
        data or b"{",
        b'{"input_id":"a","payload":{"step":"last","data":%b}}' % data,
        b'{"input_id":"a","payload":{"data":1},"retry":{"data":%b}}' % data,
        b'{"input_id":"a","payload":{"data":1},"retry":%b}' % (data or b"5"),
    ]

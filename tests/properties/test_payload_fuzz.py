"""R18: what was stored, after any mutation: the same value, another that is exact as well, or a declared error.

Bounded in time and memory, also for data a million levels deep, numbers of thousands of digits and repeated parts.
"""

from __future__ import annotations

import json
import os
import random
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import pytest

from pipeline import DeadLettersDamaged, Processor, ProcessorInput, step
from pipeline.codec import CodecError, decode, encode, seal, unseal
from pipeline.codec.difference import difference

SEED = int(os.environ.get("STEPSLICE_SEED", "1"))
"""Replays a trial: of the short tier as it is, of the long one with the seed that it printed."""

SLOWEST_S = 10.0
"""A stall, not a speed."""


class Colour(Enum):
    RED = "red"


class Cat(msgspec.Struct, tag=True):
    lives: int


class Dog(msgspec.Struct, tag=True):
    name: str


class Tree(msgspec.Struct):
    n: int
    children: list[Tree] = []
    extra: dict[str, Any] = {}


@dataclass
class Line:
    day: date
    amount: Decimal
    note: str | None = None


class Pair(NamedTuple):
    left: int
    right: float


WHOLE = timezone(timedelta(hours=5, minutes=30))
VALUES: list[tuple[Any, Any]] = [
    (Any, None),
    (Any, {"a": [1, 2.5, "text", None, True], "b": {"c": {}}}),
    (int, 2**70),
    (float, -0.1),
    (str, 'naughty "text" \\ \x00 é 👍'),
    (bytes, bytes(range(256))),
    (date, date(2026, 11, 25)),
    (datetime, datetime(2026, 11, 25, 1, 2, 3, 4, tzinfo=WHOLE)),
    (timedelta, timedelta(days=-1, microseconds=1)),
    (Decimal, Decimal("1.10E+5")),
    (UUID, UUID(int=2**100)),
    (Colour, Colour.RED),
    (Cat | Dog, Dog("rex")),
    (Line, Line(date(2026, 1, 1), Decimal("0.10"), "note")),
    (list[Line], [Line(date(2026, 1, day), Decimal(day)) for day in range(1, 6)]),
    (Pair, Pair(1, 2.0)),
    (dict[str, Decimal], {"a": Decimal(1), "b": Decimal(2)}),
    (dict[date, list[int]], {date(2026, 1, 1): [1, 2]}),
    (set[int], {1, 2, 3}),
    (frozenset[str], frozenset({"a"})),
    (tuple[int, str, float], (1, "x", 0.5)),
    (int | str | None, "either"),
    (Tree, Tree(1, [Tree(2, [Tree(3)]), Tree(4)], {"x": [1]})),
]
CORPUS = [(declared, encode(value, declared)) for declared, value in VALUES]
PARTS = [
    *(data for _, data in CORPUS),
    *(b'""', b"[]", b"{}", b"null", b"true", b"NaN", b"Infinity", b"-0", b"-0.0", b"1e999", b"1e-999", b"0" * 50),
    *(b'"\\ud800"', b'"\\u0000"', b"\xff\xfe", b"\xc0\x80", b"\xed\xa0\x80", b"\x00", b"\\", b'"', b"/*", b"//", b"'"),
    *(b'"type":"Cat"', b'"status":"completed"', b'"n":1,', b'{"":', b",", b":", b"[", b"{", b"]", b"}"),
    *(b"9" * 400, b"9" * 5_000, b"0." + b"1" * 5_000, b'"' + b"a" * 100_000 + b'"', b"[" + b"1," * 50_000 + b"1]"),
    *(b'"9999-12-31T23:59:60Z"', b'"0000-01-01"', b'"PT1e9S"', b'"-P99999999999D"', b'"1E+999999999"', b'"sNaN"'),
]

Mutation = Callable[[random.Random, bytes], bytes]


def spans(chance: random.Random, data: bytes) -> tuple[int, int]:
    start = chance.randrange(len(data) + 1)
    return start, min(len(data), start + chance.choice((0, 1, 1, 2, 5, 20, 1_000)))


def flip(chance: random.Random, data: bytes) -> bytes:
    if not data:
        return data
    at = chance.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]


def cut(chance: random.Random, data: bytes) -> bytes:
    start, end = spans(chance, data)
    return data[:start] + data[end:]


def truncate(chance: random.Random, data: bytes) -> bytes:
    return data[: chance.randrange(len(data) + 1)]


def put(chance: random.Random, data: bytes) -> bytes:
    start, end = spans(chance, data)
    return data[:start] + chance.choice(PARTS) + data[end:]


def repeat(chance: random.Random, data: bytes) -> bytes:
    start, end = spans(chance, data)
    return data[:end] + data[start:end] * chance.choice((1, 2, 10, 1_000)) + data[end:]


def nest(chance: random.Random, data: bytes) -> bytes:
    depth = int(10 ** chance.uniform(0, 3)) if chance.random() < 0.99 else 10**6
    opens, closes = chance.choice(((b"[", b"]"), (b'{"a":', b"}"), (b'{"n":1,"children":[', b"]}"), (b"[", b"")))
    start, end = spans(chance, data)
    return data[:start] + opens * depth + data[start:end] + closes * depth + data[end:]


MUTATIONS: list[Mutation] = [flip, cut, truncate, put, put, repeat]


def mutated(chance: random.Random, data: bytes) -> bytes:
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        data = nest(chance, data) if chance.random() < 0.02 else chance.choice(MUTATIONS)(chance, data)
    return data


class Ends(Counter[str]):
    """How trials ended; ``slowest_s`` is the longest of them."""

    slowest_s = 0.0

    def count(self, end: str, began: float) -> None:
        self[end] += 1
        self.slowest_s = max(self.slowest_s, time.perf_counter() - began)

    def __str__(self) -> str:
        told = ", ".join(f"{count:,} {end}" for end, count in sorted(self.items()))
        return f"{told}; the slowest took {self.slowest_s * 1e3:.0f} ms"


def read(declared: Any, data: bytes) -> str:
    try:
        value = decode(data, declared)
    except CodecError as error:
        return told("refused", error)
    try:
        again = encode(value, declared)
    except CodecError as error:  # it can be read, and is not stored again
        return told("read, not written", error)
    assert difference(value, decode(again, declared)) is None
    return "read"


def told(end: str, error: CodecError) -> str:
    """``end``, if the error says in few words where."""
    assert error.path.startswith("$")
    assert len(str(error)) < 2_000
    return end


def fuzz_codec(seed: int, trials: int) -> Ends:
    ends = Ends()
    for trial in range(seed, seed + trials):
        chance = random.Random(trial)
        declared, data = chance.choice(CORPUS)
        hostile, began = mutated(chance, data), time.perf_counter()
        try:
            ends.count(read(declared, hostile), began)
            with_envelope(chance, declared, data)
        except Exception as error:
            raise AssertionError(f"seed {trial}: {declared} of {hostile[:200]!r} ({len(hostile)} bytes)") from error
    return ends


def with_envelope(chance: random.Random, declared: Any, data: bytes) -> None:
    """A mutation under the checksum is found."""
    sealed = seal(data)
    hostile = mutated(chance, sealed)
    try:
        back = unseal(hostile)
    except CodecError:
        assert hostile != sealed
    else:
        assert back == data


@step("parse")
def parse(text: str) -> Tree:
    return Tree(len(text))


@step("weigh")
def weigh(tree: Tree) -> int:
    if tree.n < 0:
        raise ValueError("nothing to weigh")
    return tree.n


PROCESSOR = Processor(pipeline=parse >> weigh)
LETTER = {
    "input_id": "a",
    "success": False,
    "step": "weigh",
    "exception": "ValueError",
    "message": "no",
    "payload": {"step": "weigh", "exception": "ValueError", "message": "no", "data": {"n": 1, "children": []}},
    "retry": {"data": "text", "retry_count": 1, "code": {"parse": "c0de"}, "edited": True, "kind": "error"},
}
LINE = json.dumps(LETTER).encode()


def fuzz_letters(seed: int, trials: int, path: Path) -> Ends:
    ends = Ends()
    for trial in range(seed, seed + trials):
        chance = random.Random(trial)
        hostile, began = mutated(chance, LINE), time.perf_counter()
        path.write_bytes(hostile)
        try:
            ends.count(go_on(path), began)
        except Exception as error:
            raise AssertionError(f"seed {trial}: {hostile[:500]!r} ({len(hostile)} bytes)") from error
    return ends


def go_on(path: Path) -> str:
    try:
        inputs = PROCESSOR.read_failures(path)
    except DeadLettersDamaged:
        return "refused"
    assert len(PROCESSOR.plan(inputs)) == len(inputs)
    outcomes = PROCESSOR.execute(inputs).outcomes
    assert [outcome.input_id for outcome in outcomes] == [item.input_id for item in inputs]
    return "gone on with" if all(hasattr(outcome, "output") for outcome in outcomes) else "failed"


def fuzz_payloads(seed: int, trials: int) -> Ends:
    """The payload of an input as a program made it of JSON."""
    ends = Ends()
    for trial in range(seed, seed + trials):
        chance = random.Random(trial)
        payload = some_json(chance, json.dumps(LETTER["payload"]).encode())
        began = time.perf_counter()
        item = ProcessorInput(input_id="a", data="text", payload=payload)
        try:
            (planned,) = PROCESSOR.plan([item])
            (outcome,) = PROCESSOR.execute([item]).outcomes
        except Exception as error:
            raise AssertionError(f"seed {trial}: {str(payload)[:500]}") from error
        assert (planned.action == "refuse") == (getattr(outcome, "step", None) == "resume")
        assert len(getattr(outcome, "message", "")) < 20_000
        ends.count(planned.action, began)
    return ends


def some_json(chance: random.Random, data: bytes) -> Any:
    """A mutation that is JSON still."""
    for _ in range(100):
        try:
            return json.loads(mutated(chance, data))
        except (ValueError, RecursionError):
            continue
    return {}


@pytest.fixture
def bounded_memory() -> Iterator[None]:
    before = peak()
    yield
    grown = peak() - before
    print(f"memory at its peak grew by {grown / 1e6:.0f} MB")
    assert grown < 600e6  # the largest piece of data has 19 MB, and is held as text, as bytes and as objects


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@pytest.mark.usefixtures("bounded_memory")
def test_mutations_are_read_exactly_or_refused(tmp_path: Path) -> None:
    for ends in (
        fuzz_codec(SEED, 16_000),
        fuzz_letters(SEED, 2_000, tmp_path / "dead.jsonl"),
        fuzz_payloads(SEED, 2_000),
    ):
        print(ends)
        assert ends.slowest_s < SLOWEST_S
        assert len(ends) > 1, "all ended alike: this tries nothing"


@pytest.mark.campaign
@pytest.mark.timeout(3600)
@pytest.mark.usefixtures("bounded_memory")
def test_mutations_by_the_million(tmp_path: Path) -> None:
    seed = SEED if "STEPSLICE_SEED" in os.environ else random.SystemRandom().randrange(10**9)
    trials = int(os.environ.get("STEPSLICE_TRIALS", "1000000"))
    print(f"\nR18 seed {seed}")
    print(f"R18 stored bytes: {fuzz_codec(seed, trials)}")
    print(f"R18 dead letters: {fuzz_letters(seed, trials // 10, tmp_path / 'dead.jsonl')}")
    print(f"R18 payloads: {fuzz_payloads(seed, trials // 10)}")

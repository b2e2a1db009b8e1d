"""Equal data has one fingerprint everywhere; different data, or data of other types, has another."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from array import array
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from functools import cached_property
from ipaddress import ip_address
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pytest

from pipeline.fingerprint import of_data


class Page(msgspec.Struct):
    n: int
    extra: Any = None


class Sheet(msgspec.Struct):
    n: int
    extra: Any = None


@dataclass
class Line:
    amount: float
    tags: list[str] = field(default_factory=list)

    @cached_property
    def double(self) -> float:
        return self.amount * 2


class Pair(NamedTuple):
    left: int
    right: int


class Colour(Enum):
    RED = 1
    BLUE = 2


class Document:
    def __init__(self, text: str) -> None:
        self.text = text


class Slotted:
    __slots__ = ("n",)

    def __init__(self, n: int) -> None:
        self.n = n


NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)

DIFFERENT: list[Any] = [
    None, False, True, 0, 1, 2, 1.0, 0.0, -0.0, "1", "", b"", b"1", bytearray(b"1"),
    [], (), set(), frozenset(), {},
    [1], (1,), {1}, frozenset({1}), deque([1]), {1: None}, {"1": None},
    [[1]], [[1], []], [[], [1]], [1, 2], [2, 1],
    {"a": 1}, {"a": 1.0}, {"a": True}, {"a": {"b": 1}}, {"a": (1,)}, float("inf"), float("nan"), 1j, 10**5000, "\ud800",
    date(2026, 11, 23), NOON, NOON.replace(tzinfo=None), NOON.replace(fold=1, tzinfo=None),
    NOON.astimezone(timezone(timedelta(hours=1))), NOON.astimezone(ZoneInfo("Europe/Berlin")), time(1), timedelta(1),
    Decimal(1), Decimal("1.0"), Fraction(1), UUID(int=1), Path("a"), PurePosixPath("a"), "2026-11-23", Colour.RED,
    Colour.BLUE, Page(1), Page(2), Page(1, (1,)), Page(1, [1]), Sheet(1), Line(1.0), Line(1), Line(1.0, ["a"]),
    Pair(1, 2), (1, 2), Document("a"), Document("b"), Slotted(1), Slotted(2), [Page(1)], [Page(1), Page(1)],
    {"a": Page(1)}, OrderedDict(a=1), ip_address("10.0.0.1"), ip_address("10.0.0.2"), array("i", [1]), array("b", [1]),
    range(3), int, str, ValueError("a"), ValueError("b"), KeyError("a"),
]  # fmt: skip


def test_values_that_differ_in_type_or_content_have_different_fingerprints() -> None:
    prints = [of_data(value) for value in DIFFERENT]

    assert None not in prints
    assert len(set(prints)) == len(DIFFERENT)


def test_copies_have_the_same_fingerprint() -> None:
    pairs = [
        ({"a": 1, "b": {"c": [1], "d": 2}}, {"b": {"d": 2, "c": [1]}, "a": 1}),
        ({1: 2, "b": (3,)}, {"b": (3,), 1: 2}),
        ({"x", "y", "z", (1, 2)}, {(1, 2), "z", "y", "x"}),
        (Page(1, {"a": (1,), "b": 2}), Page(1, {"b": 2, "a": (1,)})),
        (Document("a"), Document("a")),
        ([Line(1.0, ["a"])], [Line(1.0, ["a"])]),
        (array("i", [1, 2]), array("i", [1, 2])),
    ]

    for one, other in pairs:
        assert of_data(one) == of_data(other) is not None


def test_remembered_properties_do_not_count() -> None:
    line = Line(1.0)
    before = of_data(line)
    assert line.double == 2.0

    assert of_data(line) == before


@pytest.mark.parametrize(
    "make", [object, threading.Lock, lambda: (n for n in [1]), lambda: test_remembered_properties_do_not_count]
)
def test_what_has_no_visible_state_is_unknown(make: Any) -> None:
    assert of_data(make()) is None
    assert of_data({"a": [1, make()]}) is None


def test_a_value_that_contains_itself_is_unknown() -> None:
    circle: list[Any] = []
    circle.append(circle)

    assert of_data(circle) is None


def test_integers_that_are_too_long_for_text_are_seen() -> None:
    assert of_data(Page(10**5000)) != of_data(Page(10**5000 + 1))
    assert of_data([10**5000]) is not None


def test_a_class_that_fails_to_show_its_state_is_unknown() -> None:
    class Hostile:
        def __reduce_ex__(self, protocol: Any) -> Any:
            raise SystemError("no")

    assert of_data([Hostile()]) is None


PRINT = """
from dataclasses import dataclass
from enum import Enum
from pipeline.fingerprint import of_data
class Colour(Enum):
    RED = 1
@dataclass
class Line:
    tags: set
print(of_data({"b": {"x", "y", "z"}, "a": [Line({Colour.RED, "q", 1.5}), (None, b"x")]}))
"""


def test_another_process_with_another_hash_seed_agrees() -> None:
    prints = {
        subprocess.run(
            [sys.executable, "-c", PRINT],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }

    assert len(prints) == 1
    assert len(prints.pop().strip()) == 32

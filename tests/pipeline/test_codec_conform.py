"""Data of a payload becomes a value of the step's declared type, or the error says where it does not fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from typing import Any, Generic, NamedTuple, NotRequired, Protocol, TypedDict, TypeVar
from uuid import UUID

import attrs
import msgspec
import pytest

from pipeline.codec import CodecError, Registry, conform

T = TypeVar("T")


class Colour(Enum):
    RED = "red"


class Mixed(Enum):
    TEXT = "text"
    NUMBER = 1


class Page(msgspec.Struct):
    n: int
    text: str = ""


class Signed(Page):
    by: str = "nobody"


class Renamed(msgspec.Struct, rename="camel", tag="renamed"):
    page_count: int


class Box(msgspec.Struct, Generic[T]):
    pages: list[T]


@dataclass
class Line:
    amount: float


@dataclass
class Other:
    amount: float


class Pair(NamedTuple):
    left: int
    right: str


class Row(TypedDict):
    n: int
    note: NotRequired[str]


class Plain:
    pass


class Closes(Protocol):
    def close(self) -> None: ...


CONVERTED: list[tuple[Any, Any, Any]] = [
    ({"n": 1}, Page, Page(1)),
    ({"pages": [{"n": 1}]}, Box[Page], Box([Page(1)])),
    ({"amount": 1.5}, Line, Line(1.5)),
    ({"amount": 1}, Line, Line(1.0)),
    ([1, "a"], Pair, Pair(1, "a")),
    ("red", Colour, Colour.RED),
    ("2026-11-23T01:02:03", datetime, datetime(2026, 11, 23, 1, 2, 3)),  # noqa: DTZ001
    ("1.10", Decimal, Decimal("1.10")),
    ("00000000-0000-0000-0000-000000000001", UUID, UUID(int=1)),
    ("AP8=", bytes, b"\x00\xff"),
    ([1, 2], set[int], {1, 2}),
    ([1, 2], tuple[int, int], (1, 2)),
    ({"n": 1}, Page | None, Page(1)),
    ({"1": "a"}, dict[int, str], {1: "a"}),
    ({"2026-11-23": [{"n": 1}]}, dict[date, list[Page]], {date(2026, 11, 23): [Page(1)]}),
    ([{"n": 1}, Page(2)], list[Page], [Page(1), Page(2)]),
    ({"type": "renamed", "pageCount": 1}, Renamed, Renamed(1)),
    ([{"n": 1}], Sequence[Page], [Page(1)]),
]


@pytest.mark.parametrize(("value", "declared", "expected"), CONVERTED)
def test_json_like_data_becomes_the_declared_type(value: Any, declared: Any, expected: Any) -> None:
    made = conform(value, declared)

    assert (made, type(made)) == (expected, type(expected))


UNCHANGED: list[tuple[Any, Any]] = [
    ({"anything": (1, {2})}, Any),
    (object(), object),
    (Page(1), Page),
    (Signed(1), Page),
    ([Signed(1)], list[Page]),
    ({"a": [Signed(1), Page(2)]}, Mapping[str, list[Page | None]]),
    (Box([Page(1)]), Box[Page]),
    (Line(1), Line),
    (Line(1), Line | Other),
    (1, float),
    (True, int),
    (True, float),
    (False, int | None),
    ([True, 2], list[int]),
    ({"a": True}, dict[str, float]),
    ((1, 2), Sequence[int]),
    ([1, 2], list[int]),
    ({1, 2}, set[int]),
    (Row(n=1), Row),
    (Pair(1, "a"), Pair),
    (Mixed.NUMBER, Mixed),
    (Plain(), Plain),
    ([Plain()], list[Plain | None]),
    (len, Callable[[Any], int]),
    (iter([1]), Iterator[int]),
    (open, Closes),
    (float("nan"), float),
    (Colour.RED, Colour),
    (datetime(2026, 1, 1, fold=1), datetime),  # noqa: DTZ001
]


@pytest.mark.parametrize(("value", "declared"), UNCHANGED)
def test_a_value_that_is_of_the_type_already_passes_untouched(value: Any, declared: Any) -> None:
    assert conform(value, declared) is value


MISFITS: list[tuple[Any, Any, str, str]] = [
    ("1", int, "$", "expected `int`, got `str`"),
    ({"n": True}, Page, "$.n", "expected `int`, got `bool`"),
    (1.0, int, "$", "expected `int`, got `float`"),
    ([1], Page, "$", "expected `object`, got `array`"),
    (Line(1.0), Page, "$", "expected `object`, got `Line`"),
    ({"pages": [{"n": 1}, {"n": "x"}]}, Box[Page], "$.pages[1].n", "expected `int`, got `str`"),
    ({"pages": [{"n": 1, "txt": "a"}]}, Box[Page], "$.pages[0].txt", "`Page` has no such field"),
    ({"2026-11-23": [{"n": 1, "txt": "a"}]}, dict[date, list[Page]], "$['2026-11-23'][0].txt", "has no such field"),
    ({"n": "1"}, Row, "$.n", "expected `int`, got `str`"),
    ({}, Row, "$", "missing required field `n`"),
    ("not base64!", bytes, "$", "base64"),
    ("yesterday", date, "$", "nvalid"),
    ("1/3", Fraction, "$", "Fraction is not in the registry"),
    ({"amount": 1.0}, Line | Other, "$", "cannot be read from data"),
    (None, Page, "$", "expected `object`, got `null`"),
]


@pytest.mark.parametrize(("value", "declared", "path", "problem"), MISFITS)
def test_data_that_does_not_fit_is_refused_with_its_path(value: Any, declared: Any, path: str, problem: str) -> None:
    with pytest.raises(CodecError) as caught:
        conform(value, declared)

    assert (caught.value.path, problem in caught.value.problem) == (path, True), str(caught.value)


def test_nested_instances_keep_their_identity_when_what_is_around_them_is_converted() -> None:
    page = Page(1)

    box = conform({"pages": [page]}, Box[Page])

    assert box.pages[0] is page


def test_registered_types_are_read_from_their_wire_type() -> None:
    registry = Registry()
    registry.register(Fraction, wire=str, to_wire=str, from_wire=Fraction)

    assert conform(["1/3", Fraction(1, 2)], list[Fraction], registry) == [Fraction(1, 3), Fraction(1, 2)]
    with pytest.raises(CodecError, match=r"^\$\[0\]: from_wire of Fraction failed: ValueError"):
        conform(["a third"], list[Fraction], registry)


def test_an_attrs_class_is_made_from_a_dict() -> None:
    made = attrs.make_class("Made", {"n": attrs.field(type=int)})

    assert conform({"n": 1}, made) == made(n=1)
    with pytest.raises(CodecError, match=r"^\$\.n: expected `int`, got `str`"):
        conform({"n": "1"}, made)


def test_data_a_hundred_thousand_levels_deep_is_refused() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]

    with pytest.raises(CodecError):
        conform({"pages": deep}, Box[Page])


@dataclass
class Account:
    balances: dict[str, Decimal]


@pytest.mark.parametrize(
    ("value", "declared", "path"),
    [
        ({"a": 1, "b": "2"}, dict[str, int], "$.b"),
        ({"a": 1, "average balance": "2"}, dict[str, int], "$['average balance']"),
        ({"a": {"x": [1]}, "b": {"x": [1], "y": [1, "2"]}}, dict[str, dict[str, list[int]]], "$.b.y[1]"),
        ([{"a": 1}, {"a": 1, "b": None}], list[dict[str, int]], "$[1].b"),
        ({"balances": {"june": "1.00", "july": "one"}}, Account, "$.balances.july"),
        ({1: "one", 2: 2}, dict[int, str], "$[2]"),
        ({str(number): number for number in range(2_000)} | {"x": "1"}, dict[str, int], "$[...]"),
    ],
)
def test_the_path_names_the_key_of_what_does_not_fit(value: Any, declared: Any, path: str) -> None:
    with pytest.raises(CodecError) as caught:
        conform(value, declared)

    assert caught.value.path == path


class Untagged(msgspec.Struct):
    """Beside another such class, data does not tell which of them is meant."""

    n: int


@pytest.mark.parametrize("declared", [Page | Untagged, Untagged | Page])
@pytest.mark.parametrize("value", [Page(n=1), Signed(n=1, by="me"), Untagged(n=1)])
def test_a_value_that_never_left_memory_needs_no_type_that_can_be_read(value: Any, declared: Any) -> None:
    assert conform(value, declared) is value


@pytest.mark.parametrize("value", [{"n": 1}, 3, None, Colour.RED])
def test_anything_else_is_refused_where_the_declared_type_cannot_be_read(value: Any) -> None:
    with pytest.raises(CodecError) as caught:
        conform(value, Page | Untagged)

    assert caught.value.path == "$"
    assert caught.value.problem.startswith("the declared type cannot be read from data (")
    assert caught.value.problem.endswith("; declare one that can, or pass input_type=")

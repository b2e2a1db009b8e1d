"""The codec gives back the same value, or says where and why it would not."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from fractions import Fraction
from functools import cached_property
from typing import Annotated, Any, Generic, Literal, NamedTuple, NotRequired, TypedDict, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pytest

from pipeline.codec import CodecError, Registry, decode, encode

T = TypeVar("T")


class Colour(Enum):
    RED = "red"


class Rank(IntEnum):
    FIRST = 1


class Page(msgspec.Struct):
    n: int
    text: str = ""


class Signed(Page):
    by: str = "nobody"


class Box(msgspec.Struct, Generic[T]):
    items: list[T]


class Cat(msgspec.Struct, tag=True):
    lives: int


class Dog(msgspec.Struct, tag=True):
    name: str


class Tree(msgspec.Struct):
    children: list[Tree] = []


class Sparse(msgspec.Struct, omit_defaults=True):
    rate: float = 0.0


class Open(msgspec.Struct, dict=True):
    n: int


class NoEquality(msgspec.Struct, eq=False):
    n: int


@dataclass
class Line:
    amount: float
    tags: list[str] = field(default_factory=list)

    @cached_property
    def double(self) -> float:
        return self.amount * 2


@dataclass(slots=True, frozen=True)
class Point:
    x: int


@dataclass
class Doubling:
    x: float

    def __post_init__(self) -> None:
        self.x *= 2


@dataclass
class Derived:
    x: int

    def __post_init__(self) -> None:
        self.y = self.x + 1


class Pair(NamedTuple):
    left: int
    right: str = "r"


class Row(TypedDict):
    n: int
    note: NotRequired[str]


class Text(str):
    __slots__ = ()


class Plain:
    pass


class Stateful:
    def __init__(self, n: int) -> None:
        self.n = n


BERLIN = datetime(2026, 11, 23, 12, tzinfo=ZoneInfo("Europe/Berlin"))
EAST = timezone(timedelta(hours=2))

EXACT: list[tuple[Any, Any]] = [
    (None, None),
    (True, bool),
    (2**70, int),
    (-0.0, float),
    (5e-324, float),
    ("\x00\u2028\U0001f600", str),
    (b"\x00\xff", bytes),
    (date(1, 1, 1), date),
    (datetime(2026, 11, 23, 1, 2, 3, 4), datetime),  # noqa: DTZ001
    (datetime(2026, 11, 23, tzinfo=EAST), datetime),
    (time(1, 2, 3, 4), time),
    (timedelta(days=-1, microseconds=1), timedelta),
    (Decimal("1.10"), Decimal),
    (Decimal("-0"), Decimal),
    (UUID(int=1), UUID),
    (Colour.RED, Colour),
    (Rank.FIRST, Rank),
    ([1, 2], list[int]),
    ((1, "a"), tuple[int, str]),
    ((1, 2, 3), tuple[int, ...]),
    ({1, 2}, set[int]),
    (frozenset({"a"}), frozenset[str]),
    ({"a": [None]}, dict[str, list[int | None]]),
    ({1: "a"}, dict[int, str]),
    ({date(2026, 1, 1): 1}, dict[date, int]),
    ({"a": {"b": [1, 1.5, True, None, "x"]}}, Any),
    (Page(1), Page),
    (Box([Page(1)]), Box[Page]),
    ([Cat(9), Dog("Rex")], list[Cat | Dog]),
    (Tree([Tree(), Tree([Tree()])]), Tree),
    (Sparse(0.5), Sparse),
    (NoEquality(1), NoEquality),
    (Line(1.0, ["a"]), Line),
    (Point(1), Point),
    (Derived(1), Derived),
    (Pair(1), Pair),
    (Row(n=1), Row),
    (1, int | float),
    (1.0, int | float),
    ("a", Literal["a", "b"]),
    (3, Annotated[int, msgspec.Meta(ge=2)]),
]


@pytest.mark.parametrize(("value", "declared"), EXACT)
def test_a_value_of_its_declared_type_comes_back_equal_and_of_equal_types(value: Any, declared: Any) -> None:
    back = decode(encode(value, declared), declared)

    assert type(back) is type(value)
    assert repr(back) == repr(value) or type(value) is NoEquality


REFUSED: list[tuple[Any, Any, str, str]] = [
    (1, float, "$", "`int` would come back as `float`"),
    (True, int, "$", "expected `int`, got `bool`"),
    (1, bool, "$", "expected `bool`, got `int`"),
    (float("nan"), float, "$", "NaN and infinity have no JSON form"),
    ([1.0, float("inf")], list[float], "$[1]", "NaN and infinity have no JSON form"),
    ((1, 2), Any, "$", "`tuple` would come back as `list`"),
    ({"a": [{1}]}, Any, "$.a[0]", "`set` would come back as `list`"),
    ({"a": {1: 2}}, Any, "$.a[1]", "the key would change"),
    (date(2026, 1, 1), Any, "$", "declare the step's input type or pass input_type="),
    (Page(1), Any, "$", "`Page` would come back as `dict`"),
    (Signed(1), Page, "$", "`Signed` would come back as `Page`"),
    ([Page(1), Page(True)], list[Page], "$[1].n", "expected `int`, got `bool`"),
    (Line(1), Line, "$.amount", "`int` would come back as `float`"),
    (Sparse(0), Sparse, "$.rate", "`int` would come back as `float`"),
    (Doubling(1.0), Doubling, "$.x", "the number would change"),
    (Rank.FIRST, int, "$", "`Rank` would come back as `int`"),
    (Text("a"), str, "$", "Text cannot be stored"),
    ({"a": [Plain()]}, dict[str, Any], "$.a[0]", "Plain cannot be stored"),
    ("\ud800", str, "$", "surrogates not allowed"),
    ({"k": "\ud800"}, Any, "$.k", "surrogates not allowed"),
    (BERLIN, datetime, "$", "would become a fixed offset"),
    (datetime(2026, 1, 1, fold=1), datetime, "$", "fold"),  # noqa: DTZ001
    (datetime(2026, 1, 1, tzinfo=timezone(timedelta(seconds=5))), datetime, "$", "offset"),
    ([10**5000], list[int], "$[0]", "4300 digits"),
    ({"note": "x"}, Row, "$", "missing required field"),
    (Row(n=1) | {"z": 1}, Row, "$.z", "would be lost"),
    (Cat(1), Cat | Dog | Page, "$", "the declared type cannot be read"),
    ({1: 2, (1,): 3}, Any, "$", "keys"),
    (3, "Unresolved", "$", "the declared type cannot be read"),
]


@pytest.mark.parametrize(("value", "declared", "path", "problem"), REFUSED)
def test_a_value_that_would_change_is_refused_with_its_path(value: Any, declared: Any, path: str, problem: str) -> None:
    with pytest.raises(CodecError) as caught:
        encode(value, declared)

    assert (caught.value.path, problem in caught.value.problem) == (path, True), str(caught.value)


def test_an_attribute_that_is_no_field_is_refused() -> None:
    line, opened = Line(1.0), Open(1)
    line.extra = 1  # type: ignore[attr-defined]
    opened.extra = 1  # type: ignore[attr-defined]

    for value in (line, opened):
        with pytest.raises(CodecError, match=r"^\$\.extra: would be lost"):
            encode(value, type(value))


def test_a_cached_property_is_no_data() -> None:
    line = Line(1.0)
    assert line.double == 2.0

    assert decode(encode(line, Line), Line) == line


def test_a_value_that_contains_itself_or_nests_too_deeply_is_refused() -> None:
    circle: list[Any] = []
    circle.append(circle)
    deep: list[Any] = []
    for _ in range(300):
        deep = [deep]

    for value in (circle, deep):
        with pytest.raises(CodecError, match="nested deeper than 200 levels"):
            encode(value)


def test_size_is_bounded_both_ways() -> None:
    with pytest.raises(CodecError, match="takes 13 bytes, over the limit of 10"):
        encode("x" * 11, str, max_bytes=10)
    with pytest.raises(CodecError, match="holds 13 bytes, over the limit of 10"):
        decode(b'"' + b"x" * 11 + b'"', str, max_bytes=10)


def test_a_lifted_limit_on_digits_does_not_let_unreadable_integers_through() -> None:
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        with pytest.raises(CodecError, match="would not come back"):
            encode([10**5000], list[int])
    finally:
        sys.set_int_max_str_digits(limit)


def test_a_registered_type_travels_as_its_wire_type() -> None:
    registry = Registry()
    registry.register(Fraction, wire=str, to_wire=str, from_wire=Fraction)
    registry.register(Text, wire=bytes, to_wire=str.encode, from_wire=lambda raw: Text(raw.decode()))
    registry.register(Stateful, wire=dict[str, int], to_wire=vars, from_wire=lambda state: Stateful(**state))
    declared = tuple[Fraction, list[Text], Stateful | None]

    data = encode((Fraction(1, 3), [Text("é")], Stateful(2)), declared, registry=registry)
    third, texts, state = decode(data, declared, registry=registry)

    assert data == b'["1/3",["w6k="],{"n":2}]'
    assert (third, texts, type(texts[0]), state.n) == (Fraction(1, 3), ["é"], Text, 2)


def test_a_registered_type_that_loses_state_is_refused() -> None:
    registry = Registry()
    registry.register(Stateful, wire=int, to_wire=lambda value: value.n // 10, from_wire=Stateful)

    with pytest.raises(CodecError, match=r"^\$\[0\]\.n: another value would come back"):
        encode([Stateful(12)], list[Stateful], registry=registry)


def test_functions_of_the_registry_that_fail_are_named() -> None:
    def fail(value: object) -> Any:
        raise KeyError("broken")

    registry = Registry()
    registry.register(Fraction, wire=str, to_wire=fail, from_wire=fail)

    with pytest.raises(CodecError, match=r"^\$\.a: KeyError"):
        encode({"a": Fraction(1)}, dict[str, Fraction], registry=registry)
    with pytest.raises(CodecError, match=r"^\$\[0\]: TypeError: from_wire of Fraction failed|^\$\[0\]: from_wire"):
        decode(b'["1/3"]', list[Fraction], registry=registry)


def test_what_an_alarm_raises_in_the_midst_of_it_is_no_fault_of_the_value() -> None:
    alarms = iter([TimeoutError("a minute is over")])

    def interrupted(value: Fraction) -> str:
        for alarm in alarms:
            raise alarm
        return str(value)

    registry = Registry()
    registry.register(Fraction, wire=str, to_wire=interrupted, from_wire=Fraction)

    with pytest.raises(TimeoutError, match="a minute is over"):
        encode(Fraction(1), Fraction, registry=registry)
    assert encode(Fraction(1), Fraction, registry=registry) == b'"1"'


def test_registering_later_takes_effect() -> None:
    registry = Registry()
    with pytest.raises(CodecError):
        encode(Fraction(1), Fraction, registry=registry)

    registry.register(Fraction, wire=str, to_wire=str, from_wire=Fraction)

    assert encode(Fraction(1), Fraction, registry=registry) == b'"1"'


@pytest.mark.parametrize("kind", [int, Page, Line, Colour, Pair])
def test_what_the_codec_stores_already_cannot_be_registered(kind: type) -> None:
    with pytest.raises(TypeError, match=f"cannot register {kind.__name__}"):
        Registry().register(kind, wire=str, to_wire=str, from_wire=kind)


def test_refusals_do_not_repeat_the_value() -> None:
    with pytest.raises(CodecError) as caught:
        decode(b'["secret"]', list[Colour])

    assert str(caught.value) == "$[0]: invalid enum value"


def test_a_sequence_comes_back_as_the_list_that_it_was_or_not_at_all() -> None:
    assert decode(encode([1], Sequence[int]), Sequence[int]) == [1]
    with pytest.raises(CodecError, match="`tuple` would come back as `list`"):
        encode((1,), Sequence[int])

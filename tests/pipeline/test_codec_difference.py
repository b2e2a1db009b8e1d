"""What the codec's own questions answer: where values differ, how deep types and data go, what needs no second look."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, NotRequired, TypedDict
from zoneinfo import ZoneInfo

import msgspec
import pytest
from msgspec import inspect as kinds

from pipeline.codec import CodecError, conform, encode
from pipeline.codec.difference import difference
from pipeline.codec.nesting import is_bounded, limit_depth


class Row(TypedDict):
    n: int
    note: NotRequired[str]


class Money:
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, cents: int) -> None:
        self.cents = cents

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Money) and self.cents == other.cents


class Fields(msgspec.Struct):
    inner: list[Any]


AN_HOUR = timedelta(hours=1)
NOON = datetime(2026, 1, 1, 12, tzinfo=ZoneInfo("Europe/Berlin"))

DIFFERENT: list[tuple[Any, Any, str, str]] = [
    (Decimal("1.0"), Decimal("1.00"), "", "another number would come back"),
    (Decimal("NaN"), Decimal("sNaN"), "", "another number would come back"),
    ({1, 2}, {1}, "", "the set would come back with other items"),
    ({1}, {2}, "", "the set would come back with other items"),
    ({1.0}, {1}, "[...]", "`float` would come back as `int`"),
    ([{1.0}], [{1}], "[0][...]", "`float` would come back as `int`"),
    (Money(1), Money(2), "", "another Money would come back"),
    (NOON, NOON.replace(tzinfo=timezone(AN_HOUR)), "", "would become a fixed offset"),
    (NOON, NOON.replace(tzinfo=timezone(AN_HOUR, "CET")), "", "would become a fixed offset"),
    (NOON.replace(tzinfo=timezone(AN_HOUR, "CET")), NOON.replace(tzinfo=timezone(AN_HOUR)), "", "fixed offset"),
]


@pytest.mark.parametrize(("before", "after", "path", "problem"), DIFFERENT)
def test_what_equals_but_is_another_value_differs(before: Any, after: Any, path: str, problem: str) -> None:
    found = difference(before, after)

    assert found is not None
    assert (found[0], problem in found[1]) == (path, True), found


@pytest.mark.parametrize(
    ("value", "copy"),
    [
        (Decimal("1.0"), Decimal("1.0")),
        (Decimal("NaN"), Decimal("NaN")),
        ({1, 2}, {2, 1}),
        (Money(1), Money(1)),
        (NOON, NOON.replace()),
        (float("inf"), float("inf")),
    ],
)
def test_a_copy_does_not_differ(value: Any, copy: Any) -> None:
    assert difference(value, copy) is None


@pytest.mark.parametrize("declared", [dict[Any, Any], dict[Any, int]])
def test_a_key_that_is_no_text_is_refused_where_none_is_declared(declared: Any) -> None:
    with pytest.raises(CodecError, match=r"^\$\[1\]: the key would change"):
        encode({1: 2}, declared)


def test_a_dictionary_with_more_keys_is_of_its_type_already() -> None:
    row = {"n": 1, "z": 2}

    assert conform(row, Row) is row


@pytest.mark.parametrize("text", ["abc", b"abc"])
def test_text_is_no_sequence_of_items(text: Any) -> None:
    with pytest.raises(CodecError, match="expected `array`"):
        conform(text, Sequence[int])


def test_keys_that_become_one_are_refused() -> None:
    with pytest.raises(CodecError, match=r"^\$\['1'\]"):
        conform({"1": 1, 1: 2}, dict[int, int])


@pytest.mark.parametrize(
    ("declared", "bounded"),
    [
        (tuple[int, str], True),
        (tuple[int, Any], False),
        (dict[str, int], True),
        (dict[str, Any], False),
        (dict[Any, int], False),
        (int | list[str] | None, True),
        (int | list[Any] | None, False),
        (Fields, False),
        (list[Row], True),
    ],
)
def test_a_type_is_bounded_if_all_that_is_in_it_is(declared: Any, bounded: bool) -> None:
    assert is_bounded(kinds.type_info(declared)) is bounded


DEEP = b"[" * 201 + b"]" * 201


@pytest.mark.parametrize(
    "data",
    [
        DEEP,
        b'{"a":' * 201 + b"1" + b"}" * 201,
        b'[{"a":' * 101 + b"1" + b"}]" * 101,
        rb'["\\",' + DEEP + b"]",
        rb'["\"",' + DEEP + b"]",
        rb'["\\\"",' + DEEP + b"]",
        rb'{"\"[":' + DEEP + b"}",
    ],
)
def test_data_that_is_too_deep_is_found_whatever_text_stands_before_it(data: bytes) -> None:
    msgspec.json.decode(data)  # it is JSON

    with pytest.raises(CodecError, match="nested deeper than 200 levels"):
        limit_depth(data)


@pytest.mark.parametrize(
    "data",
    [
        b"[" + b"{}," * 300 + b"{}]",
        b'["' + b"[" * 300 + b'"]',
        rb'["\"' + b"[" * 300 + b'"]',
        rb'["' + b"[" * 300 + rb'\\"]',
        b"[" * 200 + b"]" * 200,
    ],
)
def test_data_with_many_brackets_that_is_not_deep_is_let_through(data: bytes) -> None:
    msgspec.json.decode(data)

    limit_depth(data)

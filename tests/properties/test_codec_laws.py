"""Laws of the codec, for generated types, values and damage."""

from __future__ import annotations

import math
from dataclasses import dataclass, make_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from pipeline.codec import CodecError, conform, decode, encode, seal, unseal
from pipeline.codec.difference import difference
from pipeline.codec.plan import plan_for


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Rank(IntEnum):
    FIRST = 1


class Cat(msgspec.Struct, tag=True):
    lives: int


class Dog(msgspec.Struct, tag=True):
    name: str


@dataclass
class Line:
    amount: float
    note: str | None = None


class Pair(NamedTuple):
    left: int
    right: str


Case = tuple[Any, st.SearchStrategy[Any]]
"""A type and values that are, or nearly are, of it."""

TEXT = st.text(max_size=8)
NUMBER = st.one_of(st.integers(), st.floats(), st.booleans())
LEAVES: list[Case] = [
    (bool, st.booleans()),
    (int, st.one_of(st.integers(), NUMBER)),
    (float, st.one_of(st.floats(), NUMBER)),
    (str, st.one_of(TEXT, st.text(st.characters(categories=["Cs", "L"]), max_size=3))),
    (bytes, st.binary(max_size=8)),
    (date, st.dates()),
    (datetime, st.datetimes(timezones=st.none() | st.timezones() | st.just(None), allow_imaginary=True)),
    (time, st.times()),
    (timedelta, st.timedeltas()),
    (Decimal, st.decimals()),
    (UUID, st.uuids()),
    (Colour, st.sampled_from(Colour)),
    (Rank, st.sampled_from([Rank.FIRST, 1])),
    (Cat | Dog, st.one_of(st.builds(Cat, NUMBER), st.builds(Dog, TEXT))),
    (Line, st.builds(Line, NUMBER, st.none() | TEXT)),
    (Pair, st.builds(Pair, NUMBER, TEXT)),
    (int | float | None, st.none() | NUMBER),
]
HASHABLE = [case for case in LEAVES if case[0] in (int, float, str, bytes, date, UUID, Colour, Pair)]
HASHABLE.append((Decimal, st.decimals(allow_nan=False)))
PLAIN = st.recursive(
    st.one_of(st.none(), NUMBER, TEXT, st.binary(max_size=2)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(TEXT | st.integers(), inner, max_size=3),
        st.tuples(inner),
        st.frozensets(st.integers(), max_size=2),
    ),
    max_leaves=8,
)


def of(origin: Any, *arguments: Any) -> Any:
    """``origin[arguments]``, for arguments that are only known at run time."""
    return origin[arguments]


def listed(case: Case) -> Case:
    return of(list, case[0]), st.lists(case[1], max_size=4)


def paired(case: Case) -> Case:
    return of(tuple, case[0], int), st.tuples(case[1], st.integers())


def repeated(case: Case) -> Case:
    return of(tuple, case[0], ...), st.lists(case[1], max_size=3).map(tuple)


def keyed(case: Case) -> Case:
    return of(dict, str, case[0]), st.dictionaries(TEXT, case[1], max_size=3)


def structured(case: Case) -> Case:
    kind = msgspec.defstruct("Made", [("value", case[0]), ("n", int, 0)])
    return kind, st.builds(kind, case[1])


def dataclassed(case: Case) -> Case:
    kind = make_dataclass("Made", [("value", case[0])])
    return kind, st.builds(kind, case[1])


def optional(case: Case) -> Case:
    return case[0] | None, st.none() | case[1]


def collected(case: Case) -> Case:
    return of(set, case[0]), st.sets(case[1], max_size=3)


def mapped(case: Case) -> Case:
    return of(dict, case[0], int), st.dictionaries(case[1], st.integers(), max_size=3)


WRAPPERS = [listed, paired, repeated, keyed, structured, dataclassed, optional]
CASES = st.recursive(
    st.one_of(
        st.sampled_from(LEAVES),
        st.sampled_from(HASHABLE).map(collected),
        st.sampled_from(HASHABLE).map(mapped),
        st.just((Any, PLAIN)),
    ),
    lambda inner: st.builds(lambda wrap, case: wrap(case), st.sampled_from(WRAPPERS), inner),
    max_leaves=3,
)


def expect_path(refused: CodecError) -> None:
    assert refused.path.startswith("$")


@st.composite
def typed_values(draw: st.DrawFn) -> tuple[Any, Any]:
    declared, values = draw(CASES)
    return declared, draw(values)


@given(typed_values())
def test_what_is_encoded_comes_back_exactly_or_is_refused(case: tuple[Any, Any]) -> None:
    declared, value = case
    try:
        data = encode(value, declared)
    except CodecError as refused:
        expect_path(refused)
        return

    back = decode(data, declared)

    assert difference(value, back) is None
    assert difference(back, value) is None
    assert encode(back, declared) == data or _has_set(value)


def _has_set(value: Any) -> bool:
    return "set" in repr(type(value)) or "{" in repr(value)  # sets have no order to keep


@given(typed_values())
def test_what_is_proven_exact_is_exact(case: tuple[Any, Any]) -> None:
    declared, value = case
    plan = plan_for(declared, None)
    try:
        data = plan.encode(value)
    except Exception:
        return

    if plan.exact(value):
        assert difference(value, plan.decode(data)) is None


@given(typed_values())
def test_only_what_would_change_is_refused(case: tuple[Any, Any]) -> None:
    """The refusal is not an excuse: plain decoding really gives something else, or nothing."""
    declared, value = case
    try:
        encode(value, declared)
    except CodecError:
        try:
            back = msgspec.json.decode(msgspec.json.encode(value), type=declared)
        except (msgspec.MsgspecError, ValueError, TypeError):
            return
        assert type(back) is not type(value) or repr(back) != repr(value)


@given(typed_values())
def test_a_value_of_its_type_conforms_as_itself(case: tuple[Any, Any]) -> None:
    declared, value = case
    try:
        encode(value, declared)
    except CodecError:
        return

    assert conform(value, declared) is value


@given(typed_values())
def test_the_json_form_of_a_value_conforms_to_the_value(case: tuple[Any, Any]) -> None:
    declared, value = case
    try:
        plain = msgspec.json.decode(encode(value, declared))
    except CodecError:
        return

    assert difference(value, conform(plain, declared)) is None


@given(PLAIN, CASES)
def test_conforming_anything_to_anything_gives_a_value_or_a_declared_error(value: Any, case: Case) -> None:
    try:
        made = conform(value, case[0])
    except CodecError as refused:
        expect_path(refused)
    else:
        assert conform(made, case[0]) is made or _has_nan(made)


def _has_nan(value: Any) -> bool:
    return "nan" in repr(value).lower() or (isinstance(value, float) and math.isnan(value))


@given(st.binary(max_size=60), CASES)
def test_decoding_any_bytes_gives_a_value_or_a_declared_error(data: bytes, case: Case) -> None:
    try:
        decode(data, case[0])
    except CodecError as refused:
        expect_path(refused)


@st.composite
def damages(draw: st.DrawFn, sealed: bytes) -> bytes:
    """A few edits: bytes changed, cut out, repeated or put in."""
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(sealed)))
        end = draw(st.integers(start, min(len(sealed), start + 8)))
        sealed = sealed[:start] + draw(st.binary(max_size=8)) + sealed[end:]
    return sealed


@given(typed_values(), st.data())
def test_damaged_bytes_give_the_same_value_or_a_declared_error(case: tuple[Any, Any], data: st.DataObject) -> None:
    declared, value = case
    try:
        sealed = seal(encode(value, declared))
    except CodecError:
        return
    damaged = data.draw(damages(sealed))

    try:
        back = decode(unseal(damaged), declared)
    except CodecError:
        assert damaged != sealed
    else:
        assert difference(value, back) is None


@given(typed_values(), st.data())
def test_damage_without_an_envelope_never_escapes_as_another_error(case: tuple[Any, Any], data: st.DataObject) -> None:
    declared, value = case
    try:
        damaged = data.draw(damages(encode(value, declared)))
        decode(damaged, declared)
    except CodecError as refused:
        expect_path(refused)


@given(st.binary(max_size=200))
def test_the_envelope_gives_back_what_was_sealed(body: bytes) -> None:
    assert unseal(seal(body)) == body

"""Hostile bytes are refused with a path, in bounded time and memory, by nothing but a CodecError."""

from __future__ import annotations

import tracemalloc
from datetime import datetime
from decimal import Decimal
from time import perf_counter
from typing import Any

import msgspec
import pytest

from pipeline.codec import CodecError, decode


class Page(msgspec.Struct):
    n: int
    children: list[Page] = []
    extra: dict[str, Any] = {}


MILLION = 10**6

HOSTILE: dict[str, tuple[bytes, Any]] = {
    "arrays a million deep": (b"[" * MILLION + b"]" * MILLION, Any),
    "objects a million deep": (b'{"a":' * MILLION + b"1" + b"}" * MILLION, Any),
    "unclosed arrays": (b"[" * MILLION, list[int]),
    "a recursive type 400 deep": (b'{"n":1,"children":[' * 400 + b"]}" * 400, Page),
    "an unknown field a million deep": (b'{"n":1,"x":' + b"[" * MILLION + b"]" * MILLION + b"}", Page),
    "an undeclared field 300 deep": (b'{"n":1,"extra":{"x":' + b"[" * 300 + b"]" * 300 + b"}}", Page),
    "brackets in text do not hide depth": (b'{"]]]\\"]]\\\\":' * 201 + b"1" + b"}" * 201, Any),
    "an integer of a million digits": (b"9" * MILLION, int),
    "an undeclared integer of a million digits": (b"[" + b"9" * MILLION + b"]", Any),
    "a number out of range": (b"1e999999", float),
    "NaN": (b"NaN", float),
    "invalid UTF-8": (b'["\xff\xfe"]', list[str]),
    "a lone surrogate": (b'["\\ud800"]', Any),
    "a million keys of the wrong type": (
        b"{" + b",".join(b'"%d":"x"' % n for n in range(MILLION)) + b"}",
        dict[str, int],
    ),
    "a million elements, the last wrong": (b"[" + b"1," * (MILLION - 1) + b'"x"]', list[int]),
    "an object for a list": (b"{}", list[int]),
    "text for a date": (b'"' + b"9" * 10_000 + b'"', datetime),
    "text for a decimal": (b'"1e' + b"9" * 10_000 + b'"', Decimal),
    "trailing garbage": (b"1 1", int),
    "nothing": (b"", Any),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bytes_are_refused_in_bounded_time_and_memory(name: str) -> None:
    data, declared = HOSTILE[name]
    tracemalloc.start()
    began = perf_counter()
    try:
        with pytest.raises(CodecError) as caught:
            decode(data, declared)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert caught.value.path.startswith("$")
    assert len(str(caught.value)) < 1_000
    assert perf_counter() - began < 10  # a stall, not a speed
    assert peak < 100 * len(data) + 100_000


def test_the_path_leads_to_the_wrong_value() -> None:
    data = b'{"n":1,"children":[{"n":1},{"n":1,"children":[{"n":"x"}]}]}'

    with pytest.raises(CodecError) as caught:
        decode(data, Page)

    assert caught.value.path == "$.children[1].children[0].n"


def test_depth_within_the_limit_is_read() -> None:
    assert decode(b"[" * 200 + b"]" * 200) != []
    assert decode(b'["[[[[[[",' * 100 + b"1" + b"]" * 100) != []
    with pytest.raises(CodecError, match="nested deeper than 200 levels"):
        decode(b"[" * 201 + b"]" * 201)


def test_a_million_good_keys_are_read() -> None:
    data = b"{" + b",".join(b'"%d":1' % n for n in range(MILLION)) + b"}"

    assert len(decode(data, dict[str, int])) == MILLION


def test_fields_that_the_type_does_not_have_are_ignored_in_stored_data() -> None:
    assert decode(b'{"n":1,"gone":[1,2]}', Page) == Page(1)

"""Laws of fingerprints, for generated data and generated edits of code."""

from __future__ import annotations

import copy
import linecache
import pickle
from collections.abc import Callable
from itertools import count
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pipeline.codec.difference import difference
from pipeline.fingerprint import CodeFingerprint, of_code, of_data

LEAF = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.binary(max_size=5),
    st.dates(),
    st.datetimes(),
    st.decimals(allow_nan=False),
    st.uuids(),
    st.timedeltas(),
)
KEY = st.one_of(st.integers(), st.text(max_size=3), st.booleans(), st.tuples(st.integers()))
DATA = st.recursive(
    LEAF,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(KEY, inner, max_size=4),
        st.frozensets(KEY, max_size=4),
        st.sets(KEY, max_size=4),
    ),
    max_leaves=10,
)


@given(DATA)
def test_a_copy_has_the_same_fingerprint(value: Any) -> None:
    assert of_data(value) == of_data(copy.deepcopy(value)) == of_data(pickle.loads(pickle.dumps(value))) is not None


@given(DATA, DATA)
def test_two_values_share_a_fingerprint_only_if_they_are_equal_in_type_and_content(one: Any, other: Any) -> None:
    if of_data(one) == of_data(other):
        assert difference(_ordered(one), _ordered(other)) is None or one != one


def _ordered(value: Any) -> Any:
    """The value with its dicts in one order, since order does not count."""
    if isinstance(value, dict):
        return {key: _ordered(value[key]) for key in sorted(value, key=repr)}
    return type(value)(map(_ordered, value)) if type(value) in (list, tuple) else value


@given(st.dictionaries(KEY, LEAF, min_size=2, max_size=5), st.randoms(use_true_random=False))
def test_the_order_of_keys_does_not_count(value: dict[Any, Any], random: Any) -> None:
    items = list(value.items())
    random.shuffle(items)

    assert of_data(dict(items)) == of_data(value)


@given(DATA, st.integers())
def test_wrapping_changes_the_fingerprint(value: Any, n: int) -> None:
    prints = [of_data(wrapped) for wrapped in (value, [value], (value,), {"a": value}, [value, value], [[value]])]

    assert len(set(prints)) == len(prints)


FILES = count()
LITERAL = st.one_of(st.integers(0, 99), st.text("abc", max_size=2), st.none(), st.booleans())
OPERATOR = st.sampled_from("+-*/")
EXPRESSION = st.recursive(
    st.one_of(st.just("x"), st.just("HELPER(x)"), st.just("CONSTANT"), LITERAL.map(repr)),
    lambda inner: st.builds("({} {} {})".format, inner, OPERATOR, inner),
    max_leaves=5,
)
NOISE = st.lists(st.sampled_from(["# a comment", "", "   # indented", "\t"]), max_size=3).map("\n".join)


def made(body: str, helper: str = "x", constant: str = "1", noise: str = "", doc: str = "") -> CodeFingerprint:
    """The fingerprint of a function in a file of its own, which only linecache knows."""
    filename = f"/srv/app/generated_{next(FILES)}.py"
    lines = [
        noise,
        f"CONSTANT = {constant}",
        noise,
        f"def HELPER(x):\n    {doc!r}\n{noise}\n    return {helper}",
        f"def step(x):  {noise.partition(chr(10))[0].strip() or '#'}\n    {doc!r}\n    return (\n{noise}\n    {body})",
    ]
    text = "\n".join(lines) + "\n"
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    names: dict[str, Any] = {"__name__": "generated"}
    exec(compile(text, filename, "exec", dont_inherit=True), names)
    step: Callable[..., Any] = names["step"]
    return of_code(step)


@given(EXPRESSION, EXPRESSION, LITERAL.map(repr), NOISE, st.text("ab\n", max_size=5))
def test_noise_does_not_change_a_fingerprint(body: str, helper: str, constant: str, noise: str, doc: str) -> None:
    helper = helper.replace("HELPER(x)", "x")

    assert made(body, helper, constant) == made(body, helper, constant, noise, doc or "x")


@given(EXPRESSION, EXPRESSION)
def test_another_body_has_another_fingerprint(one: str, other: str) -> None:
    assert (made(one) == made(other)) == (one == other)


@given(EXPRESSION, EXPRESSION, LITERAL, LITERAL)
def test_a_helper_or_constant_counts_just_when_it_is_used(body: str, helper: str, one: Any, other: Any) -> None:
    helper = helper.replace("HELPER(x)", "x")
    same_constant = (type(one), one) == (type(other), other)
    uses_helper = "HELPER" in body
    uses_constant = "CONSTANT" in body or (uses_helper and "CONSTANT" in helper)

    assert (made(body, helper) == made(body, "x")) == (helper == "x" or not uses_helper)
    assert (made(body, helper, repr(one)) == made(body, helper, repr(other))) == (same_constant or not uses_constant)

"""Where two values differ, by the types and the state of every node, not by what their ``==`` says."""
# pyright: basic

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from datetime import datetime, time
from decimal import Decimal
from enum import Enum
from functools import cached_property, lru_cache
from typing import Any

from pipeline.codec.problem import MAX_DEPTH, CodecError, member

Found = tuple[str, str]
"""A path below the compared values, and what is different there."""


def difference(before: Any, after: Any, depth: int = 0) -> Found | None:
    """The first difference between a value and what came back, or None when they are equal and of equal types.

    >>> difference({"a": [1, 2]}, {"a": [1, 2]}) is None
    True
    >>> difference({"a": [1, 2]}, {"a": [1, 2.0]})
    ('.a[1]', '`int` would come back as `float`')
    """
    if type(before) is not type(after):
        return "", f"`{type(before).__name__}` would come back as `{type(after).__name__}`"
    if depth > MAX_DEPTH:
        raise CodecError("$", f"is nested deeper than {MAX_DEPTH} levels, or contains itself")
    if before is after:
        return None
    kind: Any = type(before)
    return _comparison(kind)(before, after, depth + 1)


@lru_cache(maxsize=4096)
def _comparison(kind: Any) -> Callable[[Any, Any, int], Found | None]:
    if kind in _LEAVES:
        return _leaves
    if issubclass(kind, Enum):
        return _identity
    for parent, compare in _COMPARISONS.items():
        if issubclass(kind, parent):
            return compare
    return _objects if field_names(kind) is not None else _opaque


def _leaves(before: Any, after: Any, depth: int) -> Found | None:
    return None if before == after else ("", "another value would come back")


def _identity(before: Any, after: Any, depth: int) -> Found | None:
    return None if before is after else ("", "another member would come back")


def _floats(before: float, after: float, depth: int) -> Found | None:
    same = before == after and math.copysign(1.0, before) == math.copysign(1.0, after)
    return None if same else ("", "the number would change")


def _decimals(before: Decimal, after: Decimal, depth: int) -> Found | None:
    """By their digits: 1.0 equals 1.00, and NaN does not equal NaN."""
    return None if before.as_tuple() == after.as_tuple() else ("", "another number would come back")


def _moments(before: Any, after: Any, depth: int) -> Found | None:
    if before != after or before.fold != after.fold or before.utcoffset() != after.utcoffset():
        return "", "the moment, its offset or its fold would change"
    if type(before.tzinfo) is not type(after.tzinfo) or before.tzname() != after.tzname():
        return "", f"the time zone {before.tzinfo!r} would become a fixed offset; store it as one or in UTC"
    return None


def _sequences(before: Any, after: Any, depth: int) -> Found | None:
    if len(before) != len(after):
        return "", f"{len(before)} items would come back as {len(after)}"
    for index, (one, other) in enumerate(zip(before, after, strict=True)):
        if found := difference(one, other, depth):
            return f"[{index}]{found[0]}", found[1]
    return None


def _dicts(before: Any, after: Any, depth: int) -> Found | None:
    lost = [key for key in before if key not in after] if len(before) != len(after) else []
    if lost:
        return member(lost[0]), "would be lost"
    for (key, one), (other_key, other) in zip(before.items(), after.items(), strict=False):
        if found := difference(key, other_key, depth):
            return member(key), f"the key would change: {found[1]}"
        if found := difference(one, other, depth):
            return f"{member(key)}{found[0]}", found[1]
    return None


def _sets(before: Any, after: Any, depth: int) -> Found | None:
    partners = {item: item for item in after}
    if len(before) != len(after) or not before <= partners.keys():
        return "", "the set would come back with other items"
    for item in before:
        if found := difference(item, partners[item], depth):
            return f"[...]{found[0]}", found[1]
    return None


def _objects(before: Any, after: Any, depth: int) -> Found | None:
    for name in _fields(before):
        found = difference(getattr(before, name, _ABSENT), getattr(after, name, _ABSENT), depth)
        if found:
            return f".{name}{found[0]}", found[1]
    further = _further_attributes(before)
    return _dicts(further, _further_attributes(after), depth) if further else None


def _opaque(before: Any, after: Any, depth: int) -> Found | None:
    """A type of the user's own: its ``==`` if it defines one, else its state."""
    kind: Any = type(before)
    if kind.__eq__ is not object.__eq__:
        return None if bool(before == after) else ("", f"another {type(before).__name__} would come back")
    if not hasattr(before, "__dict__"):
        name = type(before).__name__
        return "", f"no way to see whether the same {name} would come back; give {name} an __eq__"
    return _dicts(dict(sorted(vars(before).items())), dict(sorted(vars(after).items())), depth)


_ABSENT = object()
_LEAVES = {str, int, bytes}

# In this order: a bool is an int, a datetime is a date.
_COMPARISONS: dict[type, Callable[[Any, Any, int], Found | None]] = {
    float: _floats,
    Decimal: _decimals,
    datetime: _moments,
    time: _moments,
    list: _sequences,
    tuple: _sequences,
    dict: _dicts,
    set: _sets,
    frozenset: _sets,
}


def _field_names(kind: Any) -> tuple[str, ...] | None:
    """The names of the fields of a Struct, dataclass or attrs class, or None for any other."""
    if hasattr(kind, "__struct_fields__"):
        return tuple(kind.__struct_fields__)
    if dataclasses.is_dataclass(kind):
        return tuple(field.name for field in dataclasses.fields(kind))
    if hasattr(kind, "__attrs_attrs__"):
        return tuple(attribute.name for attribute in kind.__attrs_attrs__)
    return None


field_names: Callable[[Any], tuple[str, ...] | None] = lru_cache(maxsize=4096)(_field_names)


def _fields(value: Any) -> tuple[str, ...]:
    return field_names(type(value)) or ()


def _further_attributes(value: Any) -> dict[str, Any]:
    """What an instance carries beside its fields, apart from properties that it can compute again."""
    fields = _fields(value)
    return {
        name: item
        for name, item in getattr(value, "__dict__", {}).items()
        if name not in fields
        and not name.startswith("__")
        and not isinstance(getattr(type(value), name, None), cached_property)
    }


def children(value: Any) -> Iterator[tuple[str, Any]]:
    """The values directly inside a value, each with its part of the path."""
    if isinstance(value, dict):
        yield from ((member(key), item) for key, item in value.items())
    elif isinstance(value, (list, tuple)):
        yield from ((f"[{index}]", item) for index, item in enumerate(value))
    elif isinstance(value, (set, frozenset)):
        yield from (("[...]", item) for item in value)
    else:
        yield from ((f".{name}", getattr(value, name, None)) for name in _fields(value))

"""How deep data may nest: our own limit, since Python's differs by version, checked at the speed of C."""
# pyright: basic

from __future__ import annotations

from itertools import chain
from math import isfinite
from typing import Any

from msgspec import inspect as kinds

from pipeline.codec.problem import MAX_DEPTH, CodecError

_PLAIN = {str, int, bool, type(None), float, list, dict}


def is_plain(value: Any) -> bool:
    """Whether an undeclared value is JSON's own: None, bool, int, finite float, str, list, dict with str keys.

    It looks at one level of nesting at a time, at most 200: that keeps the loops inside C.

    >>> is_plain({"a": [1, None]}), is_plain({"a": (1,)}), is_plain({1: "a"})
    (True, False, False)
    """
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        if not level:
            return True
        found = {*map(type, level)}
        if not found <= _PLAIN or (float in found and not _all_finite(level)):
            return False
        dicts = [item for item in level if type(item) is dict] if dict in found else []
        if not {*map(type, chain.from_iterable(dicts))} <= {str}:
            return False
        lists = [item for item in level if type(item) is list] if list in found else []
        level = [*chain.from_iterable(lists), *chain.from_iterable(map(dict.values, dicts))]
    return False


def _all_finite(items: list[Any]) -> bool:
    return all(map(isfinite, [item for item in items if type(item) is float]))


def is_bounded(info: kinds.Type, within: tuple[int, ...] = ()) -> bool:
    """Whether values of the type nest only as deeply as the type does: nothing recursive, nothing undeclared.

    >>> is_bounded(kinds.type_info(list[int])), is_bounded(kinds.type_info(list[Any]))
    (True, False)
    """
    if isinstance(info, (kinds.AnyType, kinds.CustomType, kinds.RawType)) or id(info) in within:
        return False
    return all(is_bounded(part, (*within, id(info))) for part in _parts(info))


def _parts(info: Any) -> list[kinds.Type]:
    """The types directly inside a type."""
    names = ("item_type", "key_type", "value_type")
    inside = [getattr(info, name) for name in names if hasattr(info, name)]
    members = [*getattr(info, "item_types", ()), *getattr(info, "types", ())]
    return [*inside, *members, *(field.type for field in getattr(info, "fields", ()))]


_AS_SQUARE = bytes.maketrans(b"{}", b"[]")
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def limit_depth(data: bytes) -> None:
    """Refuse valid JSON that is nested too deeply, by taking innermost pairs away one level at a time.

    >>> limit_depth(b"[" * 200 + b"]" * 200)
    >>> limit_depth(b"[" * 201 + b"]" * 201)
    Traceback (most recent call last):
    ...
    pipeline.codec.problem.CodecError: $: is nested deeper than 200 levels
    """
    if data.count(b"[") + data.count(b"{") <= MAX_DEPTH:
        return
    outside_text = data.replace(rb"\\", b"").replace(rb"\"", b"").split(b'"')[::2]
    brackets = b"".join(outside_text).translate(_AS_SQUARE, _NOT_BRACKETS)
    for _ in range(MAX_DEPTH):
        if not brackets:
            return
        brackets = brackets.replace(b"[]", b"")
    if brackets:
        raise CodecError("$", f"is nested deeper than {MAX_DEPTH} levels")

"""Whether two values are the same, by types and content; copies that a step cannot reach; values as short text."""

from __future__ import annotations

import pickle
import re
from copy import deepcopy
from typing import Any, TypeVar

from pipeline import fingerprint
from pipeline.codec.difference import difference

T = TypeVar("T")

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def same(one: Any, other: Any) -> bool:
    """Whether two values have the same types and content all the way down; the order of dict keys does not count.

    Where the content of a type cannot be seen at all (a lock, an open file), two of them count as the same.

    >>> same({"a": 1, "b": [2]}, {"b": [2], "a": 1}), same((1,), [1]), same(1, 1.0), same(float("nan"), float("nan"))
    (True, False, False, True)
    """
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if _pickled(one) == _pickled(other) is not None:
        return True
    seen = fingerprint.of_data(one)
    if seen is not None:
        return seen == fingerprint.of_data(other)
    try:
        found = difference(one, other)
    except Exception:  # noqa: BLE001 - an __eq__ of the value's own, which may raise anything
        return False
    return found is None or found[1].startswith("no way to see")


def _pickled(value: object) -> bytes | None:
    try:
        return pickle.dumps(value)
    except Exception:  # noqa: BLE001 - pickling runs the value's own code; there are other ways to see
        return None


def copied(value: T) -> T:
    """A deep copy, or the value itself where it cannot be copied."""
    try:
        return deepcopy(value)
    except Exception:  # noqa: BLE001 - copying runs the value's own code
        return value


def shown(value: object, limit: int = 200) -> str:
    """The ``repr`` of a value in at most ``limit`` characters.

    >>> shown("a" * 30, limit=20)
    "'aaaaaaaaaaaaaaaaaaa..."
    """
    try:
        text = repr(value)
    except Exception as error:  # noqa: BLE001 - a __repr__ of the value's own
        return f"<{type(value).__name__} whose repr raised {type(error).__name__}>"
    return text if len(text) <= limit else f"{text[:limit]}..."


def without_addresses(text: str) -> str:
    """A message as it is the same in two processes.

    >>> without_addresses("<Page at 0x7f3a>")
    '<Page>'
    """
    return _ADDRESS.sub("", text)

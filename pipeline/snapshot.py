"""Keeps the exact value that entered a step, even when the step changes it before it fails.

A value that cannot change is kept as it is.
Any other is pickled before the step runs, in memory only, which costs microseconds and is exact for what pickles.
A value that does not pickle (an open file, a lock) is kept by reference: then a step that mutates it is on its own.
"""

from __future__ import annotations

import pickle
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import PurePath
from types import NoneType, UnionType
from typing import Any, Final, Literal, TypeAlias, Union, cast, get_args, get_origin, get_type_hints
from uuid import UUID

import msgspec

SCALARS: Final = (bool, int, float, complex, str, bytes, range, Decimal, Fraction, UUID)
TIMES: Final = (date, datetime, time, timedelta, timezone)

Snapshot: TypeAlias = bytes | None
"""The pickled value, or ``None`` where the value itself serves."""

IMMUTABLE: set[type] = {*SCALARS, *TIMES}
"""Types known to be immutable all the way down; grows as types are met. Guard: adding to a set is atomic.
Not ``None``, which as an answer means something else (see ``walk``)."""

_MUTABLE: set[type] = {dict, list, set, bytearray, tuple, frozenset}
_UNCOPYABLE: set[type] = set()


def take(value: object) -> Snapshot:
    """Remember ``value`` as it is now. Callers skip this when ``type(value) in IMMUTABLE``."""
    kind = type(value)
    if value is None:
        return None
    if kind not in _MUTABLE and _is_immutable(kind):
        IMMUTABLE.add(kind)
        return None
    _MUTABLE.add(kind)
    if kind in _UNCOPYABLE:
        return None
    try:
        return pickle.dumps(value, 5)
    except Exception:  # noqa: BLE001 - pickling runs the value's own code, which may raise anything
        if kind not in (dict, list, set, tuple, frozenset):
            _UNCOPYABLE.add(kind)
        return None


def restore(value: Any, snapshot: Snapshot) -> Any:
    """The value as it was: the same object when nothing changed it, else a copy from before the change."""
    if snapshot is None:
        return value
    try:
        return value if pickle.dumps(value, 5) == snapshot else pickle.loads(snapshot)
    except Exception:  # noqa: BLE001 - the step left something that no longer pickles: the snapshot is what entered
        return pickle.loads(snapshot)


def copied(value: Any, snapshot: Snapshot) -> Any:
    """The value as it was, in a copy that whoever still holds ``value`` cannot change."""
    return value if snapshot is None else pickle.loads(snapshot)


def own(value: Any) -> Any:
    """The value for a step that may change it while an earlier result, which can be retried again, holds it too.

    >>> held = [1]
    >>> own(held) == held, own(held) is held
    (True, False)
    """
    return value if type(value) in IMMUTABLE else copied(value, take(value))


def _is_immutable(declared: Any) -> bool:
    """Whether values of a declared type cannot change, as far as its declaration says."""
    if declared in (*SCALARS, *TIMES, NoneType, None):
        return True
    origin = get_origin(declared)
    if origin is Literal:
        return True
    if origin in (Union, UnionType, tuple, frozenset):
        return all(item is Ellipsis or _is_immutable(item) for item in get_args(declared))
    if not isinstance(declared, type):
        return False
    kind = cast("type[object]", declared)
    return issubclass(kind, Enum | PurePath) or _has_frozen_fields(kind)


def _has_frozen_fields(declared: type[object]) -> bool:
    if issubclass(declared, msgspec.Struct):
        frozen, names = declared.__struct_config__.frozen, declared.__struct_fields__
    elif is_dataclass(declared):
        frozen, names = declared.__dataclass_params__.frozen, tuple(field.name for field in fields(declared))  # type: ignore[attr-defined]
    else:
        return False
    if not frozen:
        return False
    try:
        hints = get_type_hints(declared)
    except Exception:  # noqa: BLE001 - what cannot be read may be mutable
        return False
    return all(_is_immutable(hints.get(name, Any)) for name in names)

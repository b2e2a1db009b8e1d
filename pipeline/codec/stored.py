"""Values to typed JSON and back: exact, or refused."""
# pyright: basic

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from pipeline.codec.difference import children, difference
from pipeline.codec.nesting import limit_depth
from pipeline.codec.plan import Plan, plan_for
from pipeline.codec.problem import MAX_BYTES, MAX_DEPTH, CodecError, refusal
from pipeline.codec.registry import Registry

_NO_NUMBER = re.compile(r"float.*got `null`")
_MOST_DIGITS = 4300  # of an integer: what msgspec reads


def encode(
    value: object, declared_type: Any = Any, *, registry: Registry | None = None, max_bytes: int = MAX_BYTES
) -> bytes:
    """Give the JSON bytes from which ``decode`` with the same type makes an equal value of equal types.

    A value that would not come back so is refused with ``CodecError``: an ``int`` in a ``float`` field, a
    subclass that would lose fields, NaN, a time zone by name, more than ``max_bytes`` or 200 levels of nesting.
    Undeclared (``Any``) data may hold only None, bool, int, float, str, lists, and dicts with text keys.

    >>> encode((1, 2), tuple[int, int])
    b'[1,2]'
    >>> encode({"pages": [(1, 2)]})
    Traceback (most recent call last):
    ...
    pipeline.codec.problem.CodecError: $.pages[0]: `tuple` would come back as `list`; declare the step's ...
    """
    return writer(declared_type, registry=registry, max_bytes=max_bytes)(value)


def writer(
    declared_type: Any, *, registry: Registry | None = None, max_bytes: int = MAX_BYTES
) -> Callable[[object], bytes]:
    """Give ``encode`` for many values of one declared type: what depends on the type alone is looked up once.

    >>> list(map(writer(list[int]), ([1], [2, 3])))
    [b'[1]', b'[2,3]']
    >>> writer(list[int])([1.0])
    Traceback (most recent call last):
    ...
    pipeline.codec.problem.CodecError: $[0]: would not come back: expected `int`, got `float`
    """
    plan, undeclared = plan_for(declared_type, registry), declared_type in (Any, object)
    if plan.problem is not None:
        return partial(_refused, plan.problem)
    write, exact, checked_from = plan.encode, plan.exact, min(max_bytes, _MOST_DIGITS)

    def encoded(value: object) -> bytes:
        try:
            data = write(value)
        except Exception as error:  # msgspec lets UnicodeEncodeError, OverflowError and others escape
            if _goes(write, value):  # so that was no fault of the value: a signal's handler raised
                raise
            raise _unwritable(plan, value, error) from error
        readable = len(data) <= checked_from or _is_readable(data, max_bytes)
        if not (readable and exact(value)):
            _compare(plan, value, data, undeclared=undeclared)
        return data

    return encoded


def _goes(write: Callable[[object], bytes], value: object) -> bool:
    try:
        write(value)
    except Exception:  # noqa: BLE001 - which it is was told before
        return False
    return True


def _refused(problem: str, _value: object) -> bytes:
    raise CodecError("$", problem)


def _is_readable(data: bytes, max_bytes: int) -> bool:
    """Whether data that is long can be read for sure; ``CodecError`` when it is too long."""
    if len(data) > max_bytes:
        raise CodecError("$", f"takes {len(data):,} bytes, over the limit of {max_bytes:,}")
    # A user who lifts Python's limit on digits can write integers that cannot be read.
    return 0 < sys.get_int_max_str_digits() <= _MOST_DIGITS


def _unwritable(plan: Plan, value: object, error: Exception) -> CodecError:
    """Why a value has no bytes, with the path of the innermost part that has none."""
    path = "$" if isinstance(error, RecursionError) else "$" + _culprit(plan.encode, value)
    return CodecError(path, refusal(error).problem)


def _culprit(write: Callable[[Any], bytes], value: object, depth: int = 0) -> str:
    """The path of the innermost value that cannot be written."""
    for step, child in children(value) if depth < MAX_DEPTH else ():
        try:
            write(child)
        except Exception:  # noqa: BLE001 - the same failures as above
            return step + _culprit(write, child, depth + 1)
    return ""


def _compare(plan: Plan, value: object, data: bytes, *, undeclared: bool) -> None:
    found = _change(plan, value, data)
    if found is not None:
        cure = "; declare the step's input type or pass input_type=" if undeclared else ""
        raise CodecError(f"${found[0]}", found[1] + cure)


def _change(plan: Plan, value: object, data: bytes) -> tuple[str, str] | None:
    try:
        return difference(value, plan.decode(data))
    except Exception as error:  # noqa: BLE001 - msgspec, hooks, the user's own __eq__
        refused = refusal(error)
        hint = "; NaN and infinity have no JSON form" if _NO_NUMBER.search(refused.problem) else ""
        return refused.path[1:], f"would not come back: {refused.problem}{hint}"


def decode(
    data: bytes, declared_type: Any = Any, *, registry: Registry | None = None, max_bytes: int = MAX_BYTES
) -> Any:
    """Give the value of the declared type that ``encode`` wrote.

    Bytes that are damaged, hostile or of another type are refused with ``CodecError`` and the path, in time and
    memory proportional to their length, at most ``max_bytes``.
    Fields that the type does not have are ignored, so data written by an earlier version of a class can be read.

    >>> from datetime import date
    >>> from decimal import Decimal
    >>> decode(b'{"2026-11-23":["0.10"]}', dict[date, list[Decimal]])
    {datetime.date(2026, 11, 23): [Decimal('0.10')]}
    >>> decode(b'[{"n":"3"}]', list[dict[str, int]])
    Traceback (most recent call last):
    ...
    pipeline.codec.problem.CodecError: $[0][...]: expected `int`, got `str`
    """
    if len(data) > max_bytes:
        raise CodecError("$", f"holds {len(data):,} bytes, over the limit of {max_bytes:,}")
    plan = plan_for(declared_type, registry)
    try:
        value = plan.decode(data)
    except Exception as error:  # msgspec lets UnicodeDecodeError, RecursionError and others escape
        raise refusal(error) from error
    if not plan.bounded:
        limit_depth(data)
    return value

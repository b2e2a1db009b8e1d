"""A payload's data, which may be JSON-like, as a value of the type that a step declares."""
# pyright: basic

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

import msgspec

from pipeline.codec.difference import difference, field_names
from pipeline.codec.location import located
from pipeline.codec.plan import Plan, plan_for
from pipeline.codec.problem import MAX_DEPTH, CodecError, member, refusal
from pipeline.codec.registry import Registry


def conform(value: object, declared_type: Any = Any, registry: Registry | None = None) -> Any:
    """Give ``value`` as a value of the declared type: itself when it is one already, else converted from JSON form.

    An instance counts as its class (subclasses too) and is not looked into; under ``Any`` everything passes.
    A dict becomes a Struct, dataclass, attrs class or TypedDict, text a date, Decimal, UUID or bytes (base64), a
    list a tuple or set, and so on at any depth, also around values that are of their type already.
    What does not fit is refused with ``CodecError`` and its path, and so is a field that the type does not have:
    an edited payload with a misspelt name must not silently lose what was meant.

    >>> from datetime import date
    >>> from decimal import Decimal
    >>> conform({"2026-11-23": ["0.10"]}, dict[date, list[Decimal]])
    {datetime.date(2026, 11, 23): [Decimal('0.10')]}
    >>> pages = [1, 2]
    >>> conform(pages, list[int]) is pages
    True
    >>> conform([1, "2"], list[int])
    Traceback (most recent call last):
    ...
    pipeline.codec.problem.CodecError: $[1]: expected `int`, got `str`
    """
    if declared_type is Any or declared_type is object:
        return value
    try:
        plan = plan_for(declared_type, registry)
        if plan.already(value) or _is_abstract_instance(plan, value):
            return value
    except Exception as error:  # msgspec lets RecursionError, OverflowError and others escape
        raise refusal(error) from error
    try:
        return _converted(plan, value)
    except Exception as error:
        raise located(refusal(error), plan.convert, value) from error


def _is_abstract_instance(plan: Plan, value: Any) -> bool:
    """A tuple for ``Sequence[int]``: msgspec knows only the list that it would make."""
    if plan.abstract is None or isinstance(value, (str, bytes)) or not isinstance(value, plan.abstract):
        return False
    make = dict if issubclass(plan.abstract, Mapping) else set if issubclass(plan.abstract, AbstractSet) else list
    return plan.already(make(value))


def _converted(plan: Plan, value: Any) -> Any:
    made = plan.convert(value)
    if made is value or difference(value, made) is None:
        return value
    _refuse_unknown_fields(value, made, "$", 0)
    return made


def _refuse_unknown_fields(value: Any, made: Any, path: str, depth: int) -> None:
    """Walk the data beside what was made of it, and stop where nothing was made."""
    if value is made or not isinstance(value, (dict, list, tuple)):
        return
    if depth > MAX_DEPTH:
        raise CodecError(path, f"is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, dict):
        _refuse_unknown_keys(value, made, path, depth)
    elif isinstance(made, (list, tuple)):
        for index, (item, other) in enumerate(zip(value, made, strict=False)):
            _refuse_unknown_fields(item, other, f"{path}[{index}]", depth + 1)


def _refuse_unknown_keys(value: dict[Any, Any], made: Any, path: str, depth: int) -> None:
    known = _by_encoded_name(value, made)
    if known is None:
        return
    for key, item in value.items():
        if key not in known:
            raise CodecError(path + member(key), f"`{type(made).__name__}` has no such field")
        _refuse_unknown_fields(item, known[key], path + member(key), depth + 1)


def _by_encoded_name(value: dict[Any, Any], made: Any) -> dict[Any, Any] | None:
    """What each key of the data may have become; None where that is a registered type's own affair."""
    if isinstance(made, dict):
        return dict(zip(value, made.values(), strict=True)) if len(value) == len(made) else made
    names = field_names(type(made))
    if names is None:
        return None
    encoded = made.__struct_encode_fields__ if isinstance(made, msgspec.Struct) else names
    known = {name: getattr(made, attribute, None) for name, attribute in zip(encoded, names, strict=True)}
    tag = made.__struct_config__.tag_field if isinstance(made, msgspec.Struct) else None
    return known if tag is None else {**known, tag: None}

"""Predicates compiled for a declared type, so that the common case costs no second look at the data.

``exact``: the value has, at every node, just the type that decoding its own encoding gives, so encoding
cannot change it.
That holds by construction for the kinds below and for no others (a ``__post_init__``, a converter, a
constraint or an omitted default may change or refuse the value): those return no predicate, and the codec
decodes and compares instead.

``already``: the value is an instance of the declared type as Python understands it (subclasses count, so a
``bool`` is an ``int``; an ``int`` is a ``float``; objects are trusted about their own fields), so that resuming
passes it on untouched.

Both are generated as one Python expression a class, since a closure for every node would cost three times as much.
"""
# pyright: basic

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from math import isfinite
from typing import Any, get_origin
from uuid import UUID

from msgspec import inspect as kinds

from pipeline.codec.nesting import is_plain
from pipeline.codec.registry import is_instance

Predicate = Callable[[Any], bool]

_CONSTRAINTS = ("gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "pattern", "tz")

# Kinds whose exactness is a matter of the value's type alone.
_LEAVES: dict[type, type] = {
    kinds.NoneType: type(None),
    kinds.BoolType: bool,
    kinds.IntType: int,
    kinds.StrType: str,
    kinds.BytesType: bytes,
    kinds.DateType: date,
    kinds.TimeDeltaType: timedelta,
    kinds.UUIDType: UUID,
}

# Kinds that need a look at the value; {v} is the value.
_CHECKED: dict[type, tuple[type, str]] = {
    kinds.FloatType: (float, "{v} - {v} == 0.0"),
    kinds.DecimalType: (Decimal, "{v}.is_finite()"),
    kinds.DateTimeType: (datetime, "not {v}.fold and ({v}.tzinfo is None or {v}.tzinfo is utc)"),
}


class _Unprovable(Exception):
    """This kind of type allows no predicate."""


def exact(info: kinds.Type) -> Predicate | None:
    """A predicate that is true only for values that encoding cannot change, or None where that is unprovable.

    >>> proven = exact(kinds.type_info(list[float]))
    >>> proven([1.0]), proven([1]), proven([float("nan")])
    (True, False, False)
    """
    return _compiled(_Exact(), info)


def already(info: kinds.Type) -> Predicate | None:
    """A predicate that is true for values that are of the type already, or None where only conversion can say.

    >>> fits = already(kinds.type_info(list[float]))
    >>> fits([1]), fits(["1"])
    (True, False)
    """
    return _compiled(_Already(), info)


def _compiled(writer: _Writer, info: kinds.Type) -> Predicate | None:
    try:
        return writer.function(info)
    except _Unprovable:
        return None


class _Writer(ABC):
    """Writes one expression for every kind of type; ``names`` is what the expressions may refer to."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {"utc": UTC, "isfinite": isfinite}
        self.active: set[int] = set()

    def function(self, info: kinds.Type) -> Predicate:
        """The predicate as a function of one argument."""
        if id(info) in self.active:  # a recursive type: its depth is bounded only by looking
            raise _Unprovable
        self.active.add(id(info))
        body = self.test(info, "v")
        self.active.discard(id(info))
        predicate: Predicate = eval(f"lambda v: {body}", self.names)  # noqa: S307 - built from attribute names and our own templates
        return predicate

    def named(self, value: Any) -> str:
        """A name for ``value`` in the expressions."""
        name = f"n{len(self.names)}"
        self.names[name] = value
        return name

    def test(self, info: kinds.Type, v: str) -> str:
        """A Boolean expression over ``v``, itself an expression that is cheap to repeat."""
        if any(getattr(info, constraint, None) is not None for constraint in _CONSTRAINTS):
            raise _Unprovable
        leaf = self.leaf(info, v)
        return leaf if leaf is not None else _form(info)(self, info, v)

    @abstractmethod
    def leaf(self, info: kinds.Type, v: str) -> str | None:
        """The expression for a kind that has no parts; ``None`` for others."""

    @abstractmethod
    def of_type(self, v: str, kind: type) -> str:
        """An expression: ``v`` is of the Python type."""

    @abstractmethod
    def instance(self, info: Any, v: str) -> str:
        """The expression for an instance of a class with fields."""

    def every(self, info: kinds.Type, items: str) -> str:
        """An expression: all of ``items`` are of the kind."""
        return f"all(map({self.named(self.function(info))}, {items}))"


class _Exact(_Writer):
    def leaf(self, info: kinds.Type, v: str) -> str | None:
        if type(info) in _LEAVES:
            return self.of_type(v, _LEAVES[type(info)])
        if type(info) is kinds.EnumType:
            return self.of_type(v, info.cls)
        if type(info) in _CHECKED:
            kind, check = _CHECKED[type(info)]
            return f"{self.of_type(v, kind)} and {check.format(v=v)}"
        if type(info) is kinds.AnyType:
            return f"{self.named(is_plain)}({v})"
        return None

    def of_type(self, v: str, kind: type) -> str:
        return f"type({v}) is {self.named(kind)}"

    def every(self, info: kinds.Type, items: str) -> str:
        """Types of leaves are gathered into a set at the speed of C."""
        if type(info) is kinds.FloatType and self.test(info, "v"):
            return f"{{*map(type, {items})}} <= {self.named({float})} and all(map(isfinite, {items}))"
        types = self._leaf_types(info)
        if types is None:
            return super().every(info, items)
        return f"{{*map(type, {items})}} <= {self.named(types)}"

    def _leaf_types(self, info: kinds.Type) -> set[type] | None:
        members = info.types if isinstance(info, kinds.UnionType) else (info,)
        if not all(type(member) in _LEAVES for member in members):
            return None
        for member in members:
            self.test(member, "v")  # a constraint makes it unprovable
        return {_LEAVES[type(member)] for member in members}

    def instance(self, info: Any, v: str) -> str:
        """Exactly this class, exactly these fields, each of them exact, and no code of its own in between."""
        kind = get_origin(info.cls) or info.cls
        if hasattr(kind, "__post_init__") or not _fields_are_all(kind, info):
            raise _Unprovable
        tests = [self.test(field.type, f"{v}.{field.name}") for field in info.fields]
        if isinstance(info, kinds.DataclassType):  # attributes that are no fields would be lost
            tests.append(f"len({v}.__dict__) == {len(info.fields)}")
        return " and ".join([self.of_type(v, kind), *(f"({test})" for test in tests)])


class _Already(_Writer):
    def leaf(self, info: kinds.Type, v: str) -> str | None:
        if type(info) is kinds.AnyType:
            return "True"
        if type(info) is kinds.FloatType:
            return f"isinstance({v}, {self.named((int, float))})"
        if type(info) is kinds.EnumType:
            return self.of_type(v, info.cls)
        kind = _LEAVES.get(type(info)) or _CHECKED.get(type(info), (None,))[0]
        return None if kind is None else self.of_type(v, kind)

    def of_type(self, v: str, kind: type) -> str:
        return f"isinstance({v}, {self.named(kind)})"

    def instance(self, info: Any, v: str) -> str:
        return f"{self.named(is_instance)}({v}, {self.named(info.cls)})"


def _fields_are_all(kind: Any, info: Any) -> bool:
    """The codec sees every field of the class, and writes each of them."""
    if isinstance(info, kinds.StructType):
        return not kind.__struct_config__.omit_defaults and not kind.__dictoffset__
    names = [field.name for field in info.fields]
    return (
        dataclasses.is_dataclass(kind)
        and _has_dict(kind)
        and names == [field.name for field in dataclasses.fields(kind)]
    )


def _has_dict(kind: Any) -> bool:
    return bool(kind.__dictoffset__)


def _form(info: kinds.Type) -> Callable[[_Writer, Any, str], str]:
    form = _FORMS.get(type(info))
    if form is None:
        raise _Unprovable
    return form


def _list(writer: _Writer, info: Any, v: str, kind: type = list) -> str:
    return f"{writer.of_type(v, kind)} and {writer.every(info.item_type, v)}"


def _tuple(writer: _Writer, info: Any, v: str) -> str:
    tests = [f"({writer.test(item, f'{v}[{index}]')})" for index, item in enumerate(info.item_types)]
    return " and ".join([writer.of_type(v, tuple), f"len({v}) == {len(tests)}", *tests])


def _named_tuple(writer: _Writer, info: Any, v: str) -> str:
    tests = [f"({writer.test(field.type, f'{v}.{field.name}')})" for field in info.fields]
    return " and ".join([writer.of_type(v, get_origin(info.cls) or info.cls), *tests])


def _dict(writer: _Writer, info: Any, v: str) -> str:
    key = info.key_type
    if isinstance(writer, _Exact) and not isinstance(key, kinds.IntType):
        key = key if isinstance(key, kinds.StrType) else _text_keys(key)
    return f"{writer.of_type(v, dict)} and {writer.every(key, v)} and {writer.every(info.value_type, f'{v}.values()')}"


def _text_keys(key: kinds.Type) -> kinds.Type:
    if isinstance(key, kinds.AnyType):
        return kinds.StrType()
    raise _Unprovable


def _typed_dict(writer: _Writer, info: Any, v: str) -> str:
    strict = isinstance(writer, _Exact)
    if strict and not all(field.required for field in info.fields):
        raise _Unprovable
    tests = [_item_test(writer, field, v) for field in info.fields]
    length = [f"len({v}) == {len(tests)}"] if strict else []
    return " and ".join([writer.of_type(v, dict), *length, *tests])


def _item_test(writer: _Writer, field: kinds.Field, v: str) -> str:
    test = writer.test(field.type, f"{v}[{field.name!r}]")
    if field.required:
        return f"({field.name!r} in {v} and ({test}))"
    return f"({field.name!r} not in {v} or ({test}))"


def _union(writer: _Writer, info: Any, v: str) -> str:
    # msgspec allows one member for each JSON form (text, number, array, object) or tagged Structs,
    # so which member is read back is decided by the form that was written.
    return "(" + " or ".join(f"({writer.test(member, v)})" for member in info.types) + ")"


def _literal(writer: _Writer, info: Any, v: str) -> str:
    return " or ".join(f"(type({v}) is {writer.named(type(one))} and {v} == {one!r})" for one in info.values)


def _instance(writer: _Writer, info: Any, v: str) -> str:
    if not isinstance(writer, _Exact) or v == "v":
        return writer.instance(info, v)
    return f"{writer.named(writer.function(info))}({v})"


def _custom(writer: _Writer, info: Any, v: str) -> str:
    if isinstance(writer, _Exact):
        raise _Unprovable
    return writer.instance(info, v)


_FORMS: dict[type, Callable[[Any, Any, str], str]] = {
    kinds.ListType: _list,
    kinds.SetType: lambda writer, info, v: _list(writer, info, v, set),
    kinds.FrozenSetType: lambda writer, info, v: _list(writer, info, v, frozenset),
    kinds.VarTupleType: lambda writer, info, v: _list(writer, info, v, tuple),
    kinds.TupleType: _tuple,
    kinds.NamedTupleType: _named_tuple,
    kinds.DictType: _dict,
    kinds.TypedDictType: _typed_dict,
    kinds.UnionType: _union,
    kinds.LiteralType: _literal,
    kinds.StructType: _instance,
    kinds.DataclassType: _instance,
    kinds.CustomType: _custom,
}

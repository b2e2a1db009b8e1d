"""The fingerprint of data: by types, order and content, and by nothing that differs between processes."""
# pyright: basic

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cached_property, lru_cache
from hashlib import sha256
from pathlib import PurePath
from struct import pack
from types import FunctionType, MappingProxyType
from typing import Any
from uuid import UUID

import msgspec

from pipeline.codec.difference import field_names
from pipeline.codec.nesting import is_plain
from pipeline.codec.plan import plan_for
from pipeline.codec.problem import MAX_DEPTH

_encode = msgspec.json.Encoder(order="deterministic").encode


def of_data(value: object, declared_type: Any = Any) -> str | None:
    """Give 32 hexadecimal digits that two values share when their types and contents are equal.

    The order of dict keys and sets does not count; ``1``, ``1.0`` and ``True`` differ, as do ``(1,)`` and ``[1]``.
    Objects count by the name of their class and by their state, as ``pickle`` would see it.
    None means unknown: something in the value has no state that can be seen (a function, a lock, an open file).
    The fingerprint depends on the value alone; ``declared_type`` is accepted so that callers need no special case.

    >>> of_data({"a": 1, "b": [2]}) == of_data({"b": [2], "a": 1})
    True
    >>> of_data([1]) == of_data((1,))
    False
    >>> of_data([len, lambda: 0]) is None
    True
    """
    try:
        return digest(_json(value) or Canonical().write(value))
    except Exception:  # noqa: BLE001 - user code may run in __reduce__ or a property, and may do anything
        return None


def digest(data: bytes) -> str:
    """The first half of the SHA-256, in hexadecimal."""
    return sha256(data).hexdigest()[:32]


def _json(value: object) -> bytes | None:
    """JSON's own types are told apart by JSON, which is ten times faster than walking them."""
    if not is_plain(value):
        return None
    try:
        return b"json" + _encode(value)
    except ValueError:  # lone surrogates, integers of thousands of digits
        return None


class Unseen(Exception):
    """A value has no state that can be seen; the message names its type."""


def frame(tag: str, *parts: bytes) -> bytes:
    """The parts under a tag, each after its length, so that no two lists of parts give the same bytes.

    >>> frame("list", b"a", b"bc")
    b'list(1:a2:bc)'
    """
    return b"".join([tag.encode(), b"(", *(b"%d:%b" % (len(part), part) for part in parts), b")"])


class Canonical:
    """Writes a value as bytes that depend on nothing but its types and content."""

    def write(self, value: Any, depth: int = 0) -> bytes:
        """The bytes of any value; ``Unseen`` where there is nothing to see."""
        if depth > MAX_DEPTH:
            raise Unseen(f"a value nested deeper than {MAX_DEPTH} levels")
        write = _WRITERS.get(type(value))
        return self.other(value, depth + 1) if write is None else write(self, value, depth + 1)

    def other(self, value: Any, depth: int) -> bytes:
        """The bytes of a value whose type is none of the common ones."""
        if isinstance(value, enum.Enum):
            return frame("enum", self.class_of(value), str(value.name).encode(), self.write(value.value, depth))
        if isinstance(value, type):
            return frame("class", self.class_name(value))
        if isinstance(value, PurePath):
            return frame("path", self.class_of(value), str(value).encode("utf-8", "surrogateescape"))
        if field_names(type(value)) is not None:
            return self.fields(value, depth)
        if isinstance(value, FunctionType) or type(value) is object:
            return self.unseen(value, depth)
        return self.buffer(value) or self.reduced(value, depth)

    def fields(self, value: Any, depth: int) -> bytes:
        """A Struct, dataclass or attrs instance: through JSON where that loses nothing, else field by field."""
        written = _fields_as_json(value)
        if written is not None:
            return frame("json", self.class_of(value), written)
        names = field_names(type(value)) or ()
        state = {name: getattr(value, name) for name in names if hasattr(value, name)}
        return frame(
            "fields", self.class_of(value), self.state({**getattr(value, "__dict__", {}), **state}, value, depth)
        )

    def buffer(self, value: Any) -> bytes | None:
        """An array (``array``, numpy, ...): its element format, shape and bytes."""
        try:
            view = memoryview(value)
            return frame(
                "buffer", self.class_of(value), view.format.encode(), repr(view.shape).encode(), view.tobytes()
            )
        except (TypeError, ValueError, NotImplementedError):
            return None

    def reduced(self, value: Any, depth: int) -> bytes:
        """Any other object: what ``pickle`` would store. Nothing is pickled, and nothing stored comes back as code."""
        try:
            state = value.__reduce_ex__(4)
        except Exception:  # noqa: BLE001 - locks, generators, sockets; and classes may raise what they like
            return self.unseen(value, depth)
        if isinstance(state, str):
            return frame("global", state.encode())
        make, arguments, *rest = state
        parts = [
            self.state(part, value, depth) if isinstance(part, dict) else self._items(part, depth) for part in rest
        ]
        return frame("object", self.class_of(value), self.callable_name(make), self.write(arguments, depth), *parts)

    def _items(self, part: Any, depth: int) -> bytes:
        return self.write(part if part is None or isinstance(part, (tuple, str, bytes)) else list(part), depth)

    def state(self, state: dict[str, Any], value: Any, depth: int) -> bytes:
        """Attributes by name, apart from properties that are only remembered."""
        kind = type(value)
        kept = {k: v for k, v in state.items() if not isinstance(getattr(kind, str(k), None), cached_property)}
        return self.write(kept, depth)

    def class_of(self, value: Any) -> bytes:
        """What stands for the class of a value."""
        return self.class_name(type(value))

    def class_name(self, kind: type) -> bytes:
        """The qualified name without the module: ``__main__`` has another name in a worker."""
        return kind.__qualname__.encode()

    def callable_name(self, make: Any) -> bytes:
        """What stands for the function that would make the object again."""
        return getattr(make, "__qualname__", type(make).__qualname__).encode()

    def unseen(self, value: Any, depth: int) -> bytes:
        """What is written for a value without visible state."""
        raise Unseen(type(value).__qualname__)

    def ordered(self, items: Iterable[Any]) -> Iterable[Any]:
        """The members of a set, in any order: they are sorted once they are written."""
        return items


def _fields_as_json(value: Any) -> bytes | None:
    """Like ``_json`` for an object; which of the two ways is taken must not depend on what it has remembered."""
    kind: Any = type(value)
    if _remembers(kind) or not plan_for(type(value), None).exact(value):
        return None
    try:
        return _encode(value)
    except ValueError:
        return None


@lru_cache(maxsize=4096)
def _remembers(kind: Any) -> bool:
    return any(isinstance(member, cached_property) for parent in kind.__mro__ for member in vars(parent).values())


_Writer = Callable[[Canonical, Any, int], bytes]


def _scalar(tag: str, text: Callable[[Any], str]) -> _Writer:
    return lambda to, value, depth: frame(tag, text(value).encode("utf-8", "surrogatepass"))


def _sequence(tag: str) -> _Writer:
    return lambda to, value, depth: frame(tag, *[to.write(item, depth) for item in value])


def _set(tag: str) -> _Writer:
    return lambda to, value, depth: frame(tag, *sorted(to.write(item, depth) for item in to.ordered(value)))


def _dict(to: Canonical, value: Any, depth: int) -> bytes:
    items = [(to.write(key, depth), to.write(item, depth)) for key, item in value.items()]
    return frame("dict", *[part for item in sorted(items) for part in item])


def _moment(value: Any) -> str:
    return f"{value.isoformat()} {value.fold} {value.tzname()}"


_WRITERS: dict[type, _Writer] = {
    type(None): _scalar("none", lambda value: ""),
    bool: _scalar("bool", str),
    int: _scalar("int", hex),
    float: lambda to, value, depth: frame("float", pack(">d", value)),
    complex: _scalar("complex", repr),
    str: _scalar("str", str),
    bytes: lambda to, value, depth: frame("bytes", value),
    bytearray: lambda to, value, depth: frame("bytearray", bytes(value)),
    list: _sequence("list"),
    tuple: _sequence("tuple"),
    deque: _sequence("deque"),
    set: _set("set"),
    frozenset: _set("frozenset"),
    dict: _dict,
    MappingProxyType: _dict,
    date: _scalar("date", str),
    datetime: _scalar("datetime", _moment),
    time: _scalar("time", _moment),
    timedelta: _scalar("timedelta", repr),
    Decimal: _scalar("decimal", str),
    Fraction: _scalar("fraction", str),
    UUID: _scalar("uuid", str),
}

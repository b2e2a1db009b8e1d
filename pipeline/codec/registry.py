"""A user's own types with the built-in type that each is written as."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, get_origin

import msgspec

from pipeline.codec.problem import CodecError

T = TypeVar("T")
W = TypeVar("W")


class Wire(msgspec.Struct, Generic[T, W], frozen=True):
    """How one type is written: the wire type, and the two functions between them."""

    wire: Any
    to_wire: Callable[[T], W]
    from_wire: Callable[[W], T]


class Registry:
    """Types of your own that the codec may store, each with a declared wire type.

    The wire type is one that the codec knows (``str``, ``bytes``, ``dict[str, int]``, a dataclass, ...).
    It has to be declared because JSON has no bytes: they travel as base64 text.
    Register before use; classes themselves are compared with ``==`` or, where they define none, by their state.

    >>> from fractions import Fraction
    >>> from pipeline.codec import decode, encode
    >>> registry = Registry()
    >>> registry.register(Fraction, wire=str, to_wire=str, from_wire=Fraction)
    >>> decode(encode(Fraction(1, 3), Fraction, registry=registry), Fraction, registry=registry)
    Fraction(1, 3)

    A type that the codec can store by its fields is refused:

    >>> registry.register(int, wire=str, to_wire=str, from_wire=int)
    Traceback (most recent call last):
    ...
    TypeError: cannot register int: the codec stores it already, and would never ask for the registered functions
    """

    def __init__(self) -> None:
        self._wires: dict[Any, Wire[Any, Any]] = {}
        self.plans: dict[Any, Any] = {}
        """What was compiled for a declared type under this registry; emptied by ``register``."""

    def __getstate__(self) -> dict[str, Any]:
        return {"_wires": self._wires, "plans": {}}

    def register(self, kind: type[T], *, wire: type[W], to_wire: Callable[[T], W], from_wire: Callable[[W], T]) -> None:
        """Store ``kind`` as ``to_wire(value)``, which is a ``wire``, and read it by ``from_wire``."""
        if not isinstance(msgspec.inspect.type_info(kind), msgspec.inspect.CustomType):
            raise TypeError(
                f"cannot register {kind.__name__}: the codec stores it already, "
                "and would never ask for the registered functions"
            )
        self._wires[kind] = Wire(wire, to_wire, from_wire)
        self.plans.clear()

    def to_wire(self, value: object) -> Any:
        """What the encoder writes for a value that it does not know; ``CodecError`` for an unregistered type."""
        entry = self._wires.get(type(value))
        if entry is None:
            raise CodecError("$", _unstorable(type(value)))
        return entry.to_wire(value)

    def from_wire(self, kind: Any, data: object) -> Any:
        """The value of type ``kind`` that ``data`` stands for; a value that already is one comes back as it is."""
        if is_instance(data, kind):
            return data
        entry = self._wires.get(get_origin(kind) or kind)
        if entry is None:
            name = getattr(kind, "__qualname__", repr(kind))
            raise TypeError(f"expected `{name}`, got `{type(data).__name__}`, and {name} is not in the registry")
        return _built(kind, entry, msgspec.convert(data, entry.wire, dec_hook=self.from_wire))


def _unstorable(kind: type) -> str:
    name = kind.__qualname__
    if kind in (tuple, frozenset, bool, type(None)):  # the encoder writes these anywhere but as keys
        return f"dicts whose keys are of type {name} cannot be stored; use text or numbers as keys"
    return f"a {name} cannot be stored; declare a dataclass or Struct instead, or registry.register({name}, ...)"


def _built(kind: Any, entry: Wire[Any, Any], wire: object) -> Any:
    """Call the user's reader; msgspec adds the path to a ``TypeError``, and to nothing else that it may raise."""
    try:
        return entry.from_wire(wire)
    except Exception as error:
        raise TypeError(f"from_wire of {kind.__qualname__} failed: {type(error).__name__}: {error}") from error


def is_instance(value: object, kind: Any) -> bool:
    """``isinstance`` for any declared class, true where a class cannot be asked (a protocol not checkable at run time).

    >>> is_instance([1], list[int]), is_instance("a", int)
    (True, False)
    """
    try:
        return isinstance(value, get_origin(kind) or kind)
    except TypeError:
        return True

"""Pickling for workers that do not import the script they work for: what it defines crosses by value."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from enum import Enum
from functools import cache, partial
from inspect import get_annotations
from io import BytesIO
from typing import Any, ForwardRef, NewType, get_args, get_type_hints
from weakref import WeakSet

import msgspec

CACHED = "__msgspec_cache__"
"""Where msgspec keeps what it knows of a class it has read or written; that does not pickle, and is found anew."""

SETTINGS = (
    *("frozen", "eq", "order", "array_like", "gc", "weakref", "dict", "cache_hash"),
    *("omit_defaults", "repr_omit_defaults", "forbid_unknown_fields"),
)
"""What a Struct is told, and its ``__struct_config__`` tells; a tag and the names of its fields are told beside it."""

AT_BIRTH = ("__post_init__", "__setattr__", "__delattr__")
"""Methods that a Struct looks up when it is made, and not again."""

_ours: WeakSet[type] = WeakSet()
"""Classes of this process that were sent to others: what comes back of them changes nothing here."""
_received: WeakSet[type] = WeakSet()
"""Classes of another process."""


_SAMPLE: Any = msgspec.defstruct("_Sample", [("made", list[int], [])])
FACTORY: type[Any] = _SAMPLE.__struct_defaults__[0].__class__
"""What stands for the default of a field that a function makes."""


def dumped_by(pickler: Any, value: object) -> bytes:
    """Pickle by cloudpickle's ``Pickler``, or by the one that is a part of Ray."""
    try:
        return _dumped_by(pickler, value, _class_in_parts)
    except Exception:  # noqa: BLE001 - what hinders may be an annotation, which the script itself has as text
        return _dumped_by(pickler, value, partial(_class_in_parts, pickles=partial(_pickles, pickler)))


def _dumped_by(pickler: Any, value: object, in_parts: Callable[..., Any]) -> bytes:
    with BytesIO() as file:
        asking = _asking(pickler)(file)
        asking.in_parts = in_parts
        asking.dump(value)
        return file.getvalue()


def _pickles(pickler: Any, hint: object) -> bool:
    """Whether an annotation pickles, apart from the classes it names: each of those has annotations of its own."""
    try:
        _dumped_by(pickler, hint, lambda *_: (object, ()))
    except Exception:  # noqa: BLE001 - it may be anything, and fail in any way
        return False
    return True


@cache
def _asking(pickler: Any) -> Any:
    class Asking(pickler):  # type: ignore[misc]
        """Objects that pickle by a name of theirs are asked for a form that needs no name.

        cloudpickle knows that only of functions and classes. Such an object has a method ``__reduce_by_value__``,
        which gives what ``__reduce__`` may, or ``NotImplemented`` where the workers can import its name.
        """

        def reducer_override(self, obj: object) -> Any:
            kind = type(obj)
            form = getattr(kind, "__reduce_by_value__", None) or HINTS.get((kind.__module__, kind.__name__))
            reduced: Any = NotImplemented if form is None else form(obj)
            if reduced is NotImplemented:
                reduced = pickler.reducer_override(self, obj)
            return self.in_parts(obj, *reduced) if _is_class_in_parts(obj, reduced) else reduced

    return Asking


def _meta(obj: Any) -> Any:
    told = {name: getattr(obj, name) for name in META if getattr(obj, name) is not None}
    return partial(msgspec.Meta, **told), ()


def _new_type(obj: Any) -> Any:
    if _is_importable(obj):
        return NotImplemented
    return _made_new_type, (obj.__qualname__, obj.__module__, obj.__supertype__)


def _made_new_type(name: str, module: str, supertype: Any) -> Any:
    make: Any = NewType
    made = make(name, supertype)
    made.__module__ = module
    return made


def _alias(obj: Any) -> Any:
    if _is_importable(obj):
        return NotImplemented
    return partial(obj.__class__, type_params=obj.__type_params__), (obj.__name__, obj.__value__)


def _is_importable(obj: Any) -> bool:
    module = obj.__module__
    return module != "__main__" and getattr(sys.modules.get(module), obj.__name__, None) is obj


META = tuple(name for name in dir(msgspec.Meta) if not name.startswith("_"))
"""What a constraint of a field may tell."""

HINTS: dict[tuple[str, str], Callable[[Any], Any]] = {
    (msgspec.Meta.__module__, msgspec.Meta.__name__): _meta,
    ("typing", "NewType"): _new_type,
    ("typing", "TypeAliasType"): _alias,
    ("typing_extensions", "TypeAliasType"): _alias,
}
"""Types of what annotations name that pickle not at all, or only by their name, each with a form by value."""


def _is_class_in_parts(obj: object, reduced: Any) -> bool:
    return issubclass(type(obj), type) and reduced is not NotImplemented and len(reduced) == 6


def _class_in_parts(
    kind: Any, make: Any, given: tuple[Any, ...], state: Any, *rest: Any, pickles: Callable[[Any], bool] | None = None
) -> tuple[Any, ...]:
    """A class by value: how an empty one is made, and what is then put into it, after cloudpickle's form.

    The class is known to both sides between the two, so that what is put into it may lead back to it.
    An annotation that is text stays so where ``pickles`` says no to what it names.
    """
    if kind not in _received:
        _ours.add(kind)
    inside: dict[str, Any] = {name: value for name, value in state[0].items() if name != CACHED}
    own = _own_annotations(kind)
    if isinstance(kind, type(msgspec.Struct)):
        given = _struct_given(kind, given, own, inside)
    elif "__slots__" in inside and not issubclass(kind, (Enum, tuple)):  # which see to theirs themselves
        given = (*given[:3], {**given[3], "__slots__": inside.pop("__slots__")}, *given[4:])
    if own:
        inside["__annotations__"] = _read_here(kind, own, pickles)
    return make, given, (rest[-1], (inside, *state[1:])), *rest[:-1], _filled


def _filled(kind: Any, state: tuple[Callable[[Any, Any], Any], Any]) -> None:
    """Put into a class what it has in the process it is from; a result brings the class that this process sent."""
    if kind not in _ours:
        _received.add(kind)
        fill, inside = state
        fill(kind, inside)


def _own_annotations(kind: Any) -> dict[str, Any]:
    """As they stand in the class, or as text where Python 3.14 reads them only now, and does not find a name."""
    as_text: dict[str, Any] = {"format": 4}
    for how in ({}, as_text):
        with suppress(Exception):
            return get_annotations(kind, **how)
    return {}


def _read_here(kind: Any, annotations: dict[str, Any], pickles: Callable[[Any], bool] | None = None) -> dict[str, Any]:
    """Annotations that are text name what is in the script, where a worker would not find it."""
    if not any(map(_has_names, annotations.values())):
        return annotations
    try:
        hints = get_type_hints(kind, include_extras=True)
    except Exception:  # noqa: BLE001 - it is the user's code that stands there, and may not be meant to be read
        return annotations
    kept = {name: hint for name, hint in hints.items() if pickles is None or pickles(hint)}
    return {name: kept.get(name, hint) for name, hint in annotations.items()}


def _has_names(hint: Any) -> bool:
    return isinstance(hint, str | ForwardRef) or any(map(_has_names, get_args(hint)))


def _struct_given(kind: Any, given: tuple[Any, ...], own: Any, inside: dict[str, Any]) -> tuple[Any, ...]:
    """A Struct has its fields and settings from when it is made: an empty one would never get any."""
    meta, name, bases, namespace, *rest = given
    fields = {field: told for field, told in _fields_of(kind) if field in own and field not in inside}
    settings = {
        **{setting: getattr(kind.__struct_config__, setting) for setting in SETTINGS},
        **_tag_of(kind),
        "kw_only": any(field not in kind.__match_args__ for field in fields),
    }
    at_birth = {method: inside.pop(method) for method in AT_BIRTH if method in inside}
    namespace = {**namespace, "__qualname__": kind.__qualname__, **at_birth}
    return partial(_struct, meta, settings, fields), name, bases, namespace, *rest


def _fields_of(kind: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each field of a Struct, with what ``msgspec.field`` was told of it: its name in JSON, and its default."""
    names, defaults = kind.__struct_fields__, kind.__struct_defaults__
    required: tuple[Any, ...] = (msgspec.NODEFAULT,) * (len(names) - len(defaults))
    for name, encoded, default in zip(names, kind.__struct_encode_fields__, (*required, *defaults), strict=True):
        if type(default) is FACTORY:
            yield name, {"name": encoded, "default_factory": default.factory}
        else:
            yield name, {"name": encoded, "default": default}


def _tag_of(kind: Any) -> dict[str, Any]:
    """A tag that is the name of the class is ``True``, so that a Struct made from it has its own."""
    config = kind.__struct_config__
    if config.tag is None:
        return {"tag": False}
    is_name = config.tag == kind.__qualname__.rpartition(".<locals>.")[2]
    return {"tag": is_name or config.tag, "tag_field": config.tag_field}


def _struct(meta: Any, settings: Any, fields: Any, name: str, bases: tuple[Any, ...], namespace: dict[str, Any]) -> Any:
    """The Struct in the other process; what the types of its fields are comes later, as they may lead back to it."""
    given = {field: msgspec.field(**told) for field, told in fields.items()}
    return meta(name, bases, {**namespace, "__annotations__": dict.fromkeys(given, object), **given}, **settings)

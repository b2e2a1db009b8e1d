"""What is compiled once for a declared type and a registry: encoder, decoder, predicates."""
# pyright: basic

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable
from typing import Any, get_args, get_origin

import msgspec

from pipeline.codec.nesting import is_bounded
from pipeline.codec.problem import CodecError, refusal
from pipeline.codec.proof import Predicate, already, exact
from pipeline.codec.registry import Registry, is_instance

NO_TYPES = Registry()
"""The registry of a caller that brings none. Never written to."""

_MOST_PLANS = 4096


class Plan(msgspec.Struct, frozen=True):
    """How to encode, decode and recognise the values of one declared type.

    ``exact`` and ``already`` are described in ``proof``; here they are never true when they cannot tell.
    ``problem`` is why msgspec cannot read the type, or None.
    ``bounded`` means that values nest only as deeply as the type does.
    ``abstract`` is the collection class of a type such as ``Sequence[int]``, or None.
    """

    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]
    convert: Callable[[Any], Any]
    exact: Predicate
    already: Predicate
    problem: str | None = None
    abstract: Any = None
    bounded: bool = False


def plan_for(declared_type: Any, registry: Registry | None) -> Plan:
    """The plan for a declared type, compiled on first use and remembered by the registry."""
    plans: dict[Any, Plan] = (registry or NO_TYPES).plans
    try:
        return plans[declared_type]
    except KeyError:
        pass
    except TypeError:  # an unhashable type, such as Annotated with a list in it
        return _compiled(declared_type, registry or NO_TYPES)
    if len(plans) >= _MOST_PLANS:  # types made in a loop must not fill memory
        plans.clear()
    return plans.setdefault(declared_type, _compiled(declared_type, registry or NO_TYPES))


def _compiled(declared_type: Any, registry: Registry) -> Plan:
    encoder = msgspec.json.Encoder(enc_hook=registry.to_wire)
    try:
        decoder = msgspec.json.Decoder(declared_type, dec_hook=registry.from_wire)
        info = msgspec.inspect.type_info(declared_type)
    except Exception as error:  # noqa: BLE001 - msgspec's ways to refuse a type are many
        return _unreadable(declared_type, encoder, refusal(error).problem)

    def convert(value: Any) -> Any:
        return msgspec.convert(value, declared_type, dec_hook=registry.from_wire, str_keys=True)

    return Plan(
        encode=encoder.encode,
        decode=decoder.decode,
        convert=convert,
        exact=exact(info) or _never,
        already=already(info) or _never,
        abstract=_abstract(declared_type),
        bounded=is_bounded(info),
    )


def _never(value: Any) -> bool:
    return False


def _abstract(declared_type: Any) -> Any:
    origin = get_origin(declared_type) or declared_type
    return origin if inspect.isabstract(origin) and origin.__module__ == "collections.abc" else None


def _unreadable(declared_type: Any, encoder: msgspec.json.Encoder, problem: str) -> Plan:
    """A type that cannot be read from data can still be recognised when the value has never left memory."""
    text = f"the declared type cannot be read from data ({problem}); declare one that can, or pass input_type="

    def refuse(value: Any) -> Any:
        raise CodecError("$", text)

    members = get_args(declared_type) if get_origin(declared_type) is not type else ()
    choices = members if _is_union(declared_type) else (declared_type,)
    return Plan(
        encode=encoder.encode,
        decode=refuse,
        convert=refuse,
        exact=_never,
        already=lambda value: any(is_instance(value, choice) for choice in choices),
        problem=text,
    )


def _is_union(declared_type: Any) -> bool:
    return get_origin(declared_type) in (typing.Union, types.UnionType)

"""What a function's code refers to, read from its instructions."""
# pyright: basic

from __future__ import annotations

import dis
from collections.abc import Iterator
from functools import lru_cache
from types import CodeType
from typing import Any

import msgspec


class Import(msgspec.Struct, frozen=True, order=True):
    """An import inside a function: ``from <level dots><module> import <names>``."""

    module: str
    level: int = 0
    names: tuple[str, ...] = ()


class References(msgspec.Struct, frozen=True):
    """Everything that a function and the functions inside it refer to.

    ``globals`` are dotted chains that begin with a global or built-in name, sorted.
    ``attributes`` are the names after a dot anywhere, sorted.
    ``assigned`` are globals that the function itself assigns: state, not constants.
    """

    globals: tuple[tuple[str, ...], ...]
    attributes: tuple[str, ...]
    assigned: frozenset[str]
    imports: tuple[Import, ...]


@lru_cache(maxsize=4096)
def references(code: CodeType) -> References:
    """Give what the code refers to.

    >>> import os
    >>> def f(x):
    ...     from json import loads
    ...     return os.path.join(x.name, *map(loads, x))
    >>> found = references(f.__code__)
    >>> found.globals, found.attributes
    ((('map',), ('os', 'path', 'join')), ('join', 'name', 'path'))
    >>> found.imports
    (Import(module='json', level=0, names=('loads',)),)
    """
    chains: set[tuple[str, ...]] = set()
    attributes: set[str] = set()
    assigned: set[str] = set()
    imports: set[Import] = set()
    for part in _with_inner(code):
        _scan(part, chains, attributes, assigned, imports)
    return References(tuple(sorted(chains)), tuple(sorted(attributes)), frozenset(assigned), tuple(sorted(imports)))


def _with_inner(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _with_inner(constant)


_GLOBAL = {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"}
_ATTRIBUTE = {"LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER_ATTR"}


def _scan(
    code: CodeType,
    chains: set[tuple[str, ...]],
    attributes: set[str],
    assigned: set[str],
    imports: set[Import],
) -> None:
    chain: tuple[str, ...] = ()
    before: list[Any] = [None, None]
    for instruction in dis.get_instructions(code):
        name, value = instruction.opname, instruction.argval
        if name in _ATTRIBUTE:
            attributes.add(value)
            chain = (*chain, value) if chain else ()
            continue
        if chain:
            chains.add(chain)
        chain = (value,) if name in _GLOBAL else ()
        if name == "STORE_GLOBAL":
            assigned.add(value)
        elif name == "IMPORT_NAME":
            level, names = before
            imports.add(Import(value, level or 0, names or ()))
        before = [before[1], value]

"""The fingerprint of code: a function, and everything in the project that it uses.

function ──▶ its text (see ``source``) · defaults · closure · what its names refer to (see ``references``)
                                                                    │
   constants: their data    functions, classes of the project: queued, each looked at once, so cycles end
   libraries: their names   what cannot be seen: noted as unknown
"""
# pyright: basic

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import msgspec

from pipeline.fingerprint.data import digest, frame
from pipeline.fingerprint.graph import MISSING, Graph, Link


class CodeFingerprint(msgspec.Struct, frozen=True):
    """The fingerprint of a step's code, and what it could not see.

    ``digest`` is 32 hexadecimal digits, or None when nothing of the function itself can be seen.
    ``unknown`` names what the code uses and the fingerprint does not cover; ``version=`` speaks for all of it.
    """

    digest: str | None
    unknown: tuple[str, ...] = ()


def of_code(fn: Callable[..., Any], *, version: str | None = None) -> CodeFingerprint:
    """Give a fingerprint that changes when the function, or what it uses of the project, changes.

    Covered: the code, defaults and closure; helpers, classes and constants that it names, in any module of the
    project, and what those name in turn; what a decorator, ``partial`` or bound method wraps or carries.
    Not covered: comments, docstrings, layout, type hints of functions, file names and line numbers.
    Libraries (standard or installed) count by name, so upgrading one is not a change.
    A method counts with the members of ``self`` that it names, not with the whole class.
    Renaming a local variable is a change; ``version`` replaces everything, and then nothing else is.
    Values are those of the first call: what a running program does to its own variables is no change of code,
    but a name that is bound to something else later is.

    >>> of_code(lambda x: x + 1) == of_code(lambda x: (x + 1))
    True
    >>> of_code(lambda x: x + 1) == of_code(lambda x: x + 2)
    False
    >>> of_code(print, version="2") == of_code(len, version="2")
    True
    """
    if version is not None:
        return CodeFingerprint(digest(frame("version", version.encode())))
    known = _KNOWN.get(fn) if isinstance(fn, types.FunctionType) else None
    if known is not None and known.is_current():
        return known.fingerprint
    seen = _look(fn)
    if isinstance(fn, types.FunctionType):
        _KNOWN[fn] = seen
    return seen.fingerprint


class _Seen(msgspec.Struct, frozen=True):
    """A fingerprint with the names that it rests on: where each was looked up, and what it was bound to."""

    fingerprint: CodeFingerprint
    links: list[Link]

    def is_current(self) -> bool:
        return all(holder.get(name, MISSING) is value for holder, name, value in self.links)


_KNOWN: WeakKeyDictionary[types.FunctionType, _Seen] = WeakKeyDictionary()


def _look(fn: Any) -> _Seen:
    graph = Graph()
    try:
        text = frame("code", graph.write(fn), *graph.described())
        return _Seen(CodeFingerprint(digest(text), tuple(graph.unknown)), graph.links)
    except Exception as error:  # noqa: BLE001 - user code may run in __reduce__ or a property, and may do anything
        name = getattr(fn, "__qualname__", type(fn).__qualname__)
        return _Seen(CodeFingerprint(None, (f"{name} ({type(error).__name__}: {error})",)), graph.links)

"""What the codec refuses, where in the value, and why."""

from __future__ import annotations

import re

MAX_BYTES = 64 * 1024 * 1024
"""The largest encoded value, in bytes, unless the caller says otherwise."""

MAX_DEPTH = 200
"""How many containers may lie inside each other: our own limit, the same on every Python version."""

_WHERE = re.compile(r" - at (?:`key` in )?`(\$.*)`$", re.DOTALL)
_QUOTED_VALUE = re.compile(r"^(Invalid (?:enum )?value) .*", re.DOTALL)
_LONGEST_PATH = 300


class CodecError(ValueError):
    """A value or bytes that the codec refuses; ``path`` says where, ``problem`` what and how to cure it.

    >>> error = CodecError("$.pages[3].n", "expected `int`, got `str`")
    >>> str(error), error.path
    ('$.pages[3].n: expected `int`, got `str`', '$.pages[3].n')
    """

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(path, problem)
        self.path: str = path if len(path) <= _LONGEST_PATH else f"{path[:200]}…{path[-90:]}"
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}"


def refusal(error: Exception) -> CodecError:
    """Whatever msgspec, a hook or a ``__post_init__`` raised, as a ``CodecError`` with the path that msgspec wrote."""
    if isinstance(error, CodecError):
        return error
    if isinstance(error, RecursionError):
        return CodecError("$", f"is nested deeper than {MAX_DEPTH} levels, or contains itself")
    text = str(error)
    where = _WHERE.search(text)
    problem = text[: where.start()] if where else text
    return CodecError(where[1] if where else "$", _described(error, problem))


def _described(error: Exception, problem: str) -> str:
    """Name the exception where it is not msgspec's own; never repeat the value, which may be a secret."""
    problem = _QUOTED_VALUE.sub(r"\1", problem)
    if type(error).__module__.startswith("msgspec"):
        return problem if problem.startswith("JSON") else problem[:1].lower() + problem[1:]
    return f"{type(error).__name__}: {problem}" if problem else type(error).__name__


def member(name: object) -> str:
    """The part of a path that leads to a key or attribute: ``.name``, or ``["any text"]``."""
    if isinstance(name, str) and name.isidentifier():
        return f".{name}"
    return f"[{name!r}]"

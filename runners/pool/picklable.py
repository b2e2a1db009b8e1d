"""The function as bytes, or an early error that names the part that cannot be pickled."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from runners.errors import RunnerError


def pickle_function(func: object, dumps: Callable[[Any], bytes] | None = None) -> bytes:
    """Pickle ``func`` once for all workers, with ``dumps`` if given; raises ``RunnerError`` if it cannot be pickled."""
    try:
        return dumps(func) if dumps else pickle.dumps(func, 5)
    except Exception as error:
        raise RunnerError(_explanation(func, error)) from error


def name_of(func: object) -> str:
    """What to call ``func`` in a message."""
    if isinstance(func, partial):
        return f"partial of {name_of(func.func)}"
    name = getattr(func, "__qualname__", None)
    return f"{getattr(func, '__module__', None)}.{name}" if name else repr(func)


def _explanation(func: object, error: Exception) -> str:
    path, part = _culprit(name_of(func), func)
    named = path if part is func else f"{path} ({_short(part)})"
    return (
        f"{named} cannot be pickled, so it cannot go to a worker process: {error}; "
        "define functions at the top level of a module, not as a lambda or inside another function, "
        "and open files, connections and locks inside the function"
    )


def _culprit(path: str, value: object) -> tuple[str, object]:
    """The innermost part of ``value`` that does not pickle, and the way there."""
    for name, part in _parts(value):
        if not _pickles(part):
            return _culprit(f"{path}{name}", part)
    return path, value


def _parts(value: object) -> Iterator[tuple[str, Any]]:
    if isinstance(value, partial):
        yield ".func", value.func
        yield from ((f".args[{index}]", part) for index, part in enumerate(value.args))
        yield from ((f".keywords[{key!r}]", part) for key, part in value.keywords.items())
    elif (owner := getattr(value, "__self__", None)) is not None:
        yield ".__self__", owner
    elif not isinstance(value, type) and not hasattr(value, "__qualname__"):
        yield from ((f".{key}", part) for key, part in getattr(value, "__dict__", {}).items())


def _pickles(value: object) -> bool:
    try:
        pickle.dumps(value, 5)
    except Exception:  # noqa: BLE001 - user code
        return False
    return True


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."

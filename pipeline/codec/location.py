"""Which key of a dictionary holds what does not fit: msgspec writes ``[...]`` for all of them."""
# pyright: basic

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from pipeline.codec.problem import CodecError, member, refusal

ANY_KEY = "[...]"
MOST_KEYS = 1_000
"""In a larger dictionary the key is not looked for."""

_PART = re.compile(r"""\.(\w+) | \[(\d+)\] | \[(['"])(.*?)\3\]""", re.VERBOSE | re.DOTALL)


def located(refused: CodecError, convert: Callable[[Any], Any], value: Any) -> CodecError:
    """The same refusal of ``value`` with the keys in its path, as far as they can be found by trying one at a time.

    >>> import msgspec
    >>> def convert(value): return msgspec.convert(value, dict[str, list[int]])
    >>> located(CodecError("$[...][1]", "expected `int`, got `str`"), convert, {"a": [1, 2], "b": [1, "2"]}).path
    '$.b[1]'
    """
    path, *rest = refused.path.split(ANY_KEY)
    written = path  # the path as msgspec writes it, up to the same place
    while rest:
        key = _refused_key(path, f"{written}{ANY_KEY}", convert, value)
        if key is None:
            return CodecError(ANY_KEY.join([path, *rest]), refused.problem)
        path, written = f"{path}{member(key[0])}{rest[0]}", f"{written}{ANY_KEY}{rest[0]}"
        del rest[0]
    return CodecError(path, refused.problem)


def _refused_key(path: str, written: str, convert: Callable[[Any], Any], value: Any) -> tuple[Any] | None:
    """The first key, of the dictionary that lies at ``path``, that is refused when it is there alone."""
    trail: list[tuple[Any, Any]] = []
    at = value
    for part in _PART.finditer(path):
        key: Any = int(part[2]) if part[2] else part[1] or part[4]
        inside: Any = at.get(key) if isinstance(at, dict) else at[key] if isinstance(at, list) else None
        if inside is None:
            return None
        trail.append((at, key))
        at = inside
    if not isinstance(at, dict) or len(at) > MOST_KEYS:
        return None
    return next(((key,) for key in at if _is_refused(convert, _put_back(trail, {key: at[key]}), written)), None)


def _is_refused(convert: Callable[[Any], Any], value: Any, written: str) -> bool:
    try:
        convert(value)
    except Exception as error:  # noqa: BLE001 - whatever msgspec, a hook or a __post_init__ raises
        return refusal(error).path.startswith(written)
    return False


def _put_back(trail: list[tuple[Any, Any]], alone: Any) -> Any:
    """The value as it was, but for the dictionary at the end of the trail."""
    for container, key in reversed(trail):
        copy = container.copy()
        copy[key] = alone
        alone = copy
    return alone

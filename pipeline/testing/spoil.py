"""Changes a value in place, as a careless step does before it fails."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from typing import Any, cast

import msgspec

SPOILT = "<changed by a fault>"


def spoil(value: object) -> bool:
    """Change the first thing in ``value`` that can be changed; whether there was one.

    >>> import re
    >>> rows = {"pages": [1, 2]}
    >>> spoil(rows), rows
    (True, {'pages': [1, 2], '<changed by a fault>': '<changed by a fault>'})
    >>> nested = ([1],)
    >>> spoil(nested), nested
    (True, ([1, '<changed by a fault>'],))
    >>> spoil("a text"), spoil(ValueError), spoil(re.IGNORECASE)
    (False, False, False)
    """
    given = cast("Any", value)
    if isinstance(value, list):
        given.append(SPOILT)
    elif isinstance(value, bytearray):
        given.extend(SPOILT.encode())
    elif isinstance(value, set):
        given.add(SPOILT)
    elif isinstance(value, dict):
        given[SPOILT] = SPOILT
    elif isinstance(value, tuple | frozenset):
        return any(spoil(item) for item in cast("Iterable[object]", given))
    else:
        return not _is_of_everybody(value) and _spoil_attribute(given)
    return True


def _is_of_everybody(value: object) -> bool:
    """What is not even copied (a class, a function, a member of an enumeration) belongs to the whole program."""
    try:
        return deepcopy(value) is value
    except Exception:  # noqa: BLE001 - copying runs the value's own code
        return True


def _spoil_attribute(value: Any) -> bool:
    """Change the first attribute of an object that can be set, or what is inside of one."""
    names = value.__struct_fields__ if isinstance(value, msgspec.Struct) else tuple(getattr(value, "__dict__", ()))
    for name in names:
        try:
            setattr(value, name, SPOILT)
        except (AttributeError, TypeError):  # frozen
            if spoil(getattr(value, name)):
                return True
        else:
            return True
    return False

"""Pickling for workers that do not import the script they work for: what it defines crosses by value."""

from __future__ import annotations

from functools import cache
from io import BytesIO
from typing import Any


def dumped_by(pickler: Any, value: object) -> bytes:
    """Pickle by cloudpickle's ``Pickler``, or by the one that is a part of Ray."""
    with BytesIO() as file:
        _asking(pickler)(file).dump(value)
        return file.getvalue()


@cache
def _asking(pickler: Any) -> Any:
    class Asking(pickler):  # type: ignore[misc]
        """Objects that pickle by a name of theirs are asked for a form that needs no name.

        cloudpickle knows that only of functions and classes. Such an object has a method ``__reduce_by_value__``,
        which gives what ``__reduce__`` may, or ``NotImplemented`` where the workers can import its name.
        """

        def reducer_override(self, obj: object) -> Any:
            form = getattr(type(obj), "__reduce_by_value__", None)
            reduced: Any = NotImplemented if form is None else form(obj)
            return pickler.reducer_override(self, obj) if reduced is NotImplemented else reduced

    return Asking

"""Finds what cannot cross a process boundary before any worker starts, and names it."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

from pipeline.compose import Pipeline
from pipeline.errors import NotPicklable
from pipeline.step import Step

DEEPEST = 20
"""Levels of a value that are searched for the part that does not pickle."""


def check_crossing(
    pipeline: Pipeline[Any, Any, Any],
    journal: Any = None,
    registry: Any = None,
    dumps: Callable[[Any], object] = pickle.dumps,
) -> None:
    """Raise ``NotPicklable`` naming the step, and the attribute where one is to blame; ``dumps`` is the runner's.

    The journal and the registry cross where workers write what their steps returned.
    """
    for step in pipeline:
        problem = _problem(step, dumps)
        if problem is not None:
            raise NotPicklable(f"step {step.name!r} cannot cross to a worker process: {_blame(step)} ({problem})")
    for name, value in (("journal", journal), ("registry", registry)):
        problem = _problem(value, dumps) if getattr(journal, "durability", "") == "step" else None
        if problem is not None:
            raise NotPicklable(
                f"with durability='step' workers write to the journal, and the {name} cannot cross to them: {problem}"
            )


def unsendable(value: Any) -> str | None:
    """Why a value cannot go to a worker process, with the path of the part to blame; ``None`` where it can.

    >>> unsendable({"pages": [b"%PDF", lambda: 1]})
    "its data cannot go to a worker process: $.pages[1], a function, does not pickle (...); give what it is ..."
    """
    if _problem(value) is None:
        return None
    path, part = _to_blame("$", value, ())
    cure = "give what it is made from, such as a path, and make it in the step, or choose a runner in this process"
    kind = type(part).__name__
    return f"its data cannot go to a worker process: {path}, a {kind}, does not pickle ({_problem(part)}); {cure}"


def _to_blame(path: str, value: Any, above: tuple[int, ...]) -> tuple[str, Any]:
    """The innermost part of ``value`` that does not pickle, and the way there; ``above`` are what it is a part of."""
    above = (*above, id(value))
    for step, part in _parts(value) if len(above) <= DEEPEST else ():
        if id(part) not in above and _problem(part) is not None:
            return _to_blame(path + step, part, above)
    return path, value


def _parts(value: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(value, Mapping):
        items = cast("Mapping[object, Any]", value).items()
        return [(f".{key}" if str(key).isidentifier() else f"[{key!r}]", part) for key, part in items]
    if isinstance(value, list | tuple):
        return [(f"[{place}]", part) for place, part in enumerate(cast("Sequence[Any]", value))]
    if hasattr(value, "__qualname__"):  # a function or a class pickles by its name, whatever it holds
        return []
    names: Iterable[str] = getattr(value, "__struct_fields__", None) or getattr(value, "__dict__", {})
    return [(f".{name}", getattr(value, name, None)) for name in names]


def _blame(step: Step[Any, Any, Any]) -> str:
    owner = getattr(step.fn, "__self__", None)
    if owner is not None:
        for name, value in _sent(owner).items():
            if _problem(value) is not None:
                return (
                    f"attribute {name!r} of its {type(owner).__name__} does not pickle; "
                    "make it inside the step, or drop it in __getstate__"
                )
    name = getattr(step.fn, "__qualname__", repr(step.fn))
    if "<lambda>" in name:
        return "its function is a lambda; define a function at the top of a module"
    if "<locals>" in name:
        return f"its function {name!r} is defined inside another; move it to the top of a module, or use @configurable"
    return f"{name!r} does not pickle; settings of the step must be plain data"


def _sent(owner: Any) -> dict[str, Any]:
    """The attributes of an object that pickling takes along."""
    try:
        state = owner.__getstate__()
    except Exception:  # noqa: BLE001 - it runs the object's own code, which may raise anything
        state = None
    return cast("dict[str, Any]", state if isinstance(state, dict) else getattr(owner, "__dict__", {}))


def _problem(value: Any, dumps: Callable[[Any], object] = pickle.dumps) -> str | None:
    try:
        dumps(value)
    except Exception as error:  # noqa: BLE001 - pickling runs the value's own code, which may raise anything
        return f"{type(error).__name__}: {error}"
    return None

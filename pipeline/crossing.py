"""Finds what cannot cross a process boundary before any worker starts, and names it."""

from __future__ import annotations

import pickle
from typing import Any

from pipeline.compose import Pipeline
from pipeline.errors import NotPicklable
from pipeline.step import Step


def check_crossing(pipeline: Pipeline[Any, Any, Any], journal: Any = None, registry: Any = None) -> None:
    """Raise ``NotPicklable`` naming the step, and the attribute where one is to blame.

    The journal and the registry cross where workers write what their steps returned.
    """
    for step in pipeline:
        problem = _problem(step)
        if problem is not None:
            raise NotPicklable(f"step {step.name!r} cannot cross to a worker process: {_blame(step)} ({problem})")
    for name, value in (("journal", journal), ("registry", registry)):
        problem = _problem(value) if getattr(journal, "durability", "") == "step" else None
        if problem is not None:
            raise NotPicklable(
                f"with durability='step' workers write to the journal, and the {name} cannot cross to them: {problem}"
            )


def _blame(step: Step[Any, Any, Any]) -> str:
    owner = getattr(step.fn, "__self__", None)
    if owner is not None:
        for name, value in getattr(owner, "__dict__", {}).items():
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


def _problem(value: Any) -> str | None:
    try:
        pickle.dumps(value)
    except Exception as error:  # noqa: BLE001 - pickling runs the value's own code, which may raise anything
        return f"{type(error).__name__}: {error}"
    return None

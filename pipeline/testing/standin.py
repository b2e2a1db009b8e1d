"""A function that stands in for a step's own, in the same step: same name, types and policies."""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import Any

from pipeline.compose import Pipeline
from pipeline.step import Step


class StandIn:
    """Calls the step's function; subclasses do something before, after or instead. It pickles as the step does.

    The code of the step counts as unchanged: its fingerprint is that of ``stands_for``.
    """

    def __init__(self, step: Step[Any, Any, Any]) -> None:
        update_wrapper(self, step.fn, updated=())
        self.step: Step[Any, Any, Any] = step

    @property
    def stands_for(self) -> Callable[..., Any]:
        """The function of the step that was there first."""
        fn = self.step.fn
        return fn.stands_for if isinstance(fn, StandIn) else fn

    def __call__(self, value: Any, *context: Any) -> Any:
        """Call the step's function; for an async step this gives a coroutine."""
        return self.step.fn(value, *context)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.step,)


def with_stand_ins(
    pipeline: Pipeline[Any, Any, Any], make: Callable[[Step[Any, Any, Any]], StandIn | None]
) -> Pipeline[Any, Any, Any]:
    """The pipeline with ``make(step)`` in each step, where it gives one."""
    made = ((step, make(step)) for step in pipeline)
    return Pipeline.of(step if fn is None else step.with_function(fn) for step, fn in made)

"""A step's call under the policies of the step, to be used in place of the plain one."""

# pyright: basic
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from returns.result import Failure

from pipeline.guard.around import around
from pipeline.guard.drive import adrive, drive
from pipeline.guard.effects import Raised
from pipeline.guard.guard import Guard
from pipeline.guard.tries import FirstTry
from pipeline.snapshot import Snapshot
from pipeline.walk import Waiting


class Guarded:
    """A call that its guard has to see to: ``walk`` hands it back as ``Waiting``."""

    __slots__ = ("first", "guard")

    def __init__(self, guard: Guard, first: FirstTry | None = None) -> None:
        self.guard: Guard = guard
        self.first: FirstTry | None = first

    def answer(self, value: Any, before: Snapshot) -> Any:
        """What the step answered under its policies, in this thread."""
        return drive(self.guard, around(self.guard, value, before, self.first))

    async def aanswer(self, value: Any, before: Snapshot) -> Any:
        """``answer`` on an event loop."""
        return await adrive(self.guard, around(self.guard, value, before, self.first))


def guarded(guard: Guard) -> Callable[[Any], Any]:
    """The call under its policies: it gives an answer, or ``Waiting``."""
    if guard.waits or guard.policies.waits_before:
        return lambda value: Waiting(guarded=Guarded(guard))
    return _tried_at_once(guard)


def _tried_at_once(guard: Guard) -> Callable[[Any], Any]:
    """The first try is made here and now: only its failure costs more than reading the clock."""
    fn, clock, budget = guard.call, guard.timing.monotonic, guard.budget

    def call(value: Any) -> Any:
        if budget is not None:
            budget.first_call()
        began = clock()
        try:
            answer = fn(value)
        except Exception as error:  # noqa: BLE001 - a raising step is a failing step
            answer = Raised(error)
        else:
            if type(answer) is not Failure:
                return answer
        return Waiting(guarded=Guarded(guard, FirstTry(answer, clock() - began)))

    return call

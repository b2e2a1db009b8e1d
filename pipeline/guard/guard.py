"""One step of a run as its guard sees it: the policies, the call, and what all inputs share in this process."""

# pyright: basic
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from returns.result import Failure

from pipeline.guard.effects import Late, Raised
from pipeline.guard.timing import REAL, Timing
from pipeline.policies import Policies, Retry
from pipeline.policies.retry import within_budget
from pipeline.step import Step

ONCE = Retry(attempts=1)
"""No retry."""


class Guard:
    """The policies of ``step`` and its ``call``; ``waits`` says that the call gives something to await.

    ``kills`` says that the runner itself ends a call that takes too long, and the worker with it.
    ``stopping`` says whether the run was stopped; ``pause`` is called before every wait.
    """

    def __init__(
        self,
        step: Step[Any, Any, Any],
        call: Callable[[Any], Any],
        *,
        waits: bool,
        kills: bool = False,
        timing: Timing = REAL,
        stopping: Callable[[], bool] = bool,
        pause: Callable[[], object] = bool,
    ) -> None:
        self.step: Step[Any, Any, Any] = step
        self.policies: Policies = step.policies
        self.retry: Retry = self.policies.retry or ONCE
        self.call: Callable[[Any], Any] = call
        self.waits: bool = waits
        self.kills: bool = kills
        self.timing: Timing = timing
        self.stopping: Callable[[], bool] = stopping
        self.pause: Callable[[], object] = pause
        self.first_calls: int = 0  # counted without a lock, as `retries`: where threads collide, a budget is off by one
        self.retries: int = 0

    def may_retry(self) -> bool:
        """Take one retry from the budget, if it bears one."""
        bears = within_budget(self.retry, self.first_calls, self.retries)
        self.retries += bears
        return bears

    def error_in(self, answer: Any) -> Any:
        """What a call failed with, or ``None``."""
        kind = type(answer)
        if kind is Failure:
            return answer._inner_value  # what failure() returns, without the call
        if kind is Raised:
            return answer.error
        if kind is Late:
            return TimeoutError(f"step {self.step.name!r} took longer than {self.policies.timeout_s:g} s")
        if answer is None and not self.step.may_return_none:
            return self.step.forgotten_return()
        return None

"""One step of a run as its guard sees it: the policies, the call, and what all inputs share in this process."""

# pyright: basic
from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from returns.result import Failure, Success

from pipeline.answer import NO_VALUES, forgotten_return, wrong_answer
from pipeline.batchstep import is_batched
from pipeline.guard.breaker import Breaker
from pipeline.guard.effects import Late, Raised
from pipeline.guard.results import Remembered
from pipeline.guard.supplies import Budget, Places, Rate, Supplies, supply
from pipeline.guard.timing import REAL, Timing
from pipeline.policies import CircuitBreaker, Policies, Retry
from pipeline.policies.matching import matches
from pipeline.step import Step

_LOGGER = logging.getLogger("pipeline.guard")

ONCE = Retry(attempts=1)
"""No retry."""


class Guard:
    """The policies of ``step`` and its ``call``; ``waits`` says that the call gives something to await.

    ``kills`` says that the runner itself ends a call that takes too long: by an exception in it, or with its worker.
    ``stopping`` says whether the run was stopped; ``pause`` is called before every wait.
    """

    def __init__(
        self,
        step: Step[Any, Any, Any],
        call: Callable[[Any], Any],
        *,
        waits: bool,
        kills: bool = False,
        supplies: Supplies,
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
        self.remembered: Remembered | None = supply(supplies.caches, step, "cache")
        self.breaker: Breaker | None = supply(supplies.breakers, step, "breaker")
        self.places: Places | None = supply(supplies.places, step, "limit")
        self.rate: Rate | None = supply(supplies.rates, step, "rate")
        self.budget: Budget | None = supplies.budgets.get(step.name)

    def error_in(self, answer: Any) -> Any:
        """What a call failed with, or ``None``."""
        kind = type(answer)
        if kind is Failure:
            return answer._inner_value  # what failure() returns, without the call
        if kind is Raised:
            return answer.error
        if kind is Late:
            late = TimeoutError(f"step {self.step.name!r} took longer than {self.policies.timeout_s:g} s")
            return late.with_traceback(answer.at)
        return self.wrong_in(answer)

    def wrong_in(self, answer: Any) -> Exception | None:
        """What is wrong with an answer that the step cannot mean: nothing, or what is no value; else ``None``."""
        if answer is None and not self.step.may_return_none:
            return forgotten_return(self.step.name)
        value = answer._inner_value if type(answer) is Success else answer
        if type(value) not in NO_VALUES:
            return None
        kind = "batch step" if is_batched(self.step.fn) else "step"
        return wrong_answer(f"{kind} {self.step.name!r}", value)

    def names(self, policy: Retry | CircuitBreaker, error: Any) -> bool | None:
        """Whether a policy is about ``error``; ``None`` where a function of the user's in it raised: it says nothing.

        Then the input keeps the error of its step, and the log has that of the policy.
        """
        try:
            return matches(policy.on, error)
        except Exception:
            _LOGGER.exception("on= of the %s of step %r raised", type(policy).__name__, self.step.name)
            return None

"""What all inputs of a run share around their calls: caches, breakers, limits, budgets.

A worker process has supplies of its own; what they count is then in a file that all processes of a machine share.
"""

# pyright: basic
from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from pipeline.errors import InvalidSetting
from pipeline.guard.breaker import Breaker
from pipeline.guard.cell import Cell, Numbers, OwnCell
from pipeline.guard.results import Caching, Remembered
from pipeline.guard.shared import FileCell, Shared, opened
from pipeline.guard.sharedbreaker import Sharing, breaker_of
from pipeline.guard.slots import Slots
from pipeline.guard.timing import Timing
from pipeline.policies import RateLimit
from pipeline.policies.limits import reserve
from pipeline.policies.retry import Retry, within_budget
from pipeline.step import Step


class Rate:
    """A rate limit at work. Its cell holds when the next call is due."""

    def __init__(self, policy: RateLimit, cell: Cell) -> None:
        self.policy = policy
        self._cell = cell

    def reserve(self, now: float) -> float:
        """When a call that comes at ``now`` may start, in seconds of the same clock."""
        before = self._cell.change(lambda numbers: (reserve(self.policy, numbers[0], now)[1], 0.0, 0.0, 0.0))
        return reserve(self.policy, before[0], now)[0]


class Places:
    """A concurrency limit at work: places in this process, and behind them those of all processes."""

    def __init__(self, calls: int, first: int, shared: Shared | None) -> None:
        self.slots: Slots = Slots(calls)
        self.calls = calls
        self._first = first
        self._shared = shared

    def take(self) -> int | None:
        """A place among all processes, or ``None`` when they are all taken; the own process's was entered before."""
        return 0 if self._shared is None else self._shared.take(self._first, self.calls)

    def give_back(self, place: int) -> None:
        """Free the place that ``take`` gave."""
        if self._shared is not None:
            self._shared.give_back(place)


class Budget:
    """A budget of retries at work. Its cell counts first calls, and retries."""

    def __init__(self, retry: Retry, cell: Cell) -> None:
        self.retry = retry
        self._cell = cell

    def first_call(self) -> None:
        """Count one."""
        self._cell.change(lambda numbers: (numbers[0] + 1, *numbers[1:]))

    def takes_one(self) -> bool:
        """Take one retry, if there is one left."""
        return self._has_one(self._cell.change(lambda n: (n[0], n[1] + 1, *n[2:]) if self._has_one(n) else n))

    def _has_one(self, numbers: Numbers) -> bool:
        return within_budget(self.retry, int(numbers[0]), int(numbers[1]))


class Supplies:
    """The caches, breakers, limits and budgets of a pipeline's steps, by the step's name or the one that it shares."""

    def __init__(
        self,
        steps: Iterable[Step[Any, Any, Any]],
        timing: Timing,
        path: str | None,
        caching: Caching,
        sharing: Sharing = Sharing(),  # noqa: B008 - a tuple
    ) -> None:
        steps = tuple(steps)
        self.shared: Shared | None = None if path is None else opened(path)
        limits, rates, breakers = (named(steps, policy) for policy in ("limit", "rate", "breaker"))
        self.caches: dict[str, Remembered] = {
            f"step {step.name}": Remembered(step, step.policies.cache, caching)
            for step in steps
            if step.policies.cache is not None
        }
        self._cells: int = 0
        self.breakers: dict[str, Breaker] = {
            key: breaker_of(key, policy, timing.monotonic, sharing, self._cell()) for key, policy in breakers.items()
        }
        self.rates: dict[str, Rate] = {key: Rate(policy, self._cell()) for key, policy in rates.items()}
        self.places: dict[str, Places] = {}
        for key, policy in limits.items():
            first = sum(places.calls for places in self.places.values())
            self.places[key] = Places(policy.calls, first, self.shared)
        self.budgets: dict[str, Budget] = {
            step.name: Budget(step.policies.retry, self._cell())
            for step in steps
            if step.policies.retry is not None and step.policies.retry.budget is not None
        }

    def _cell(self) -> Cell:
        """The next cell: of all processes, where they share a file. They all count alike, as the steps are the same."""
        self._cells += 1
        return OwnCell() if self.shared is None else FileCell(self.shared, self._cells - 1)

    def is_stopped(self) -> bool:
        """Whether the process that owns the run says that it was stopped."""
        return self.shared is not None and self.shared.is_stopped()


def named(steps: Iterable[Step[Any, Any, Any]], kind: str) -> dict[str, Any]:
    """The policies of one kind by name: their own, or that of their step. ``InvalidSetting`` where two differ."""
    found: dict[str, Any] = {}
    for step in steps:
        policy = getattr(step.policies, kind)
        if policy is None:
            continue
        key = _key(step, policy)
        if found.setdefault(key, policy) != policy:
            raise InvalidSetting(
                f"{kind}={policy!r} of step {step.name!r} has the name of {found[key]!r}, but is not the same; "
                "give both the same settings, or another name"
            )
    return found


def _key(step: Step[Any, Any, Any], policy: Any) -> str:
    name = getattr(policy, "name", None)
    return f"step {step.name}" if name is None else f"name {name}"


def supply(found: dict[str, Any], step: Step[Any, Any, Any], kind: str) -> Any:
    """What a step has of ``found``, or ``None``."""
    policy = getattr(step.policies, kind)
    return None if policy is None else found[_key(step, policy)]


def check_named(steps: Iterable[Step[Any, Any, Any]]) -> None:
    """Raise ``InvalidSetting`` where two policies have the same name and differ."""
    for kind in ("limit", "rate", "breaker"):
        named(steps, kind)


_known: dict[str, Supplies] = {}
KNOWN_RUNS = 16
"""Runs whose supplies a worker process keeps, because a cluster sends the program with every chunk."""


def supplies_in_worker(run_id: str, make: Callable[[], Supplies]) -> Supplies:
    """The supplies of a run that came to this process before, or new ones."""
    if run_id not in _known:
        _known[run_id] = make()
        for old in list(_known)[:-KNOWN_RUNS]:
            _known.pop(old, None)
    return _known[run_id]

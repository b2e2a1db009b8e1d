"""What may be set on a step, beside its name: the keyword arguments of ``step`` and ``configurable``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypedDict, cast

import msgspec

from pipeline.errors import InvalidSetting, did_you_mean
from pipeline.policies import Cache, CircuitBreaker, ConcurrencyLimit, Policies, RateLimit, Retry
from pipeline.policies.model import NONE, POLICIES


class StepSettings(TypedDict, total=False):
    """The keyword arguments of a step."""

    cache: Cache | None
    """When to use the result of an earlier call again."""
    breaker: CircuitBreaker | None
    """When to call no more, because everything fails."""
    limit: ConcurrencyLimit | None
    """How many calls may run at the same time."""
    rate: RateLimit | None
    """How many calls may start in a second."""
    retry: Retry | None
    """When to call again, and how long to wait in between."""
    timeout: float | None
    """Seconds that one call may take. An async step that takes longer is cancelled; ``ProcessRunner`` ends a sync one
    too, if need be with its worker; elsewhere it goes on in a thread of its own, whose answer nobody waits for."""
    version: str | None
    """Stands for the fingerprint of the code."""
    aliases: tuple[str, ...]
    """Former names, under which payloads may still arrive."""
    checkpoint: bool
    """Whether a step-durable journal keeps the output; default ``True``."""
    input_type: Any
    """The value's type where it cannot be read from the annotations."""


def parts_of(name: str, settings: StepSettings, policies: Policies = NONE) -> dict[str, Any]:
    """What ``Step`` takes, from the keyword arguments of ``step``; a name that is none of them raises.

    ``policies`` are those of a step that is changed; what the arguments do not name stays.

    >>> parts_of("fetch", {"timeout": 30.0, "version": "2"})["policies"].timeout_s
    30.0
    >>> parts_of("fetch", {"timout": 30.0})
    Traceback (most recent call last):
        ...
    pipeline.errors.InvalidSetting: step 'fetch' has no setting 'timout'; did you mean 'timeout'?
    """
    known = StepSettings.__annotations__
    for key in settings:
        if key not in known:
            raise InvalidSetting(f"step {name!r} has no setting {key!r}{did_you_mean(key, known)}")
    given: dict[str, Any] = {**settings}
    for key, (is_good, wanted) in _CHECKS.items():
        if key in given and not is_good(given[key]):
            raise InvalidSetting(f"step {name!r} cannot use {key}={given[key]!r}; {wanted(given[key])}")
    around = {key: given.pop(key) for key in POLICIES if key in given}
    if "timeout" in given:
        around["timeout_s"] = given.pop("timeout")
    return {**given, "policies": Policies(**{**msgspec.structs.asdict(policies), **around})}


def _are_names(aliases: object) -> bool:
    return isinstance(aliases, tuple | list) and all(isinstance(one, str) and one for one in cast("Any", aliases))


_CHECKS: dict[str, tuple[Callable[[object], bool], Callable[[object], str]]] = {
    "version": (lambda given: isinstance(given, str | None), lambda _: "a version is a text, such as '2'"),
    "aliases": (
        _are_names,
        lambda given: f"write ({given!r},)" if isinstance(given, str) else "former names are texts: ('old', 'older')",
    ),
    "checkpoint": (lambda given: isinstance(given, bool), lambda _: "give True or False"),
}
"""What a setting that is no policy may be, and what a wrong one is told."""

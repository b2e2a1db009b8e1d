"""The fingerprints of a pipeline's code, read once, when something first asks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from pipeline import fingerprint
from pipeline.configurable import Configured
from pipeline.step import Step


class CodeOf:
    """Calling it gives step name → fingerprint of the step's code; ``None`` where the code cannot be seen."""

    def __init__(self, steps: Sequence[Step[Any, Any, Any]]) -> None:
        self.steps: tuple[Step[Any, Any, Any], ...] = tuple(steps)
        self._digests: dict[str, str | None] | None = None

    def __call__(self) -> dict[str, str | None]:
        """The fingerprints by step name."""
        if self._digests is None:
            self._digests = {step.name: _digest(step) for step in self.steps}
        return self._digests


def whole(step: Step[Any, Any, Any]) -> str | None:
    """The fingerprint of a step's code for its cache, or ``None`` where a part of the code cannot be seen.

    A ``version`` stands for the code of one function, and not for the settings that it is called with: two steps
    with the same name and version may be of other functions, or ``top(n=1)`` and ``top(n=2)`` of one.
    """
    seen = _seen(step)
    if seen.unknown or step.version is None:
        return None if seen.unknown else seen.digest
    function, settings = _filled_in(_function_of(step))
    place = getattr(function, "__module__", ""), getattr(function, "__qualname__", "")
    return fingerprint.of_data((seen.digest, place, settings))


def _filled_in(fn: Any) -> tuple[Any, list[Any]]:
    """The function itself, and the settings that ``configurable`` or ``functools.partial`` filled in."""
    settings: list[Any] = []
    while True:
        if isinstance(fn, Configured):
            settings += (fn.args, fn.kwargs)
            return fn.factory.fn, settings
        if not isinstance(fn, partial):
            return fn, settings
        settings += (fn.args, fn.keywords)
        fn = fn.func


def _digest(step: Step[Any, Any, Any]) -> str | None:
    return _seen(step).digest


def _seen(step: Step[Any, Any, Any]) -> fingerprint.CodeFingerprint:
    return fingerprint.of_code(_function_of(step), version=step.version)


def _function_of(step: Step[Any, Any, Any]) -> Any:
    """The function of a step; a fault that a test put in its place, or a batch, has no say in its fingerprint."""
    fn: Any = step.fn
    while hasattr(fn, "stands_for"):
        fn = fn.stands_for
    return fn

"""The fingerprints of a pipeline's code, read once, when something first asks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline import fingerprint
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
    """The fingerprint of a step's code, or ``None`` where a part of the code cannot be seen."""
    seen = _seen(step)
    return None if seen.unknown else seen.digest


def _digest(step: Step[Any, Any, Any]) -> str | None:
    return _seen(step).digest


def _seen(step: Step[Any, Any, Any]) -> fingerprint.CodeFingerprint:
    """The fingerprint of a step's code; a fault that a test put in its place, or a batch, has no say in it."""
    fn: Any = step.fn
    while hasattr(fn, "stands_for"):
        fn = fn.stands_for
    return fingerprint.of_code(fn, version=step.version)

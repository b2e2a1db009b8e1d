"""A witness of every call of a step, which holds on every runner and asks nobody: one line in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from pipeline.compose import Pipeline
from pipeline.step import Step
from pipeline.stepcontext import StepContext
from pipeline.testing.standin import StandIn, with_stand_ins


class Watched(StandIn):
    """Writes down the input and the step, in one append, and calls the step."""

    def __init__(self, step: Step[Any, Any, Any], witness: Path) -> None:
        super().__init__(step)
        self.witness: Path = witness

    def __call__(self, value: Any, *context: Any) -> Any:
        """Write, then call."""
        current = StepContext.current()
        line = msgspec.json.encode(("" if current is None else current.input_id, self.step.name))
        with self.witness.open("ab", buffering=0) as log:
            log.write(line + b"\n")
        return super().__call__(value, *context)

    def __reduce__(self) -> tuple[Any, ...]:
        return Watched, (self.step, self.witness)


def watched(pipeline: Pipeline[Any, Any, Any], witness: Path) -> Pipeline[Any, Any, Any]:
    """The pipeline with a witness at every step."""
    return with_stand_ins(pipeline, lambda step: Watched(step, witness))


def calls_in(witness: Path) -> dict[str, tuple[str, ...]]:
    """The steps that were called, by input, in the order of their calls."""
    calls: dict[str, tuple[str, ...]] = {}
    lines = witness.read_bytes().splitlines() if witness.exists() else []
    for line in lines:
        input_id, step = msgspec.json.decode(line, type=tuple[str, str])
        calls[input_id] = (*calls.get(input_id, ()), step)
    return calls

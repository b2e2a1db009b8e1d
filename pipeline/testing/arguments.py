"""What ``check_resume`` is given that is not what it should be: each mistake with its cure."""

# pyright: basic
from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from pipeline.compose import Pipeline, steps_of
from pipeline.errors import InvalidSetting
from pipeline.model import ProcessorInput
from pipeline.stepsettings import StepSettings
from pipeline.testing.law import Law
from runners import Runner


def bare(pipeline: Any) -> Pipeline[Any, Any, Any]:
    """The pipeline without policies."""
    inside: object = getattr(pipeline, "pipeline", None)
    if isinstance(inside, Pipeline):
        raise InvalidSetting(f"check_resume: {type(pipeline).__name__} is a processor; give its .pipeline")
    none: StepSettings = {"cache": None, "breaker": None, "limit": None, "rate": None, "retry": None, "timeout": None}
    steps = [step.replace(**none) for step in steps_of(pipeline)]
    if not steps:
        raise InvalidSetting("check_resume: the pipeline has no steps; give one that has")
    return Pipeline.of(steps)


def batch_of(inputs: Any) -> Any:
    """Given inputs as ``ProcessorInput``; a strategy, or ``None``, as it is."""
    if inputs is None or hasattr(inputs, "example"):
        return inputs
    if isinstance(inputs, str | bytes | ProcessorInput | Mapping) or not isinstance(inputs, Iterable):
        raise InvalidSetting(f"check_resume: the inputs are {inputs!r}; give a list of them, or a hypothesis strategy")
    batch = [_input(place, item) for place, item in enumerate(inputs, 1)]
    if not batch:
        raise InvalidSetting("check_resume: there are no inputs; give at least one, or a hypothesis strategy")
    twice = [input_id for input_id, count in Counter(item.input_id for item in batch).items() if count > 1]
    if twice:
        raise InvalidSetting(f"check_resume: the input_id {twice[0]!r} is used twice; give each input one of its own")
    return batch


def _input(place: int, item: Any) -> ProcessorInput[Any]:
    if isinstance(item, ProcessorInput):
        return msgspec.structs.replace(item, payload=None)
    return ProcessorInput(input_id=f"input-{place}", data=item)


def examples_of(examples: Any) -> int:
    """How many batches to draw."""
    if not isinstance(examples, int) or examples < 1:
        raise InvalidSetting(f"check_resume: examples={examples!r}; give how many batches to draw, from 1")
    return examples


def laws_of(laws: Any) -> tuple[Law, ...]:
    """The laws to hold."""
    given = (laws,) if isinstance(laws, Law) else tuple(laws)
    if not given:
        raise InvalidSetting("check_resume: there are no laws; give at least one, or leave laws out")
    for law in given:
        if not isinstance(law, Law):
            raise InvalidSetting(f"check_resume: {law!r} is no law; they are in pipeline.testing.laws")
    return given


def runners_of(runners: Any) -> tuple[Runner, ...]:
    """The runners that have to agree."""
    given = (runners,) if isinstance(runners, Runner) else tuple(runners)
    if not given:
        raise InvalidSetting("check_resume: there are no runners; give at least one, or leave runners out")
    for runner in given:
        if not isinstance(runner, Runner):
            made = f"make one: {runner.__name__}()" if isinstance(runner, type) else "see runners"
            raise InvalidSetting(f"check_resume: {runner!r} is no runner; {made}")
    return given


def idempotent_of(idempotent: Any, pipeline: Pipeline[Any, Any, Any]) -> Mapping[str, Any]:
    """The steps that may be called twice, each with a function that reads what it writes."""
    if not isinstance(idempotent, Mapping) or not all(callable(read) for read in idempotent.values()):
        raise InvalidSetting(
            f"check_resume: idempotent={idempotent!r}; give a dictionary from a step's name to a function "
            "that reads the state it writes: {'store': lambda: dict(table)}"
        )
    for name in idempotent:
        pipeline.index(name)
    return idempotent

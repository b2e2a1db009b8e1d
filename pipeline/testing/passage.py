"""One value taken through the steps by hand, without the engine: what a run is compared with.

Each step is called as a function with what the step before it gave, and what entered it is copied before.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import msgspec
from returns.result import Failure, Result, Success

from pipeline.compose import Pipeline
from pipeline.describe import describe
from pipeline.model import Failed, Outcome, ProcessorInput, Skipped, Succeeded
from pipeline.step import Step
from pipeline.stepcontext import POSITION
from pipeline.testing.sameness import copied, same, shown, without_addresses

SCOPE = "check_resume"
"""The name of the processors that laws make, and so what idempotency keys begin with."""

End: TypeAlias = tuple[str, ...]
"""How an input ended: the empty tuple with an output, or the step, the exception and the message."""


Stated: TypeAlias = Result[Any, tuple[str, str]]
"""An answer of a step, with an error as its name and message."""


class Passed(msgspec.Struct, frozen=True):
    """One call, in copies that later steps cannot reach: what entered the step, what it left of that, its answer."""

    step: Step[Any, Any, Any]
    entered: Any
    left: Any
    answer: Result[Any, Any]


class Passage(msgspec.Struct, frozen=True):
    """An input on its way through the steps, up to the end or the first failure."""

    item: ProcessorInput[Any]
    calls: tuple[Passed, ...] = ()

    @property
    def end(self) -> End:
        """How it ended."""
        if not self.calls or isinstance(self.calls[-1].answer, Success):
            return ()
        return (self.calls[-1].step.name, *_described(self.calls[-1].answer.failure()))

    @property
    def output(self) -> Any:
        """What came out, where nothing failed."""
        return self.calls[-1].answer.unwrap() if self.calls else self.item.data

    def differs(self, outcome: Outcome[Any]) -> str | None:
        """What a run made of this input instead, or ``None`` when it agrees."""
        if isinstance(outcome, Succeeded | Skipped):
            if self.end:
                return f"it ended with the output {shown(outcome.output)}, and by hand it failed: {_told(self.end)}"
            agrees = same(outcome.output, self.output)
            return None if agrees else f"its output was {shown(outcome.output)}, and by hand {shown(self.output)}"
        if isinstance(outcome, Failed):
            end = (outcome.step, outcome.exception, without_addresses(outcome.message))
            if end == self.end:
                return None
            return f"it failed: {_told(end)}, and by hand {_told(self.end) if self.end else shown(self.output)}"
        return f"it did not run: {outcome.reason}"


class _ByHand(msgspec.Struct):
    """What steps that ask for their context are told of the run."""

    names: tuple[str, ...]
    run_id: str = "by hand"
    scope: str = SCOPE


def called(step: Step[Any, Any, Any], input_id: str, value: Any) -> Result[Any, Any]:
    """The answer of a step, which is told the input's id if it asks. Ctrl-C goes through."""
    token = POSITION.set((_ByHand((step.name,)), (input_id, 0, value), [0]))
    try:
        return step(value)
    except (SystemExit, GeneratorExit) as error:
        return Failure(error)
    finally:
        POSITION.reset(token)


def same_answer(one: Result[Any, Any], other: Result[Any, Any]) -> bool:
    """Whether two calls gave the same: the same value, or an error of the same name and message."""
    return same_stated(stated(one), stated(other))


def told(answer: Result[Any, Any]) -> str:
    """An answer as part of a sentence."""
    return told_stated(stated(answer))


def stated(answer: Result[Any, Any]) -> Stated:
    """An answer that crosses processes wherever its value does."""
    return answer.alt(_described)


def same_stated(one: Stated, other: Stated) -> bool:
    """``same_answer`` of two that crossed."""
    if isinstance(one, Success) and isinstance(other, Success):
        return same(one.unwrap(), other.unwrap())
    return one == other


def told_stated(answer: Stated) -> str:
    """``told`` of one that crossed."""
    return shown(answer.unwrap()) if isinstance(answer, Success) else ": ".join(answer.failure())


def by_hand(pipeline: Pipeline[Any, Any, Any], item: ProcessorInput[Any]) -> Passage:
    """Take one input through all steps before anything else happens."""
    return side_by_side(pipeline, [item])[0]


def side_by_side(pipeline: Iterable[Step[Any, Any, Any]], items: Sequence[ProcessorInput[Any]]) -> list[Passage]:
    """Take all inputs through the first step, then all through the second, and so on: as threads may, at worst."""
    passages = [Passage(item) for item in items]
    values = [copied(item.data) for item in items]
    for step in pipeline:
        for place, passage in enumerate(passages):
            if not passage.end:
                entered = copied(values[place])
                answer = called(step, passage.item.input_id, values[place])
                passed = Passed(step, entered, copied(values[place]), answer.map(copied))
                passages[place] = msgspec.structs.replace(passage, calls=(*passage.calls, passed))
                values[place] = answer.value_or(None)
    return passages


def _described(error: Any) -> tuple[str, str]:
    exception, message = describe(error)
    return exception, without_addresses(message)


def _told(end: End) -> str:
    return f"{end[1]} in {end[0]!r}: {end[2]}"

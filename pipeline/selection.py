"""Which inputs a retry goes on with, what it leaves as it is, and whom it lets out of quarantine. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, cast

import msgspec

from pipeline.errors import InvalidSetting, UnknownInput, UnknownStep, did_you_mean
from pipeline.model import ExecutionContext, Failed, NotRun, Outcome, Payload, ProcessorInput, Skipped, Succeeded
from pipeline.result import ProcessingResult
from pipeline.shown import quoted
from pipeline.step import RESERVED

Names: TypeAlias = str | type[BaseException] | Collection[str | type[BaseException]]


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Which of the inputs that did not succeed a retry goes on with; every condition given must hold.

    ``steps`` are names of the steps they stopped at, ``exceptions`` the types they failed with (or their names;
    subclasses are types of their own), ``input_ids`` their ids; each is one or several.
    ``where`` is asked about every failure. An input that did not run is selected by ``steps`` or ``input_ids`` alone.

    >>> from pipeline import Processor, Selection, step, to_inputs
    >>> reciprocal = step("parse")(int) >> step("invert")(lambda n: 1 / n)
    >>> processor = Processor(pipeline=reciprocal)
    >>> result = processor.execute(to_inputs(["two", "0"]))
    >>> [item.action for item in processor.plan(result, only=Selection(steps="invert"))]
    ['keep', 'run']
    >>> processor.plan(result, only=Selection(steps="invrt"))
    Traceback (most recent call last):
    ...
    pipeline.errors.UnknownStep: no step 'invrt' in this pipeline; did you mean 'invert'?
    """

    steps: str | Collection[str] | None = None
    exceptions: Names | None = None
    input_ids: str | Collection[str] | None = None
    where: Callable[[Failed], bool] | None = None

    def __post_init__(self) -> None:
        if (self.steps, self.exceptions, self.input_ids, self.where).count(None) == 4:
            raise InvalidSetting("Selection() selects by nothing; give steps, exceptions, input_ids or where")


Only: TypeAlias = Selection | Callable[[Failed], bool] | Sequence[Failed] | None
"""What a retry is limited to: a ``Selection``, a question asked about every failure, or failures, such as a cluster of
``result.failure_clusters()``; ``None`` for everything that did not succeed."""

Lift: TypeAlias = bool | str | Collection[str]
"""Whose count of failed resumes starts anew: nobody's, everybody's, or that of some inputs by their ids."""


class Left(NamedTuple):
    """What an earlier run left: inputs as a retry takes them, the lineage of the retry, and how each input ended.

    ``outcomes`` is ``None`` where that is not known. ``read`` is the run whose inputs these are, as its journal had it
    when they were read there.
    """

    inputs: Sequence[ProcessorInput[Any]]
    context: ExecutionContext
    outcomes: Iterable[Outcome[Any]] | None
    read: Any = None


class Again(msgspec.Struct, frozen=True):
    """What a run does otherwise because it goes on with an earlier one.

    ``kept`` are outcomes that stay as they are, by the places of their inputs: two of these may have one id.
    ``lifted`` says whose failed resumes are not counted.
    """

    kept: Mapping[int, Outcome[Any]] = {}
    lifted: bool | frozenset[str] = False

    def lift(self, item: ProcessorInput[Any]) -> ProcessorInput[Any]:
        """The input, with its count of failed resumes at zero if it is to be lifted from quarantine."""
        if self.lifted is False or (self.lifted is not True and item.input_id not in self.lifted):
            return item
        payload = item.payload
        if isinstance(payload, Payload):
            return msgspec.structs.replace(item, payload=msgspec.structs.replace(payload, retry_count=0))
        if isinstance(payload, Mapping) and "step" in payload:
            return msgspec.structs.replace(item, payload={**payload, "retry_count": 0})
        return item


AS_IT_WAS = Again()
"""Nothing is kept and nobody is lifted."""


def left_by(result: ProcessingResult[Any, Any] | Iterable[ProcessorInput[Any]]) -> Left:
    """What the run of this result left; or inputs, of which nothing is known."""
    if not isinstance(result, ProcessingResult):
        return Left(list(result), ExecutionContext(), None)
    return Left(result.retry_inputs(), result.retry_context(), result.outcomes)


def going_on(left: Left, only: Only, lift: Lift, steps: Sequence[str]) -> Again:
    """How a run goes on with what an earlier one left; names that nothing has are refused with a guess.

    ``steps`` are the names that ``only`` may use.
    """
    if only is None and lift is False:
        return AS_IT_WAS
    ids = {item.input_id for item in left.inputs if isinstance(getattr(item, "input_id", None), str)}
    lifted = lift if isinstance(lift, bool) else frozenset(_known(_several(lift), ids, UnknownInput, "input"))
    if only is None:
        return Again(lifted=lifted)
    if left.outcomes is None:
        raise InvalidSetting("only= selects by how inputs ended: give a result or the id of a run, not inputs")
    is_selected = _selecting(only, ids, steps)
    kept = {
        place: outcome
        for place, outcome in enumerate(left.outcomes)
        if not isinstance(outcome, Succeeded | Skipped) and not is_selected(outcome)
    }
    return Again(kept, lifted)


def _selecting(only: Any, ids: Collection[str], steps: Sequence[str]) -> Callable[[Failed | NotRun], bool]:
    if isinstance(only, Selection):
        return _conditions(only, ids, steps)
    if callable(only) and not isinstance(only, type):
        return lambda outcome: isinstance(outcome, Failed) and bool(only(outcome))
    failures = _failures(only)
    if failures is not None:
        chosen = _known([failed.input_id for failed in failures], ids, UnknownInput, "input")
        return lambda outcome: outcome.input_id in chosen
    raise InvalidSetting(f"only={only!r:.80}: give a Selection, a function of a Failed, or a list of Failed")


def _failures(only: object) -> list[Failed] | None:
    given = list(cast("Sequence[object]", only)) if isinstance(only, list | tuple) else []
    failures = [failed for failed in given if isinstance(failed, Failed)]
    return failures if isinstance(only, list | tuple) and len(failures) == len(given) else None


def _conditions(only: Selection, ids: Collection[str], steps: Sequence[str]) -> Callable[[Failed | NotRun], bool]:
    at = _known(_several(only.steps), {*steps, *RESERVED}, UnknownStep, "step")
    among = _known(_several(only.input_ids), ids, UnknownInput, "input")
    kinds = [name if isinstance(name, str) else name.__name__ for name in _several(only.exceptions)]

    def holds(outcome: Failed | NotRun) -> bool:
        failed = outcome if isinstance(outcome, Failed) else None
        return (
            (only.steps is None or outcome.step in at)
            and (only.input_ids is None or outcome.input_id in among)
            and (only.exceptions is None or (failed is not None and failed.exception in kinds))
            and (only.where is None or (failed is not None and bool(only.where(failed))))
        )

    return holds


def _several(given: Any) -> list[Any]:
    if given is None:
        return []
    return [given] if isinstance(given, str | type) else list(given)


def _known(names: list[str], known: Collection[str], error: type[LookupError], what: str) -> set[str]:
    for name in names:
        if name not in known:
            where = "in this pipeline" if what == "step" else "in this run"
            raise error(f"no {what} {quoted(name)} {where}{did_you_mean(name, known)}")
    return {*names}

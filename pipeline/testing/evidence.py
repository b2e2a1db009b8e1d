"""What laws look for in a trial, and the words in which they tell it."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from returns.result import Result

from pipeline import codec
from pipeline.compose import Pipeline
from pipeline.crossing import check_crossing
from pipeline.errors import NotPicklable, RunFailed
from pipeline.model import Failed, Outcome, ProcessorInput
from pipeline.testing.anotherday import another_day
from pipeline.testing.law import Breach
from pipeline.testing.passage import Passage, Passed, called, same_answer, same_stated, stated, told_stated
from pipeline.testing.sameness import copied, same, shown
from pipeline.testing.trial import Trial
from runners import Runner

OURS = "no step is to blame: this is a fault of the library or of the runner; please report it"


def in_run(trial: Trial, *, step: str, item: ProcessorInput[Any], observed: str, mend: str) -> Breach:
    """A breach that was observed in ``first``, ``again``, or a run like them."""
    return Breach(step=step, item=item, observed=observed, mend=mend, runner=repr(trial.runner), faults=trial.faults)


def calls_of(trial: Trial) -> Iterator[tuple[Passage, Passed]]:
    """Every call of a step by hand."""
    for passage in trial.passages.values():
        yield from ((passage, passed) for passed in passage.calls)


def another_answer(passage: Passage, passed: Passed) -> tuple[str, Result[Any, Any] | None]:
    """When the same call gave another answer, as part of a sentence, and that answer; ``None`` when it never did."""
    with another_day() as clock:
        again = _again(passage, passed)
    if same_answer(passed.answer, again):
        return "", None
    others = [_again(passage, passed) for _ in range(2)]  # two, for a step that differs every other time
    other = next((answer for answer in others if not same_answer(passed.answer, answer)), None)
    return ("", other) if other is not None or not clock.was_read else (", as if it were another day,", again)


def _again(passage: Passage, passed: Passed) -> Result[Any, Any]:
    return called(passed.step, passage.item.input_id, copied(passed.entered))


def stored_of(trial: Trial) -> Iterator[tuple[Passage, int, Any, Any]]:
    """What a journal may have to store: what enters each step, with its place and declared type, and the output."""
    for passage in trial.passages.values():
        for place, passed in enumerate(passage.calls):
            yield passage, place, passed.entered, passed.step.input_type
        if not passage.end:
            yield passage, len(passage.calls), passage.output, trial.pipeline.steps[-1].output_type


def read_once(trial: Trial) -> Breach | None:
    """An iterator on its way between steps: whoever reads it leaves nothing for a resume."""
    for passage, place, value, _ in stored_of(trial):
        if is_iterator(value):
            steps = trial.pipeline.names
            return Breach(
                step=steps[max(0, place - 1)],
                item=passage.item,
                observed=f"{'its input' if place == 0 else 'what it returned'}, {shown(value)}, can be read only once",
                mend="pass a list or a tuple instead of a generator, an iterator or an open file",
            )
    return None


def is_iterator(value: object) -> bool:
    """Whether reading a value uses it up."""
    return isinstance(value, Iterator)


def lost(value: Any, declared: Any, registry: codec.Registry | None) -> str | None:
    """What storage would change in a value, or ``None``."""
    try:
        again = codec.decode(codec.encode(value, declared, registry=registry), declared, registry=registry)
    except codec.CodecError as error:
        return str(error)
    return None if same(value, again) else f"it comes back as {shown(again)}"


def first_difference(
    alone: Mapping[str, Passage], together: Sequence[Passage]
) -> tuple[Passage, Passed, Passed] | None:
    """The first call that gave another answer when the inputs took turns."""
    for passage in together:
        for one, other in zip(alone[passage.item.input_id].calls, passage.calls, strict=False):
            if not same_answer(one.answer, other.answer):
                return passage, one, other
    return None


def forgotten(trial: Trial) -> tuple[Passage, Passed, str] | None:
    """The first step that gives something else when it is resumed in a process that has run nothing yet."""
    for passage in trial.passages.values():
        entered, _ = trial.stop(passage.item.input_id)
        place = max(0, entered - 1)
        remaining = passage.calls[place:]
        if trial.subject.fresh is None or not remaining:
            continue
        answers = trial.subject.fresh.resumed(place, passage.item.input_id, remaining[0].entered)
        for passed, answer in zip(remaining, answers or (), strict=False):
            if not same_stated(stated(passed.answer), answer):
                return passage, passed, told_stated(answer)
    return None


def does_not_cross(trial: Trial) -> Breach | None:
    """A step, or a value that enters or leaves one, that cannot cross to a worker process."""
    any_item = trial.inputs[0]
    for step in trial.pipeline:
        try:
            check_crossing(Pipeline.of([step]))
        except NotPicklable as error:
            cure = "see what was observed; or leave runners with processes out: check_resume(..., runners=[...])"
            return Breach(step=step.name, item=any_item, observed=str(error), mend=cure)
    for passage, place, value, _ in stored_of(trial):
        problem = _not_pickled(value)
        if problem is not None:
            return Breach(
                step=trial.pipeline.names[max(0, place - 1)],
                item=passage.item,
                observed=f"{'its input' if place == 0 else 'what it returned'}, {shown(value)}, does not cross to "
                f"another process: {problem}",
                mend="pass plain data between steps, and make connections, locks and open files inside of a step",
            )
    return None


def _not_pickled(value: Any) -> str | None:
    try:
        again = pickle.loads(pickle.dumps(value))
    except Exception as error:  # noqa: BLE001 - pickling runs the value's own code
        return f"{type(error).__name__}: {error}"
    return None if same(value, again) else f"it arrives as {shown(again)}"


def disagreement(trial: Trial, runner: Runner) -> Breach | None:
    """An input that ends differently on ``runner``, and the first step at which it does."""
    outcomes = _outcomes(trial, trial.pipeline, runner)
    if isinstance(outcomes, str):
        cure = (
            f"define the steps in a module that the workers of {type(runner).__name__} can import, "
            "or leave it out: check_resume(..., runners=[...])"
        )
        return Breach(step="", item=trial.inputs[0], observed=outcomes, mend=cure, runner=repr(runner))
    for outcome in outcomes:
        problem = differs(trial, outcome)
        if problem is not None:
            item = trial.passages[outcome.input_id].item
            return Breach(
                step=_first_to_disagree(trial, item, runner) or "",
                item=item,
                observed=problem,
                mend="use nothing that other inputs change or that differs from worker to worker: globals set while "
                "running, the current directory, the environment, the order of a set",
                runner=repr(runner),
            )
    return None


def _first_to_disagree(trial: Trial, item: ProcessorInput[Any], runner: Runner) -> str | None:
    """The last step of the shortest beginning of the pipeline on which the runner does not agree."""
    passage = trial.passages[item.input_id]
    for place, step in enumerate(trial.pipeline):
        outcomes = _outcomes(trial, trial.pipeline[: place + 1], runner)
        until = msgspec.structs.replace(passage, calls=passage.calls[: place + 1])
        if isinstance(outcomes, str) or until.differs(_of(item, outcomes)):
            return step.name
    return None


def _of(item: ProcessorInput[Any], outcomes: Sequence[Outcome[Any]]) -> Outcome[Any]:
    return next(outcome for outcome in outcomes if outcome.input_id == item.input_id)


def _outcomes(trial: Trial, pipeline: Pipeline[Any, Any, Any], runner: Runner) -> Sequence[Outcome[Any]] | str:
    """The outcomes of a run, or why there was none."""
    try:
        return trial.processor(pipeline, runner).execute(trial.inputs).outcomes
    except RunFailed as error:
        return f"the run failed: {error}"


def differs(trial: Trial, outcome: Outcome[Any]) -> str | None:
    """How an outcome differs from what the steps give by hand."""
    return trial.passages[outcome.input_id].differs(outcome)


def blamed(trial: Trial, outcome: Outcome[Any]) -> str:
    """The step that failed, or the last one; none where the failure is no step's."""
    if not isinstance(outcome, Failed):
        return trial.pipeline.names[-1]
    return outcome.step if outcome.step in trial.pipeline.names else ""


def not_stopped(step: str, outcome: Outcome[Any]) -> str | None:
    """How an outcome differs from a failure in ``step``."""
    if isinstance(outcome, Failed) and outcome.step == step:
        return None
    where = f" in {outcome.step!r}" if isinstance(outcome, Failed) else ""
    return f"a fault was put into {step!r}, and the input ended as {type(outcome).__name__}{where}"


def odd_one(found: Sequence[str], expected: Sequence[str]) -> str:
    """The first step that was called, or left out, against expectation."""
    for one, other in zip(found, expected, strict=False):
        if one != other:
            return one
    longer = found if len(found) > len(expected) else expected
    return next(iter(longer[min(len(found), len(expected)) :]), "")


def listed(steps: Sequence[str]) -> str:
    """Steps as part of a sentence."""
    return " >> ".join(steps) or "nothing"


def name_of(declared: Any) -> str:
    """A declared type as part of a sentence."""
    return declared.__name__ if isinstance(declared, type) else str(declared).removeprefix("typing.")


def only_the_value(step: str) -> str:
    """How to mend a step that needs what was there before it."""
    return (
        f"{step!r} and those after it may use only the value that enters them, nothing that steps before it left in "
        "memory, in a file or in a database connection"
    )


def only_its_own(step: str) -> str:
    """How to mend a step that gives something else in another process."""
    return (
        f"{step!r} may use only the value that enters it: no global or cache that steps or other inputs have filled, "
        "no setting made while running (a decimal context, the environment), no order of a set (sort it)"
    )


_ANY_OTHER = "let it be what it {does}: a dataclass, a Struct or plain data; or add the type to a Registry"
_OF_AN_OBJECT = (
    "an object comes back with its fields, and its __post_init__ is called again: change no field that it sets, "
    "or add the type to a Registry"
)
_STORABLE = {
    "infinity": "give None where there is no number, and declare that: float | None",
    "not in the registry": _ANY_OTHER,
    "declare the step": "declare the type it {does}, so that the value is read as what it was",
    "another ": _OF_AN_OBJECT,
    "come back": "give what is declared and nothing like it, as with dict(...), list(...) or float(...); "
    "or declare the type that it is",
    "would change": _OF_AN_OBJECT,
    "": _ANY_OTHER,
}
"""The cure by a part of what storage says, of which the first counts."""


def storable(does: str, problem: str) -> str:
    """How to mend a value that storage refused; ``does`` is "takes" or "returns"."""
    return next(cure for part, cure in _STORABLE.items() if part in problem).replace("{does}", does)

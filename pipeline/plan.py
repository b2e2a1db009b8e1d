"""Where one input starts, with what, and why. Nothing runs here.

payload          decision
───────          ────────
none, no step    Run from the first step; so does what did not belong to its run
Completed        Skip, or Run from the steps that were added behind it, unless the input or other steps changed
a known step     Run from there with what entered it, as the step's declared type
                 Park, if it failed more resumes than ``max_attempts``
anything else    Refuse, again and again until another one comes: never a silent restart
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import msgspec

from pipeline import codec, fingerprint
from pipeline.changes import (
    NOT_ITS_OUTPUT,
    Changes,
    Code,
    are,
    begins_with,
    since_done,
    since_stopped,
    typed_output,
)
from pipeline.compose import Pipeline
from pipeline.errors import InvalidSetting, did_you_mean
from pipeline.model import Completed, Failed, NotRun, Outcome, Payload, ProcessorInput
from pipeline.payload import STARTS_ANEW, BadPayload, read_payload, refused
from pipeline.shown import quoted

OnChange: TypeAlias = Literal["restart", "error", "resume"]


class ResumeRules(msgspec.Struct, frozen=True, kw_only=True):
    """What to do when something is no longer as it was when the input stopped."""

    on_input_change: OnChange = "restart"
    on_code_change: OnChange = "resume"
    on_bad_payload: Literal["restart", "error"] = "error"
    registry: codec.Registry | None = None
    max_attempts: int | None = None

    def __post_init__(self) -> None:
        changes = ("restart", "error", "resume")
        allowed = {"on_input_change": changes, "on_code_change": changes, "on_bad_payload": changes[:2]}
        for name, values in allowed.items():
            if getattr(self, name) not in values:
                raise InvalidSetting(f"{name}={getattr(self, name)!r}: choose one of {', '.join(map(repr, values))}")
        if self.max_attempts is not None and self.max_attempts < 1:
            raise InvalidSetting(
                f"max_attempts={self.max_attempts!r}: give the failed resumes to allow, from 1, or None"
            )


class Run(msgspec.Struct, frozen=True, gc=False):
    """Run from step ``index`` (0 is the first) with ``value``. ``changed`` names steps before it that changed.

    No cycle of references leads through it, so the collector need not look at it.
    """

    index: int
    value: Any
    reason: str
    payload: Payload | None = None
    changed: tuple[str, ...] = ()


class Skip(msgspec.Struct, frozen=True):
    """Already successful: keep the output of ``done``."""

    done: Completed[Any]
    reason: str
    changed: tuple[str, ...] = ()


class Refuse(msgspec.Struct, frozen=True):
    """The input cannot be resumed; ``failed`` is its outcome."""

    failed: Failed


class Park(msgspec.Struct, frozen=True):
    """The input is set aside, in quarantine or because others do not belong; ``not_run`` is its outcome."""

    not_run: NotRun


class Keep(msgspec.Struct, frozen=True):
    """The input is not among those to go on with: ``outcome`` is the one it had."""

    outcome: Outcome[Any]


Decision: TypeAlias = Run | Skip | Refuse | Park | Keep


def decide(
    pipeline: Pipeline[Any, Any, Any],
    item: ProcessorInput[Any],
    rules: ResumeRules,
    code: Callable[[], Code],
    retries: int = 0,
) -> Decision:
    """Where ``item`` starts under ``rules``; ``code`` gives the fingerprints of the steps' code, when needed.

    ``retries`` is the lineage's count, for a payload that has none of its own: the document's plain dictionary.
    """
    if item.payload is None:
        return from_the_first(item)
    try:
        payload = read_payload(item.payload, retries)
        if isinstance(payload, Completed):
            return _of_completed(pipeline, item, payload, rules, code)
        if not payload.step or payload.step in STARTS_ANEW:
            return _quarantined(item, payload, rules) or Run(
                0, item.data, f"{payload.message or 'the payload names no step'}: from the first step", payload
            )
        return _of_payload(pipeline, item, payload, rules, code)
    except BadPayload as problem:
        if rules.on_bad_payload == "restart":
            return Run(0, item.data, f"payload not usable, restarted: {problem}")
        return Refuse(refused(item, str(problem), "BadPayload"))


def from_the_first(item: ProcessorInput[Any]) -> Run:
    """The decision for an input of which nothing is known."""
    return Run(0, item.data, "no payload: from the first step")


def _of_completed(
    pipeline: Pipeline[Any, Any, Any],
    item: ProcessorInput[Any],
    done: Completed[Any],
    rules: ResumeRules,
    code: Callable[[], Code],
) -> Decision:
    input_changed = _differs(done.input_fingerprint, item.data)
    if input_changed and (decision := _on_change(item, rules.on_input_change, "the input changed")):
        return decision
    changes = since_done(pipeline, done.code, code)
    if begins_with(pipeline, done.code) is None and rules.on_code_change != "restart":
        return Refuse(refused(item, f"{changes}: {NOT_ITS_OUTPUT}", "PipelineChanged"))
    if changes.steps and (decision := _on_change(item, rules.on_code_change, str(changes))):
        return decision
    told = "; the input changed since" if input_changed else ""
    told += f"; {changes.of_code}" if changes.rewritten else ""
    done = _typed(pipeline, done, rules.registry)
    if changes.new:
        return _behind(pipeline, done, rules, changes, told)
    return Skip(done, f"already successful{told}", changes.rewritten)


def _typed(pipeline: Pipeline[Any, Any, Any], done: Completed[Any], registry: codec.Registry | None) -> Completed[Any]:
    """The success with its output as what made it declares."""
    if not done.plain:
        return done
    try:
        return msgspec.structs.replace(done, output=typed_output(pipeline, done, registry), plain=False)
    except codec.CodecError as error:
        raise BadPayload(f"its output is not what its steps declare: {error}") from error


def _behind(
    pipeline: Pipeline[Any, Any, Any], done: Completed[Any], rules: ResumeRules, changes: Changes, told: str
) -> Run:
    """Where an output goes on, when steps were added behind the one that gave it."""
    new, index = changes.new, len(pipeline) - len(changes.new)
    name, last = pipeline.names[index], pipeline.names[index - 1]
    try:
        value = codec.conform(done.output, pipeline[index].input_type, registry=rules.registry)
    except codec.CodecError as error:
        raise BadPayload(f"its output of {last!r} does not fit step {name!r}, which is new: {error}") from error
    payload = Payload(step=name, data=done.output, input_fingerprint=done.input_fingerprint, checkpoint=True)
    return Run(index, value, f"already successful up to {last!r}; {are(new)} new{told}", payload, changes.rewritten)


def _of_payload(
    pipeline: Pipeline[Any, Any, Any],
    item: ProcessorInput[Any],
    payload: Payload,
    rules: ResumeRules,
    code: Callable[[], Code],
) -> Decision:
    index = _place_of(pipeline, payload)
    input_changed = _input_changed(item, payload, index)
    if input_changed and (decision := _on_change(item, rules.on_input_change, "the input changed")):
        return decision
    changes = since_stopped(pipeline, index, payload.code, code)
    if changes.steps and (decision := _on_change(item, rules.on_code_change, str(changes))):
        return decision
    if parked := _quarantined(item, payload, rules):
        return parked
    value = _value_at(pipeline, index, payload, rules.registry)
    reason = _why_there(payload)
    return Run(index, value, f"{reason}; {changes}" if changes.steps else reason, payload, changes.steps)


def check_fits(
    pipeline: Pipeline[Any, Any, Any], payload: Payload | Completed[Any], registry: codec.Registry | None
) -> None:
    """``BadPayload`` where the pipeline has no such step or output, or the data is not of the type declared for it."""
    if isinstance(payload, Completed):
        if begins_with(pipeline, payload.code) is None:
            told = "it succeeded under other steps, and its output could not be stored"
            raise BadPayload(f"{told}; give it again, or choose on_bad_payload='restart'")
        _typed(pipeline, payload, registry)
    elif payload.step and payload.step not in STARTS_ANEW:
        _value_at(pipeline, _place_of(pipeline, payload), payload, registry)


def _place_of(pipeline: Pipeline[Any, Any, Any], payload: Payload) -> int:
    index = pipeline.find(payload.step)
    if index is None:
        hint = did_you_mean(payload.step, pipeline.names)
        raise BadPayload(
            f"$.step: no step {quoted(payload.step)} in pipeline ({pipeline}){hint or '.'} "
            "If the step was renamed, keep its old name: step('new', aliases=('old',))"
        )
    return index


def _value_at(pipeline: Pipeline[Any, Any, Any], index: int, payload: Payload, registry: codec.Registry | None) -> Any:
    try:
        return codec.conform(payload.data, pipeline[index].input_type, registry=registry)
    except codec.CodecError as error:
        raise BadPayload(f"the payload's data no longer fits step {pipeline.names[index]!r}: {error}") from error


def _why_there(payload: Payload) -> str:
    if payload.checkpoint:
        return f"from step {payload.step!r}: its checkpoint" + (f"; {payload.message}" if payload.message else "")
    reason = f"stopped at {payload.step!r}" + (f": {payload.exception}" if payload.exception else "")
    return f"{reason}; its data was edited" if payload.edited else reason


def _input_changed(item: ProcessorInput[Any], payload: Payload, index: int) -> bool:
    if payload.input_fingerprint is None and index == 0 and not payload.edited:
        return _differs(fingerprint.of_data(payload.data), item.data)
    return _differs(payload.input_fingerprint, item.data)


def _quarantined(item: ProcessorInput[Any], payload: Payload, rules: ResumeRules) -> Park | None:
    """Where the input failed in its first run and in more resumes than allowed."""
    if rules.max_attempts is None or payload.retry_count <= rules.max_attempts:
        return None
    reason = f"quarantined: {payload.retry_count - 1} resumes failed, {rules.max_attempts} are allowed (max_attempts)"
    step = payload.step or None
    return Park(NotRun(input_id=item.input_id, reason=reason, step=step, payload=payload))


def _differs(earlier: str | None, data: Any) -> bool:
    """Whether data is known to have changed; what cannot be compared counts as unchanged."""
    if earlier is None:
        return False
    now = fingerprint.of_data(data)
    return now is not None and now != earlier


def _on_change(item: ProcessorInput[Any], rule: OnChange, what: str) -> Decision | None:
    """The decision when something changed, or ``None`` to go on as if it had not."""
    if rule == "restart":
        return Run(0, item.data, f"{what}: from the first step")
    if rule == "error":
        cure = "remove its payload to start over, or choose another rule (on_input_change, on_code_change)"
        return Refuse(refused(item, f"{what} since it stopped; {cure}", "InputChanged"))
    return None

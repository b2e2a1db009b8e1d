"""Dead letters: the failures of a run as a file of JSON Lines, and such a file as inputs to retry.

A line is the document's error response; its ``retry`` holds what else a retry needs, by the steps' declared types:

    {"input_id": …, "success": false, "step": …, "exception": …, "message": …, "payload": {…, "data": …},
     "retry": {"data": what the input came with, "retry_count": …, "input_fingerprint": …, …}}
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, cast

import msgspec
from msgspec import UNSET, UnsetType

from pipeline.atomicfile import write_whole
from pipeline.changes import is_of_others, output_type, to_store
from pipeline.codec import CodecError, Registry, decode, encode
from pipeline.compose import Pipeline
from pipeline.errors import DeadLettersDamaged
from pipeline.model import Completed, Failed, FailureKind, Payload, ProcessorInput
from pipeline.payload import REFUSED, STARTS_ANEW, BadPayload, read_payload
from pipeline.shown import quoted
from pipeline.step import RESERVED

A = TypeVar("A")

Place: TypeAlias = "str | PathLike[str]"

_SIDE_BY_SIDE = re.compile("[\ud800-\udbff][\udc00-\udfff]")


class Remains(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a line holds beside the error response.

    ``data`` is the input's own, ``problem`` why something could not be stored. ``resume`` is where the input goes
    on, where that is not what the response's payload says: an input that failed before its first step.
    ``plain`` says that what it goes on with is JSON as it was, of no declared type, because it does not fit its step,
    and ``is_none`` that this is ``None``, which else stands for what could not be stored.
    """

    data: Any = UNSET
    account_id: str | None = None
    underwriting_id: str | None = None
    run_id: str | None = None
    kind: FailureKind = "error"
    retry_count: int = 0
    input_fingerprint: str | None = None
    code: dict[str, str | None] = {}
    edited: bool = False
    plain: bool = False
    is_none: bool = False
    resume: dict[str, Any] | UnsetType = UNSET
    problem: str | None = None


class DeadLetters(msgspec.Struct, frozen=True):
    """How the failures of one pipeline are written and read."""

    pipeline: Pipeline[Any, Any, Any]
    registry: Registry | None = None

    def write(self, path: Place, run_id: str, letters: Iterable[tuple[Failed, ProcessorInput[Any]]]) -> int:
        """Write each failure with its input as a retry takes it; how many there were.

        The file is there whole or not at all, for its owner alone (mode 0600), and replaces an earlier one;
        a link is followed, and a device, a pipe or an open descriptor is written to.
        """
        lines = [_line(self._letter(failed, again, run_id)) for failed, again in letters]
        write_whole(Path(path), b"".join(lines))
        return len(lines)

    def read(self, path: Place) -> list[ProcessorInput[Any]]:
        """The inputs that were written, each to go on where it stopped; ``DeadLettersDamaged`` has those it can."""
        inputs: list[ProcessorInput[Any]] = []
        problems: list[tuple[int, str]] = []
        with Path(path).open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    inputs.extend([self._input(line)] if line.strip() else [])
                except (ValueError, TypeError, RecursionError) as error:
                    problems.append((number, str(error)))
        if problems:
            raise DeadLettersDamaged(str(path), problems, inputs)
        return inputs

    # out

    def _letter(self, failed: Failed, again: ProcessorInput[Any], run_id: str) -> dict[str, Any]:
        response, problems = failed.error_response(), list[str]()
        early = failed.step in RESERVED
        payload = failed.payload if early or not isinstance(again.payload, Payload) else again.payload
        brought = _brought(again.payload) if early else payload
        goes_on = brought if isinstance(brought, Payload) else payload
        response["payload"]["data"], plain = self._kept(payload, problems)
        resume, plain = self._resume(brought, problems) if early else (UNSET, plain)
        remains = Remains(
            data=self._stored(again.data, self._declared(""), problems),
            account_id=again.account_id,
            underwriting_id=again.underwriting_id,
            run_id=run_id or None,
            kind=failed.kind,
            retry_count=goes_on.retry_count,
            input_fingerprint=goes_on.input_fingerprint,
            code=goes_on.code,
            edited=goes_on.edited,
            plain=plain,
            is_none=goes_on.data is None and bool(goes_on.step) and goes_on.step not in RESERVED,
            resume=resume,
            problem="; ".join(dict.fromkeys(problems)) or None,
        )
        return {**response, "retry": msgspec.to_builtins(remains)}

    def _resume(self, brought: Payload | Completed[Any] | None, problems: list[str]) -> tuple[dict[str, Any], bool]:
        """Where an input goes on that failed before its first step: what it had brought with it."""
        if brought is None:
            return {"step": ""}, False
        if isinstance(brought, Completed):
            return self._done(brought, problems), False
        data, plain = self._kept(brought, problems)
        return {**brought.as_document(), "data": data}, plain

    def _done(self, done: Completed[Any], problems: list[str]) -> dict[str, Any]:
        """An output that was refused, for a later version that may keep it; without it, the input is refused again."""
        output = self._stored(*to_store(self.pipeline, done, self.registry), problems)
        if output is not UNSET:
            return {**msgspec.to_builtins(msgspec.structs.replace(done, output=output))}
        told = f"the output that it had is not in the dead letter ({problems[-1]})"
        cure = "give it again, or choose on_bad_payload='restart'"
        return {"step": REFUSED, "exception": BadPayload.__name__, "message": f"{told}; {cure}"}

    def _declared(self, step: str) -> Any:
        """The type of what enters a step, the first one where none has begun; anything, where there is no such step."""
        index = 0 if not step or step in RESERVED else self.pipeline.find(step)
        return Any if index is None or not len(self.pipeline) else self.pipeline[index].input_type

    def _stored(self, value: Any, declared: Any, problems: list[str]) -> Any:
        """A value as plain JSON data from which the same value is read, if there is such data."""
        try:
            return json.loads(encode(value, declared, registry=self.registry))
        except CodecError as error:
            problems.append(str(error))
            return UNSET

    def _kept(self, payload: Payload, problems: list[str]) -> tuple[Any, bool]:
        """What a payload holds as JSON data, and whether of no declared type: it may not fit its step."""
        refused = list[str]()
        data = self._stored(payload.data, self._declared(payload.step), refused)
        if data is not UNSET:
            return data, False
        try:
            return json.loads(encode(payload.data)), True
        except CodecError:
            problems += refused
            return None, False

    # in

    def _input(self, line: bytes) -> ProcessorInput[Any]:
        letter: Any = json.loads(line)
        input_id, given = _told(letter)
        remains = msgspec.convert(letter.get("retry") or {}, Remains)
        again = given if remains.resume is UNSET else _corrected(remains.resume, given, remains.problem)
        step = str(again.get("step") or "")
        index = self.pipeline.find(step)
        has_entered = "data" in again and (remains.problem is None or remains.is_none or again["data"] is not None)
        if remains.data is UNSET and not has_entered:
            why = remains.problem or "$.payload.data and $.retry.data are missing"
            raise ValueError(f"input {quoted(input_id)} has no data to go on with ({why}); give this input again")
        entered = self._entered(again.get("data"), None if remains.plain else index)
        data = self._read(remains.data, 0) if remains.data is not UNSET else entered if not index else None
        payload = Payload(
            step=step,
            exception=str(again.get("exception") or ""),
            message=str(again.get("message") or ""),
            data=entered,
            retry_count=remains.retry_count,
            input_fingerprint=None if remains.data is UNSET else remains.input_fingerprint,
            code={} if remains.data is UNSET else remains.code,
            edited=remains.edited,
        )
        return ProcessorInput(
            input_id=input_id,
            account_id=remains.account_id,
            underwriting_id=remains.underwriting_id,
            data=data,
            payload=payload if step == REFUSED or (has_entered and step) else self._without_data(again, step, remains),
        )

    def _without_data(self, again: Mapping[str, Any], step: str, remains: Remains) -> Payload | Completed[Any] | None:
        """What an input goes on with where no data of a payload is there: one that it had brought is refused."""
        if remains.resume is UNSET or not step or step in STARTS_ANEW:
            return self._read_done(again)
        told = f"what was to enter {quoted(step)} is not in the dead letter ({remains.problem or '$.payload.data'})"
        return Payload(step=REFUSED, exception=BadPayload.__name__, message=f"{told}; give the payload again")

    def _read_done(self, again: Mapping[str, Any]) -> Completed[Any] | None:
        if again.get("status") != "completed":
            return None
        done = msgspec.convert(again, Completed[Any])
        written, plain = json.dumps(done.output).encode("ascii"), is_of_others(self.pipeline, done.code)
        try:
            output = decode(written, output_type(self.pipeline, done.code), registry=self.registry)
        except CodecError:  # the run says why it does not fit
            return msgspec.structs.replace(done, plain=True)
        return msgspec.structs.replace(done, output=output, plain=plain)

    def _entered(self, data: Any, index: int | None) -> Any:
        """What enters the step, as its type; what does not fit stays as it is, and the run says why."""
        if index is None:
            return data
        try:
            return self._read(data, index)
        except CodecError:
            return data

    def _read(self, data: Any, index: int) -> Any:
        declared = self.pipeline[index].input_type if len(self.pipeline) else Any
        return decode(json.dumps(data).encode("ascii"), declared, registry=self.registry)


def read_failures(
    path: Place, pipeline: Pipeline[A, Any, Any], registry: Registry | None = None
) -> list[ProcessorInput[A]]:
    """The inputs in a file that ``ProcessingResult.write_failures`` wrote, each to go on at the step that failed it.

    Their data is of the steps' declared types. ``DeadLettersDamaged`` names the lines that cannot be read, and
    carries the inputs of all the others; ``OSError`` when there is no such file.

    >>> import tempfile
    >>> from pipeline import Processor, step, to_inputs
    >>> invert = step("invert")(lambda n: 1 / n)
    >>> result = Processor(pipeline=invert).execute(to_inputs([0]))
    >>> folder = tempfile.TemporaryDirectory()
    >>> result.write_failures(Path(folder.name, "dead.jsonl"))
    1
    >>> [item.payload.step for item in read_failures(Path(folder.name, "dead.jsonl"), Pipeline(invert))]
    ['invert']
    >>> folder.cleanup()
    """
    return DeadLetters(pipeline, registry).read(path)


def _brought(given: Any) -> Payload | Completed[Any] | None:
    """The payload of an input; one that is refused again stands for what cannot be read."""
    try:
        return None if given is None else read_payload(given)
    except BadPayload as problem:
        return Payload(step=REFUSED, exception=BadPayload.__name__, message=str(problem))


def _told(letter: Any) -> tuple[str, dict[str, Any]]:
    """The id and the payload of a line, if it is an error response."""
    if not isinstance(letter, dict):
        raise TypeError(f"$: an error response is an object, got {type(letter).__name__}")
    fields = cast("dict[str, Any]", letter)
    input_id, payload = fields.get("input_id"), fields.get("payload")
    if not isinstance(input_id, str) or not input_id:
        raise ValueError("$.input_id: missing; an error response names its input")
    if not isinstance(payload, dict):
        raise ValueError(f"$.payload: missing; input {quoted(input_id)} cannot go on without it")
    return input_id, cast("dict[str, Any]", payload)


def _corrected(resume: dict[str, Any], given: dict[str, Any], problem: str | None) -> dict[str, Any]:
    """Where an input goes on that failed before its first step: the response's payload may have been corrected."""
    step = given.get("step")
    if not isinstance(step, str) or not step or step in RESERVED:
        return resume
    has_data = "data" in given and (problem is None or given["data"] is not None)
    return {**resume, "step": step, **({"data": given["data"]} if has_data else {})}


def _line(letter: dict[str, Any]) -> bytes:
    text = json.dumps(letter, ensure_ascii=False, separators=(",", ":"))
    try:
        return text.encode() + b"\n"
    except UnicodeEncodeError:  # a lone surrogate, in an id or a message
        if _SIDE_BY_SIDE.search(text):  # which escapes would make one character of
            return text.encode("utf-8", "surrogatepass") + b"\n"
        return json.dumps(letter, separators=(",", ":")).encode("ascii") + b"\n"

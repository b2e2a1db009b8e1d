"""Inputs and outcomes to rows and back, by the declared types of a pipeline's steps: exact, or not stored."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeAlias, TypeVar

import msgspec

from pipeline import codec, fingerprint
from pipeline.changes import is_same, to_store
from pipeline.codec import Cipher, CodecError, Registry
from pipeline.codec.problem import refusal
from pipeline.compose import Pipeline
from pipeline.errors import InvalidEdit, JournalDamaged
from pipeline.journal.records import AttemptsRow, InputRow, OutcomeRow, RunRow
from pipeline.metrics import Metrics
from pipeline.model import (
    Attempt,
    Completed,
    ExecutionContext,
    Failed,
    FailureKind,
    Frame,
    NotRun,
    Outcome,
    Payload,
    ProcessorInput,
    Skipped,
    Succeeded,
)
from pipeline.shown import quoted
from pipeline.step import RESERVED

S = TypeVar("S", bound=msgspec.Struct)

Code: TypeAlias = dict[str, str | None]
"""Step names to fingerprints of their code."""

DONE = (Succeeded, Skipped)
"""A tuple, because a union of types made for every outcome costs as much as looking at one."""

UNREADABLE = "unreadable"  # the fingerprint of no data: an input that had it counts as changed
_SEALED = b"SSLC"


class RunDetail(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a run's row holds besides its columns."""

    context: ExecutionContext = ExecutionContext()
    steps: tuple[str, ...] = ()
    code: dict[str, str | None] = {}
    owner: str = ""
    stopped: str | None = None
    metrics: Metrics | None = None
    expected: int | None = None


class FailureDetail(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the row of an input that did not succeed holds besides its columns.

    ``code`` is the payload's where it is not the run's, for a success too; ``reason`` is a ``NotRun``'s.
    ``plain`` says that the data is stored as JSON without a declared type, because it does not fit its step.
    A checkpoint's row has no more than ``retry_count`` and ``edited``, and none where they are not set.
    """

    exception: str = ""
    message: str = ""
    kind: FailureKind = "error"
    retryable: bool = True
    frames: tuple[Frame, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    reason: str = ""
    failed_at: str | None = None
    retry_count: int = 0
    edited: bool = False
    plain: bool = False
    code: dict[str, str | None] | None = None


def write_detail(detail: msgspec.Struct) -> bytes:
    """A detail as JSON that holds any text: lone surrogates as UTF-8 would write them, had they been characters."""
    text = json.dumps(msgspec.to_builtins(detail), ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass")


def read_detail(data: bytes, kind: type[S]) -> S:
    """A detail that ``write_detail`` wrote; ``CodecError`` for anything else."""
    try:
        return msgspec.convert(json.loads(data), kind)
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError) as error:
        raise refusal(error) from error


class Stored:
    """The codec of one pipeline's inputs, outputs and payloads."""

    def __init__(self, pipeline: Pipeline[Any, Any, Any], registry: Registry | None, cipher: Cipher | None) -> None:
        self.pipeline = pipeline
        self.registry = registry
        self.cipher = cipher

    def __reduce__(self) -> tuple[Any, ...]:
        return Stored, (self.pipeline, self.registry, self.cipher)

    @cached_property
    def entering(self) -> tuple[Any, ...]:
        """The declared types of what enters each step; behind the last, the type of the output."""
        steps = self.pipeline.steps
        return (*(step.input_type for step in steps), steps[-1].output_type if steps else Any)

    @cached_property
    def _writers(self) -> tuple[Callable[[object], bytes], ...]:
        return tuple(self._writer(declared, self.registry) for declared in self.entering)

    def _writer(self, declared: Any, registry: Registry | None) -> Callable[[object], bytes]:
        write = codec.writer(declared, registry=registry)
        return write if self.cipher is None else lambda value: codec.seal(write(value), self.cipher)

    def write(self, value: Any, index: int) -> bytes:
        """What enters step ``index`` as bytes; ``CodecError`` when it would not come back as it is."""
        return self._writers[index](value)

    def read(self, data: bytes, index: int | None) -> Any:
        """What enters step ``index``, as its type; undeclared where there is no such step any more."""
        try:
            return self.decoded(data, Any if index is None else self.entering[index])
        except CodecError:
            if index is None or index == len(self.pipeline):
                raise
            return self.decoded(data, Any)  # as plain JSON: `decide` says why that does not fit the step

    def decoded(self, data: bytes, declared: Any) -> Any:
        """Stored bytes as a declared type."""
        opened = codec.unseal(data, self.cipher) if data.startswith(_SEALED) else data
        return codec.decode(opened, declared, registry=self.registry)

    def input_row(self, number: int, place: int | None, item: ProcessorInput[Any]) -> InputRow:
        """An input with its data, or with the reason why that cannot be stored."""
        try:
            data = self._writers[0](item.data)
        except CodecError as error:
            told = fingerprint.of_data(item.data)
            return InputRow(number, place, item.input_id, item.account_id, item.underwriting_id, None, told, str(error))
        return InputRow(number, place, item.input_id, item.account_id, item.underwriting_id, data)

    def input_of(self, row: InputRow) -> ProcessorInput[Any]:
        """The input in a row that has its data."""
        return ProcessorInput(
            input_id=row.input_id,
            account_id=row.account_id,
            underwriting_id=row.underwriting_id,
            data=self.read(row.data or b"", 0),
        )

    def fingerprint_of(self, row: InputRow) -> str | None:
        """The fingerprint of a stored input's data."""
        if row.data is None:
            return row.fingerprint
        try:
            return fingerprint.of_data(self.read(row.data, 0))
        except CodecError:  # of an earlier declared type, so not the same
            return UNREADABLE

    def checkpoint_row(self, number: int, run: int, place: int, value: Any, detail: bytes | None) -> OutcomeRow:
        """The row of an input whose next step is ``place``; behind the last one, that of its output."""
        status, step = ("checkpoint", self.pipeline.names[place]) if place < len(self.pipeline) else ("succeeded", None)
        told = detail if step else None
        try:
            return OutcomeRow(number, run, status, step, self.write(value, place), told)
        except CodecError as error:
            problem = f"{error}, in what {self.pipeline.names[place - 1]!r} returned"
            return OutcomeRow(number, run, status, None, None, told, problem=problem)

    def place_of(self, row: OutcomeRow) -> int | None:
        """The step that a checkpoint leads to, or behind the last one, if it is an output; ``None`` for other rows."""
        if row.status not in ("checkpoint", "succeeded") or row.data is None:
            return None
        return len(self.pipeline) if row.step is None else self.pipeline.find(row.step)

    def outcome_row(
        self, number: int, run: int, outcome: Outcome[Any], code: Code, before: OutcomeRow | None = None
    ) -> OutcomeRow | None:
        """The row of an outcome; ``None`` for one that adds nothing to what is known.

        ``before`` is the checkpoint of this run, if there is one: its bytes serve where the input stopped there.
        """
        if isinstance(outcome, DONE):
            return self.output_row(number, run, outcome.output)
        payload, is_failed = outcome.payload, isinstance(outcome, Failed)
        if payload is None or (payload.checkpoint and not is_failed):
            return None
        detail = _detail_of(outcome, payload, code)
        return self._payload_row(number, run, "failed" if is_failed else "not_run", payload, detail, before)

    def given_row(self, number: int, run: int, payload: Payload | Completed[Any], code: Code) -> OutcomeRow:
        """The row of what an input brought with it into a run of this ``code``."""
        if isinstance(payload, Completed):
            other = None if is_same(payload.code, code) else write_detail(FailureDetail(code=payload.code))
            output, declared = to_store(self.pipeline, payload, self.registry)
            write = None if other is None and not payload.plain else self._writer(declared, self.registry)
            row = self.output_row(number, run, output, write)
            return msgspec.structs.replace(row, fingerprint=payload.input_fingerprint, detail=other)
        detail = FailureDetail(
            exception=payload.exception,
            message=payload.message,
            reason="edited, not run yet" if payload.edited else "not run yet",
            failed_at=payload.step,
            retry_count=payload.retry_count,
            edited=payload.edited,
            code=payload.code,
        )
        return self._payload_row(number, run, "checkpoint" if payload.checkpoint else "not_run", payload, detail)

    def edited_row(self, number: int, run: int, input_id: str, payload: Payload) -> OutcomeRow:
        """The row of an input that waits to go on with edited data; ``InvalidEdit`` when that cannot be stored."""
        row = self.given_row(number, run, payload, payload.code)
        if row.problem is not None:
            raise InvalidEdit(f"the new data of input {input_id!r} cannot be stored: {row.problem}")
        return row

    def output_row(self, number: int, run: int, output: Any, write: Callable[[Any], bytes] | None = None) -> OutcomeRow:
        """The row of a success, written as the output of the last step unless told how."""
        try:
            return OutcomeRow(number, run, "succeeded", None, (write or self._writers[-1])(output))
        except CodecError as error:
            return OutcomeRow(number, run, "succeeded", None, None, problem=str(error))

    def _payload_row(
        self,
        number: int,
        run: int,
        status: str,
        payload: Payload,
        detail: FailureDetail,
        before: OutcomeRow | None = None,
    ) -> OutcomeRow:
        data, problem, plain = None, None, False
        try:
            if before is not None and (before.status, before.step) == ("checkpoint", payload.step):
                data = before.data
            else:
                data, plain = self._payload_data(payload)
            detail = msgspec.structs.replace(detail, plain=plain)
        except CodecError as error:
            problem = str(error)
        return OutcomeRow(
            number, run, status, payload.step, data, write_detail(detail), payload.input_fingerprint, problem
        )

    def _payload_data(self, payload: Payload) -> tuple[bytes | None, bool]:
        """What entered the step as bytes, and whether as plain JSON: it may not fit its step, or have none."""
        if payload.step in RESERVED:
            return None, False
        index, write = self.pipeline.find(payload.step), self._writer(Any, None)
        if index is None:
            return write(payload.data), True
        try:
            return self.write(payload.data, index), False
        except CodecError as refused:
            try:
                return write(payload.data), True
            except CodecError:
                raise refused from None


def attempts_row(number: int, run: int, outcome: Outcome[Any]) -> AttemptsRow | None:
    """The row of the failed tries of an outcome, if it had any."""
    if isinstance(outcome, Skipped) or not outcome.attempts:
        return None
    return AttemptsRow(number, run, write_detail(FailureDetail(attempts=outcome.attempts)))


def _detail_of(outcome: Failed | NotRun, payload: Payload, code: Code) -> FailureDetail:
    failed = outcome if isinstance(outcome, Failed) else None
    return FailureDetail(
        exception=payload.exception,
        message=payload.message,
        kind=failed.kind if failed else "error",
        retryable=failed.retryable if failed else True,
        frames=failed.frames if failed else (),
        attempts=outcome.attempts,
        reason=outcome.reason if isinstance(outcome, NotRun) else "",
        failed_at=outcome.step,
        retry_count=payload.retry_count,
        edited=payload.edited,
        code=None if is_same(payload.code, code) else payload.code,
    )


def run_detail(row: RunRow) -> RunDetail:
    """The detail of a run's row; ``JournalDamaged`` when it is not what was written."""
    try:
        return read_detail(row.detail, RunDetail)
    except CodecError as error:
        raise JournalDamaged(
            f"the details of run {quoted(row.run_id)} cannot be read: {error}; prune it and give its inputs again"
        ) from error

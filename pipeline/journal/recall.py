"""Reads back what earlier runs of a batch knew of an input, as the payload of a resume."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from pipeline import fingerprint
from pipeline.changes import is_of_others, output_type
from pipeline.codec import CodecError
from pipeline.errors import JournalDamaged
from pipeline.journal.index import Index
from pipeline.journal.protocol import Journal
from pipeline.journal.records import SLOTS, InputRow, OutcomeRow, RunRow
from pipeline.journal.stored import UNREADABLE, Code, FailureDetail, Stored, read_detail, run_detail, write_detail
from pipeline.model import Completed, Failed, NotRun, Outcome, Payload, ProcessorInput, Skipped
from pipeline.payload import REFUSED, STARTS_ANEW, Unreadable, refused

_IN_DOUBT = "in doubt"


class Recall:
    """The memory of one batch. ``known`` says which row an input has; it is all that is kept in memory.

    ``run`` is one that goes on with the batch. It makes its memory when nobody else can add to the batch any more.
    """

    def __init__(self, journal: Journal, stored: Stored, batch: int, run: int | None = None) -> None:
        self.journal = journal
        self.stored = stored
        self.known: Index = Index()
        self.batch = batch
        self.next: int = batch * SLOTS
        self._damaged: list[InputRow] | None = None
        self._runs: dict[int, RunRow] = {}
        self._codes: dict[int, Code] = {}
        rows = 0
        for number, input_id in journal.input_ids(batch):
            first = self.known.setdefault(input_id, number)
            if first != number and stands_in(row_before(journal, first, input_id)):
                self.known.put(input_id, number)
            self.next, rows = number + 1, rows + 1
        self.first_new: int = self.next
        _refuse_gaps(journal, journal.latest(batch, run), rows)

    def take(self, input_id: str, batch: int) -> int:
        """The row of an input, or of a new one; a second input of the same id gets a row of its own."""
        found = self.known.take(input_id)
        if found is not None:
            return found
        self.next += 1
        self.known.setdefault(input_id, self.next - 1, taken=True)
        return self.next - 1

    def recall(self, item: ProcessorInput[Any], row: OutcomeRow | None = None) -> ProcessorInput[Any]:
        """The input with the payload that it stopped with, or the output that it had; ``row`` is newer than its own."""
        number = self.known.get(item.input_id)
        return self._recall(item, lambda: row or (None if number is None else self.journal.outcome(number)))

    def recall_joining(self, item: ProcessorInput[Any]) -> ProcessorInput[Any]:
        """``recall`` for an input that has not joined yet, whose data may be other than that in its row."""
        number = self.known.get(item.input_id)

        def found() -> OutcomeRow | None:
            if number is None:
                return None
            before = row_before(self.journal, number, item.input_id)
            return self.changed(before, self.stored.input_row(number, None, item)) or self.journal.outcome(number)

        return self._recall(item, found)

    def _recall(self, item: ProcessorInput[Any], found: Callable[[], OutcomeRow | None]) -> ProcessorInput[Any]:
        try:
            row = found()
            payload: Any = None if row is None or self._is_settled(row) else self._to_go_on(row)
        except (CodecError, JournalDamaged) as error:
            payload = Unreadable(f"what {self.journal.name} holds of it cannot be read: {error}")
        return item if payload is None else msgspec.structs.replace(item, payload=payload)

    def changed(self, before: InputRow | None, now: InputRow) -> OutcomeRow | None:
        """The outcome of an input that comes with other data, where it does not say yet of which data it is."""
        if before is None or (now.data is not None and now.data == before.data):
            return None
        outcome = self.journal.outcome(before.id)
        if outcome is None or outcome.fingerprint is not None:
            return None
        return msgspec.structs.replace(outcome, fingerprint=self.stored.fingerprint_of(before))

    def doubt(self) -> str | None:
        """Why an input of which nothing is known may be one of earlier runs; ``None`` where it is surely new."""
        if self._damaged is None:
            self._damaged = input_rows(self.journal, self.batch, stands_in)
        return doubt(self.journal, [row for row in self._damaged if not self._is_taken(row)])

    def _is_settled(self, row: OutcomeRow) -> bool:
        """Whether the row refuses its input for a doubt that there is none of any more: nothing of it ran."""
        return is_in_doubt(row) and self.doubt() is None

    def _is_taken(self, row: InputRow) -> bool:
        return self.known.get(row.input_id) == row.id and self.known.is_taken(row.input_id)

    def remembered(self, item: ProcessorInput[Any]) -> ProcessorInput[Any]:
        """``recall`` for whoever has not this journal, which knows of what data it was that has no fingerprint."""
        known = self.recall(item)
        payload: Any = known.payload
        if not isinstance(payload, Payload | Completed) or payload.input_fingerprint is not None:
            return known
        if isinstance(payload, Payload) and self.stored.pipeline.find(payload.step) == 0:
            return known  # its own data tells that
        return msgspec.structs.replace(known, payload=_of(item.data, known.payload))

    def left(self, item: ProcessorInput[Any]) -> Outcome[Any]:
        """How the input ended in the latest run."""
        number = self.known.get(item.input_id)
        try:
            row = None if number is None else self.journal.outcome(number)
            return NotRun(input_id=item.input_id, reason="not run yet") if row is None else self._outcome(item, row)
        except (CodecError, JournalDamaged) as error:
            return refused(item, f"what {self.journal.name} holds of it cannot be read: {error}", "BadPayload")

    def _outcome(self, item: ProcessorInput[Any], row: OutcomeRow) -> Outcome[Any]:
        if row.status == "succeeded" and row.problem is None:
            done = self._completed(row)
            return Skipped(input_id=item.input_id, output=done.output, run_id=done.run_id)
        detail = FailureDetail() if row.detail is None else read_detail(row.detail, FailureDetail)
        payload, step = self._payload(row), detail.failed_at or row.step
        if row.status == "checkpoint":
            return NotRun(input_id=item.input_id, reason="it was in flight", step=step, payload=payload)
        if row.status != "failed":
            reason = detail.reason or (payload.message if payload else "not run yet")
            return NotRun(input_id=item.input_id, reason=reason, step=step, payload=payload, attempts=detail.attempts)
        return Failed(
            input_id=item.input_id,
            step=step or "",
            exception=detail.exception,
            message=detail.message,
            payload=payload or Payload(step=row.step or "", exception=detail.exception, message=detail.message),
            kind=detail.kind,
            retryable=detail.retryable,
            frames=detail.frames,
            attempts=detail.attempts,
        )

    def _to_go_on(self, row: OutcomeRow) -> Payload | Completed[Any] | None:
        """What the input goes on with; a failure counts as one more resume."""
        if row.status == "succeeded" and row.problem is None:
            return self._completed(row)
        payload = self._payload(row)
        if payload is None or row.status != "failed":
            return payload
        return msgspec.structs.replace(payload, retry_count=payload.retry_count + 1)

    def _payload(self, row: OutcomeRow) -> Payload | None:
        """What the input stopped with."""
        detail = FailureDetail() if row.detail is None else read_detail(row.detail, FailureDetail)
        if row.problem is not None and row.data is None:
            told = f"what it stopped with could not be stored ({row.problem})"
            return Payload(step="", message=told, retry_count=detail.retry_count)
        if row.step is None or row.step in STARTS_ANEW:
            return None
        index = None if detail.plain else self.stored.pipeline.find(row.step)
        is_checkpoint = row.status in ("checkpoint", "succeeded")
        return Payload(
            step=row.step,
            exception=detail.exception,
            message=_later(row) if is_checkpoint else detail.message,
            data=None if row.data is None else self.stored.read(row.data, index),
            retry_count=detail.retry_count,
            input_fingerprint=row.fingerprint,
            code=self._code(row.run) if detail.code is None else detail.code,
            edited=detail.edited,
            checkpoint=is_checkpoint,
        )

    def _completed(self, row: OutcomeRow) -> Completed[Any]:
        run = self._run(row.run)
        own = None if row.detail is None else read_detail(row.detail, FailureDetail).code
        code = self._code(row.run) if own is None else own
        output = self.stored.decoded(row.data or b"", output_type(self.stored.pipeline, code))
        plain = is_of_others(self.stored.pipeline, code)
        return Completed(output=output, input_fingerprint=row.fingerprint, code=code, run_id=run.run_id, plain=plain)

    def _run(self, number: int) -> RunRow:
        if number not in self._runs:
            self._runs[number] = self.journal.run(number)
        return self._runs[number]

    def _code(self, number: int) -> Code:
        """The code of a run, one for all its inputs: a result may hold a million of them."""
        if number not in self._codes:
            self._codes[number] = run_detail(self._run(number)).code
        return self._codes[number]


def row_before(journal: Journal, number: int, input_id: str) -> InputRow | None:
    """The row that an input has; where it is damaged, one that stands for it, whose data is not known."""
    try:
        return journal.input(number)
    except JournalDamaged:
        return InputRow(number, 0, input_id, None, None, None, UNREADABLE, "its row was damaged")


def stands_in(row: InputRow | None) -> bool:
    """Whether it stands for a row that was damaged, of which it has nothing but what was read as the id."""
    return row is not None and row.fingerprint == UNREADABLE


def input_rows(journal: Journal, batch: int, wanted: Callable[[InputRow], bool]) -> list[InputRow]:
    """The rows of a batch's inputs that are ``wanted``; of those that are damaged, what stands for them."""
    try:
        return [*filter(wanted, journal.inputs(batch))]
    except JournalDamaged:
        rows = (row_before(journal, *ids) for ids in journal.input_ids(batch))
        return [row for row in rows if row is not None and wanted(row)]


def in_doubt(row: OutcomeRow) -> OutcomeRow:
    """The row of a refusal as one that lasts no longer than the doubt."""
    detail = read_detail(row.detail or b"", FailureDetail)
    return msgspec.structs.replace(row, detail=write_detail(msgspec.structs.replace(detail, reason=_IN_DOUBT)))


def is_in_doubt(row: OutcomeRow) -> bool:
    """Whether it is such a row."""
    is_refusal = row.status == "failed" and row.step == REFUSED and row.detail is not None
    return is_refusal and read_detail(row.detail or b"", FailureDetail).reason == _IN_DOUBT


def doubt(journal: Journal, left: Iterable[InputRow]) -> str | None:
    """Why an input may be one of those whose rows are ``left`` when all that are known have theirs."""
    for row in left:
        if stands_in(row):  # the id in it may be another, so that to run what seems new would be to run it again
            return (
                f"{journal.name}: row {row.id} of inputs is not what was written, and may be this input's; "
                f'{journal.restore}, or let such inputs start over: on_bad_payload="restart"'
            )
    return None


def _of(data: Any, payload: Any) -> Any:
    """The payload with the fingerprint of its input's data."""
    return msgspec.structs.replace(payload, input_fingerprint=fingerprint.of_data(data))


def _later(row: OutcomeRow) -> str:
    """Why a checkpoint is not the last that there might be."""
    return "" if row.problem is None else f"what came later could not be stored ({row.problem})"


def _refuse_gaps(journal: Journal, run: RunRow, known: int) -> None:
    """A row's checksum cannot tell that a row is gone; what the batch's latest run knew of itself can."""
    metrics = run_detail(run).metrics
    done = 0 if metrics is None else metrics.succeeded + metrics.skipped
    for found, counted, what in ((known, run.inputs or 0, "inputs"), (journal.succeeded(run.batch), done, "outputs")):
        if found < counted:
            raise JournalDamaged(
                f"{journal.name}: {counted - found} of the {counted} {what} of run {run.run_id} are gone; "
                f"{journal.restore}, or prune the run and give its inputs again"
            )

"""What a journal holds of one processor: its runs, and the inputs of each as a resume takes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from time import time
from typing import Any

import msgspec

from pipeline.codec import CodecError, Registry
from pipeline.compose import Pipeline
from pipeline.edit import Problems, at_its_step, edited, marked, refuse_edit
from pipeline.errors import (
    InputsNeeded,
    InvalidSetting,
    JournalDamaged,
    RunOwned,
    UnknownInput,
    UnknownRun,
    did_you_mean,
)
from pipeline.journal.admission import is_bare, is_input
from pipeline.journal.owner import LIVE
from pipeline.journal.protocol import Change, Journal, Lease
from pipeline.journal.recall import Recall
from pipeline.journal.records import RunRow
from pipeline.journal.stored import FailureDetail, RunDetail, Stored, read_detail, run_detail, write_detail
from pipeline.model import ExecutionContext, Outcome, ProcessorInput
from pipeline.payload import Unreadable
from pipeline.runid import new_run_id
from pipeline.selection import Left
from pipeline.shown import quoted


class Past:
    """The past of the processor ``name``; ``journal`` is the one it was given, if any."""

    def __init__(
        self, name: str, journal: Journal | None, pipeline: Pipeline[Any, Any, Any], registry: Registry | None
    ) -> None:
        if journal is None:
            raise InvalidSetting(f"processor {name!r} has no journal; pass journal=SqliteJournal('runs.db')")
        self.name = name
        self.journal = journal
        self.stored: Stored = Stored(pipeline, registry, journal.cipher)

    def left(self, run_id: str | None) -> Left:
        """What a run left, the latest unless named; its inputs are bare, and find what they had when they run."""
        earlier = self._run(run_id)
        numbers = [*self.journal.places(earlier.batch)]
        items = _inputs(self.journal, self.stored, earlier, numbers)
        step = _failing_step(self.journal, self.stored, earlier.batch, numbers)
        context = msgspec.structs.replace(_resume_context(earlier), last_error_step=step)
        return Left(items, context, self._outcomes(earlier, items), earlier)

    def _outcomes(self, earlier: RunRow, items: list[ProcessorInput[Any]]) -> Iterator[Outcome[Any]]:
        memory = Recall(self.journal, self.stored, earlier.batch)
        for item in items:
            yield memory.left(item)

    def recalled(self, run_id: str) -> Left:
        """What a run left, each input with what it stopped with."""
        earlier, left = self._run(run_id), self.left(run_id)
        memory = Recall(self.journal, self.stored, earlier.batch)
        return left._replace(inputs=[memory.recall(item) for item in left.inputs])

    def joined(self, left: Left) -> Left:
        """Inputs that join the run before them, each with what it stopped with there, unless it brings a payload."""
        of_a_run = left.outcomes is not None
        earlier = self.before(left.context.previous_run_id or "", None if of_a_run else left.inputs)
        if earlier is None:
            return left
        memory = Recall(self.journal, self.stored, earlier.batch)
        rows = [memory.take(item.input_id, earlier.batch) if is_input(item) else None for item in left.inputs]
        told = memory.doubt() if any(map(is_bare, left.inputs)) and memory.next > memory.first_new else None

        def joined(item: ProcessorInput[Any], number: int | None) -> ProcessorInput[Any]:
            if number is None or not is_bare(item):
                return item
            if told is not None and number >= memory.first_new:
                return msgspec.structs.replace(item, payload=Unreadable(told))
            return memory.recall_joining(item)

        return left._replace(inputs=[*map(joined, left.inputs, rows)])

    def edit(self, run_id: str, input_id: str, data: Any, problems: Problems) -> str:
        """Record that an input goes on with ``data``, as a run of its own in which nothing runs; gives its id.

        ``problems`` says which inputs do not belong to the processor, by their places.
        """
        earlier = self._run(run_id)
        items = _inputs(self.journal, self.stored, earlier, self.journal.places(earlier.batch))
        ids = [item.input_id for item in items]
        if input_id not in ids:
            raise UnknownInput(f"no input {quoted(input_id)} in run {quoted(run_id)}{did_you_mean(input_id, ids)}")
        place = ids.index(input_id)
        memory = Recall(self.journal, self.stored, earlier.batch)
        number = memory.take(input_id, earlier.batch)
        before = self.journal.outcome(number)
        left = memory.left(items[place])
        refuse_edit(left, lambda: problems(items).get(place))
        known = at_its_step(memory.recall(items[place]), left)
        payload = edited(self.stored.pipeline, known, data, self.stored.registry)

        def change(lease: Lease) -> Iterator[Change]:
            if self.journal.outcome(number) != before:
                raise RunOwned(f"another process went on with input {input_id!r} a moment ago; look again, then edit")
            yield Change(outcomes=[self.stored.edited_row(number, lease.run, input_id, payload)])

        return self._record_edit(earlier, input_id, change)

    def _record_edit(self, earlier: RunRow, input_id: str, change: Callable[[Lease], Iterator[Change]]) -> str:
        lineage = msgspec.structs.replace(
            _resume_context(earlier), retry_count=run_detail(earlier).context.retry_count, run_id=new_run_id()
        )
        detail = RunDetail(context=marked(lineage, input_id), steps=self.stored.pipeline.names)
        told = write_detail(detail)
        row = RunRow(0, 0, lineage.run_id or "", self.name, "started", earlier.inputs, time(), None, told)
        lease = self.journal.begin(row, earlier, change)
        try:
            ended = row._replace(batch=lease.batch, run=lease.run, state="edited", ended_at=time())
            self.journal.end(lease, ended)
        finally:
            LIVE.discard(lease.token)
        return row.run_id

    def find(self, run_id: str | None) -> RunRow:
        """The run of this id, the latest when ``None``; ``UnknownRun`` when this processor has none."""
        found = self.journal.find(self.name, run_id)
        if found is None:
            raise UnknownRun(f"{self._no_run(run_id)}{self._cure(run_id)}")
        if found.processor != self.name:
            raise UnknownRun(f"{self._no_run(run_id)}: it is of {found.processor!r}{self._cure(run_id)}")
        return found

    def before(self, run_id: str, given: Iterable[object] | None) -> RunRow | None:
        """The run that is gone on with; ``UnknownRun`` where only the journal could say what an input had.

        ``None`` where a run without a journal is gone on with, or one that was pruned: then every input that was
        ``given`` brings a payload, or they are those of a result, which needs no journal.
        """
        try:
            return self.find(run_id)
        except UnknownRun:
            items = None if given is None else [*filter(is_input, given)]
            if items is None or (items and not any(map(is_bare, items))):
                return None
            raise

    def _run(self, run_id: str | None) -> RunRow:
        """The run that is meant, as the latest of its batch left it."""
        return self.journal.latest(self.find(run_id).batch)

    def _no_run(self, run_id: str | None) -> str:
        told = "no run" if run_id is None else f"no run {quoted(run_id)}"
        return f"{told} of processor {quoted(self.name)} in {self.journal.name}"

    def _cure(self, run_id: str | None) -> str:
        """What may have been meant: a run of nearly that id, or the latest."""
        try:
            known = [run.run_id for run in self.journal.runs() if run.processor == self.name]
        except JournalDamaged:  # of a run that is not meant
            return ""
        if not known:
            return "; execute(inputs) without previous_run_id makes one"
        return f"{did_you_mean(run_id, known, 0.9)}; the latest is {known[-1]!r}"


def _inputs(journal: Journal, stored: Stored, run: RunRow, numbers: Iterable[int]) -> list[ProcessorInput[Any]]:
    """The inputs of a run, the latest of its batch, by their numbers; ``InputsNeeded`` when one could not be stored."""
    items: list[ProcessorInput[Any]] = []
    for number in numbers:
        row = journal.input(number)
        if row is None or row.data is None:
            told = f"input {quoted(row.input_id)} could not be stored ({row.problem})" if row else "an input is gone"
            raise InputsNeeded(
                f"{told}; give the inputs again: execute(inputs, "
                f"context=ExecutionContext(previous_run_id={run.run_id!r}))"
            )
        try:
            items.append(stored.input_of(row))
        except CodecError as error:
            raise InputsNeeded(
                f"input {quoted(row.input_id)} no longer fits the first step: {error}; give the inputs again"
            ) from error
    return items


def _failing_step(journal: Journal, stored: Stored, batch: int, numbers: Iterable[int]) -> str | None:
    """The earliest step at which one of these inputs failed, as far as their rows can be read."""
    known, seen, wanted = stored.pipeline.names, set[str](), set(numbers)
    with suppress(JournalDamaged):
        for number, step, detail in journal.failures(batch):
            name = _failed_at(step, detail)
            if number in wanted and name not in seen and _has_failed_at(journal, number, name):
                seen.add(name)
                if known[:1] == (name,):
                    break
    return next((name for name in (*known, *sorted(seen)) if name in seen), None)


def _has_failed_at(journal: Journal, number: int, name: str) -> bool:
    """Whether the whole row says so, and is what was written."""
    try:
        row = journal.outcome(number)
    except JournalDamaged:
        return False
    return row is not None and row.status == "failed" and _failed_at(row.step, row.detail) == name


class _FailedAt(msgspec.Struct):
    failed_at: str | None = None


_FAILED_AT = msgspec.json.Decoder(_FailedAt)
"""Reads that alone, which a batch of failures is asked for: a tenth of what the whole detail costs."""


def _failed_at(step: str | None, detail: bytes | None) -> str:
    at: str | None = None
    try:
        at = _FAILED_AT.decode(detail or b"{}").failed_at
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError):  # damaged, or with what is no UTF-8
        with suppress(CodecError):
            at = read_detail(detail or b"", FailureDetail).failed_at
    return at or step or ""


def _resume_context(run: RunRow) -> ExecutionContext:
    """The lineage of a run that resumes ``run``."""
    earlier = run_detail(run).context
    return ExecutionContext(
        parent_run_id=earlier.parent_run_id or run.run_id,
        previous_run_id=run.run_id,
        retry_count=earlier.retry_count + 1,
        execution_metadata=earlier.execution_metadata,
    )

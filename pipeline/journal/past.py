"""What a journal holds of one processor: its runs, and the inputs of each as a resume takes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from time import time
from typing import Any

import msgspec

from pipeline.codec import Registry
from pipeline.compose import Pipeline
from pipeline.edit import at_its_step, edited, marked, refuse_edit
from pipeline.errors import InvalidSetting, RunOwned, UnknownInput, UnknownRun, did_you_mean
from pipeline.journal.admission import is_bare, is_input
from pipeline.journal.owner import LIVE
from pipeline.journal.protocol import Change, Journal, Lease
from pipeline.journal.recall import Recall, resume_context, stored_inputs
from pipeline.journal.records import RunRow
from pipeline.journal.stored import RunDetail, Stored, run_detail, write_detail
from pipeline.model import Outcome, ProcessorInput
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
        items = stored_inputs(self.journal, self.stored, earlier)
        return Left(items, resume_context(earlier), self._outcomes(earlier, items), earlier)

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

    def edit(self, run_id: str, input_id: str, data: Any) -> str:
        """Record that an input goes on with ``data``, as a run of its own in which nothing runs; gives its id."""
        earlier = self._run(run_id)
        items = {item.input_id: item for item in stored_inputs(self.journal, self.stored, earlier)}
        if input_id not in items:
            raise UnknownInput(f"no input {quoted(input_id)} in run {quoted(run_id)}{did_you_mean(input_id, items)}")
        memory = Recall(self.journal, self.stored, earlier.batch)
        number = memory.take(input_id, earlier.batch)
        before = self.journal.outcome(number)
        left = memory.left(items[input_id])
        refuse_edit(left)
        known = at_its_step(memory.recall(items[input_id]), left)
        payload = edited(self.stored.pipeline, known, data, self.stored.registry)

        def change(lease: Lease) -> Iterator[Change]:
            if self.journal.outcome(number) != before:
                raise RunOwned(f"another process went on with input {input_id!r} a moment ago; look again, then edit")
            yield Change(outcomes=[self.stored.edited_row(number, lease.run, input_id, payload)])

        return self._record_edit(earlier, input_id, change)

    def _record_edit(self, earlier: RunRow, input_id: str, change: Callable[[Lease], Iterator[Change]]) -> str:
        lineage = msgspec.structs.replace(
            resume_context(earlier), retry_count=run_detail(earlier).context.retry_count, run_id=new_run_id()
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
        known = [run.run_id for run in self.journal.runs() if run.processor == self.name]
        if not known:
            return "; execute(inputs) without previous_run_id makes one"
        return f"{did_you_mean(run_id, known, 0.9)}; the latest is {known[-1]!r}"

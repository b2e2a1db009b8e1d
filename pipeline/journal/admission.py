"""The inputs of a run on their way into a journal: each gets a slot of its batch, and a row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, cast

from msgspec.structs import replace

from pipeline.errors import JournalDamaged
from pipeline.journal.protocol import Change, Journal, Lease
from pipeline.journal.recall import Recall, doubt, in_doubt, input_rows, row_before, stands_in
from pipeline.journal.records import SLOTS, InputRow, OutcomeRow
from pipeline.journal.stored import Code, RunDetail, Stored
from pipeline.journal.waiting import Waiting
from pipeline.model import Outcome, ProcessorInput
from pipeline.payload import STARTS_ANEW, BadPayload, is_refused, read_payload, refused
from pipeline.plan import check_fits

AT_A_TIME = 1_000
"""Inputs that are encoded at a time when a run begins."""

Items = Sequence[ProcessorInput[Any]]


class Admission:
    """Gives the inputs of one run their rows. Guard: the lock of the recorder.

    ``memory`` is of the earlier runs of the batch, if there are any; ``kept`` are the outcomes that the run does not
    touch, and ``slots`` those that inputs of a resumed batch have, by their places in this run. ``joined`` is what the
    input that came last goes on with, where the row of that waits to be written.
    """

    def __init__(self, journal: Journal, stored: Stored, detail: RunDetail, waiting: Waiting) -> None:
        self.journal = journal
        self.stored = stored
        self.code: Code = detail.code
        self.retries: int = detail.context.retry_count
        self.waiting = waiting
        self.lease: Lease = Lease(0, 0, "")
        self.memory: Recall | None = None
        self.slots: dict[int, int] | None = None
        self.kept: Mapping[int, Outcome[Any]] = {}
        self.joined: OutcomeRow | None = None
        self.is_stream: bool = False

    def number(self, place: int) -> int:
        """The number of the rows of the input at a place."""
        slot = self.lease.batch * SLOTS + place
        return slot if self.slots is None else self.slots.get(place, slot)

    def leave(self, place: int) -> None:
        """Forget the slot of an input that has ended: of a stream there may be no end."""
        if self.slots is not None:
            self.slots.pop(place, None)

    def batch(self, lease: Lease, items: Items | None, *, joins: bool) -> Iterator[Change]:
        """The rows of all inputs of a batch, which may join those of earlier runs; of a stream, none are known yet."""
        self.lease, self.is_stream = lease, items is None
        if joins:
            self.memory = Recall(self.journal, self.stored, lease.batch, lease.run)
            self.slots = {}
            self.waiting.is_first = False
        if items is None:
            return
        add = self.add if self.memory is not None else self._add_new
        for first in range(0, len(items), AT_A_TIME):
            for place, item in enumerate(items[first : first + AT_A_TIME], first):
                add(place, item)
            yield self.waiting.taken()
        if self.memory is not None:
            yield self._without(items, self.memory)

    def _without(self, items: Items, memory: Recall) -> Change:
        """The inputs of earlier runs that this one does not have lose their places.

        Where the id of one cannot be trusted, those that seem new are refused: it may be one of them.
        """
        slots = self.slots or {}
        here = set(slots.values())
        left = input_rows(
            self.journal, self.lease.batch, lambda row: row.id not in here and (row.place is not None or stands_in(row))
        )
        told, refusals = doubt(self.journal, left), list[OutcomeRow]()
        if told is not None:
            new = [(number, items[place]) for place, number in slots.items() if number >= memory.first_new]
            refusals = [row for number, item in new if (row := self._doubted(number, item, told)) is not None]
        return Change(inputs=[replace(row, place=None) for row in left if row.place is not None], outcomes=refusals)

    def _refusal(self, number: int, item: ProcessorInput[Any], told: str) -> OutcomeRow | None:
        """The row of an input that each resume refuses, until it brings what it is to go on with."""
        if item.payload is not None:
            return None
        return self.stored.outcome_row(number, self.lease.run, refused(item, told, BadPayload.__name__), self.code)

    def _doubted(self, number: int, item: ProcessorInput[Any], told: str) -> OutcomeRow | None:
        """The row of an input that is refused as long as a damaged row may be its own."""
        row = self._refusal(number, item, told)
        return None if row is None else in_doubt(row)

    def add(self, place: int, item: ProcessorInput[Any]) -> None:
        """Queue the rows of an input: its own, and that of the payload it brought with it."""
        if self.memory is None:
            self._add_new(place, item)
        elif is_input(item):
            self._bring(self._join(self.memory, place, item), place, item)

    def _add_new(self, place: int, item: ProcessorInput[Any]) -> None:
        if is_input(item):
            number = self.lease.batch * SLOTS + place
            self.waiting.inputs.append(self.stored.input_row(number, place, item))
            if item.payload is not None:
                self._bring(number, place, item)

    def _bring(self, number: int, place: int, item: ProcessorInput[Any]) -> None:
        if item.payload is None:
            return
        kept, row = self.kept.get(place), None
        if kept is not None and not is_refused(kept):  # of what was refused, nothing ran: it has what it brought
            row = self.stored.outcome_row(number, self.lease.run, kept, self.code)
        if row is None:
            row = self._given(number, item)
        if row is not None:
            self.waiting.brought(row)

    def _given(self, number: int, item: ProcessorInput[Any]) -> OutcomeRow | None:
        """The row of the payload that an input brought with it; ``None`` to leave what is recorded."""
        try:
            payload = read_payload(item.payload, self.retries)
            row = self.stored.given_row(number, self.lease.run, payload, self.code)
            if row.problem is not None:  # where it is of no step's type, it will be refused
                check_fits(self.stored.pipeline, payload, self.stored.registry)
        except BadPayload as problem:
            if self._is_recorded(number):
                return None
            return self._refusal(number, replace(item, payload=None), str(problem))
        return None if row.problem is not None and self._has_output(number) else row

    def _has_output(self, number: int) -> bool:
        """Whether an earlier run stored an output, which one that cannot be stored does not replace."""
        row = None if self.memory is None else self._outcome(number)
        return row is not None and row.status == "succeeded" and row.problem is None

    def _outcome(self, number: int) -> OutcomeRow | None:
        """What an earlier run recorded, if it can be read; the run tells each input of which it cannot."""
        try:
            return self.journal.outcome(number)
        except JournalDamaged:
            return None

    def can_go_on(self, number: int, item: ProcessorInput[Any]) -> bool:
        """Whether there is something to go on with: what the input brought, or what an earlier run of it recorded."""
        return item.payload is not None or self._is_recorded(number)

    def _is_recorded(self, number: int) -> bool:
        """Whether an earlier run left something that the input goes on with, or is refused for."""
        try:
            row = None if self.memory is None else self._waiting(number) or self.journal.outcome(number)
        except JournalDamaged:  # which the run has told
            return True
        return row is not None and row.step not in STARTS_ANEW

    def _waiting(self, number: int) -> OutcomeRow | None:
        """What waits to be written of an input."""
        return next((row for row in reversed(self.waiting.outcomes) if row.id == number), None)

    def _join(self, memory: Recall, place: int, item: ProcessorInput[Any]) -> int:
        """Find the input among those of earlier runs; a changed one keeps the fingerprint it had then."""
        number = memory.take(item.input_id, self.lease.batch)
        if self.slots is not None:
            self.slots[place] = number
        before = row_before(self.journal, number, item.input_id)
        row = self.stored.input_row(number, self._place(number, before) if self.is_stream else place, item)
        self.joined = self._going_on(memory, before, row, item)
        if self.joined is not None:
            self.waiting.brought(self.joined)
        if before != row:
            self.waiting.inputs.append(row)
        return number

    def _place(self, number: int, before: InputRow | None) -> int:
        """Where an input of a stream is in a later resume: where it was, and what is new behind all others."""
        if before is None or before.place is None or stands_in(before):
            return number - self.lease.batch * SLOTS
        return before.place

    def _going_on(
        self, memory: Recall, before: InputRow | None, row: InputRow, item: ProcessorInput[Any]
    ) -> OutcomeRow | None:
        """What the input goes on with, where that is not what is recorded."""
        if before is None and self.is_stream:
            told = memory.doubt()
            return None if told is None else self._doubted(row.id, item, told)
        with suppress(JournalDamaged):  # the input is refused for it
            return memory.changed(before, row)
        return None

    def recall(self, place: int, item: ProcessorInput[Any]) -> ProcessorInput[Any]:
        """A bare input with what an earlier run of its batch knew of it; in a stream, as it joins."""
        memory, number = self.memory, self.number(place)
        if memory is None or item.payload is not None or memory.known.get(item.input_id) != number:
            return item
        return memory.recall(item, self.joined if self.joined is not None and self.joined.id == number else None)

    def remembered(self, place: int, item: ProcessorInput[Any]) -> ProcessorInput[Any]:
        """``recall`` for whoever has not this journal; not of another input that has the same id."""
        memory = self.memory
        if memory is None or not is_bare(item) or memory.known.get(item.input_id) != self.number(place):
            return item
        return memory.remembered(item)


def is_input(item: object) -> bool:
    """Whether it is one; anything else fails in the run, and leaves nothing to go on with."""
    given: Any = item
    return (
        isinstance(item, _INPUT)
        and isinstance(given.input_id, str)
        and (given.account_id is None or isinstance(given.account_id, str))
        and (given.underwriting_id is None or isinstance(given.underwriting_id, str))
    )


def is_bare(item: object) -> bool:
    """Whether it is an input that brings no payload: what there is to go on with, the journal alone may know."""
    return is_input(item) and cast("ProcessorInput[Any]", item).payload is None


_INPUT: type = ProcessorInput  # of which a type checker would know that its ids are texts

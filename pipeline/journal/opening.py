"""The beginning of a run that is recorded: it is in the journal, with its inputs, before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from time import time
from typing import Any

from pipeline.changes import Code
from pipeline.errors import InvalidSetting, JournalError
from pipeline.journal.admission import Items, is_input
from pipeline.journal.past import Past
from pipeline.journal.recorder import Recorder
from pipeline.journal.records import RunRow
from pipeline.journal.stored import RunDetail, write_detail
from pipeline.model import ExecutionContext, Outcome


def recorder_for(
    past: Past,
    context: ExecutionContext,
    code: Callable[[], Code],
    items: Items | None,
    given: Iterable[object] | None = (),
    kept: Mapping[int, Outcome[Any]] = {},
    read: RunRow | None = None,
) -> Recorder:
    """The recorder of a new run, which is in the journal already; ``RunOwned`` when another is at work on its batch.

    ``InvalidSetting`` when its id is another run's. ``given`` is what ``Past.before`` is asked about; ``kept`` are the
    outcomes that the run does not touch, by the places of their inputs. ``read`` is the latest run of the batch, as it
    was when ``items`` were read from there.
    """
    journal, stored = past.journal, past.stored
    previous = past.before(context.previous_run_id, given) if context.previous_run_id else None
    detail = RunDetail(context=context, steps=stored.pipeline.names, code=dict(code()))
    inputs = None if items is None else sum(map(is_input, items))
    row = RunRow(0, 0, context.run_id or "", past.name, "started", inputs, time(), None, write_detail(detail))
    recorder = Recorder(journal, stored, row, detail)
    recorder.admission.kept = kept
    try:
        recorder.begin(previous, items, read)
    except JournalError as error:
        if _is_used(past, row.run_id, error):
            told = f"run_id={row.run_id!r} is the id of a run in {journal.name} already; give another one, or none"
            raise InvalidSetting(told) from error
        raise
    return recorder


def _is_used(past: Past, run_id: str, error: JournalError) -> bool:
    """Whether a run could not begin because there is one of its id: databases call that an ``IntegrityError``."""
    kinds = type(error.__cause__).__mro__
    return any(kind.__name__ == "IntegrityError" for kind in kinds) and past.journal.find(past.name, run_id) is not None

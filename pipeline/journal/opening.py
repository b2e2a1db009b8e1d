"""The beginning of a run that is recorded: it is in the journal, with its inputs, before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import time
from typing import Any

from pipeline.changes import Code
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
    kept: Mapping[str, Outcome[Any]] = {},
) -> Recorder:
    """The recorder of a new run, which is in the journal already; ``RunOwned`` when another is at work on its batch.

    ``kept`` are the outcomes that the run does not touch.
    """
    journal, stored = past.journal, past.stored
    previous = past.before(context.previous_run_id, items or ()) if context.previous_run_id else None
    detail = RunDetail(context=context, steps=stored.pipeline.names, code=dict(code()))
    inputs = None if items is None else sum(map(is_input, items))
    row = RunRow(0, 0, context.run_id or "", past.name, "started", inputs, time(), None, write_detail(detail))
    recorder = Recorder(journal, stored, row, detail)
    recorder.admission.kept = kept
    recorder.begin(previous, items)
    return recorder

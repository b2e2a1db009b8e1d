"""Where runs are remembered, so that the next command goes on after a kill as after a failure."""

from __future__ import annotations

from pipeline.journal.memory import MemoryJournal
from pipeline.journal.protocol import Journal, Pruned
from pipeline.journal.recall import Recall, resume_context, stored_inputs
from pipeline.journal.recorder import NoRecorder, Recorder, recorder_for
from pipeline.journal.sqlite import SqliteJournal
from pipeline.journal.stored import Stored

__all__ = [
    "Journal",
    "MemoryJournal",
    "NoRecorder",
    "Pruned",
    "Recall",
    "Recorder",
    "SqliteJournal",
    "Stored",
    "recorder_for",
    "resume_context",
    "stored_inputs",
]

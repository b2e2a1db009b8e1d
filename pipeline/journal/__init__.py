"""Where runs are remembered, so that the next command goes on after a kill as after a failure."""

from __future__ import annotations

from pipeline.journal.breakers import breakers_of, check_shared, has_shared
from pipeline.journal.cache import results_of
from pipeline.journal.memory import MemoryJournal
from pipeline.journal.opening import recorder_for
from pipeline.journal.past import Past
from pipeline.journal.postgres import PostgresJournal
from pipeline.journal.protocol import Journal, Pruned
from pipeline.journal.recorder import Recorder
from pipeline.journal.sqlite import SqliteJournal
from pipeline.journal.unrecorded import NoRecorder

__all__ = [
    "Journal",
    "MemoryJournal",
    "NoRecorder",
    "Past",
    "PostgresJournal",
    "Pruned",
    "Recorder",
    "SqliteJournal",
    "breakers_of",
    "check_shared",
    "has_shared",
    "recorder_for",
    "results_of",
]

"""What a journal holds of one processor: its runs, and the inputs of each as a resume takes them."""

from __future__ import annotations

from typing import Any

from pipeline.codec import Registry
from pipeline.compose import Pipeline
from pipeline.errors import InvalidSetting, UnknownRun
from pipeline.journal.protocol import Journal
from pipeline.journal.recall import Recall, resume_context, stored_inputs
from pipeline.journal.records import RunRow
from pipeline.journal.stored import Stored
from pipeline.model import ExecutionContext, ProcessorInput


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

    def to_resume(self, run_id: str | None) -> tuple[list[ProcessorInput[Any]], ExecutionContext]:
        """The inputs of a run, the latest unless named, and the lineage of the run that resumes it."""
        earlier = self._run(run_id)
        return stored_inputs(self.journal, self.stored, earlier), resume_context(earlier)

    def recalled(self, run_id: str) -> list[ProcessorInput[Any]]:
        """The inputs of a run, each with what it stopped with."""
        earlier = self._run(run_id)
        memory = Recall(self.journal, self.stored, earlier.batch)
        return [memory.recall(item) for item in stored_inputs(self.journal, self.stored, earlier)]

    def _run(self, run_id: str | None) -> RunRow:
        """The run that is meant, as the latest of its batch left it."""
        found = self.journal.find(self.name, run_id)
        if found is None or found.processor != self.name:
            told = f"no run {run_id!r}" if run_id is not None else "no run"
            raise UnknownRun(f"{told} of processor {self.name!r} in {self.journal.name}; execute(inputs) makes one")
        return self.journal.latest(found.batch)

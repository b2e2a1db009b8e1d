"""What a journal holds of one processor: its runs, and the inputs of each as a resume takes them."""

from __future__ import annotations

from typing import Any

from pipeline.codec import Registry
from pipeline.compose import Pipeline
from pipeline.errors import InvalidSetting, UnknownRun, did_you_mean
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

    def find(self, run_id: str | None) -> RunRow:
        """The run of this id, the latest when ``None``; ``UnknownRun`` when this processor has none."""
        found = self.journal.find(self.name, run_id)
        if found is None:
            raise UnknownRun(f"{self._no_run(run_id)}{self._cure(run_id)}")
        if found.processor != self.name:
            raise UnknownRun(f"{self._no_run(run_id)}: it is of {found.processor!r}{self._cure(run_id)}")
        return found

    def _run(self, run_id: str | None) -> RunRow:
        """The run that is meant, as the latest of its batch left it."""
        return self.journal.latest(self.find(run_id).batch)

    def _no_run(self, run_id: str | None) -> str:
        told = "no run" if run_id is None else f"no run {run_id!r}"
        return f"{told} of processor {self.name!r} in {self.journal.name}"

    def _cure(self, run_id: str | None) -> str:
        """What may have been meant: a run of nearly that id, or the latest."""
        known = [run.run_id for run in self.journal.runs() if run.processor == self.name]
        if not known:
            return "; execute(inputs) without previous_run_id makes one"
        return f"{did_you_mean(run_id, known, 0.9)}; the latest is {known[-1]!r}"

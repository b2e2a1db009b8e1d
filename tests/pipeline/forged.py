"""A journal in which one column holds what it should not, with the checksums right."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from pipeline import ExecutionContext, Pipeline, PipelineError, Processor, ProcessorInput, SqliteJournal
from pipeline.codec import CodecError

COLUMNS = [
    "inputs.data",
    "inputs.input_id",
    "inputs.fingerprint",
    "inputs.problem",
    "outcomes.data",
    "outcomes.detail",
    "outcomes.step",
    "outcomes.status",
    "outcomes.fingerprint",
    "outcomes.problem",
    "attempts.detail",
    "runs.detail",
    "runs.state",
    "runs.processor",
    "batches.owner",
]


class Forger:
    """Makes copies of one journal: a run of three inputs, of which one failed."""

    def __init__(self, folder: Path, pipeline: Pipeline[Any, Any, Any]) -> None:
        self.folder = folder
        self.pipeline = pipeline
        self.original = folder / "original.db"
        journal = SqliteJournal(self.original)
        batch = [ProcessorInput(input_id=name, data=data) for name, data in (("a", "x"), ("b", "fails"), ("c", "z"))]
        Processor(name="p", pipeline=pipeline, journal=journal).execute(batch, ExecutionContext(run_id="run"))
        journal.close()

    @contextmanager
    def forged(self, column: str, value: Any) -> Iterator[SqliteJournal]:
        """A copy in which every row has ``value`` in that column."""
        path = self.folder / "forged.db"
        shutil.copy(self.original, path)
        journal = SqliteJournal(path)
        table, _, name = column.partition(".")
        journal._transact(lambda connection: getattr(self, f"_{table}")(journal, connection, name, value))
        try:
            yield journal
        finally:
            journal.close()
            for file in self.folder.glob("forged.db*"):
                file.unlink()

    def go_on(self, journal: SqliteJournal) -> list[Exception]:
        """Ask for all that reads a journal; whatever it holds, the errors are declared ones, and given."""
        processor = Processor(name="p", pipeline=self.pipeline, journal=journal)
        asks: list[Callable[[], object]] = [
            lambda: _read_all(journal),
            lambda: processor.plan("run"),
            lambda: processor.resume(only=lambda _: False),
            processor.resume,
            lambda: processor.edit("run", "b", "other"),
            lambda: processor.resume("run"),
            lambda: journal.prune(keep_last=5),
        ]
        errors: list[Exception] = []
        for ask in asks:
            try:
                ask()
            except (PipelineError, CodecError) as error:
                errors.append(error)
        return errors

    def _inputs(self, journal: Any, connection: Any, name: str, value: Any) -> None:
        (run,) = journal.runs()
        for row in [*journal.inputs(run.batch)]:
            if name == "input_id":
                connection.execute("DELETE FROM inputs WHERE id = ?", (row.id,))
            connection.execute(journal.sql["put_input"], _forged(row, name, value))

    def _outcomes(self, journal: Any, connection: Any, name: str, value: Any) -> None:
        (run,) = journal.runs()
        for row in [*journal.outcomes(run.batch)]:
            connection.execute(journal.sql["put_outcome"], _forged(row, name, value))

    def _attempts(self, journal: Any, connection: Any, name: str, value: Any) -> None:
        (run,) = journal.runs()
        rows = [row for number, _ in journal.input_ids(run.batch) for row in journal.attempts(number)]
        connection.execute("DELETE FROM attempts")
        for row in rows:
            connection.execute(journal.sql["put_attempts"], _forged(row, name, value))

    def _runs(self, journal: Any, connection: Any, name: str, value: Any) -> None:
        (run,) = journal.runs()
        row = _forged(run, name, value)
        sql = "UPDATE runs SET processor = ?, state = ?, detail = ?, checksum = ?"
        connection.execute(sql, (row[2], row[3], row[7], row[8]))

    def _batches(self, journal: Any, connection: Any, name: str, value: Any) -> None:
        connection.execute(f"UPDATE batches SET owner_run = 1, {name} = ?", (value,))


def _read_all(journal: SqliteJournal) -> None:
    for batch in {run.batch for run in journal.runs()}:
        for number, _ in journal.input_ids(batch):
            journal.attempts(number)
        list(journal.outcomes(batch))


def _forged(row: Any, name: str, value: Any) -> Any:
    """The columns of a row with another value; text where the column is one."""
    declared = type(row).__annotations__[name]
    if "str" in str(declared):
        value = value.decode("latin-1") if isinstance(value, bytes) else value
    change: Any = replace if isinstance(row, Struct) else type(row)._replace
    return change(row, **{name: value}).row()

"""What the pytest fixtures give; ``stepslice_pytest`` is the plugin that gives it."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from typing import Any

from pipeline.compose import Pipeline
from pipeline.journal import SqliteJournal
from pipeline.processor import Processor
from pipeline.step import Step
from pipeline.testing.recorder import RecordingRunner

MakeProcessor = Callable[..., Processor[Any, Any, Any]]
"""``make_processor(pipeline, **options)``: the options are those of ``Processor``."""


def processor_maker(test: str, recorder: RecordingRunner) -> MakeProcessor:
    """A maker of processors that are named after ``test`` and run on ``recorder``, unless told otherwise."""

    def make_processor(
        pipeline: Pipeline[Any, Any, Any] | Step[Any, Any, Any], **options: Any
    ) -> Processor[Any, Any, Any]:
        settings: dict[str, Any] = {"name": test, "runner": recorder, **options}
        return Processor(pipeline=pipeline, **settings)

    return make_processor


def journal_in(folder: Path) -> Generator[SqliteJournal]:
    """A journal in ``folder``, closed afterwards."""
    with closing(SqliteJournal(folder / "runs.db")) as journal:
        yield journal

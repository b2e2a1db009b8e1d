"""The pytest plugin: fixtures for tests of pipelines. Nothing else is imported before a test asks for one.

The wheel installs this file as ``stepslice_pytest``, a module of its own: pytest loads it in every project of an
environment, also where a ``pipeline.py`` of that project comes first, and before coverage begins to measure.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pipeline.journal import SqliteJournal
    from pipeline.testing import MakeProcessor, RecordingRunner


@pytest.fixture
def recorder() -> RecordingRunner:
    """A runner that remembers which steps ran on which input: ``recorder.steps``, ``recorder.recorded``."""
    from pipeline.testing import RecordingRunner

    return RecordingRunner()


@pytest.fixture
def make_processor(request: pytest.FixtureRequest, recorder: RecordingRunner) -> MakeProcessor:
    """``make_processor(pipeline, **options)``: a ``Processor`` named after the test, on ``recorder`` unless told."""
    from pipeline.testing.fixtures import processor_maker

    return processor_maker(request.node.name, recorder)


@pytest.fixture
def tmp_journal(tmp_path: Path) -> Iterator[SqliteJournal]:
    """A ``SqliteJournal`` in ``tmp_path``, closed after the test."""
    from pipeline.testing.fixtures import journal_in

    yield from journal_in(tmp_path)

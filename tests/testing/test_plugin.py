"""The pytest plugin: fixtures, loaded by pytest itself, that cost nothing until a test asks for them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from pipeline import Processor, SqliteJournal, step, to_inputs
from pipeline.testing import MakeProcessor, RecordingRunner

parse = step("parse")(int)


def test_a_made_processor_is_named_after_the_test_and_recorded(
    make_processor: MakeProcessor, recorder: RecordingRunner
) -> None:
    processor = make_processor(parse)

    result = processor.execute(to_inputs(["1", "x"]))

    assert processor.name == "test_a_made_processor_is_named_after_the_test_and_recorded"
    assert [failed.input_id for failed in result.failed] == ["input-2"]
    assert recorder.steps == {"input-1": ("parse",), "input-2": ("parse",)}


def test_a_made_processor_takes_every_option(make_processor: MakeProcessor, tmp_journal: SqliteJournal) -> None:
    processor: Processor[Any, Any, Any] = make_processor(parse, name="sums", aggregate=sum, journal=tmp_journal)

    processor.execute(to_inputs(["1", "2"]))

    assert processor.resume().output == 3
    assert (processor.name, processor.plan(tmp_journal.runs()[-1].run_id).inputs[0].action) == ("sums", "skip")


def run_pytest(folder: Path, *flags: str) -> str:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", *flags, str(folder)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_nothing_is_imported_before_a_test_asks_for_a_fixture(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(
        "import sys\nassert not {'pipeline', 'runners', 'hypothesis'} & {*sys.modules}\n"
    )
    (tmp_path / "test_it.py").write_text("def test_it(recorder):\n    assert recorder.steps == {}\n")

    assert "1 passed" in run_pytest(tmp_path, "-p", "no:hypothesispytest")


def test_a_project_with_a_pipeline_module_of_its_own_is_not_disturbed(tmp_path: Path) -> None:
    (tmp_path / "pipeline.py").write_text("MINE = True\n")
    (tmp_path / "test_it.py").write_text("import pipeline\n\ndef test_it():\n    assert pipeline.MINE\n")

    assert "1 passed" in run_pytest(tmp_path)

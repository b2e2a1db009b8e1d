"""R13, short tier: a signal at any moment, once or twice, to the process or to its group."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runners.signalled import any_signals, may_repeat, signal_a_program

RUNNERS = ["sequential", "thread", "async", "process", "process-forkserver", "process-spawned", "executor-processes"]


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_signal_at_any_moment_loses_nothing_and_leaves_nothing(runner: str, tmp_path: Path) -> None:
    for trial in range(3):
        folder = tmp_path / str(trial)
        folder.mkdir()
        what = any_signals(runner, trial)

        told = signal_a_program(folder, runner, what)

        assert told.repeated <= may_repeat(runner, what)

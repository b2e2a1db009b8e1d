"""Long tier: every fault at every place under every start method, hangs, hogs, signals. Figures are printed."""

from __future__ import annotations

import os
import signal
import statistics
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from runners.process import ProcessRunner
from tests.runners import faults
from tests.runners.faults import Faulty
from tests.runners.processes import descendants, is_alive, nothing_left_behind, wait_until
from tests.runners.signalled import any_signals, may_repeat, signal_a_program
from tests.runners.test_process_faults import INPUTS, MATRIX, METHODS, make_runner, split, squares
from tests.runners.test_process_life import start_parent
from tests.runners.test_signalled import RUNNERS

pytestmark = [pytest.mark.campaign, pytest.mark.timeout(3600)]

PLACES = ({0}, {19}, {7, 8}, {0, 5, 6, 19})
HANGS = [fault for fault, expected in MATRIX.items() if expected.kind == "timeout"]
SIGNALLED = int(os.environ.get("STEPSLICE_SIGNALLED", "30"))


@pytest.mark.parametrize("method", METHODS)
def test_every_fault_at_every_place(method: str) -> None:
    """R10: as many failures as faulty inputs, each of its kind; the pool goes on; nothing is left."""
    figures: Counter[str] = Counter()
    for fault, expected in MATRIX.items():
        with nothing_left_behind(), make_runner(fault, method) as runner:
            for on in PLACES:
                results, crashes = split(runner.stream(Faulty(fault, frozenset(on)), INPUTS))

                assert results == squares(*on), (fault, on)
                assert {position: crash.kind for position, crash in crashes.items()} == dict.fromkeys(on, expected.kind)
                figures.update(batches=1, faulty=len(on), others=20 - len(on))
    print(f"\nR10 {method}: {len(MATRIX)} kinds, {figures['batches']} batches with {figures['faulty']} faulty inputs:")
    print(f"all blamed by kind; the {figures['others']:,} others have their results; no process is left")


@pytest.mark.parametrize("method", METHODS)
def test_hangs_end_at_their_limit(method: Any) -> None:
    """R11: asleep, busy, holding the interpreter, deaf to SIGTERM, stopped; the limit is 0.3 s."""
    late: list[float] = []
    for hang in HANGS * 3:
        with nothing_left_behind():
            results, crashes = split(ProcessRunner(2, method, timeout=0.3).stream(Faulty(hang), INPUTS))
        late.append(crashes[7].duration_s - 0.3)

        assert results == squares(7)
        assert crashes[7].kind == "timeout"
    typical, worst = statistics.median(late), max(late)
    print(f"\nR11 {method}: {len(late)} hangs ended {typical:.2f} s after their limit, {worst:.2f} at most")
    assert typical < 1.0


@pytest.mark.parametrize("method", METHODS)
def test_a_memory_hog_costs_its_own_input(method: Any) -> None:
    """R12: 4 GB where 300 MB are allowed."""
    for _ in range(10):
        with nothing_left_behind():
            results, crashes = split(
                ProcessRunner(2, method, max_memory=300_000_000).stream(Faulty(faults.hog), INPUTS)
            )
        assert results == squares(7)
        assert crashes[7].exception == "MemoryError"
    print(f"\nR12 {method}: 10 hogs, 10 inputs failed, 190 others have their results")


@pytest.mark.parametrize("runner", RUNNERS)
def test_signals_at_any_moment(runner: str, tmp_path: Path) -> None:
    """R13: once or twice, to the process or to its group; then the journal is resumed."""
    took: list[float] = []
    repeated = 0
    for seed in range(SIGNALLED):
        folder = tmp_path / str(seed)
        folder.mkdir()
        what = any_signals(runner, seed)
        told = signal_a_program(folder, runner, what)
        took.append(told.took_s)
        repeated += told.repeated
        assert told.repeated <= may_repeat(runner, what), what
    typical, worst = statistics.median(took), max(took)
    print(f"\nR13 {runner}: {SIGNALLED} programs signalled: 0 lost, {repeated} in flight repeated, 0 tracebacks,")
    print(f"no process left; ended after {typical:.2f} s, {worst:.2f} at most")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("function", ["faults.hang_on", "faults.hold_interpreter_on"])
def test_workers_end_when_their_parent_is_killed(method: str, function: str, tmp_path: Path) -> None:
    """R14: SIGKILL of the parent alone."""
    took: list[float] = []
    for _ in range(10):
        parent = start_parent(tmp_path, method, function)
        assert parent.stdout is not None
        assert parent.stdout.readline() == "ready\n"
        assert wait_until(lambda: len(descendants(parent.pid)) >= 2, 30.0)  # noqa: B023 - called at once
        time.sleep(0.1)
        family = descendants(parent.pid)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        began = time.monotonic()
        assert wait_until(lambda: not any(map(is_alive, family)), 2.0)  # noqa: B023
        took.append(time.monotonic() - began)
        parent.stdout.close()
    print(f"\nR14 {method}, {function}: {len(took)} parents killed; all workers gone after {max(took):.2f} s at most")

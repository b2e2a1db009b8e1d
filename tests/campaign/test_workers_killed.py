"""Long tier: workers killed at random, batches by the thousand, five million inputs. Figures are printed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pipeline import Processor, step, to_inputs
from runners.process import ProcessRunner
from tests.benchmarks.runners.memory import RUNNERS
from tests.runners import faults
from tests.runners.processes import descendants, nothing_left_behind
from tests.runners.test_process_life import check_fork_hazard

pytestmark = [pytest.mark.campaign, pytest.mark.timeout(3600)]

TRIALS = int(os.environ.get("STEPSLICE_TRIALS", "500"))
ROOT = Path(__file__).parents[2]
KILLED: dict[str, tuple[Callable[[], ProcessRunner], int]] = {
    "fork, deliver_each": (lambda: ProcessRunner(2, "fork", deliver_each=True), 7),
    "fork": (lambda: ProcessRunner(2, "fork"), 3),
}
"""Settings, and how many tenths of the trials they get."""


def note(folder: Path, name: str, value: int) -> int:
    faults.spin(0.001)
    with (folder / f"{name}-{value}").open("ab", buffering=0) as file:
        file.write(b".")
    return value


def three_steps(folder: Path) -> Any:
    first, second, third = (step(name)(partial(note, folder, name)) for name in ("first", "second", "third"))
    return first >> second >> third


@contextmanager
def random_kills(seed: int, every_s: float) -> Iterator[list[int]]:
    """Kill one of this process's workers at a time; yields the list of those hit."""
    chooser, stop, killed = random.Random(seed), threading.Event(), []

    def kill() -> None:
        while not stop.wait(every_s):
            family = sorted(descendants())
            if family:
                victim = chooser.choice(family)
                with suppress(ProcessLookupError):  # it has just ended
                    os.kill(victim, signal.SIGKILL)
                    killed.append(victim)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield killed
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("setting", KILLED)
def test_random_kills_cost_only_the_inputs_they_hit(setting: str, tmp_path: Path) -> None:
    """R2: 200 inputs of three steps of 1 ms, a kill every 50 ms; what was blamed is retried."""
    make, tenths = KILLED[setting]
    figures: Counter[str] = Counter()
    for trial in range(TRIALS * tenths // 10):
        folder = tmp_path / str(trial)
        folder.mkdir()
        processor = Processor(pipeline=three_steps(folder), runner=make())
        with random_kills(trial, 0.05) as killed:
            result = processor.execute(to_inputs(range(200), key=str))
        blamed = {outcome.input_id for outcome in result.failed}
        times = Counter({file.name: file.stat().st_size for file in folder.iterdir()})
        repeated = sum(count - 1 for name, count in times.items() if name.partition("-")[2] not in blamed)
        figures.update(trials=1, kills=len(killed), blamed=len(blamed), repeated=repeated)
        figures["lost"] += 200 - len(result.succeeded) - len(blamed)

        assert {outcome.kind for outcome in result.failed} <= {"crash"}
        assert len(blamed) <= len(killed)
        assert processor.retry(result).output == list(range(200))
        if "deliver_each" in setting:
            assert repeated == 0
    told = ", ".join(f"{figures[name]:,} {name}" for name in ("trials", "kills", "blamed", "lost", "repeated"))
    print(f"\nR2 {setting}: {told}")
    assert figures["lost"] == 0


@pytest.mark.parametrize("name", RUNNERS)
def test_five_million_inputs_stay_flat_in_memory(name: str) -> None:
    """In a process of its own, whose peak the kernel counts."""
    command = [sys.executable, "-m", "tests.benchmarks.runners.memory", name, "5000000"]
    told = json.loads(subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout)

    print(f"\n{name}: 5,000,000 inputs: growth {told['grown'] / 1e6:.1f} MB in {told['seconds']:.0f} s")
    assert told["grown"] < 5_000_000


def test_thousands_of_batches_leave_nothing_behind() -> None:
    with nothing_left_behind():
        for _ in range(2_000):
            assert ProcessRunner(2, "fork").run(abs, [-1, -2]) == [1, 2]


def test_fork_hazards_do_not_hang(tmp_path: Path) -> None:
    """R15: threads that log and hold locks while workers start, 50 times."""
    check_fork_hazard(tmp_path, rounds=50)
    print("\nR15: 50 batches beside threads that hold locks: 0 hung")

"""Long tier: workers killed at random, batches by the thousand, five million inputs. Figures are printed."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest

from runners.process import ProcessRunner
from tests.runners import faults
from tests.runners.processes import descendants, nothing_left_behind
from tests.runners.test_process_faults import split
from tests.runners.test_process_life import check_fork_hazard, growth_over

pytestmark = [pytest.mark.campaign, pytest.mark.timeout(3600)]


def slow_square(folder: Path, value: int) -> int:
    faults.spin(0.003)
    return faults.note_and_square(folder, value)


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


def test_random_kills_cost_only_the_inputs_they_hit(tmp_path: Path) -> None:
    """R2: 200 inputs of 3 ms, a kill every 50 ms, 500 trials."""
    trials = int(os.environ.get("STEPSLICE_TRIALS", "500"))
    kills = lost = repeated = 0
    for trial in range(trials):
        folder = tmp_path / str(trial)
        folder.mkdir()
        with random_kills(trial, 0.05) as killed:
            stream = ProcessRunner(2, "fork", deliver_each=True).stream(partial(slow_square, folder), range(200))
            results, crashes = split(stream)
        kills += len(killed)
        lost += len(crashes)
        repeated += sum(max(0, file.stat().st_size - 1) for file in folder.iterdir())
        assert len(results) + len(crashes) == 200
        assert {crash.kind for crash in crashes.values()} <= {"crash"}
        assert len(crashes) <= len(killed)
    print(f"\nR2: {trials} trials, {kills} kills, {lost} inputs blamed, {repeated} repeated")
    assert repeated == 0


def test_five_million_inputs_stay_flat_in_memory() -> None:
    start = time.monotonic()
    growth = growth_over(5_000_000)
    print(f"\n5,000,000 inputs: growth {growth / 1e6:.1f} MB in {time.monotonic() - start:.0f} s")
    assert growth < 5_000_000


def test_thousands_of_batches_leave_nothing_behind() -> None:
    with nothing_left_behind():
        for _ in range(2_000):
            assert ProcessRunner(2, "fork").run(abs, [-1, -2]) == [1, 2]


def test_fork_hazards_do_not_hang(tmp_path: Path) -> None:
    check_fork_hazard(tmp_path, rounds=50)

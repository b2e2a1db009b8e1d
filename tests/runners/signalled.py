"""A program that gets a signal at any moment, and what must hold afterwards (R13)."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from tests.runners.processes import descendants, is_alive, wait_until

ROOT = Path(__file__).parents[2]
INPUTS = 120
WORK_S = 0.004
"""How long an input takes, in seconds: what is in flight at a signal has ended soon after."""
PROGRAM = f"""
import os, signal, sys, time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pipeline import Processor, RunInterrupted, SqliteJournal, step, to_inputs
from runners import AsyncRunner, ExecutorRunner, ProcessRunner, SequentialRunner, ThreadRunner

RUNNERS = {{
    "sequential": SequentialRunner,
    "thread": partial(ThreadRunner, 2),
    "async": partial(AsyncRunner, 4),
    "process": partial(ProcessRunner, 2, "fork"),
    "process-forkserver": partial(ProcessRunner, 2, "forkserver"),
    "process-spawned": partial(ProcessRunner, 2, "spawn"),
    "executor-processes": partial(ExecutorRunner, partial(ProcessPoolExecutor, 2)),
}}
RAN = os.open(sys.argv[3], os.O_WRONLY | os.O_APPEND | os.O_CREAT)

@step("work")
def work(number: int) -> int:
    time.sleep({WORK_S})
    os.write(RAN, b"%d " % number)
    return number + 1

def main():
    with SqliteJournal(sys.argv[2]) as journal:
        processor = Processor(name="signalled", pipeline=work, runner=RUNNERS[sys.argv[1]](), journal=journal)
        if len(sys.argv) > 4:
            return processor.resume().output == list(range(1, {INPUTS} + 1))
        print("ready", flush=True)
        try:
            result = processor.execute(to_inputs(range({INPUTS}), key=str))
        except RunInterrupted as interrupted:
            result = interrupted.result
        return len(result.outcomes) == {INPUTS} and not result.failed

if __name__ == "__main__":
    try:
        is_right = main()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    except KeyboardInterrupt:  # it came before the run began, or after its end
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        is_right = True
    sys.exit(0 if is_right else "wrong")
"""


class Signals(NamedTuple):
    """What is sent, when in seconds after the program is ready, to whom, and how long after that once more."""

    number: signal.Signals
    after_s: float
    to_group: bool
    again_after_s: float | None


class Told(NamedTuple):
    """What became of a program: seconds from the last signal to its end, inputs not begun then, inputs run twice."""

    took_s: float
    left: int
    repeated: int


def any_signals(runner: str, seed: int) -> Signals:
    """By chance, the same for the same seed.

    A second one in the midst of a start of the standard pool's worker leaves that worker: it does not know of it yet.
    """
    chooser = random.Random(seed)
    number = chooser.choice([signal.SIGINT, signal.SIGTERM])
    again = chooser.choice([None, None if runner == "executor-processes" else chooser.uniform(0.0, 0.02)])
    return Signals(number, chooser.uniform(0.0, INPUTS * WORK_S / 2), chooser.random() < 0.5, again)


def signal_a_program(folder: Path, runner: str, what: Signals) -> Told:
    """Run the program, send it the signals, and hold what is left against the pass marks; then resume it."""
    program = folder / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, str(program), runner, str(folder / "runs.db"), str(folder / "ran")]
    (folder / "ran").touch()
    with started(command) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        family = send(process, what)
        began = time.monotonic()
        _, errors = process.communicate(timeout=60)
    took_s = time.monotonic() - began

    assert errors == "", f"{what}: {errors}"
    assert process.returncode in (0, -signal.SIGTERM), f"{what}: it ended with {process.returncode}"
    assert wait_until(lambda: not any(map(is_alive, family)), 2.0), f"{what}: a process is left"
    if process.returncode == 0:
        assert not (folder / "runs.db-wal").exists(), f"{what}: the journal was not closed"
    begun = len(ran(folder))
    if (folder / "runs.db").exists() and begun:
        with started([*command, "resume"]) as again:
            errors = again.communicate(timeout=60)[1]
        assert (errors, again.returncode) == ("", 0), f"{what}: its resume went wrong: {errors}"
        assert set(ran(folder)) == set(range(INPUTS)), what
    return Told(took_s, INPUTS - begun, sum(count - 1 for count in ran(folder).values()))


def started(command: list[str]) -> subprocess.Popen[str]:
    """In a process group of its own, as a shell does."""
    pipe = subprocess.PIPE
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, process_group=0, env=environment)


def send(process: subprocess.Popen[str], what: Signals) -> set[int]:
    """Send them at their times; the processes that there were."""
    time.sleep(what.after_s)
    family = descendants(process.pid)
    to_whom = os.killpg if what.to_group else os.kill
    with suppress(ProcessLookupError):  # it has ended already
        to_whom(process.pid, what.number)
        if what.again_after_s is not None:
            time.sleep(what.again_after_s)
            to_whom(process.pid, what.number)
    return family


def may_repeat(runner: str, what: Signals) -> int:
    """How many inputs may have run twice after that: none after one signal, then what was in flight.

    Workers of the standard pool end at a SIGTERM to the group, and what they were on runs again.
    """
    hits_workers = runner == "executor-processes" and what.to_group and what.number == signal.SIGTERM
    return 0 if what.again_after_s is None and not hits_workers else 20


def ran(folder: Path) -> Counter[int]:
    """How often each input was worked on to its end."""
    return Counter(map(int, (folder / "ran").read_text().split()))

"""Handlers that raise wherever the program happens to be: a second Ctrl-C, or a program's own.

Each script is a program of its own, because what goes wrong there is a lock that stays taken.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

COMMON = """
import os, signal, sqlite3, sys, threading, time
from pipeline import Processor, RunInterrupted, SqliteJournal, step, to_inputs
from runners import ThreadRunner
"""

OF_ITS_OWN = (
    COMMON
    + """
def stop(number, frame):
    raise KeyboardInterrupt

signal.signal(signal.SIGALRM, stop)
processor = Processor(pipeline=step("add")(lambda n: n + 1), journal=SqliteJournal("runs.db"))
inputs = list(to_inputs(range(3000)))
for trial in range(150):
    outcomes = processor.stream(inputs)
    try:
        next(outcomes)
        signal.setitimer(signal.ITIMER_REAL, 0.0005 + trial % 24 * 0.0005)
        for _ in outcomes:
            pass
        signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        pass
    outcomes.close()
print("ended")
"""
)

IN_A_COMMIT = (
    COMMON
    + """
def wait(value):
    if value == 2:
        def hold():
            other = sqlite3.connect("runs.db", isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            held.set()
            time.sleep(1.0)
            other.execute("ROLLBACK")
        held = threading.Event()
        threading.Thread(target=hold).start()
        held.wait()
        for delay_s in (0.0, 0.4):
            threading.Timer(delay_s, os.kill, (os.getpid(), signal.SIGINT)).start()
        time.sleep(0.05)
    return value

processor = Processor(pipeline=step("wait")(wait), journal=SqliteJournal("runs.db"))
try:
    processor.execute(to_inputs(range(6)))
except RunInterrupted as stop:
    done = [outcome.input_id for outcome in stop.result.succeeded]
    again = {each.input_id for each in processor.plan(stop.result.run_id) if each.action == "run"}
    print(len(stop.result.outcomes), bool(done), again.isdisjoint(done))
"""
)

IN_THREADS = (
    COMMON
    + """
processor = Processor(pipeline=step("add")(lambda n: n + 1), runner=ThreadRunner(2))
inputs = list(to_inputs(range(4000)))
for trial in range(25):
    def twice():
        time.sleep(0.003)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(trial % 8 * 0.0002)
        os.kill(os.getpid(), signal.SIGINT)
    thread = threading.Thread(target=twice)
    try:
        try:
            thread.start()
            processor.execute(inputs)
        finally:
            thread.join()
            time.sleep(0.001)
    except KeyboardInterrupt:
        pass
print("ended")
"""
)


def told(script: str, folder: Path) -> str:
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_handler_that_raises_leaves_no_lock_of_the_journal_taken(tmp_path: Path) -> None:
    assert told(OF_ITS_OWN, tmp_path) == "ended\n"


def test_a_second_ctrl_c_while_a_commit_waits_is_an_interruption_and_no_damage(tmp_path: Path) -> None:
    assert told(IN_A_COMMIT, tmp_path) == "6 True True\n"


def test_a_second_ctrl_c_ends_threads_too(tmp_path: Path) -> None:
    assert told(IN_THREADS, tmp_path) == "ended\n"

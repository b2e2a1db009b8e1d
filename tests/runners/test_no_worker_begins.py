"""Workers that cannot begin, or that a forked child does not have: said in one sentence, and no input is blamed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from runners import ExecutorRunner, ProcessRunner, RunnerError
from tests.runners import faults

ROOT = Path(__file__).parents[2]


def boom() -> None:
    os._exit(1)


def die(number: int) -> int:
    os._exit(1)


def same(_kept: bytes, number: int) -> int:
    return number


def test_no_input_is_blamed_for_pools_whose_workers_cannot_begin() -> None:
    runner = ExecutorRunner(partial(ProcessPoolExecutor, 2, initializer=boom))

    with pytest.raises(RunnerError, match="workers die before they begin"):
        list(runner.stream(abs, range(40)))


class Unloadable:
    """Whoever loads it is killed."""

    def __reduce__(self) -> tuple[Any, ...]:
        return faults.kill_itself, ()

    def __call__(self, number: int) -> int:
        return number


def test_no_input_is_blamed_for_workers_that_are_killed_as_they_load_the_function() -> None:
    ended: list[Any] = []

    with pytest.raises(RunnerError, match="workers end before they can start"):
        ended.extend(ProcessRunner(2, "fork").stream(Unloadable(), range(5)))
    assert ended == []


def test_inputs_that_all_kill_their_worker_are_all_blamed() -> None:
    answers = dict(ExecutorRunner(partial(ProcessPoolExecutor, 2)).stream(die, range(3)))

    assert [answers[position].failure().kind for position in range(3)] == ["crash"] * 3


def test_a_function_that_does_not_fit_into_max_memory_is_said_to_be_too_large() -> None:
    function: Any = partial(same, b"x" * 200_000_000)

    with pytest.raises(RunnerError, match="max_memory=50000000 is too small for the function"):
        ProcessRunner(1, max_memory=50_000_000).run(function, [1, 2])


def test_a_stream_closed_early_lets_go_of_its_source_though_the_workers_are_kept() -> None:
    ended: list[bool] = []

    def source() -> Iterator[int]:
        try:
            yield from range(1_000_000)
        finally:
            ended.append(True)

    with ProcessRunner(1) as runner:
        stream: Any = runner.stream(abs, source())
        next(stream)
        stream.close()
        del stream

        assert ended == [True]


class Rigid(Exception):
    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{name} cannot be set")

    def __reduce__(self) -> tuple[Any, ...]:
        return Rigid, self.args


def refuse(number: int) -> int:
    raise Rigid(number)


def test_an_exception_that_takes_no_note_is_raised_without_one() -> None:
    with pytest.raises(Rigid):
        ProcessRunner(1).run(refuse, [1])


FORKED = """
import multiprocessing, os, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from runners import ExecutorRunner, ProcessRunner

def fork_server():
    ProcessRunner(1, "forkserver").run(abs, [1])

def threaded():
    threading.Thread(target=time.sleep, args=(30,), daemon=True).start()
    print(ProcessRunner(2).run(abs, range(3)), flush=True)

def held():
    print(runner.run(abs, range(3)), flush=True)

if __name__ == "__main__":
    runner = ExecutorRunner(partial(ThreadPoolExecutor, 2))
    fork_server()
    with runner:
        runner.run(abs, range(3))
        for what in (threaded, held):
            child = multiprocessing.get_context("fork").Process(target=what)
            child.start()
            child.join(40)
            child.kill()
"""


def test_a_forked_child_has_a_fork_server_and_an_executor_of_its_own(tmp_path: Path) -> None:
    program = tmp_path / "forked.py"
    program.write_text(FORKED)

    command = [sys.executable, "-W", "ignore::DeprecationWarning", str(program)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, env=environment)

    assert (ended.stdout, ended.stderr) == ("[0, 1, 2]\n[0, 1, 2]\n", "")

"""A process that is forked in the midst of a stream, and ends: the run goes on as if it had not been there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

RUNNERS = {
    "sequential": "SequentialRunner()",
    "process": "ProcessRunner(2, 'fork')",
    "thread": "ThreadRunner(2)",
    "async": "AsyncRunner(4)",
    "executor, threads": "ExecutorRunner(partial(ThreadPoolExecutor, 2))",
    "executor, processes": "ExecutorRunner(partial(ProcessPoolExecutor, 2))",
}

SCRIPT = """
import os, time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pipeline import Processor, SqliteJournal, step, to_inputs
from runners import AsyncRunner, ExecutorRunner, ProcessRunner, SequentialRunner, ThreadRunner

@step("work")
def work(n):
    time.sleep(0.005)
    return n

@step("await")
async def nothing(n):
    return n

if __name__ == "__main__":
    for journal in (None, SqliteJournal("runs.db")):
        pipeline = nothing >> work if "{runner}".startswith("Async") else work
        outcomes = Processor(pipeline=pipeline, runner={runner}, journal=journal).stream(to_inputs(range(60)))
        next(outcomes)
        child = os.fork()
        if child == 0:
            outcomes.close()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        print(sum(type(outcome).__name__ == "Succeeded" for outcome in outcomes))
"""


@pytest.mark.parametrize("runner", RUNNERS.values(), ids=RUNNERS)
def test_a_copy_of_the_process_that_closes_the_stream_leaves_the_run_to_the_process(
    runner: str, tmp_path: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.replace("{runner}", runner))

    command = [sys.executable, "-W", "ignore::DeprecationWarning", str(script)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)

    assert (done.stdout, done.stderr) == ("59\n59\n", "")

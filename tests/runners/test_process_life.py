"""Starting and ending: every way to start Python, every way a parent ends, and threads that hold locks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runners.errors import RunnerError
from runners.pool.launch import default_start_method
from runners.process import ProcessRunner
from tests.runners import faults
from tests.runners.processes import descendants, is_alive, nothing_left_behind, wait_until

METHODS = ["fork", "forkserver", "spawn"]

SCRIPT = """
import sys
from runners.process import ProcessRunner

def double(value):
    return 2 * value

if __name__ == "__main__":
    print(ProcessRunner(2, {method!r}).run(double, range(4)))
"""


def python(*arguments: str, stdin: str | None = None, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], input=stdin, cwd=cwd, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("method", [None, *METHODS])
def test_a_script_may_define_the_function(tmp_path: Path, method: str | None) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(method=method))

    done = python(str(script))

    assert (done.stdout, done.stderr) == ("[0, 2, 4, 6]\n", "")


@pytest.mark.parametrize("method", [None, "fork"])
@pytest.mark.parametrize("way", ["-c", "stdin"])
def test_a_function_typed_in_runs_by_default(way: str, method: str | None) -> None:
    source = SCRIPT.format(method=method)

    done = python("-c", source) if way == "-c" else python("-", stdin=source)

    assert (done.stdout, done.stderr) == ("[0, 2, 4, 6]\n", "")


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
@pytest.mark.parametrize("way", ["-c", "stdin"])
def test_a_function_typed_in_is_refused_where_workers_cannot_know_it(way: str, method: str) -> None:
    source = SCRIPT.format(method=method)

    done = python("-c", source) if way == "-c" else python("-", stdin=source)

    assert done.stdout == ""
    assert "RunnerError: __main__.double cannot be loaded in a worker process: AttributeError" in done.stderr
    assert "start_method='fork'" in done.stderr


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("way", ["-c", "stdin"])
def test_an_importable_function_runs_however_python_was_started(way: str, method: str) -> None:
    source = f"from runners.process import ProcessRunner\nprint(ProcessRunner(2, {method!r}).run(abs, [-1, 2]))\n"

    done = python("-c", source) if way == "-c" else python("-", stdin=source)

    assert (done.stdout, done.stderr) == ("[1, 2]\n", "")


UNGUARDED = "a worker process imports the main script, and that starts the batch again: put what starts it under "


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_a_script_without_a_guard_is_told_so_in_one_sentence(tmp_path: Path, method: str) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(method=method).replace('if __name__ == "__main__":', "if True:"))

    done = python(str(script))

    assert done.stdout == ""
    assert done.stderr.count("Traceback") == 1
    assert done.stderr.splitlines()[-1] == f"runners.errors.RunnerError: {UNGUARDED}`if __name__ == '__main__':`"


@pytest.mark.parametrize("method", [None, "fork"])
def test_a_forked_worker_needs_no_guard(tmp_path: Path, method: str | None) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(method=method).replace('if __name__ == "__main__":', "if True:"))

    done = python(str(script))

    assert (done.stdout, done.stderr) == ("[0, 2, 4, 6]\n", "")


def test_a_stream_left_half_read_does_not_keep_python_from_ending(tmp_path: Path) -> None:
    source = """
        from runners.process import ProcessRunner
        import time
        kept = ProcessRunner(2).stream(time.sleep, [0, 60, 60, 60])
        print(next(kept)[0])
    """
    start = time.monotonic()

    done = python("-c", textwrap.dedent(source))

    assert (done.stdout, done.stderr) == ("0\n", "")
    assert time.monotonic() - start < 10


PARENT = """
import os, sys, time
from runners.process import ProcessRunner
from tests.runners import faults

if __name__ == "__main__":
    stream = ProcessRunner(2, {method!r}).stream({function}, range(1000))
    print("ready", flush=True)
    for outcome in stream:
        pass
"""


def start_parent(tmp_path: Path, method: str, function: str) -> subprocess.Popen[str]:
    script = tmp_path / "parent.py"
    script.write_text(PARENT.format(method=method, function=function))
    return subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        process_group=0,
        cwd=Path(__file__).parents[2],
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("number", "function"),
    [
        (signal.SIGKILL, "faults.hang_on"),
        (signal.SIGKILL, "faults.hold_interpreter_on"),
        (signal.SIGTERM, "faults.hang_on"),
        (signal.SIGINT, "faults.hang_on"),
    ],
)
def test_workers_end_with_their_parent(tmp_path: Path, method: str, number: signal.Signals, function: str) -> None:
    parent = start_parent(tmp_path, method, function)
    assert parent.stdout is not None
    assert parent.stdout.readline() == "ready\n"
    assert wait_until(lambda: len(descendants(parent.pid)) >= 2, 10.0)
    time.sleep(0.1)
    family = descendants(parent.pid)

    os.killpg(parent.pid, number)
    parent.wait(10)
    parent.stdout.close()

    assert wait_until(lambda: not any(map(is_alive, family)), 2.0)


def test_ctrl_c_in_the_consumer_ends_the_workers_and_leaves_one_traceback(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT.format(method="fork", function="faults.hang_on"))
    parent = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
        cwd=Path(__file__).parents[2],
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == "ready\n"
    assert wait_until(lambda: len(descendants(parent.pid)) >= 2, 10.0)

    os.killpg(parent.pid, signal.SIGINT)
    _, errors = parent.communicate(timeout=10)

    assert errors.count("Traceback") == 1
    assert errors.rstrip().endswith("KeyboardInterrupt")


# Threads


SIGNALLED_WHILE_FORKING = """
import os, signal, threading, time
from runners.process import ProcessRunner

class Enough(Exception):
    pass

def enough(number, frame):
    raise Enough(f"told by {signal.Signals(number).name}")

def tell():
    signal.pthread_kill(listening.ident, signal.SIGTERM)  # so that no mask of the main thread holds it back
    end = time.perf_counter() + 0.1
    while time.perf_counter() < end:
        pass

signal.signal(signal.SIGTERM, enough)
listening = threading.Thread(target=time.sleep, args=(60,), daemon=True)
listening.start()
os.register_at_fork(before=tell)
try:
    print(ProcessRunner(1, "fork").run(abs, [-1]))
except Enough as error:
    print(error, signal.getsignal(signal.SIGTERM) is enough)
"""


def test_a_signal_in_the_midst_of_a_fork_is_heeded_after_it() -> None:
    done = python("-c", SIGNALLED_WHILE_FORKING)

    assert (done.stdout, done.stderr) == ("told by SIGTERM True\n", "")


def test_one_thread_means_fork_and_several_a_fork_server() -> None:
    alone = python("-c", "from runners.pool.launch import default_start_method as d; print(d())")
    release = threading.Event()
    thread = threading.Thread(target=release.wait)
    thread.start()
    try:
        together = default_start_method()
    finally:
        release.set()
        thread.join()

    assert alone.stdout == "fork\n"
    assert together == "forkserver"


HAZARD = """
import logging, threading
from runners.process import ProcessRunner
from tests.runners import faults

lock = threading.Lock()
faults.shared_lock = lock

def hold():
    log = logging.getLogger("hazard")
    while True:
        with lock:
            log.warning("holding")

if __name__ == "__main__":
    logging.basicConfig(filename="/dev/null")
    for _ in range(3):
        threading.Thread(target=hold, daemon=True).start()
    for _ in range({rounds}):
        assert ProcessRunner(2).run(faults.use_shared_lock, range(20)) == list(range(20))
    print("done")
"""


def check_fork_hazard(tmp_path: Path, rounds: int) -> None:
    script = tmp_path / "hazard.py"
    script.write_text(HAZARD.format(rounds=rounds))

    done = python(str(script))

    assert (done.stdout, done.stderr) == ("done\n", "")


def test_threads_that_hold_locks_and_log_do_not_hang_workers(tmp_path: Path) -> None:
    check_fork_hazard(tmp_path, rounds=3)


# Memory


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def growth_over(inputs: int) -> int:
    """How many bytes this process grew while so many inputs from a generator passed through."""
    stream = ProcessRunner(2).stream(faults.identity, (number for number in range(inputs)))
    before = peak = 0
    for seen, _ in enumerate(stream):
        if seen % 20_000 == 19_999:
            now = resident_bytes()
            before = before or now
            peak = max(peak, now)
    return peak - before


def test_a_long_stream_stays_flat_in_memory() -> None:
    assert growth_over(300_000) < 5_000_000


def large_values(count: int) -> Iterator[bytes]:
    for number in range(count):
        yield bytes([number % 256]) * 2_000_000


def test_large_payloads_are_never_held_all_at_once() -> None:
    before = peak = resident_bytes()
    for _, _ in ProcessRunner(2).stream(faults.identity, large_values(150)):
        peak = max(peak, resident_bytes())

    assert peak - before < 60_000_000


def test_a_platform_without_process_descriptors_is_told_what_to_use(monkeypatch: Any) -> None:
    monkeypatch.delattr(os, "pidfd_open")

    with pytest.raises(RunnerError, match=r"needs Linux .* use ThreadRunner"):
        ProcessRunner(2)


def test_many_batches_leave_nothing_behind() -> None:
    with nothing_left_behind():
        for _ in range(20):
            ProcessRunner(2).run(abs, [-1, -2])


SCARCE = """
import os, resource
from runners import ProcessRunner, RunnerError
from tests.runners.processes import descendants, open_descriptors

def attempt(limit):
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    try:
        return ProcessRunner(2, {method!r}).run(abs, [-1, 2]) == [1, 2]
    except RunnerError as error:
        assert "cannot start a worker process" in str(error), error
        return False

if __name__ == "__main__":
    assert attempt(1024)
    before = open_descriptors()
    numbers = sorted(map(int, before))
    worked = [attempt(limit) for limit in range(numbers[-1] + 2, numbers[-1] + 50, {step})]
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))
    after = open_descriptors()
    print(worked[0], worked[-1], descendants() or "no process", before.items() ^ after.items() or "no descriptor")
"""


@pytest.mark.parametrize(("method", "step"), [("fork", 1), ("forkserver", 4), ("spawn", 4)])
def test_running_out_of_descriptors_is_told_and_leaves_none_open(tmp_path: Path, method: str, step: int) -> None:
    script = tmp_path / "scarce.py"
    script.write_text(SCARCE.format(method=method, step=step))

    done = python(str(script), cwd=Path(__file__).parents[2])

    assert (done.stdout, done.stderr) == ("False True no process no descriptor\n", "")

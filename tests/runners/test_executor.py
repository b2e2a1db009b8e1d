"""Executors as runners: what a broken pool costs, whose it is, and how values get there."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import nullcontext, suppress
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import loky
import pytest
from returns.result import Success

from pipeline import Processor, step, to_inputs
from runners import ExecutorRunner, RunnerError, supply
from runners.window import MAX_WINDOW
from tests.runners import faults
from tests.runners.faults import Faulty
from tests.runners.processes import descendants, is_alive, nothing_left_behind, wait_until
from tests.runners.test_process_faults import INPUTS, MATRIX, inputs_with, split, squares

POOLS: dict[str, Callable[[], Executor]] = {
    "fork": partial(ProcessPoolExecutor, 2, mp_context=get_context("fork")),
    "loky": partial(loky.get_reusable_executor, 2),
}
FAULTS = [
    fault
    for fault, expected in MATRIX.items()
    if expected.kind != "timeout" and fault not in (faults.hog, faults.close_descriptors)
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_fault_costs_exactly_its_own_input(fault: Any) -> None:
    with nothing_left_behind(), ExecutorRunner(POOLS["fork"]) as runner:
        results, crashes = split(runner.stream(Faulty(fault), INPUTS))
        again = runner.run(faults.square, INPUTS)

    assert results == squares(7)
    assert {position: crash.kind for position, crash in crashes.items()} == {7: MATRIX[fault].kind}
    assert len(crashes[7].message) < 10_100
    assert again == [value * value for value in INPUTS]


@pytest.mark.parametrize("fault", [faults.kill_itself, faults.raise_needy, faults.return_poison])
def test_in_lokys_pool_a_fault_costs_exactly_its_own_input(fault: Any) -> None:
    with ExecutorRunner(POOLS["loky"]) as runner:
        results, crashes = split(runner.stream(Faulty(fault), INPUTS))

    assert results == squares(7)
    assert {position: crash.kind for position, crash in crashes.items()} == {7: MATRIX[fault].kind}


@pytest.mark.parametrize("on", [{0}, {19}, {7, 8}, {0, 19}, set(INPUTS)], ids=str)
def test_whatever_inputs_kill_their_workers_only_they_are_blamed(on: set[int]) -> None:
    results, crashes = split(ExecutorRunner(POOLS["fork"]).stream(Faulty(faults.kill_itself, frozenset(on)), INPUTS))

    assert results == squares(*on)
    assert set(crashes) == on
    assert {crash.kind for crash in crashes.values()} <= {"crash"}


def test_two_deaths_in_the_middle_of_large_chunks_are_both_found() -> None:
    bad = frozenset({9_000, 9_001})
    results, crashes = split(ExecutorRunner(POOLS["fork"]).stream(Faulty(faults.kill_itself, bad), iter(range(20_000))))

    assert set(crashes) == bad
    assert results == {value: value * value for value in range(20_000) if value not in bad}


def note_and_die(folder: Path, value: int) -> int:
    faults.note_and_square(folder, value)
    if value == 7:
        faults.kill_itself()
    return value * value


@pytest.mark.parametrize("deliver_each", [False, True])
def test_what_a_death_repeats_is_bounded(tmp_path: Path, deliver_each: bool) -> None:
    runner = ExecutorRunner(POOLS["fork"], deliver_each=deliver_each)
    split(runner.stream(partial(note_and_die, tmp_path), INPUTS))
    times = {int(file.name): file.stat().st_size for file in tmp_path.iterdir()}

    assert set(times) == set(INPUTS)
    assert max(times.values()) <= (2 if deliver_each else 3)
    assert sum(count > 1 for count in times.values()) <= (4 if deliver_each else 20)


@pytest.mark.parametrize("before", [[], [1]], ids=["first", "later"])
def test_the_only_input_in_flight_is_blamed_without_a_second_try(tmp_path: Path, before: list[int]) -> None:
    alone = partial(ProcessPoolExecutor, 1, mp_context=get_context("fork"))
    _, crashes = split(ExecutorRunner(alone).stream(partial(note_and_die, tmp_path), [*before, 7]))

    assert set(crashes) == {len(before)}
    assert (tmp_path / "7").stat().st_size == 1


def test_an_executor_of_yours_that_breaks_ends_the_stream_and_keeps_what_it_has() -> None:
    ended: dict[int, Any] = {}
    with POOLS["fork"]() as executor, pytest.raises(RunnerError, match="the executor has broken"):
        ended.update(ExecutorRunner(executor).stream(Faulty(faults.kill_itself), iter(range(1_000_000))))

    kinds = Counter("done" if type(end) is Success else end.failure().kind for end in ended.values())
    assert ended[7].failure().kind == "crash"
    assert sorted(ended) == list(range(len(ended)))
    assert set(kinds) == {"done", "crash"}
    assert kinds["crash"] <= MAX_WINDOW


class Forsaking(Executor):
    """Breaks in the midst of a ``submit``, as a pool of processes may: nobody ends the future."""

    _broken: Any = False

    def __init__(self) -> None:
        self._pending_work_items: dict[int, Any] = {}

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self._broken = "a worker was terminated abruptly"
        self._pending_work_items[0] = SimpleNamespace(future=future)
        return future


@pytest.mark.timeout(20)
def test_an_executor_that_breaks_in_the_midst_of_a_call_leaves_nobody_waiting() -> None:
    with pytest.raises(RunnerError, match="a worker was terminated abruptly"):
        ExecutorRunner(Forsaking(), max_workers=1, crosses_processes=False).run(abs, [1])


def test_a_broken_executor_of_yours_is_refused_with_a_cure() -> None:
    executor = POOLS["fork"]()
    with pytest.raises(Exception, match="terminated"):
        executor.submit(faults.kill_itself).result()

    with pytest.raises(RunnerError, match=r"give ExecutorRunner a function that makes executors"):
        ExecutorRunner(executor).run(abs, [1])


def test_an_executor_that_is_shut_down_is_refused() -> None:
    executor = ThreadPoolExecutor(1)
    executor.shutdown()

    with pytest.raises(RunnerError, match="ThreadPoolExecutor takes no more work"):
        ExecutorRunner(executor).run(abs, [1])


def test_a_function_that_makes_no_executor_is_told_so() -> None:
    with pytest.raises(RunnerError, match="made 5, which is no Executor"):
        ExecutorRunner(lambda: 5, crosses_processes=False).run(abs, [1])  # type: ignore[arg-type, return-value]


def fail_to_start() -> None:
    raise OSError("no disk")


def test_workers_that_die_as_they_start_end_the_stream(caplog: pytest.LogCaptureFixture) -> None:
    broken = partial(ThreadPoolExecutor, 1, initializer=fail_to_start)

    with pytest.raises(RunnerError, match="die before they begin"):
        ExecutorRunner(Sickly).run(abs, [1])
    with pytest.raises(RunnerError, match="die before they begin"):
        ExecutorRunner(broken).run(abs, [1])
    assert "no disk" in caplog.text


class Sickly(Executor):
    """Never takes anything."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        raise loky.process_executor.BrokenProcessPool("no workers")


class Canceller(ThreadPoolExecutor):
    """Somebody cancels every call."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.cancel()
        future.set_running_or_notify_cancel()
        return future


def test_a_cancelled_call_ends_its_inputs_as_cancelled() -> None:
    _, crashes = split(ExecutorRunner(Canceller).stream(abs, [1, 2]))

    assert [crash.kind for crash in crashes.values()] == ["cancelled", "cancelled"]


def test_an_input_that_cannot_be_pickled_is_that_inputs_failure() -> None:
    results, crashes = split(ExecutorRunner(POOLS["fork"]).stream(faults.identity, inputs_with(lambda: None)))

    assert len(results) == 19
    assert crashes[7].kind == "invalid"
    assert crashes[7].message.startswith("a function cannot be pickled, so it cannot go to a worker: ")


def test_inputs_that_all_cannot_be_pickled_all_end() -> None:
    _, crashes = split(ExecutorRunner(POOLS["fork"]).stream(faults.identity, [threading.Lock() for _ in range(50)]))

    assert sorted(crashes) == list(range(50))


def test_a_function_that_cannot_be_pickled_is_an_error_at_once() -> None:
    with pytest.raises(RunnerError, match="cannot be pickled, so it cannot go to a worker process"):
        ExecutorRunner(POOLS["fork"]).stream(lambda value: value, [1])


SCRIPT = """
import loky
from functools import partial
from runners import ExecutorRunner

class Page:
    def __init__(self, number):
        self.number = number

def turn(page):
    return Page(page.number + 1)

if __name__ == "__main__":
    pages = ExecutorRunner(partial(loky.get_reusable_executor, 2)).run(turn, [Page(1), Page(2)])
    print([page.number for page in pages])
"""


def test_functions_and_classes_of_a_script_reach_lokys_workers(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)

    done = subprocess.run(
        [sys.executable, tmp_path / "script.py"], capture_output=True, text=True, timeout=60, check=False
    )

    assert (done.stdout, done.stderr) == ("[2, 3]\n", "")


STEPS = """
from __future__ import annotations

from functools import partial
from pipeline import Processor, StepContext, batch_step, configurable, step, to_inputs
from runners import DaskRunner, ExecutorRunner, RayRunner

@step("parsing")
def parse(text: str) -> int:
    return int(text)

@configurable
def more(number: int, *, by: int) -> int:
    return number + by

@batch_step("doubling", max_size=4)
def double(numbers: list[int], contexts: list[StepContext]) -> list[int]:
    return [2 * number for number, _ in zip(numbers, contexts, strict=True)]

@step("halving")
def halve(number: int) -> int:
    return halve(number // 2).unwrap() if number > 100 else number

@step("telling")
def tell(number: int, context: StepContext) -> str:
    return f"{context.step} {number}"

@step("forgetting")
def forget(text: str) -> None:
    return None

def last():
    @step("wrapping")
    def wrap(text: str) -> list[str]:
        return [text]

    return wrap

if __name__ == "__main__":
    counting = parse >> more(by=1) >> double >> halve.replace(name="halving again") >> halve >> tell
    with RUNNER as runner:
        for pipeline in (parse, counting >> last(), counting >> step("ending")(lambda text: text + "!") >> forget):
            result = Processor(pipeline=pipeline, runner=runner).execute(to_inputs(["1", "two", "300"]))
            print([getattr(outcome, "output", outcome.input_id) for outcome in result.outcomes])
"""
ENDED = """\
[1, 'input-2', 300]
[['telling 4'], 'input-2', ['telling 75']]
[None, 'input-2', None]
"""


def test_steps_of_a_script_reach_lokys_workers(tmp_path: Path) -> None:
    runner = "ExecutorRunner(partial(__import__('loky').get_reusable_executor, 2))"
    (tmp_path / "script.py").write_text(STEPS.replace("RUNNER", runner))

    done = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True, cwd=tmp_path, check=False)

    assert done.stdout == ENDED, done.stderr


class AtOnce(Executor):
    """Works in ``submit``."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def test_what_has_finished_is_handed_over_before_more_is_pulled() -> None:
    pulled: list[int] = []

    def inputs() -> Any:
        for number in range(3):
            pulled.append(number)
            yield number

    stream = ExecutorRunner(AtOnce, max_workers=8, deliver_each=True).stream(abs, inputs())
    steps = [(position, len(pulled)) for position, _ in stream]

    assert steps == [(0, 2), (1, 3), (2, 3)]  # the next one is on its way before one is handed over


def test_an_executor_of_yours_stays_open_and_one_that_is_made_does_not() -> None:
    made: list[ThreadPoolExecutor] = []

    def make() -> ThreadPoolExecutor:
        made.append(ThreadPoolExecutor(1))
        return made[-1]

    with ThreadPoolExecutor(1) as mine:
        ExecutorRunner(mine).run(abs, [1])
        assert mine.submit(abs, -1).result() == 1
    ExecutorRunner(make, crosses_processes=False).run(abs, [1])

    assert len(made) == 1
    with pytest.raises(RuntimeError, match="after shutdown"):
        made[0].submit(abs, -1)


def test_with_a_runner_one_executor_serves_all_streams() -> None:
    made: list[Executor] = []

    def make() -> Executor:
        made.append(ThreadPoolExecutor(2))
        return made[-1]

    with ExecutorRunner(make) as runner, runner:
        runner.run(abs, [1])
        runner.run(abs, [1])

    assert len(made) == 1


@pytest.mark.parametrize(
    ("source", "settings"),
    [(3, {}), (ThreadPoolExecutor, {"max_workers": 0})],
)
def test_settings_that_make_no_sense_are_refused(source: Any, settings: Any) -> None:
    with pytest.raises(RunnerError, match="ExecutorRunner cannot use"):
        ExecutorRunner(source, **settings)


def test_what_is_known_of_an_executor_is_read_from_it() -> None:
    with ThreadPoolExecutor(3) as threads:
        assert ExecutorRunner(threads).workers == 3
        assert not ExecutorRunner(threads).crosses_processes
    assert ExecutorRunner(partial(ProcessPoolExecutor, 5)).workers == 5
    assert ExecutorRunner(partial(ProcessPoolExecutor, max_workers=5)).crosses_processes
    assert ExecutorRunner(ThreadPoolExecutor) == ExecutorRunner(ThreadPoolExecutor) != ExecutorRunner(Canceller)


@pytest.mark.skipif(sys.version_info < (3, 14), reason="pools of interpreters come with Python 3.14")
def test_a_pool_of_interpreters_works_or_says_why_it_cannot() -> None:
    """msgspec up to 0.22 loads in the first interpreter only, and so does whatever needs it."""
    pool: Any = importlib.import_module("concurrent.futures").InterpreterPoolExecutor
    with pool(1) as executor:
        refused = executor.submit(exec, "import msgspec").exception()

    if refused is None:
        assert ExecutorRunner(partial(pool, 2)).run(faults.square, INPUTS) == [value * value for value in INPUTS]
    else:
        with pytest.raises(RunnerError, match=r"cannot import what a worker needs: .*; use ProcessRunner"):
            ExecutorRunner(partial(pool, 2)).run(faults.square, INPUTS)


class Interpreters(ThreadPoolExecutor):
    """What a pool of interpreters does where one of them cannot load a module: all that it imports fails."""

    __module__ = "concurrent.futures.interpreter"

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        return super().submit(refuse_import)


def refuse_import() -> None:
    raise ImportError("module msgspec._core does not support loading in subinterpreters")


def test_interpreters_that_cannot_load_what_they_need_are_refused_with_a_cure() -> None:
    assert ExecutorRunner(Interpreters).crosses_processes
    with pytest.raises(RunnerError, match=r"cannot import .*msgspec._core does not support .*; use ProcessRunner"):
        ExecutorRunner(Interpreters).run(abs, [-1])


UNGUARDED = """
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from runners import ExecutorRunner

ExecutorRunner(partial(ProcessPoolExecutor, 1, get_context("spawn"))).run(abs, [-1])
"""


def test_a_script_without_a_guard_is_told_to_have_one(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(UNGUARDED)

    done = subprocess.run(
        [sys.executable, tmp_path / "script.py"], capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode != 0
    assert "RunnerError: a process that is being started imports the main script" in done.stderr
    assert "put what starts it under `if __name__ == '__main__':`" in done.stderr


CTRL_C = """
import os
from functools import partial
from concurrent.futures import ProcessPoolExecutor
from runners import ExecutorRunner
from runners.window import MAX_WINDOW
from tests.runners import faults

if __name__ == "__main__":
    stream = ExecutorRunner(partial(ProcessPoolExecutor, 2)).stream(faults.hang_on, range(1000))
    print("ready", flush=True)
    for outcome in stream:
        pass
"""


def test_ctrl_c_ends_the_workers_of_an_executor_that_the_runner_made(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(CTRL_C)
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
    assert wait_until(lambda: len(at_work(parent.pid)) == 2, 60.0)
    family = descendants(parent.pid)

    os.killpg(parent.pid, signal.SIGINT)
    _, errors = parent.communicate(timeout=60)

    assert errors.count("Traceback") == 1
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert wait_until(lambda: not any(map(is_alive, family)), 10.0)


class BrokenOff(ProcessPoolExecutor):
    """A signal's handler raises while its workers are waited for."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        if wait:
            raise KeyboardInterrupt
        super().shutdown(wait, cancel_futures=cancel_futures)


class BrokenOffLoky(loky.process_executor.ProcessPoolExecutor):  # type: ignore[misc]
    """The same of loky's."""

    def shutdown(self, wait: bool = True, kill_workers: bool = False) -> None:
        if wait:
            raise KeyboardInterrupt
        super().shutdown(wait, kill_workers)


@pytest.mark.parametrize("make", [BrokenOff, BrokenOffLoky])
def test_ctrl_c_while_a_stream_is_being_closed_ends_workers_that_hang(make: Any) -> None:
    pool = make(2)
    stream: Any = ExecutorRunner(lambda: pool, max_workers=2, crosses_processes=True).stream(
        Faulty(faults.hang), INPUTS
    )
    next(stream)
    workers = list(pool._processes)

    with pytest.raises(KeyboardInterrupt):
        stream.close()

    assert wait_until(lambda: not any(map(is_alive, workers)), 10.0)


def test_python_may_end_while_a_thread_waits_for_workers_that_hang() -> None:
    stream: Any = ExecutorRunner(POOLS["fork"]).stream(Faulty(faults.hang), INPUTS)
    next(stream)
    closing = threading.Thread(target=stream.close, daemon=True)
    closing.start()
    assert wait_until(lambda: bool(supply._closing), 10.0)

    supply._end_those_that_close()
    closing.join(10.0)

    assert not closing.is_alive()


def take_a_moment(value: int) -> int:
    time.sleep(0.05)
    return value


MOMENT = step("moment")(take_a_moment)


def ends_where_it_is_closed_in_the_thread_of(pool: Any, stream: Any) -> bool:
    closed = threading.Event()
    call = pool.submit(time.sleep, 0.2)
    next(stream)

    def close(_: object) -> None:
        stream.close()
        closed.set()

    call.add_done_callback(close)
    return closed.wait(20)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("is_yours", [False, True])
def test_a_stream_that_a_pools_own_thread_collects_does_not_keep_that_from_going_on(is_yours: bool) -> None:
    pool = POOLS["fork"]()
    runner = ExecutorRunner(pool if is_yours else lambda: pool, max_workers=2, crosses_processes=True)
    with pool, runner if is_yours else nullcontext():
        assert ends_where_it_is_closed_in_the_thread_of(pool, runner.stream(take_a_moment, range(100)))


@pytest.mark.timeout(30)
def test_a_run_that_is_left_in_a_pools_own_thread_does_not_keep_that_from_going_on() -> None:
    with POOLS["fork"]() as pool:
        runner = ExecutorRunner(pool, max_workers=2, crosses_processes=True)
        stream = Processor(name="left", pipeline=MOMENT, runner=runner).stream(to_inputs(range(100)))
        assert ends_where_it_is_closed_in_the_thread_of(pool, stream)


def at_work(parent: int) -> set[int]:
    """Its workers that have begun, which they show by leaving Ctrl-C to it; one may end while it is looked at."""
    begun, bit = set[int](), 1 << (signal.SIGINT - 1)
    for pid in descendants(parent):
        with suppress(OSError):
            status = Path(f"/proc/{pid}/status").read_text()
            if int(status.partition("SigIgn:")[2].split()[0], 16) & bit:
                begun.add(pid)
    return begun

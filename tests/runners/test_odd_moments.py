"""What comes at an odd moment or in an odd shape, and must not cost more than the input it belongs to."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack, nullcontext
from functools import partial
from threading import Event, Thread, Timer
from typing import Any, cast

import pytest

from pipeline import Processor, step, to_inputs
from runners import AsyncRunner, ExecutorRunner, ProcessRunner, RunnerError, SequentialRunner, ThreadRunner
from runners.asynchronous import _LoopThread
from runners.batch import Batch
from runners.pool.member import Member
from runners.pool.staff import Staff
from runners.protocol import Runner
from tests.runners.processes import nothing_left_behind

MAKERS: dict[str, Any] = {
    "sequential": SequentialRunner,
    "thread": partial(ThreadRunner, 2),
    "async": AsyncRunner,
    "process": partial(ProcessRunner, 2),
    "executor": partial(ExecutorRunner, partial(ProcessPoolExecutor, 2)),
}


@pytest.fixture(params=MAKERS)
def runner(request: Any) -> Runner:
    made: Runner = MAKERS[request.param]()
    return made


# ---- workers that die while nobody looks ----


def own_number(_: int) -> int:
    time.sleep(0.02)
    return os.getpid()


def test_the_last_worker_dies_with_nothing_to_do_while_the_consumer_is_busy() -> None:
    ended: dict[int, int] = {}
    for position, result in ProcessRunner(1).stream(own_number, range(10)):
        ended[position] = result.unwrap()
        if position == 3:
            os.kill(ended[3], signal.SIGKILL)
            time.sleep(0.3)

    assert sorted(ended) == list(range(10))
    assert len(set(ended.values())) == 2


def end_a_moment_later(value: int) -> int:
    if value == 3:
        Timer(0.01, os._exit, (3,)).start()
    return value


def test_a_worker_that_ends_after_its_input_loses_none_of_those_to_come() -> None:
    outcomes: dict[int, str] = {}
    for position, result in ProcessRunner(1).stream(end_a_moment_later, range(10)):
        outcomes[position] = type(result).__name__
        time.sleep(0.03)

    assert sorted(outcomes) == list(range(10))
    assert outcomes[3] == "Success"


def test_a_worker_that_a_signals_handler_kept_from_beginning_is_not_waited_for() -> None:
    def recruit() -> None:
        raise KeyboardInterrupt

    batch = Batch(abs, [-1], 1)
    with pytest.raises(KeyboardInterrupt):
        next(batch.answers(recruit))
    closing = Thread(target=batch.__exit__, args=(None,), daemon=True)
    closing.start()
    closing.join(5.0)

    assert not closing.is_alive()


def test_a_worker_that_is_counted_when_an_alarm_comes_is_not_waited_for() -> None:
    class Seats:
        def __enter__(self) -> None:
            pass

        def __exit__(self, *_: object) -> None:
            batch.seats = lock
            raise TimeoutError("a minute is over")

    batch = Batch(abs, [-1], 1)
    lock, batch.seats = batch.seats, cast("Any", Seats())
    with pytest.raises(TimeoutError):
        next(batch.answers(lambda: None))
    closing = Thread(target=batch.__exit__, args=(None,), daemon=True)
    closing.start()
    closing.join(5.0)

    assert not closing.is_alive()


def test_a_batch_that_is_collected_where_a_worker_waits_for_room_ends_there() -> None:
    batch = Batch(abs, [-1], 1)

    def collect() -> None:
        with batch.seats:
            batch.__exit__(None)

    worker = Thread(target=collect, daemon=True)
    worker.start()
    worker.join(60)

    assert not worker.is_alive()
    assert batch.closed


def test_a_stream_of_coroutines_that_is_closed_in_its_own_loop_does_not_wait_for_that() -> None:
    errors: list[Exception] = []
    elsewhere, closed = Event(), Event()

    async def close(number: int) -> int:
        if number == 1:
            while not elsewhere.is_set():  # noqa: ASYNC110 - it is set in another thread
                await asyncio.sleep(0.01)
            try:
                stream.close()
            except Exception as error:
                errors.append(error)
            closed.set()
        return number

    stream: Any = AsyncRunner(2).stream(close, range(10))
    next(stream)
    elsewhere.set()

    assert closed.wait(10)
    assert errors == []


@pytest.mark.timeout(30)
def test_a_stream_of_coroutines_that_is_closed_in_a_thread_of_theirs_does_not_wait_for_that() -> None:
    elsewhere, closed = Event(), Event()

    def close() -> None:
        elsewhere.wait(10)
        stream.close()
        closed.set()

    async def work(number: int) -> int:
        if number == 1:
            await asyncio.to_thread(close)
        return number

    stream: Any = AsyncRunner(2).stream(work, range(10))
    next(stream)
    elsewhere.set()

    assert closed.wait(10)


@pytest.mark.parametrize("is_held", [False, True])
@pytest.mark.parametrize("make", [partial(ThreadRunner, 2), partial(ExecutorRunner, partial(ThreadPoolExecutor, 2))])
def test_a_stream_that_is_closed_in_a_worker_of_its_own_does_not_wait_for_that(make: Any, is_held: bool) -> None:
    elsewhere, closed = Event(), Event()

    def close(number: int) -> int:
        if number == 1:
            elsewhere.wait(10)
            stream.close()
            closed.set()
        return number

    runner = make()
    with runner if is_held else nullcontext():
        stream: Any = runner.stream(close, range(10))
        next(stream)
        elsewhere.set()

        assert closed.wait(10)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("make", [partial(ThreadRunner, 2), partial(ExecutorRunner, partial(ThreadPoolExecutor, 2))])
def test_a_run_that_is_left_in_a_worker_of_its_own_does_not_wait_for_that(make: Any) -> None:
    elsewhere, closed = Event(), Event()

    def close(number: int) -> int:
        if number == 1:
            elsewhere.wait(10)
            stream.close()
            closed.set()
        return number

    processor = Processor(name="odd", pipeline=step("close")(close), runner=make())
    stream: Any = processor.stream(to_inputs(range(10)))
    next(stream)
    elsewhere.set()

    assert closed.wait(10)


@pytest.mark.parametrize("name", ["thread", "async"])
def test_a_stream_that_is_closed_where_its_inputs_are_pulled_does_not_wait_for_that(name: str) -> None:
    elsewhere, closed = Event(), Event()

    def source() -> Iterator[int]:
        yield 0
        elsewhere.wait(10)
        stream.close()
        closed.set()
        yield 1

    async def wait_for(number: int) -> int:
        return number

    stream: Any = MAKERS[name]().stream(wait_for if name == "async" else abs, source())
    next(stream)
    elsewhere.set()

    assert closed.wait(10)


class Idle:
    """A team without workers."""

    def close(self) -> None:
        """Nothing: there is nobody."""


def test_a_stream_that_is_collected_while_another_one_gets_its_team_gives_its_own_back() -> None:
    lent = ExitStack()

    def make() -> Any:
        lent.close()
        return Idle()

    staff = Staff(make)
    staff.enter()
    lent.enter_context(staff.borrow())

    assert is_done(lambda: ExitStack().enter_context(staff.borrow()))


def test_a_stream_that_is_collected_while_another_one_gets_its_loop_leaves_it() -> None:
    loop = _LoopThread()
    loop.enter()

    def collect() -> None:
        with loop._lock:
            loop.leave()

    assert is_done(collect)


def is_done(call: Callable[[], object]) -> bool:
    """Whether it comes to an end."""
    thread = Thread(target=call, daemon=True)
    thread.start()
    thread.join(10.0)
    return not thread.is_alive()


# ---- limits ----


def take(slow: frozenset[int], value: int) -> int:
    time.sleep(0.0512 if value in slow else 0.0004)
    return value


def test_a_signal_that_comes_late_does_not_hit_the_next_input(monkeypatch: pytest.MonkeyPatch) -> None:
    def late(member: Member, number: int, send: Any = Member._signal) -> None:
        time.sleep(0.0025 if number == signal.SIGTERM else 0.0)
        send(member, number)

    monkeypatch.setattr(Member, "_signal", late)
    slow = frozenset(range(10, 300, 25))
    ended = dict(ProcessRunner(2, timeout=0.05).stream(partial(take, slow), range(300)))

    blamed = {position: result.failure() for position, result in ended.items() if type(result).__name__ == "Failure"}
    assert sorted(ended) == list(range(300))
    assert {position for position, crash in blamed.items() if crash.kind == "crash"} <= slow
    assert {position for position in blamed if position not in slow and blamed[position].duration_s < 0.05} == set()


BIG: list[str] = []


def starve_while_results_wait(value: int) -> object:
    """Leave no memory for the thread that sends what is finished, and keep the main one busy."""
    BIG[:] = BIG or ["y" * (70 << 20)]
    if value == 198:
        time.sleep(0.0015)
    if value == 199:
        return BIG[0]
    if value == 200:
        held: list[bytearray] = []
        try:
            while True:
                held.append(bytearray(1 << 16))
        except MemoryError:
            pass
        time.sleep(0.4)
    return value


def test_a_worker_without_memory_to_send_results_ends_and_the_run_goes_on() -> None:
    with nothing_left_behind():
        ended = dict(ProcessRunner(1, "fork", max_memory=200 << 20).stream(starve_while_results_wait, range(400)))

    assert sorted(ended) == list(range(400))
    failed = {position for position, result in ended.items() if type(result).__name__ == "Failure"}
    assert failed <= {199, 200}


def test_an_input_that_does_not_fit_into_a_workers_memory_says_so(capfd: pytest.CaptureFixture[str]) -> None:
    runner = ProcessRunner(1, "spawn", max_memory=30 << 20)  # a fork may inherit free memory
    ended = dict(runner.stream(len, [b"1", bytes(50 << 20), b"22"]))

    assert (ended[0].unwrap(), ended[2].unwrap()) == (1, 2)
    assert "too little memory" in ended[1].failure().message
    assert capfd.readouterr().err == ""


# ---- forks ----


def first_of_three(_: int) -> int:
    """The pool ends its workers by SIGTERM, while they sleep."""
    with multiprocessing.get_context("fork").Pool(2) as pool:
        return next(pool.imap_unordered(sleep_unless_first, range(3)))


def sleep_unless_first(value: int) -> int:
    if value:
        time.sleep(20)
    return value


def test_what_a_function_forks_can_be_ended_as_ever() -> None:
    with nothing_left_behind():
        assert ProcessRunner(1, "fork", timeout=10).run(first_of_three, [0]) == [0]


HELD = """
import os
from runners import {name}
with {name}(2) as runner:
    assert runner.run(abs, [-1, 2]) == [1, 2]
    child = os.fork()
    if child == 0:
        os._exit(0 if runner.run(abs, range(-5, 0)) == [5, 4, 3, 2, 1] else 1)
    print(os.waitpid(child, 0)[1], runner.run(abs, [-3]))
"""


@pytest.mark.parametrize("name", ["ThreadRunner", "ProcessRunner", "AsyncRunner"])
def test_a_runner_that_is_held_open_works_in_a_forked_child_too(name: str) -> None:
    assert what_forks(HELD.format(name=name)) == "0 [3]\n"


LEFT = """
import os, signal, threading
from runners import {name}
{define} who(number):
    return threading.current_thread()
with {name}(1) as runner:
    runner.run(who, [1])
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        runner.run(who, [1])
if child == 0:
    with runner:
        first, second = runner.run(who, [1]), runner.run(who, [1])
    os._exit(0 if first == second else 1)
print(os.waitpid(child, 0)[1])
"""


@pytest.mark.parametrize(("name", "define"), [("ThreadRunner", "def"), ("AsyncRunner", "async def")])
def test_a_forked_child_may_leave_what_its_parent_entered_and_enter_again(name: str, define: str) -> None:
    assert what_forks(LEFT.format(name=name, define=define)) == "0\n"


HALF_READ = """
import os, signal, threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from runners import ExecutorRunner
go_on = threading.Event()
def work(number):
    return go_on.wait() if number else number
with ExecutorRunner(partial(ThreadPoolExecutor, 2)) as runner:
    stream = runner.stream(work, range(10))
    next(stream)
    child = os.fork()
    if child == 0:
        signal.alarm(10)
        stream.close()
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    go_on.set()
    print(status, len(list(stream)))
"""


def test_a_forked_child_closes_its_copy_of_a_stream_without_waiting_for_its_parents_workers() -> None:
    assert what_forks(HALF_READ) == "0 9\n"


HELD_LOCKS = """
import os, signal
from multiprocessing import forkserver, resource_tracker
from threading import Event, Thread
from runners import ProcessRunner
taken, go_on = Event(), Event()
def hold():
    with resource_tracker._resource_tracker._lock, forkserver._forkserver._lock:
        taken.set()
        go_on.wait()
if __name__ == "__main__":
    holder = Thread(target=hold)
    holder.start()
    taken.wait()
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        os._exit(0 if ProcessRunner(1, "forkserver").run(abs, [-1]) == [1] else 1)
    print(os.waitpid(child, 0)[1])
    go_on.set()
"""


def test_a_forked_child_starts_workers_though_another_thread_of_its_parent_was_starting_some() -> None:
    assert what_forks(HELD_LOCKS) == "0\n"


OWN = """
import os, signal
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
import loky
from runners import ExecutorRunner, RunnerError
if __name__ == "__main__":
    made = {made}
    with ExecutorRunner({source}) as runner:
        runner.run(abs, [-1])
        child = os.fork()
        if child == 0:
            signal.alarm(20)
            try:
                runner.run(abs, [-1])
            except RunnerError as error:
                print(error, flush=True)
            os._exit(0)
        print(os.waitpid(child, 0)[1], runner.run(abs, [-1]))
    made.shutdown()
"""

LOKYS = "loky.get_reusable_executor(1)"


@pytest.mark.parametrize(
    ("made", "source"),
    [
        ("ThreadPoolExecutor(1)", "made"),
        ("ProcessPoolExecutor(1)", "made"),
        (LOKYS, "made"),
        (LOKYS, "partial(loky.get_reusable_executor, 1)"),
    ],
)
def test_a_forked_child_is_told_that_an_executor_is_its_parents(made: str, source: str) -> None:
    told, ended = what_forks(OWN.format(made=made, source=source)).splitlines()

    assert "has its threads in another process, of which this one was forked; give " in told
    assert ended == "0 [1]"


IGNORING = """
import os, signal
from runners import ProcessRunner
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
def run():
    assert ProcessRunner(2, "fork").run(abs, [-1, -2]) == [1, 2]
    return len(os.listdir("/proc/self/fd"))
print(run() == run())
"""


def test_a_program_that_ignores_its_children_keeps_no_descriptors_of_workers() -> None:
    assert what_forks(IGNORING) == "True\n"


LEASED = """
import os, signal
from runners.lease import Lease
closed = []
lease = Lease(closed.append)
lease.enter(lambda: "the parent's")
child = os.fork()
if child == 0:
    signal.alarm(10)
    lease.leave()
    before = list(closed)
    lease.enter(lambda: "the child's")
    lease.leave()
    lease.leave()
    os._exit(0 if (before, closed) == ([], ["the child's"]) else 1)
print(os.waitpid(child, 0)[1])
lease.leave()
print(closed)
"""


def test_a_forked_child_does_not_close_what_its_parent_opened() -> None:
    assert what_forks(LEASED) == """0\n["the parent's"]\n"""


def what_forks(program: str) -> str:
    """What it prints; it prints no error."""
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    return done.stdout


def run_in_a_daemon(_: int) -> str:
    try:
        return str(ProcessRunner(1, "fork").run(abs, [-1]))
    except RunnerError as error:
        return str(error)


def test_a_process_that_may_have_no_children_is_told_so() -> None:
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert "use ThreadRunner in such a process" in pool.apply(run_in_a_daemon, (0,))


# ---- inputs ----


class Bar:
    """A progress bar around a generator, as tqdm makes one: there is a length, and it is None."""

    def __iter__(self) -> Iterator[int]:
        return iter((-1, 2))

    def __len__(self) -> Any:
        return None


def test_inputs_that_do_not_know_their_length_after_all(runner: Runner) -> None:
    assert runner.run(abs, Bar()) == [1, 2]


class Leaving:
    """Pickling it would end the process."""

    def __reduce__(self) -> Any:
        raise SystemExit(5)


@pytest.mark.parametrize("name", ["process", "executor"])
def test_an_input_whose_pickling_exits_costs_itself_only(name: str) -> None:
    ended = dict(MAKERS[name]().stream(type, [1, Leaving(), 3]))

    assert (ended[0].unwrap(), ended[2].unwrap()) == (int, int)
    assert (ended[1].failure().kind, ended[1].failure().exception) == ("invalid", "SystemExit")


def broken_off() -> Iterator[int]:
    yield from (-1, -2)
    raise SystemExit(7)


@pytest.mark.parametrize("name", ["sequential", "process", "executor"])
def test_inputs_that_exit_cost_none_of_those_before(name: str) -> None:
    ended: list[int] = []
    with pytest.raises(SystemExit, match="7"):
        ended.extend(result.unwrap() for _, result in MAKERS[name]().stream(abs, broken_off()))

    assert sorted(ended) == [1, 2]


# ---- exceptions: the same on every runner ----


class Text(str):
    """A text that another process does not know."""

    __slots__ = ()


class Odd(Exception):
    """``how`` says what goes wrong when somebody looks at it."""

    def __init__(self, how: str) -> None:
        super().__init__(how)
        self.how = how

    def __str__(self) -> str:
        if self.how == "exits":
            raise SystemExit(3)
        if self.how == "raises":
            raise ValueError("no")
        return type("Local", (Text,), {})("odd") if self.how == "gives a text of its own" else "odd"

    def __reduce__(self) -> Any:
        if self.how == "cannot be pickled":
            raise SystemExit(4)
        return super().__reduce__()


def raise_odd(how: str) -> None:
    raise Odd(how)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("exits", "<no message: Odd.__str__ raised SystemExit>"),
        ("raises", "<no message: Odd.__str__ raised ValueError>"),
        ("gives a text of its own", "odd"),
        ("cannot be pickled", "odd"),
    ],
)
def test_an_odd_exception_is_told_alike_everywhere(runner: Runner, how: str, message: str) -> None:
    ended = dict(runner.stream(raise_odd, [how, how]))

    for result in ended.values():
        crash = result.failure()
        assert (crash.kind, crash.exception, crash.message, type(crash.message)) == ("error", "Odd", message, str)

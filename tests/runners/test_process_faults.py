"""The fault matrix: whatever one input does to its worker, the other nineteen have their results."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import pytest
from returns.result import Success

from runners.errors import RunnerError
from runners.process import ProcessRunner
from runners.protocol import Crash
from tests.runners import faults
from tests.runners.faults import Faulty
from tests.runners.processes import is_alive, nothing_left_behind, wait_until

METHODS = ("fork", "forkserver", "spawn")
INPUTS = range(20)


class Expected(NamedTuple):
    kind: str
    exception: str
    message: str


MATRIX = {
    faults.kill_itself: Expected("crash", "WorkerDied", "worker died: killed by SIGKILL while on this input"),
    faults.segfault: Expected("crash", "WorkerDied", "worker died: killed by SIGSEGV while on this input"),
    faults.exit_at_once: Expected("crash", "WorkerDied", "worker died: exit code 3 while on this input"),
    faults.exit_politely: Expected("error", "SystemExit", "4"),
    faults.interrupt: Expected("error", "KeyboardInterrupt", "from inside"),
    faults.raise_strange: Expected("error", "Strange", "odd"),
    faults.raise_memory_error: Expected("error", "MemoryError", "none left"),
    faults.recurse: Expected("error", "RecursionError", "maximum recursion depth exceeded"),
    faults.hang: Expected("timeout", "TimeoutError", "this input was still running after"),
    faults.hang_busily: Expected("timeout", "TimeoutError", "this input was still running after"),
    faults.hold_interpreter: Expected("timeout", "TimeoutError", "this input was still running after"),
    faults.hang_deaf: Expected("timeout", "TimeoutError", "this input was still running after"),
    faults.hang_stopped: Expected("timeout", "TimeoutError", "this input was still running after"),
    faults.return_unpicklable: Expected("invalid", "TypeError", "its result cannot be pickled: .*lock"),
    faults.return_poison: Expected("invalid", "ValueError", "its result cannot be unpickled: this is poison"),
    faults.return_exit: Expected("invalid", "SystemExit", "its result cannot be unpickled: 9"),
    faults.raise_unpicklable: Expected("error", "LockedError", "locked in"),
    faults.raise_needy: Expected("error", "NeedyError", "5: needy"),
    faults.raise_mute: Expected("error", "MuteError", "<no message: MuteError.__str__ raised RuntimeError>"),
    faults.raise_huge: Expected("error", "ValueError", r"x{10000}\.\.\. \(cut; 50,000,000 characters in all\)$"),
    faults.hog: Expected("error", "MemoryError", ""),
    faults.close_descriptors: Expected("crash", "WorkerDied", "exit code 71, its connection .* while on this input"),
}
EVERY_METHOD = (faults.kill_itself, faults.hang_deaf, faults.return_poison, faults.close_descriptors)
CASES = [(fault, "fork") for fault in MATRIX] + [(fault, method) for fault in EVERY_METHOD for method in METHODS[1:]]


def make_runner(fault: Any, method: Any, **settings: Any) -> ProcessRunner:
    timeout = 0.3 if MATRIX[fault].kind == "timeout" else None
    max_memory = 300_000_000 if fault is faults.hog else None
    return ProcessRunner(2, method, timeout=timeout, max_memory=max_memory, **settings)


def split(outcomes: Iterable[tuple[int, Any]]) -> tuple[dict[int, Any], dict[int, Crash]]:
    """Results and crashes by position; no position may come twice."""
    results: dict[int, Any] = {}
    crashes: dict[int, Crash] = {}
    for position, outcome in outcomes:
        assert position not in results
        assert position not in crashes
        if type(outcome) is Success:
            results[position] = outcome.unwrap()
        else:
            crashes[position] = outcome.failure()
    return results, crashes


def squares(*missing: int) -> dict[int, int]:
    return {value: value * value for value in INPUTS if value not in missing}


@pytest.mark.parametrize(("fault", "method"), CASES, ids=lambda value: getattr(value, "__name__", value))
def test_a_fault_costs_exactly_its_own_input(fault: Any, method: str) -> None:
    runner = make_runner(fault, method)
    with nothing_left_behind(), runner:
        results, crashes = split(runner.stream(Faulty(fault), INPUTS))
        again = runner.run(faults.square, INPUTS)

    assert results == squares(7)
    assert list(crashes) == [7]
    assert (crashes[7].kind, crashes[7].exception) == MATRIX[fault][:2]
    assert re.search(MATRIX[fault].message, crashes[7].message)
    assert len(crashes[7].message) < 10_100
    assert again == [value * value for value in INPUTS]


FATAL = (faults.kill_itself, faults.hang_deaf, faults.return_poison, faults.raise_needy, faults.close_descriptors)


@pytest.mark.parametrize("fault", FATAL)
@pytest.mark.parametrize("on", [{0}, {19}, {7, 8}, {0, 19}, {3, 4, 5, 6}], ids=str)
def test_faults_at_any_places_cost_exactly_those_inputs(fault: Any, on: set[int]) -> None:
    with nothing_left_behind():
        results, crashes = split(make_runner(fault, "fork").stream(Faulty(fault, frozenset(on)), INPUTS))

    assert results == squares(*on)
    assert set(crashes) == on
    assert {crash.kind for crash in crashes.values()} == {MATRIX[fault].kind}


@pytest.mark.parametrize("fault", [faults.kill_itself, faults.return_unpicklable, faults.raise_needy])
def test_every_input_may_be_faulty(fault: Any) -> None:
    with nothing_left_behind():
        results, crashes = split(make_runner(fault, "fork").stream(Faulty(fault, frozenset(INPUTS)), INPUTS))

    assert results == {}
    assert sorted(crashes) == list(INPUTS)
    assert {crash.kind for crash in crashes.values()} == {MATRIX[fault].kind}


@pytest.mark.parametrize("fault", [faults.kill_itself, faults.close_descriptors])
def test_two_faults_in_the_middle_of_a_large_chunk_are_both_found(fault: Any) -> None:
    bad = frozenset({40_000, 40_001})
    with nothing_left_behind():
        results, crashes = split(make_runner(fault, "fork").stream(Faulty(fault, bad), range(60_000)))

    assert set(crashes) == bad
    assert results == {value: value * value for value in range(60_000) if value not in bad}


def inputs_with(bad: object) -> list[object]:
    return [bad if value == 7 else value for value in INPUTS]


@pytest.mark.parametrize("method", METHODS)
def test_an_input_that_cannot_be_pickled_is_that_inputs_failure(method: Any) -> None:
    with nothing_left_behind():
        results, crashes = split(ProcessRunner(2, method).stream(faults.identity, inputs_with(lambda: None)))

    assert len(results) == 19
    assert crashes[7].kind == "invalid"
    assert crashes[7].message.startswith("a function cannot be pickled, so it cannot go to a worker: ")


def test_an_input_that_cannot_be_unpickled_is_that_inputs_failure() -> None:
    with nothing_left_behind():
        results, crashes = split(ProcessRunner(2).stream(faults.identity, inputs_with(faults.Poison())))

    assert len(results) == 19
    assert (crashes[7].kind, crashes[7].message) == ("invalid", "it cannot be unpickled: this is poison")


def test_what_a_worker_started_ends_with_it() -> None:
    with nothing_left_behind():
        results, crashes = split(ProcessRunner(2).stream(Faulty(faults.fork_a_sleeper), INPUTS))

    assert len(results) == 20
    assert crashes == {}
    assert wait_until(lambda: not is_alive(results[7]), 2.0)


def test_a_forked_copy_of_a_worker_sends_nothing() -> None:
    with nothing_left_behind():
        results, crashes = split(ProcessRunner(2).stream(Faulty(faults.fork_and_both_return), INPUTS))

    assert results == squares(7) | {7: "forked"}
    assert crashes == {}


def test_a_worker_may_write_to_stdout(capfd: pytest.CaptureFixture[str]) -> None:
    results, _ = split(ProcessRunner(2, "fork").stream(Faulty(faults.write_to_stdout), INPUTS))

    assert results[7] == "written"
    assert capfd.readouterr().out == "hello from a worker\nraw bytes\n"


@pytest.mark.parametrize("method", METHODS)
def test_a_function_that_workers_cannot_import_fails_at_once_by_name(method: Any) -> None:
    with nothing_left_behind(), pytest.raises(RunnerError, match=r"_Unimportable.* cannot be loaded .*no_such_module"):
        list(ProcessRunner(2, method).stream(_Unimportable(), INPUTS))


class _Unimportable:
    """Its pickle refers to a module that does not exist in any worker."""

    def __call__(self, value: int) -> int:
        return value

    def __reduce__(self) -> tuple[Any, ...]:
        return __import__, ("no_such_module",)


def test_an_exception_that_survives_the_way_comes_along_with_its_frames() -> None:
    _, crashes = split(ProcessRunner(2).stream(int, ["1", "x"]))
    _, deep = split(ProcessRunner(2).stream(Faulty(faults.recurse), INPUTS))

    assert isinstance(crashes[1].error, ValueError)
    assert str(crashes[1].error) == "invalid literal for int() with base 10: 'x'"
    assert len(deep[7].frames) == 20
    assert deep[7].frames[-1][2] == "recurse"


@pytest.mark.parametrize(
    "fault", [faults.raise_unpicklable, faults.raise_needy, faults.raise_huge, faults.interrupt, faults.exit_politely]
)
def test_an_exception_that_does_not_survive_is_left_out(fault: Any) -> None:
    _, crashes = split(ProcessRunner(2).stream(Faulty(fault), INPUTS))

    assert crashes[7].error is None
    assert crashes[7].frames[-1][2] == fault.__name__

"""What a process runner does when all goes well, and what it accepts."""

from __future__ import annotations

import gc
import os
import pickle
import threading
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import count, islice, pairwise
from pathlib import Path
from typing import Any

import pytest
from returns.result import Success

from runners.errors import InputFailed, RunnerError
from runners.process import ProcessRunner
from tests.runners import faults
from tests.runners.faults import Faulty
from tests.runners.processes import descendants, nothing_left_behind, wait_until
from tests.runners.test_process_faults import split


def process_id(_: object) -> int:
    return os.getpid()


def test_run_returns_results_in_input_order() -> None:
    with nothing_left_behind():
        results = ProcessRunner(2).run(faults.square, range(5_000))

    assert results == [value * value for value in range(5_000)]


def test_an_empty_batch_starts_no_process() -> None:
    stream = ProcessRunner(2).stream(faults.square, [])

    assert list(stream) == []
    assert ProcessRunner(2).run(faults.square, iter(())) == []


def sleep_for(duration_s: float) -> float:
    time.sleep(duration_s)
    return duration_s


def test_stream_yields_in_the_order_of_finishing() -> None:
    stream = ProcessRunner(2).stream(sleep_for, [0.5, 0.0, 0.01])

    assert [position for position, _ in stream] == [1, 2, 0]


def test_finished_results_do_not_wait_behind_a_slow_input_of_their_chunk() -> None:
    durations = [0.0] * 3_000
    durations[2_900] = 1.5
    start = time.monotonic()
    arrived = {position: time.monotonic() - start for position, _ in ProcessRunner(1).stream(sleep_for, durations)}

    assert arrived[2_900] - max(arrived[position] for position in range(2_900)) > 1.0


def test_values_of_all_sizes_come_back_as_they_went() -> None:
    values: list[Any] = [
        None,
        "ä" * 70_000,
        b"x" * 3_000_000,
        {"a": [b"y" * 100_000]},
        (1, 2.5),
        bytearray(200_000),
        -1,
    ]

    assert ProcessRunner(2).run(faults.identity, values * 5) == values * 5


class Buffered:
    """Travels out of band, as arrays do."""

    def __init__(self, data: Any) -> None:
        self.data = data

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return Buffered, (pickle.PickleBuffer(self.data),)


def fill(value: Buffered) -> Buffered:
    view = memoryview(value.data)
    view[:] = bytes([view[0] + 1]) * len(view)
    return value


def test_buffers_travel_out_of_band_and_stay_writable() -> None:
    inputs = [Buffered(bytearray([number]) * 300_000) for number in range(12)]

    results = ProcessRunner(2).run(fill, inputs)

    assert [bytes(result.data) for result in results] == [bytes([number + 1]) * 300_000 for number in range(12)]
    assert inputs[0].data[0] == 0


_reused = bytearray(100_000)


def refill(value: int) -> Buffered:
    _reused[:] = bytes([value]) * len(_reused)
    return Buffered(_reused)


def test_a_function_may_return_the_same_buffer_again_and_again() -> None:
    results = ProcessRunner(1).run(refill, range(50))

    assert [bytes(result.data) for result in results] == [bytes([value]) * 100_000 for value in range(50)]


# Raising


def test_run_raises_what_the_function_raised_and_says_for_which_input() -> None:
    with nothing_left_behind(), pytest.raises(ValueError, match="invalid literal") as caught:
        ProcessRunner(2).run(int, ["1", "x"])

    assert caught.value.__notes__ == ["raised in a worker, for input 1:"]


@pytest.mark.parametrize("fault", [faults.kill_itself, faults.raise_needy, faults.interrupt])
def test_run_raises_an_error_that_names_the_input_where_the_exception_did_not_survive(fault: Any) -> None:
    with nothing_left_behind(), pytest.raises(InputFailed, match="input 7 has no result") as caught:
        ProcessRunner(2).run(Faulty(fault), range(20))

    assert caught.value.position == 7


@pytest.mark.parametrize(
    ("function", "named"),
    [
        (lambda value: value, r"<lambda> cannot be pickled"),
        (partial(faults.identity, threading.Lock()), r"identity\.args\[0\] \(<unlocked .*lock"),
        (Faulty(faults.Poison, on=threading.Lock()), r"\.on \(<unlocked .*lock"),  # type: ignore[arg-type]
    ],
)
def test_a_function_that_cannot_be_pickled_is_refused_before_anything_starts(function: Any, named: str) -> None:
    with pytest.raises(RunnerError, match=named):
        ProcessRunner(2).stream(function, [1])


@pytest.mark.parametrize(
    "settings",
    [
        {"max_workers": 0},
        {"start_method": "thread"},
        {"timeout": 0},
        {"timeout": "3"},
        {"crash_retries": -1},
        {"crash_retries": 1.5},
        {"max_memory": 0},
        {"max_memory": 1e9},
        {"max_memory": 2**80},
    ],
    ids=str,
)
def test_settings_that_make_no_sense_are_refused_by_name(settings: Any) -> None:
    with pytest.raises(RunnerError, match=next(iter(settings))):
        ProcessRunner(**settings)


def test_inputs_that_are_not_iterable_are_refused_at_once() -> None:
    with pytest.raises(TypeError, match="not iterable"):
        ProcessRunner(2).stream(abs, 5)  # type: ignore[arg-type]


@pytest.mark.parametrize("good", [0, 1, 100, 3_000])
def test_what_the_inputs_raise_comes_after_all_results_so_far(good: int) -> None:
    def inputs() -> Iterator[int]:
        yield from range(good)
        raise LookupError("the source broke")

    results: list[tuple[int, object]] = []
    with nothing_left_behind(), pytest.raises(LookupError, match="the source broke"):
        results.extend(ProcessRunner(2).stream(faults.square, inputs()))

    assert sorted(position for position, _ in results) == list(range(good))


# Laziness


def test_inputs_are_pulled_only_as_far_as_workers_can_take_them() -> None:
    pulled = count()
    stream: Any = ProcessRunner(2).stream(faults.square, (next(pulled) for _ in count()))

    with nothing_left_behind():
        list(islice(stream, 10))
        stream.close()

    assert next(pulled) < 1_000


def test_a_slow_source_does_not_hold_results_back() -> None:
    def inputs() -> Iterator[float]:
        for number in range(200):
            if number >= 150:
                time.sleep(0.05)
            yield 0.0

    arrivals: dict[int, float] = {}
    with ProcessRunner(2) as runner:
        runner.run(sleep_for, [0.0] * 10)  # workers that are there already: their start is another matter
        for position, _ in runner.stream(sleep_for, inputs()):
            arrivals[position] = time.monotonic()

    assert max(arrivals[position] for position in range(150)) < arrivals[199] - 1.0


def test_closing_a_stream_ends_its_workers() -> None:
    before = descendants()
    stream: Any = ProcessRunner(2).stream(sleep_for, [0.0, 60.0, 60.0])
    next(stream)
    assert descendants() > before

    stream.close()

    assert descendants() == before


def test_dropping_a_stream_ends_its_workers() -> None:
    before = descendants()
    stream: Any = ProcessRunner(2).stream(sleep_for, [0.0, 60.0, 60.0])
    next(stream)

    del stream
    gc.collect()

    assert wait_until(lambda: descendants() == before, 2.0)


def test_a_consumer_that_pauses_loses_nothing() -> None:
    stream = ProcessRunner(2).stream(faults.square, range(20_000))
    first = next(stream)
    time.sleep(0.3)

    assert {position for position, _ in [first, *stream]} == set(range(20_000))


# Workers that stay


def test_inside_with_the_same_workers_serve_batch_after_batch() -> None:
    with nothing_left_behind(), ProcessRunner(2) as runner:
        first = set(runner.run(process_id, range(200)))
        second = set(runner.run(process_id, range(200)))
        results = runner.run(faults.square, range(10))

    assert first == second
    assert results == [value * value for value in range(10)]


def test_with_may_be_nested() -> None:
    runner = ProcessRunner(1)
    with nothing_left_behind(), runner:
        first = runner.run(process_id, [1])
        with runner:
            second = runner.run(process_id, [1])
        third = runner.run(process_id, [1])

    assert first == second == third


def test_without_with_each_batch_has_its_own_workers() -> None:
    runner = ProcessRunner(1)

    assert runner.run(process_id, [1]) != runner.run(process_id, [1])


def test_stopping_early_inside_with_leaves_a_runner_that_works() -> None:
    with nothing_left_behind(), ProcessRunner(2) as runner:
        stream: Any = runner.stream(sleep_for, [0.0, 60.0, 60.0, 60.0])
        next(stream)
        stream.close()
        results = runner.run(faults.square, range(100))

    assert results == [value * value for value in range(100)]


@pytest.mark.parametrize("keep", [False, True])
def test_several_threads_may_use_one_runner(keep: bool) -> None:
    runner = ProcessRunner(2)
    results: dict[int, list[int]] = {}

    def work(number: int) -> None:
        results[number] = runner.run(partial(max, number), range(500))

    def work_in_threads() -> None:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    with nothing_left_behind():
        if keep:
            with runner:
                work_in_threads()
        else:
            work_in_threads()

    assert results == {number: [max(number, value) for value in range(500)] for number in range(4)}


def run_inside(value: int) -> list[int]:
    return ProcessRunner(2).run(faults.square, range(value))


def test_a_worker_may_use_a_runner_of_its_own() -> None:
    with nothing_left_behind():
        results = ProcessRunner(2).run(run_inside, [3, 2])

    assert results == [[0, 1, 4], [0, 1]]


# Deaths


def test_by_default_a_crashed_input_is_not_run_again(tmp_path: Path) -> None:
    function = partial(note_then, faults.kill_itself, tmp_path, 7)
    _, crashes = split(ProcessRunner(2).stream(function, range(20)))

    assert list(crashes) == [7]
    assert executions(tmp_path)[7] == 1


def test_crash_retries_run_a_suspect_again(tmp_path: Path) -> None:
    function = partial(note_then, faults.kill_itself, tmp_path, 7)
    results, crashes = split(ProcessRunner(2, crash_retries=2).stream(function, range(20)))

    assert (len(results), list(crashes)) == (19, [7])
    assert executions(tmp_path)[7] == 3


def test_crash_retries_save_an_innocent_input(tmp_path: Path) -> None:
    function = partial(die_the_first_time, tmp_path)
    results, crashes = split(ProcessRunner(2, crash_retries=1).stream(function, range(20)))

    assert len(results) == 20
    assert crashes == {}


def test_deliver_each_repeats_nothing_that_was_finished(tmp_path: Path) -> None:
    bad = frozenset({50, 100, 101, 150, 399})
    function = partial(note_and_die_at, tmp_path, bad)
    results, crashes = split(ProcessRunner(2, deliver_each=True).stream(function, range(400)))

    assert set(crashes) == bad
    assert len(results) == 395
    assert executions(tmp_path) == dict.fromkeys(range(400), 1)


def note_then(fault: Any, folder: Path, bad: int, value: int) -> int:
    faults.note_and_square(folder, value)
    return int(fault()) if value == bad else value


def note_and_die_at(folder: Path, bad: frozenset[int], value: int) -> int:
    faults.note_and_square(folder, value)
    if value in bad:
        faults.kill_itself()
    return value


def die_the_first_time(folder: Path, value: int) -> int:
    if value == 7 and not (folder / "7").exists():
        faults.note_and_square(folder, value)
        faults.kill_itself()
    return value


def executions(folder: Path) -> dict[int, int]:
    return dict(Counter({int(file.name): file.stat().st_size for file in folder.iterdir()}))


# Time limits


def limit_itself(value: int) -> int:
    pulse: Any = ProcessRunner.pulse
    pulse(1, None)
    pulse(2, 0.3 if value == 7 else 60.0)
    if value == 7:
        time.sleep(60)
    return value


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_an_input_ends_at_the_limit_it_set_itself_and_its_mark_is_known(method: Any) -> None:
    with nothing_left_behind():
        results, crashes = split(ProcessRunner(2, method).stream(limit_itself, range(20)))

    assert len(results) == 19
    assert (crashes[7].kind, crashes[7].mark) == ("timeout", 2)
    assert 0.3 <= crashes[7].duration_s < 1.3


def set_a_limit_once(value: int) -> int:
    pulse: Any = ProcessRunner.pulse
    if value == 0:
        pulse(5, 0.2)
    elif value == 1:
        time.sleep(0.5)
    return value


def test_a_limit_ends_with_the_input_that_set_it() -> None:
    assert ProcessRunner(1).run(set_a_limit_once, [0, 1, 2]) == [0, 1, 2]


def test_outside_a_worker_a_pulse_does_nothing() -> None:
    assert limit_itself(3) == 3


def clean_up_when_told(folder: Path, value: int) -> int:
    try:
        time.sleep(60 if value == 7 else 0)
    finally:
        faults.note_and_square(folder, value)
    return value


def test_a_function_whose_time_is_up_may_still_clean_up(tmp_path: Path) -> None:
    _, crashes = split(ProcessRunner(2, timeout=0.3).stream(partial(clean_up_when_told, tmp_path), range(20)))

    assert crashes[7].kind == "timeout"
    assert executions(tmp_path) == dict.fromkeys(range(20), 1)


def go_on_when_told(folder: Path, value: int) -> tuple[int, bool]:
    """Every third input takes too long, ends that by itself and goes on; the fourth of those dies of it."""
    pulse: Any = ProcessRunner.pulse
    faults.note_and_square(folder, value)
    told = False
    if value % 3 == 1:
        pulse(1, 0.1)
        try:
            time.sleep(60)
        except BaseException:  # what a runner raises in a worker is no Exception
            told = True
        pulse(2, None)
        time.sleep(0.8)  # longer than it had when it was told
        if value == 10:
            os._exit(9)
    return os.getpid(), told


def test_a_function_that_ends_what_took_too_long_goes_on_and_its_worker_ends_with_the_input(tmp_path: Path) -> None:
    with nothing_left_behind():
        results, crashes = split(ProcessRunner(1).stream(partial(go_on_when_told, tmp_path), range(12)))

    assert [(position, crash.kind, crash.mark) for position, crash in crashes.items()] == [(10, "crash", 2)]
    assert [position for position, (_, told) in sorted(results.items()) if told] == [1, 4, 7]
    workers = [results[position][0] for position in range(10)]
    assert [before == after for before, after in pairwise(workers)] == [True, False, True] * 3
    assert executions(tmp_path) == dict.fromkeys(range(12), 1)


def test_an_error_is_marked_with_the_last_pulse() -> None:
    _, crashes = split(ProcessRunner(1).stream(pulse_and_fail, [0, 1]))

    assert {position: crash.mark for position, crash in crashes.items()} == {0: -1, 1: 3}


def pulse_and_fail(value: int) -> None:
    pulse: Any = ProcessRunner.pulse
    if value == 1:
        pulse(3, None)
    raise ValueError(value)


# The runner as a value


def test_a_runner_is_a_value() -> None:
    runner = ProcessRunner(3, "spawn", timeout=2.0)

    assert runner.workers == 3
    assert runner == pickle.loads(pickle.dumps(runner))
    assert hash(runner) == hash(ProcessRunner(3, "spawn", timeout=2.0))
    assert runner != ProcessRunner(2, "spawn", timeout=2.0)
    assert repr(runner).startswith("ProcessRunner(max_workers=3, start_method='spawn', timeout=2.0")


def test_success_carries_the_result() -> None:
    assert list(ProcessRunner(1).stream(abs, [-3])) == [(0, Success(3))]


_reused_small = bytearray(1_000)


def refill_small(value: int) -> Buffered:
    _reused_small[:] = bytes([value]) * len(_reused_small)
    return Buffered(_reused_small)


def test_a_small_buffer_may_be_used_again_as_well() -> None:
    results = ProcessRunner(1).run(refill_small, range(200))

    assert [bytes(result.data) for result in results] == [bytes([value]) * 1_000 for value in range(200)]

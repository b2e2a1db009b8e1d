"""The pool's decisions, without processes: blame, pace, feeding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from runners.pool.blame import MAX_DEATHS, judge
from runners.pool.feed import Chunk, Feed
from runners.pool.pace import CHUNK_S, GATHER_S, MAX_ITEMS, MAX_LISTED, Pace
from runners.pool.slot import LEAVING, RUNNING, SENDING, WAITING


def described(chunks: list[Chunk]) -> list[tuple[int, int, bool]]:
    return [(chunk.first, chunk.end, chunk.alone) for chunk in chunks if chunk.values]


def chunk_of(first: int, size: int) -> Chunk:
    return Chunk(first, list(range(first, first + size)))


def test_the_input_in_progress_is_to_blame_and_the_rest_runs_again() -> None:
    verdict = judge([chunk_of(10, 5), chunk_of(15, 5)], 12, RUNNING)

    assert verdict.culprit == 12
    assert described(verdict.again) == [(10, 12, False), (13, 15, False), (15, 20, False)]


def test_several_results_on_their_way_are_all_suspects_and_run_alone() -> None:
    verdict = judge([chunk_of(10, 5)], 12, SENDING)

    assert verdict.culprit is None
    assert described(verdict.again) == [(10, 11, True), (11, 12, True), (12, 13, True), (13, 15, False)]


def test_a_single_result_on_its_way_is_to_blame() -> None:
    assert judge([chunk_of(10, 5)], 10, SENDING).culprit == 10


@pytest.mark.parametrize(("position", "phase"), [(9, RUNNING), (-1, RUNNING), (12, WAITING), (15, SENDING)])
def test_where_nothing_was_in_progress_nobody_is_to_blame(position: int, phase: float) -> None:
    verdict = judge([chunk_of(10, 5)], position, phase)

    assert verdict.culprit is None
    assert described(verdict.again) == [(10, 15, False)]


def test_a_worker_that_leaves_by_itself_is_no_death() -> None:
    chunks = [chunk_of(10, 1)]
    culprits = list[int | None]()
    for _ in range(MAX_DEATHS + 1):
        culprit, chunks = judge(chunks, 9, LEAVING)
        culprits.append(culprit)

    assert set(culprits) == {None}
    assert [(chunk.first, chunk.end, chunk.deaths) for chunk in chunks] == [(10, 11, 0)]


def test_deaths_without_a_culprit_end_in_an_answer() -> None:
    chunks = [chunk_of(10, 2)]
    for _ in range(MAX_DEATHS):
        chunks = judge(chunks, -1, WAITING).again
    assert described(chunks) == [(10, 11, True), (11, 12, True)]

    alone = chunks[:1]
    for _ in range(MAX_DEATHS - 1):
        alone = judge(alone, -1, WAITING).again
    assert judge(alone, -1, WAITING).culprit == 10


def test_deaths_before_a_worker_was_ready_count_against_no_input() -> None:
    chunks = [chunk_of(10, 1), chunk_of(11, 1)]
    for _ in range(2 * MAX_DEATHS):
        verdict = judge(chunks, -1, WAITING, was_ready=False)
        chunks = verdict.again

        assert verdict.culprit is None
    assert [(chunk.first, chunk.end, chunk.deaths) for chunk in chunks] == [(10, 11, 0), (11, 12, 0)]
    assert judge(chunks, 10, RUNNING, was_ready=False).culprit == 10


def test_a_worker_without_chunks_dies_unnoticed() -> None:
    assert judge([], 3, RUNNING) == (None, [])


def test_chunks_start_at_one_and_grow_fourfold_up_to_the_limit() -> None:
    pace = Pace(workers=2)
    sizes = [pace.size(None)]
    for _ in range(14):
        pace.learn(sizes[-1], sizes[-1] * 1e-7)
        sizes.append(pace.size(None))

    assert sizes[:4] == [1, 4, 16, 64]
    assert sizes[-1] == MAX_ITEMS
    assert pace.size(10**9) == MAX_LISTED


def test_slow_inputs_travel_alone_and_without_one_in_advance() -> None:
    pace = Pace(workers=2)
    pace.learn(1, 2 * CHUNK_S)

    assert (pace.size(None), pace.depth) == (1, 1)


def test_large_inputs_make_small_chunks() -> None:
    pace = Pace(workers=2)
    for _ in range(20):
        pace.learn_bytes(1, 200_000)
        pace.learn(1, 1e-6)

    assert pace.size(None) == 1


def test_towards_a_known_end_chunks_become_small() -> None:
    pace = Pace(workers=2)
    for _ in range(20):
        pace.learn(1, 1e-4)

    assert [pace.size(remaining) for remaining in (100_000, 100, 60, 3)] == [200, 25, 15, 10]


def test_the_last_chunks_are_no_smaller_than_a_millisecond_of_work() -> None:
    pace = Pace(workers=2)
    for _ in range(20):
        pace.learn(1, 2e-3)

    assert [pace.size(remaining) for remaining in (100, 3)] == [10, 1]


def test_results_gather_only_while_every_worker_has_work_in_advance() -> None:
    pace = Pace(workers=2)
    assert pace.leisure_s(1_000) == 0.0

    pace.learn(1, 1e-3)

    assert [pace.leisure_s(waiting) for waiting in (0, 2, 8, 1_000)] == [0.0, 0.0005, 0.002, GATHER_S]


def test_what_was_given_back_comes_first_and_in_order() -> None:
    feed = Feed(range(6))
    chunk = feed.next_chunk(4)
    assert chunk is not None

    feed.give_back([chunk.cut(1, 3), chunk.cut(3, 4)])

    assert [described([part]) for _ in range(3) if (part := feed.next_chunk(9))] == [
        [(1, 3, False)],
        [(3, 4, False)],
        [(4, 6, False)],
    ]
    assert feed.next_chunk(1) is None


def test_inputs_before_an_exception_are_not_lost() -> None:
    def inputs() -> Iterator[int]:
        yield from range(5)
        raise OSError("gone")

    feed = Feed(inputs())
    values: list[int] = []
    while chunk := feed.next_chunk(100):
        values += chunk.values

    assert values == list(range(5))
    assert isinstance(feed.error, OSError)


class Slow(Sequence[int]):
    """Knows its length, and takes its time; the clock is the test's."""

    def __init__(self, pulled: list[int]) -> None:
        self.pulled = pulled

    def __len__(self) -> int:
        return 500

    def __getitem__(self, place: Any) -> Any:
        if place >= 500:
            raise IndexError
        self.pulled.append(place)
        return place


@pytest.mark.parametrize("knows_its_length", [False, True])
def test_a_source_that_turns_slow_gives_up_what_it_has_at_once(
    monkeypatch: pytest.MonkeyPatch, knows_its_length: bool
) -> None:
    pulled: list[int] = []
    monkeypatch.setattr("runners.pool.feed.monotonic", lambda: 10.0 if len(pulled) > 150 else 0.0)
    source = Slow(pulled)
    feed = Feed(source if knows_its_length else iter(source))

    chunk = feed.next_chunk(4_096)

    assert chunk is not None
    assert chunk.values == pulled == list(range(151))
    assert feed.is_open

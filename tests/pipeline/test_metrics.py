"""What is told of many calls is told without keeping them all."""

from __future__ import annotations

from pipeline.metrics import SAMPLE, Durations


def test_of_many_calls_an_even_sample_is_kept_and_count_sum_and_maximum_are_of_all() -> None:
    durations, calls = Durations(), range(300_000)
    for first in range(0, len(calls), 700):
        durations.extend([*calls[first : first + 700]])

    assert (durations.count, durations.total_ns, durations.max_ns) == (len(calls), sum(calls), calls[-1])
    assert [*durations.sample] == [*calls[::8]]
    assert len(durations.sample) < SAMPLE


def test_of_few_calls_all_are_kept() -> None:
    durations = Durations()
    durations.extend([3, 1])
    durations.extend([2])

    assert [*durations.sample] == [3, 1, 2]

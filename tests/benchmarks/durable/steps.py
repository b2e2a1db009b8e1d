"""The three steps that every contender takes its inputs through, and one that works for a millisecond."""

from __future__ import annotations

from time import perf_counter_ns

NAMES = ("first", "second", "third")


def increment(value: int) -> int:
    return value + 1


def work_a_millisecond(value: int) -> int:
    until = perf_counter_ns() + 1_000_000
    while perf_counter_ns() < until:
        pass
    return value + 1

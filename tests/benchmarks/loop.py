"""One input through three trivial steps: bare calls, hand-timed code, `returns` bind, and ours, interleaved.

    python -m tests.benchmarks.loop

Aim: at most 160 ns a step and 120 ns an input over bare calls, at most 1.7 times hand-timed code,
and at most 2 µs over bare calls for an input that fails, with its frames and payload.
Times are of this thread's processor time, so that what else the machine does counts less.
The aims in nanoseconds are for a machine on which the hand-timed code takes 356 to 439 ns.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from time import perf_counter_ns, thread_time_ns
from typing import Any

from returns.result import Result, Success

from pipeline import Pipeline, step
from pipeline.engine import Program, run_one

ROUNDS = 41
CALLS = 5_000
AIM_NS = 3 * 160 + 120


def increment(value: int) -> int:
    return value + 1


def increment_result(value: int) -> Result[int, str]:
    return Success(value + 1)


def refuse(value: int) -> int:
    raise ValueError("no")


def bare() -> int:
    try:
        return increment(increment(increment(1)))
    except Exception:
        return -1


def bare_results() -> Any:
    try:
        first = increment_result(1)
        second = increment_result(first.unwrap())
        return increment_result(second.unwrap()).unwrap()
    except Exception:
        return -1


def bare_failure() -> Any:
    try:
        return increment(refuse(increment(1)))
    except Exception as error:
        return error


def hand_timed() -> tuple[int, list[int]]:
    value, readings = 1, [perf_counter_ns()]
    try:
        value = increment(value)
        readings.append(perf_counter_ns())
        value = increment(value)
        readings.append(perf_counter_ns())
        value = increment(value)
        readings.append(perf_counter_ns())
    except Exception:
        return -1, readings
    return value, readings


def bound() -> Any:
    return increment_result(1).bind(increment_result).bind(increment_result)


def ours(*functions: Callable[[int], Any]) -> Callable[[], Any]:
    steps = [step(f"step_{place}")(fn) for place, fn in enumerate(functions)]
    program = Program(Pipeline.of(steps))
    return lambda: run_one(program, ("input", 0, 1))


CONTENDERS: dict[str, Callable[[], Any]] = {
    "bare calls": bare,
    "hand-timed": hand_timed,
    "ours": ours(increment, increment, increment),
    "bare, Result": bare_results,
    "returns .bind": bound,
    "ours, Result": ours(increment_result, increment_result, increment_result),
    "bare, failing": bare_failure,
    "ours, failing": ours(increment, refuse, increment),
}


def nanoseconds(contender: Callable[[], Any]) -> float:
    began = thread_time_ns()
    for _ in range(CALLS):
        contender()
    return (thread_time_ns() - began) / CALLS


def main() -> None:
    rounds = [{name: nanoseconds(run) for name, run in CONTENDERS.items()} for _ in range(ROUNDS)]
    medians = {name: median(each[name] for each in rounds) for name in CONTENDERS}
    print(f"{'contender':<16}{'ns an input':>12}{'over bare calls':>17}")
    for name, figure in medians.items():
        ratio = median(each[name] / each["bare calls"] for each in rounds)
        print(f"{name:<16}{figure:>12.0f}{ratio:>16.2f}x")
    over = median(each["ours"] - each["bare calls"] for each in rounds)
    hand = median(each["ours"] / each["hand-timed"] for each in rounds)
    failing = median(each["ours, failing"] - each["bare, failing"] for each in rounds)
    print(f"over bare calls: {over:.0f} ns (aim: at most {AIM_NS})")
    print(f"against hand-timed code: {hand:.2f}x (aim: at most 1.7)")
    print(f"a failure over bare calls: {failing:.0f} ns (aim: at most 2000)")


if __name__ == "__main__":
    main()

"""A retry that does not fire, over the same step without one, beside tenacity and stamina; interleaved.

    python -m tests.benchmarks.retry

Aim: at most 300 ns.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from time import thread_time_ns
from typing import Any

import stamina
import tenacity

from pipeline import Pipeline, Retry, step
from pipeline.engine import Program, work_of

ROUNDS = 41
CALLS = {"ours": 5_000, "theirs": 200}


def increment(value: int) -> int:
    return value + 1


def ours(**settings: Any) -> Callable[[], Any]:
    program = Program(Pipeline.of([step("increment", **settings)(increment)]))
    work = work_of(program, on_loop=False)
    return lambda: work(("input", 0, 1))


with_tenacity = tenacity.retry(
    retry=tenacity.retry_if_exception_type(TimeoutError),
    stop=tenacity.stop_after_attempt(4),
    wait=tenacity.wait_random_exponential(0.5, 30),
)(increment)
with_stamina = stamina.retry(on=TimeoutError, attempts=4)(increment)

CONTENDERS: dict[str, tuple[Callable[[], Any], int]] = {
    "a step": (ours(), CALLS["ours"]),
    "a step, Retry": (ours(retry=Retry(on=TimeoutError)), CALLS["ours"]),
    "tenacity": (lambda: with_tenacity(1), CALLS["theirs"]),
    "stamina": (lambda: with_stamina(1), CALLS["theirs"]),
    "a call": (lambda: increment(1), CALLS["ours"]),
}


def nanoseconds(contender: Callable[[], Any], calls: int) -> float:
    began = thread_time_ns()
    for _ in range(calls):
        contender()
    return (thread_time_ns() - began) / calls


def main() -> None:
    rounds = [{name: nanoseconds(*contender) for name, contender in CONTENDERS.items()} for _ in range(ROUNDS)]
    over = {"a step, Retry": "a step", "tenacity": "a call", "stamina": "a call"}
    print(f"{'contender':<16}{'ns a call':>12}{'over':>10}{'ns more':>10}")
    for name, without in over.items():
        figure = median(each[name] for each in rounds)
        more = median(each[name] - each[without] for each in rounds)
        print(f"{name:<16}{figure:>12.0f}{without:>10}{more:>10.0f}")
    print("aim for ours: at most 300 ns more")


if __name__ == "__main__":
    main()

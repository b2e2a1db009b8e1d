"""A retry that does not fire, over the same step without one, beside tenacity and stamina; interleaved.

    python -m tests.benchmarks.retry

Aim: at most 300 ns. The other policies are measured as well, where they let a call through without a wait.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from time import thread_time_ns
from typing import Any

import stamina
import tenacity

from pipeline import Cache, CircuitBreaker, ConcurrencyLimit, Pipeline, RateLimit, Retry, step
from pipeline.codeof import whole
from pipeline.engine import Program, work_of
from pipeline.guard import Caching

ROUNDS = 41
CALLS = {"ours": 5_000, "theirs": 200}


def increment(value: int) -> int:
    return value + 1


def ours(**settings: Any) -> Callable[[], Any]:
    pipeline = Pipeline.of([step("increment", **settings)(increment)])
    program = Program(pipeline, caching=Caching(code={one.name: whole(one) for one in pipeline}))
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
    "  CircuitBreaker": (ours(breaker=CircuitBreaker()), CALLS["theirs"]),
    "  ConcurrencyLimit": (ours(limit=ConcurrencyLimit(8)), CALLS["theirs"]),
    "  RateLimit": (ours(rate=RateLimit(per_second=1e9)), CALLS["theirs"]),
    "  Cache, a hit": (ours(cache=Cache()), CALLS["theirs"]),
    "  timeout": (ours(timeout=60.0), CALLS["theirs"]),
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
    over = {name: "a call" if name in ("tenacity", "stamina") else "a step" for name in CONTENDERS}
    print(f"{'contender':<20}{'ns a call':>12}{'over':>10}{'ns more':>10}")
    for name, without in list(over.items())[1:-1]:
        figure = median(each[name] for each in rounds)
        more = median(each[name] - each[without] for each in rounds)
        print(f"{name:<20}{figure:>12.0f}{without:>10}{more:>10.0f}")
    print("aim for Retry: at most 300 ns more; a timeout's thread is not in these times")


if __name__ == "__main__":
    main()

"""The selection guide as a function: which runner for this batch, and why.

::

    n, bound, func, sample ─▶ look (runs func on the sample, if there is one) ─▶ Facts ─▶ decide ─▶ Choice(runner, why)
"""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import islice
from numbers import Integral
from time import perf_counter, thread_time
from typing import Any, Literal, TypeAlias, TypeVar

import msgspec

from runners.asynchronous import AsyncRunner, is_coroutine_function
from runners.crash import attempt
from runners.errors import RunnerError, is_count
from runners.executor import ExecutorRunner
from runners.message import message_of
from runners.pool.picklable import pickle_function
from runners.process import ProcessRunner
from runners.protocol import Runner
from runners.sequential import SequentialRunner
from runners.thread import ThreadRunner

T = TypeVar("T")

Bound: TypeAlias = Literal["io", "cpu"]
Kind: TypeAlias = Literal["sequential", "thread", "process", "async"]

SMALL = 10
"""The guide's small batches have fewer inputs."""
LARGE = 100
"""The guide's large batches have more inputs."""
MAX_SAMPLE = 3
"""So many inputs of the sample are run at most, and no other after half a second."""
MAX_SAMPLE_S = 0.5
START_S: dict[str, float] = {"thread": 0.002, "process": 0.1}
"""What it takes to start the workers, in seconds: about as much was measured on two processors."""
BYTES_PER_S = 500e6
"""How fast values get to a worker process and back, pickling included."""


class Choice(msgspec.Struct, frozen=True):
    """``runner`` is the chosen one, ``why`` says so in a sentence or two."""

    runner: Runner
    why: str


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a batch. ``cost_s`` and ``cpu_s`` are seconds an input takes, ``size`` its bytes both ways."""

    n: int | None
    bound: Bound | None = None
    debugging: bool = False
    is_async: bool = False
    processors: int = 2
    unpicklable: str | None = None
    max_workers: int | None = None
    cost_s: float | None = None
    cpu_s: float = 0.0
    size: int = 0


def choose_runner(
    n: int | None,
    bound: Bound | None = None,
    func: Callable[[T], Any] | None = None,
    *,
    sample: Iterable[T] = (),
    debugging: bool = False,
    max_workers: int | None = None,
) -> Choice:
    """Choose a runner for ``n`` inputs by the document's selection guide, and say why.

    ``n``: how many inputs; ``None`` for a stream whose end is not known.
    ``bound``: what limits the work, ``"io"`` (it waits) or ``"cpu"`` (it computes); ``None`` when you do not know.
    ``func``: what will be mapped, or the pipeline; it tells whether it is async, and whether it can cross to a process.
    ``sample``: inputs to measure. ``func`` runs on up to three of them, here and now, for at most half a second or
    one input, and its results are thrown away: give inputs whose effects do not matter. What ``func`` raises is
    no error. Time, processor time and the size of what travels then decide where the guide's rows disagree.
    ``max_workers``: for the runner.

    Raises ``RunnerError`` for a negative ``n``, an unknown ``bound``, or a sample without ``func``.

    >>> choice = choose_runner(5)
    >>> choice.runner, choice.why
    (SequentialRunner(), '5 inputs are few, and starting workers takes longer than they are likely to save')
    >>> choose_runner(500, "io", max_workers=8).runner
    ThreadRunner(max_workers=8)
    >>> choose_runner(500, "disk")
    Traceback (most recent call last):
    ...
    runners.errors.RunnerError: choose_runner cannot use bound='disk'; it takes 'io', 'cpu' or None
    """
    _check(n, bound, func, max_workers)
    facts = look(n, bound, func, sample, debugging, max_workers)
    kind, why = decide(facts)
    return Choice(_made(kind, max_workers), why)


def look(
    n: int | None,
    bound: Bound | None,
    func: Callable[[T], Any] | None,
    sample: Iterable[T],
    debugging: bool,
    max_workers: int | None,
) -> Facts:
    """What can be known of the batch; runs ``func`` on the sample."""
    is_async = func is not None and (bool(getattr(func, "is_async", False)) or is_coroutine_function(func))
    values = list(islice(sample, MAX_SAMPLE)) if not (debugging or is_async) else []
    if values and func is None:
        raise RunnerError("choose_runner cannot measure a sample without func")
    cost_s, cpu_s, size, unpicklable = measured(func, values) if values and func is not None else (None, 0.0, 0, None)
    return Facts(
        n=n if n is None else min(int(n), sys.maxsize),
        bound=bound,
        debugging=debugging,
        is_async=is_async,
        processors=_processors(),
        unpicklable=_unpicklable(func) or unpicklable,
        max_workers=max_workers,
        cost_s=cost_s,
        cpu_s=cpu_s,
        size=size,
    )


def measured(func: Callable[[T], Any], values: list[T]) -> tuple[float, float, int, str | None]:
    """Seconds and processor seconds of one input on average, the bytes that would travel for it, and what cannot."""
    took_s = cpu_s = 0.0
    count = size = 0
    unpicklable: str | None = None
    for value in values:
        wall, cpu = perf_counter(), thread_time()
        result = attempt(func, value)  # an input that fails takes time as well
        took_s += perf_counter() - wall
        cpu_s += thread_time() - cpu
        for name, part in (("an input", value), ("a result", result.value_or(None))):
            part_size, problem = _weighed(name, part)
            size += part_size
            unpicklable = unpicklable or problem
        count += 1
        if took_s > MAX_SAMPLE_S:
            break
    return took_s / count, cpu_s / count, size // count, unpicklable


def decide(facts: Facts) -> tuple[Kind, str]:
    """Which kind of runner, and why. Where rows of the guide disagree, what the work waits for outranks its size."""
    if facts.debugging:
        return "sequential", "debugging: one input after the other, in this thread, is easy to follow"
    if facts.is_async:
        return "async", "the function is async: its calls wait together in one event loop"
    if facts.n is not None and facts.n <= 1:
        return "sequential", "there is nothing to do side by side"
    if facts.max_workers == 1:
        return "sequential", "max_workers is 1, and one at a time needs no workers"
    if facts.cost_s is not None:
        return _decide_by_measure(facts, facts.cost_s)
    if facts.bound == "io":
        return "thread", "the work waits, and threads wait together; that costs little even for a few inputs"
    if facts.n is not None and facts.n < SMALL:
        few = f"{facts.n} inputs are few"
        return "sequential", f"{few}, and starting workers takes longer than they are likely to save"
    if facts.bound == "cpu":
        return _decide_for_processors(facts)
    return _decide_by_size(facts)


def _decide_by_measure(facts: Facts, cost_s: float) -> tuple[Kind, str]:
    share = min(1.0, facts.cpu_s / max(cost_s, 1e-9))
    bound = facts.bound or ("cpu" if share >= 0.5 else "io")
    seen = f"measured: an input takes {_time(cost_s)}, {share:.0%} of it on the processor"
    saved_s, start_s = _saved_s(facts, cost_s, bound), START_S["process" if bound == "cpu" else "thread"]
    if saved_s is not None and saved_s < start_s:
        return "sequential", f"{seen}, so workers would save {_time(saved_s)} in all, less than it takes to start them"
    if bound == "io":
        return "thread", f"{seen}: it waits, and threads wait together"
    travel_s = facts.size / BYTES_PER_S
    if travel_s > cost_s:
        return "sequential", f"{seen}, but its {facts.size:,} bytes take longer to get to a worker process and back"
    kind, why = _decide_for_processors(facts)
    return kind, f"{seen}: {why}"


def _saved_s(facts: Facts, cost_s: float, bound: Bound) -> float | None:
    """What workers would save in all, in seconds; None where the number of inputs is not known."""
    workers = min(facts.processors if bound == "cpu" else 32, facts.max_workers or 32)
    return None if facts.n is None else facts.n * cost_s * (1 - 1 / min(workers, facts.n))


def _decide_for_processors(facts: Facts) -> tuple[Kind, str]:
    if facts.processors == 1:
        return "sequential", "the work computes, and there is one processor"
    if facts.unpicklable is not None:
        reason = f"the work computes, but cannot go to a process: {facts.unpicklable}"
        return "sequential", f"{reason}; threads would take turns at the interpreter lock"
    processors = min(facts.processors, facts.max_workers or facts.processors)
    return "process", f"the work computes, and processes compute side by side on {processors} processors"


def _decide_by_size(facts: Facts) -> tuple[Kind, str]:
    many = "a stream" if facts.n is None else f"{facts.n} inputs"
    ask = "give `bound`, or `func` and a `sample`, for a better founded choice"
    if facts.n is not None and facts.n <= LARGE:
        return (
            "thread",
            f"{many} of unknown work are between the guide's rows: threads start at once and suit most; {ask}",
        )
    if facts.unpicklable is not None or facts.processors == 1:
        reason = facts.unpicklable or "there is one processor"
        return "thread", f"{many} of unknown work would suit processes, but {reason}; {ask}"
    return "process", f"{many} of unknown work: the guide has processes for large batches; {ask}"


def _made(kind: Kind, max_workers: int | None) -> Runner:
    if kind == "thread":
        return ThreadRunner(max_workers)
    if kind == "async":
        return AsyncRunner() if max_workers is None else AsyncRunner(max_workers)
    if kind == "sequential":
        return SequentialRunner()
    try:
        return ProcessRunner(max_workers)
    except RunnerError:
        return ExecutorRunner(partial(ProcessPoolExecutor, max_workers))  # not Linux


def _check(n: Any, bound: str | None, func: Any, max_workers: Any) -> None:
    if n is not None and (not isinstance(n, Integral) or int(n) < 0):
        raise RunnerError(f"choose_runner cannot use n={n!r}; it takes a number from 0, or None")
    if bound not in ("io", "cpu", None):
        raise RunnerError(f"choose_runner cannot use bound={bound!r}; it takes 'io', 'cpu' or None")
    if func is not None and not callable(func):
        raise RunnerError(f"choose_runner cannot use func={func!r}; give a function of one input")
    if max_workers is not None and not is_count(max_workers):
        raise RunnerError(f"choose_runner cannot use max_workers={max_workers!r}; it takes a number from 1, or None")


def _unpicklable(func: Any) -> str | None:
    try:
        pickle_function(func)
    except RunnerError as error:
        return str(error).partition(", so it cannot go")[0]
    return None


def _weighed(name: str, value: object) -> tuple[int, str | None]:
    """How many bytes it pickles to, or why it does not."""
    try:
        return len(pickle.dumps(value, 5)), None
    except (Exception, SystemExit) as error:  # noqa: BLE001 - pickling runs user code
        return 0, f"{name} of the sample, a {type(value).__name__}, cannot be pickled: {message_of(error)}"


def _processors() -> int:
    affinity: Callable[[int], set[int]] | None = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _time(seconds: float) -> str:
    for unit, factor in (("s", 1), ("ms", 1e3)):
        if seconds * factor >= 1:
            return f"{seconds * factor:.1f} {unit}"
    return f"{seconds * 1e6:.0f} µs"

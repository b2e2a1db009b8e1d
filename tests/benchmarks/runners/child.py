"""One contender in a process of its own: opens its workers, then does its work again at every line it is sent.

    python -m tests.benchmarks.runners.child MODULE VARIANT WORKLOAD WORKERS

It answers with JSON: first ``ready``, then seconds, and how far this process grew at its highest, in bytes.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import Any

from tests.benchmarks.runners.contender import Contender
from tests.benchmarks.runners.workloads import WORKLOADS, drain

WARM_UP = 64


def main(module: str, variant: str, workload: str, workers: str) -> None:
    work = WORKLOADS[workload]
    inputs = work.make_inputs()
    with load(module, variant).open(int(workers)) as mapped:
        drain(mapped(work.func, inputs[:WARM_UP]))
        say("ready")
        for _ in sys.stdin:
            gc.collect()
            give_memory_back()
            before, cpu = forget_peak(), processor_seconds()
            began = perf_counter()
            results = mapped(work.func, inputs)
            count = drain(results) if work.streamed else len(kept(results))
            seconds = perf_counter() - began
            assert count == len(inputs)
            del results
            say({"seconds": seconds, "grown": peak() - before, "processor": processor_seconds() - cpu})


def kept(results: Iterable[Any]) -> list[Any]:
    return results if isinstance(results, list) else list(results)


def load(module: str, variant: str) -> Contender:
    found = import_module(f"tests.benchmarks.runners.contenders.{module}").VARIANTS[variant]
    assert isinstance(found, Contender)
    return found


def say(what: object) -> None:
    print(json.dumps(what), flush=True)


def give_memory_back() -> None:
    """Let no contender use memory that its earlier rounds left in the allocator: to ask for it is part of the work."""
    ctypes.CDLL(None).malloc_trim(0)


def forget_peak() -> int:
    """Let the kernel count the peak of resident memory from here on; how much there is now, in bytes."""
    Path("/proc/self/clear_refs").write_text("5")
    return peak()


def peak() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def processor_seconds() -> float:
    """What this process and its living descendants have used of the processors."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parent = int(entry.joinpath("stat").read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(entry.name))
    total, waiting = 0, [os.getpid()]
    while waiting:
        pid = waiting.pop()
        waiting += children.get(pid, [])
        for task in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            with suppress(OSError):
                total += int(task.read_text().split()[0])
    return total / 1e9


if __name__ == "__main__":
    main(*sys.argv[1:])

"""What it takes to begin: import, start to first result, and the end, once, in a process that has done nothing yet.

python -m tests.benchmarks.runners.start MODULE VARIANT WORKERS
"""

from __future__ import annotations

import sys
from time import perf_counter

from tests.benchmarks.runners.child import load, say
from tests.benchmarks.runners.workloads import noop


def main(module: str, variant: str, workers: str) -> None:
    began = perf_counter()
    contender = load(module, variant)
    imported = perf_counter()
    with contender.open(int(workers)) as mapped:
        next(iter(mapped(noop, [0])))
        first = perf_counter()
    say({"import": imported - began, "first": first - imported, "end": perf_counter() - first})


if __name__ == "__main__":
    main(*sys.argv[1:])

"""One contender in a process of its own, in an empty folder; does its work again at every line it is sent.

    python -m tests.benchmarks.durable.child MODULE VARIANT

It answers with JSON: first ``ready``, then the wall and the processor time of a round, in seconds.
"""

from __future__ import annotations

import gc
import json
import sys
from importlib import import_module
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time

from tests.benchmarks.durable.contender import Contender


def main(module: str, variant: str) -> None:
    contender = load(module, variant)
    with TemporaryDirectory() as folder, contender.open(Path(folder)) as work:
        work(min(contender.inputs, 100), 0)
        say("ready")
        for turn, _ in zip(count(1), sys.stdin, strict=False):
            gc.collect()
            began, used = perf_counter(), process_time()
            work(contender.inputs, turn * 1_000_000)
            say({"wall": perf_counter() - began, "processor": process_time() - used})


def load(module: str, variant: str) -> Contender:
    found = import_module(f"tests.benchmarks.durable.contenders.{module}").VARIANTS[variant]
    assert isinstance(found, Contender)
    return found


def say(what: object) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""What it costs to remember: three steps that do nothing, with us and with others, as ratios in one run.

    python -m tests.benchmarks.durable                        all of them: about two minutes
    python -m tests.benchmarks.durable ours "bare loop"       some of them
    python -m tests.benchmarks.durable --rounds 15

Each contender has a process and a folder of its own; the rounds are interleaved.
One that has a server works even while nobody asks, so its rounds come after everybody else's.
A contender that is not installed, or does not start, is named and left out.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from statistics import median

from tests.benchmarks.durable.contender import Contender
from tests.benchmarks.durable.steps import NAMES

FOLDER = "tests.benchmarks.durable"
Rounds = dict[str, list[float]]
"""Seconds of processor time an input, by contender, round by round."""


def contenders() -> dict[str, tuple[str, Contender]]:
    """The module and the settings of each, by name; ours come first."""
    files = sorted(Path(__file__).with_name("contenders").glob("*.py"), key=lambda file: (file.stem != "ours", file))
    modules = {file.stem: import_module(f"{FOLDER}.contenders.{file.stem}") for file in files}
    return {name: (stem, each) for stem, module in modules.items() for name, each in module.VARIANTS.items()}


def main() -> None:
    known = contenders()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("contenders", nargs="*", default=list(known), metavar="CONTENDER")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    chosen = {name: known[name] for name in options.contenders}
    walls, processors = measured(chosen, options.rounds)
    show(chosen, walls, processors)
    for line in verdicts(walls, processors):
        print(line)


def measured(chosen: dict[str, tuple[str, Contender]], rounds: int) -> tuple[Rounds, Rounds]:
    walls: Rounds = {}
    processors: Rounds = {}
    for serves in (False, True):
        with ExitStack() as stack:
            group = {name: module for name, (module, each) in chosen.items() if each.serves == serves}
            running = {name: stack.enter_context(child(module, name)) for name, module in group.items()}
            for _ in range(rounds):
                for name, process in running.items():
                    answer = ask(process) if process else None
                    if answer:
                        walls.setdefault(name, []).append(answer["wall"] / chosen[name][1].inputs)
                        processors.setdefault(name, []).append(answer["processor"] / chosen[name][1].inputs)
    return walls, processors


@contextmanager
def child(module: str, variant: str) -> Iterator[subprocess.Popen[str] | None]:
    command = [sys.executable, "-m", f"{FOLDER}.child", module, variant]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        is_ready = process.stdout.readline() == '"ready"\n'
        if not is_ready:
            _, errors = process.communicate()
            print(f"{variant} is left out: {(errors.strip().splitlines() or ['it does not start'])[-1]}")
        yield process if is_ready else None


def ask(process: subprocess.Popen[str]) -> dict[str, float]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    return json.loads(process.stdout.readline())  # type: ignore[no-any-return]


def show(chosen: dict[str, tuple[str, Contender]], walls: Rounds, processors: Rounds) -> None:
    steps = len(NAMES)
    print("| contender | processor, µs a step | wall, µs a step | times bare loop | not done twice after kill -9 |")
    print("|---|---:|---:|---:|---|")
    for name in sorted(processors, key=lambda name: median(processors[name])):
        columns = [f"{median(each[name]) / steps * 1e6:,.2f}" for each in (processors, walls)]
        over = f"{ratio(processors, name, 'bare loop'):,.0f}" if "bare loop" in processors else ""
        print(f"| {name} | " + " | ".join(columns) + f" | {over} | {chosen[name][1].promise} |")


def ratio(rounds: Rounds, name: str, reference: str) -> float:
    """The median over rounds that ran side by side."""
    return median(one / other for one, other in zip(rounds[name], rounds[reference], strict=True))


def verdicts(walls: Rounds, processors: Rounds) -> Iterator[str]:
    """The aims, each with what was measured."""
    if "ours" in processors:
        yield f"\nours: {median(processors['ours']) / len(NAMES) * 1e6:.2f} µs a step (aim: at most 3)"
    if {"ours", "raw sqlite3, the same rows"} <= processors.keys():
        storing = median(
            (ours - without) / raw
            for ours, without, raw in zip(
                processors["ours"],
                processors["ours, no journal"],
                processors["raw sqlite3, the same rows"],
                strict=True,
            )
        )
        yield f"what the journal adds, over raw sqlite3 with the same rows: {storing:.2f}x (aim: at most 2)"
    for name in ("ours", "ours, each step"):
        if {name, "DBOS, SQLite"} <= walls.keys():
            yield f"DBOS over {name}: {ratio(walls, 'DBOS, SQLite', name):,.0f}x (aim: 1,000 for the same promise)"
    for name in ("1 ms, ours", "1 ms, ours, each step"):
        if {name, "1 ms, no journal"} <= walls.keys():
            more = (ratio(walls, name, "1 ms, no journal") - 1) * 100
            yield f"{name}: {more:.1f} % more than without a journal (aim: at most 5)"


if __name__ == "__main__":
    main()

"""The runners against every contender, as ratios in one run.

    python -m tests.benchmarks.runners                              everything: about half an hour
    python -m tests.benchmarks.runners speed --workloads noop cpu   two workloads
    python -m tests.benchmarks.runners speed --contenders ours "Pool.map" --rounds 21
    python -m tests.benchmarks.runners start scaling memory         what is not speed

Each contender has a process of its own for each workload; the rounds are interleaved.
Dask and Ray work even while nobody asks, so their rounds come after everybody else's.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

from tests.benchmarks.runners.aims import ratio, verdict
from tests.benchmarks.runners.beginning import CLUSTERS
from tests.benchmarks.runners.beginning import RUNNERS as BEGINNINGS
from tests.benchmarks.runners.contender import Contender
from tests.benchmarks.runners.memory import RUNNERS
from tests.benchmarks.runners.workloads import WORKLOADS, Workload

FOLDER = "tests.benchmarks.runners"
SECTIONS = ("speed", "start", "scaling", "memory")
SCALED = ("ours", "Pool.map", "ProcessPoolExecutor, 64", "loky, 64")


def contenders() -> dict[str, tuple[str, Contender]]:
    """The module and the settings of each, by name; ours come first."""
    files = sorted(Path(__file__).with_name("contenders").glob("*.py"), key=lambda file: (file.stem != "ours", file))
    modules = {file.stem: import_module(f"{FOLDER}.contenders.{file.stem}") for file in files}
    return {name: (stem, each) for stem, module in modules.items() for name, each in module.VARIANTS.items()}


CLUSTER_ROUNDS = 1
"""Rounds of a cluster, which takes minutes for what the others do in milliseconds."""


def main() -> None:
    options = parse()
    chosen = {name: each for name, each in contenders().items() if name in (options.contenders or [name])}
    if "speed" in options.sections:
        for workload in options.workloads:
            speed(workload, chosen, options.rounds)
    if "start" in options.sections:
        start(chosen, options.rounds)
        begin(options.rounds)
    if "scaling" in options.sections:
        scaling({name: each for name, each in chosen.items() if name in SCALED}, options.rounds)
    if "memory" in options.sections:
        memory(options.inputs)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", default=SECTIONS, choices=(*SECTIONS, SECTIONS), metavar="SECTION")
    parser.add_argument("--workloads", nargs="+", default=list(WORKLOADS), choices=WORKLOADS, metavar="WORKLOAD")
    parser.add_argument("--contenders", nargs="+", choices=contenders(), metavar="CONTENDER")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--inputs", type=int, default=5_000_000, help="how many the memory section streams")
    return parser.parse_args()


# ---- speed ----


def speed(workload: str, chosen: dict[str, tuple[str, Contender]], rounds: int) -> None:
    work = WORKLOADS[workload]
    fitting = {name: each for name, each in chosen.items() if suits(name, each[1], work)}
    answers = run_rounds(workload, fitting, work.workers, rounds)
    seconds = {name: [one["seconds"] for one in each] for name, each in answers.items()}
    print(f"\n## {workload}: {len(work.make_inputs()):,} inputs, {work.workers} workers, {rounds} rounds\n")
    reference = "ours" + ", threads" * work.waits + ", stream" * work.streamed
    print_row(["contender", "ms", "times as long as ours", "processors, ms", "peak growth, MB"])
    print_row(["---", *["---:"] * 4])
    for name in sorted(seconds, key=lambda name: median(seconds[name])):
        over = f"{ratio(seconds, name, reference):.2f}" if reference in seconds else ""
        grown = max(one["grown"] for one in answers[name]) / 1e6
        processor = median(one["processor"] for one in answers[name]) * 1000
        print_row([name, f"{median(seconds[name]) * 1000:.1f}", over, f"{processor:.0f}", f"{grown:.1f}"])
    print(f"\n{verdict(workload, seconds) or 'no aim for these'}", flush=True)


def suits(name: str, contender: Contender, work: Workload) -> bool:
    if work.streamed and contender.listed:
        return False
    return contender.threads == work.waits or (name == "bare loop" and work.workers <= 2)


def run_rounds(
    workload: str, chosen: dict[str, tuple[str, Contender]], workers: int, rounds: int
) -> dict[str, list[dict[str, float]]]:
    """All contenders in turn, round by round; clusters afterwards, one cluster at a time."""
    answers: dict[str, list[dict[str, float]]] = {}
    quiet = {name: module for name, (module, each) in chosen.items() if not each.cluster}
    groups = [quiet, *({name: module} for name, (module, each) in chosen.items() if each.cluster)]
    for group in groups:
        with ExitStack() as stack:
            running = {name: stack.enter_context(child(m, name, workload, workers)) for name, m in group.items()}
            for _ in range(rounds if group is quiet else CLUSTER_ROUNDS):
                for name, process in running.items():
                    answers.setdefault(name, []).append(ask(process))
    return answers


@contextmanager
def child(module: str, variant: str, workload: str, workers: int) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", f"{FOLDER}.child", module, variant, workload, str(workers)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == '"ready"\n', f"{variant} does not start on {workload}"
        yield process


def ask(process: subprocess.Popen[str]) -> dict[str, float]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    return json.loads(process.stdout.readline())  # type: ignore[no-any-return]


# ---- what is not speed ----


def start(chosen: dict[str, tuple[str, Contender]], rounds: int) -> None:
    answers: dict[str, list[dict[str, float]]] = {}
    for turn in range(rounds):
        for name, (module, contender) in chosen.items():
            if turn == 0 or not contender.cluster:
                answers.setdefault(name, []).append(alone("start", module, name, "2"))
    print(f"\n## start with 2 workers, {rounds} rounds (clusters: one); milliseconds\n")
    print("| contender | import | start to first result | end |\n|---|---:|---:|---:|")
    for name in sorted(answers, key=lambda name: median(one["first"] for one in answers[name])):
        columns = (median(one[part] for one in answers[name]) * 1000 for part in ("import", "first", "end"))
        print(f"| {name} | " + " | ".join(f"{column:.1f}" for column in columns) + " |")
    seconds = {name: [one["first"] for one in each] for name, each in answers.items() if len(each) == rounds}
    print(f"\n{verdict('first result', seconds) or 'no aim for these'}", flush=True)


def begin(rounds: int) -> None:
    print(f"\n## each runner, {rounds} rounds (clusters: one); milliseconds\n")
    print_row(["runner", "import and first result", "again", "end"], ["---", *["---:"] * 3])
    for name in BEGINNINGS:
        answers = [alone("beginning", name) for _ in range(1 if name.startswith(CLUSTERS) else rounds)]
        columns = (median(one[part] for one in answers) * 1000 for part in ("first", "again", "end"))
        print_row([name, *(f"{column:.2f}" for column in columns)])


def scaling(chosen: dict[str, tuple[str, Contender]], rounds: int) -> None:
    counts = (1, 2, 4, 8)
    for workload in ("cpu", "20kB"):
        columns: dict[str, list[str]] = {name: [] for name in chosen}
        for workers in counts:
            for name, each in run_rounds(workload, chosen, workers, rounds).items():
                columns[name].append(f"{median(one['seconds'] for one in each) * 1000:.0f}")
        print(f"\n## {workload} with more workers; milliseconds\n")
        print_row(["workers", *map(str, counts)], ["---", *("---:" for _ in counts)])
        print_row(*([name, *figures] for name, figures in columns.items()))


def memory(count: int) -> None:
    print(f"\n## {count:,} inputs from a generator\n")
    print("| runner | growth of this process, MB | inputs a second |\n|---|---:|---:|")
    for name in RUNNERS:
        answer = alone("memory", name, str(count))
        print(f"| {name} | {answer['grown'] / 1e6:.1f} | {count / answer['seconds']:,.0f} |", flush=True)


def alone(script: str, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", f"{FOLDER}.{script}", *arguments]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)  # type: ignore[no-any-return]


def print_row(*rows: Sequence[str] | Iterable[str]) -> None:
    for row in rows:
        print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()

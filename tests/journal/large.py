"""A program that streams many inputs through a journal and prints by how much it grew; see ``test_large``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from pipeline import ExecutionContext, PostgresJournal, Processor, ProcessorInput, SqliteJournal, prevalidate, step

CODE, INPUTS, SETTLED, WINDOW, WIDTH = sys.argv[1], *map(int, sys.argv[2:6])
KNOWN = {"PostgresJournal": PostgresJournal, "SqliteJournal": SqliteJournal}


@step("length")
def length(line: str) -> int:
    return len(line)


def lines() -> Iterator[ProcessorInput[str]]:
    return (ProcessorInput(input_id=f"{n:0{WIDTH}}", data=f"{n}" * 20) for n in range(INPUTS))


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


prevalidate.WINDOW = WINDOW
lengths = Processor(name="lengths", pipeline=length, journal=eval(CODE, KNOWN))
previous = ExecutionContext(previous_run_id=sys.argv[6]) if len(sys.argv) > 6 else ExecutionContext(run_id="first")
started = resident()
outcomes = lengths.stream(lines(), context=previous)
first = sum(1 for _ in islice(outcomes, SETTLED))
settled = peak = resident()
while some := sum(1 for _ in islice(outcomes, 1000)):
    first += some
    peak = max(peak, resident())
print(json.dumps({"inputs": first, "began": settled - started, "grew": peak - settled}))

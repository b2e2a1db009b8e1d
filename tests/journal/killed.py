"""A program that runs a batch with a journal and writes down every step it takes; the test kills it."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from pipeline import Processor, step, to_inputs
from pipeline.journal import SqliteJournal

FOLDER = sys.argv[1] if __name__ == "__main__" else ""


def witness(name: str, value: int) -> None:
    """One line a step, appended in one write: what the kill cannot take back."""
    with Path(FOLDER, "witness").open("ab", buffering=0) as log:
        log.write(f"{name} {value}\n".encode())


@step("double")
def double(value: int) -> int:
    witness("double", value)
    time.sleep(0.001)
    return value * 2


@step("add")
def add(value: int) -> int:
    witness("add", value // 2)
    return value + 1


if __name__ == "__main__":
    journal = SqliteJournal(Path(FOLDER, "runs.db"))
    processor = Processor(name="doubles", pipeline=double >> add, journal=journal, aggregate=sum)
    if sys.argv[2] == "stream":
        for outcome in processor.stream(to_inputs(range(300))):
            with Path(FOLDER, "handed").open("ab", buffering=0) as log:
                log.write(f"{outcome.input_id}\n".encode())
    else:
        print(processor.resume().output)

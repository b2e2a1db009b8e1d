"""R1: the parent is killed at random times, on every runner; nothing finished is lost, nothing recorded runs again.

What ran is told by a witness of its own: a file to which each step appends a line, whichever process it runs in.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, get_args
from uuid import uuid4

import msgspec
import pytest

from pipeline.journal.protocol import Durability
from tests.journal.killed import FAILING, INPUTS, RUNNERS, STEPS, Command, journal_of
from tests.journal.roster import SHARED, drop

ROOT = Path(__file__).parents[2]
SEED = os.environ.get("STEPSLICE_SEED")
"""Replays the trial of one seed, as far as time can be replayed."""

BUDGET_S = float(os.environ.get("STEPSLICE_CAMPAIGN_S", "600"))
"""How long the long tier takes, all cases together."""

IN_FLIGHT = {
    "sequential": 3,
    "thread": 8,
    "process": 16,
    "async": 16,
    "executor-threads": 16,
    "executor-processes": 16,
}
"""Inputs that one kill may cost: what a runner has pulled and not handed over, and what waits 10 ms for a commit."""

CASES = [
    Command(folder="", runner=runner, durability=durability)
    for runner in RUNNERS
    for durability in get_args(Durability)
]


@pytest.fixture(params=SHARED)
def dsn(request: pytest.FixtureRequest) -> str:
    """Where the journal is: nowhere in particular for a file."""
    return str(request.getfixturevalue("postgres_dsn")) if request.param == "postgres" else ""


class Programs:
    """The program that forks runs of the batch."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.journal.killed"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, command: Command) -> tuple[bool, float]:
        """Whether the run was killed before its end, and how long it took in seconds."""
        began = time.monotonic()
        self._say(msgspec.json.encode(command).decode())
        status = int(_opened(self.process.stdout).readline())
        assert status in (0, signal.SIGKILL), "the run broke; see its traceback"
        return status != 0, time.monotonic() - began

    def clean_up(self) -> None:
        """The trial has ended."""
        self._say("")

    def _say(self, line: str) -> None:
        stdin = _opened(self.process.stdin)
        stdin.write(line + "\n")
        stdin.flush()

    def close(self) -> None:
        with self.process:
            _opened(self.process.stdin).close()


def _opened(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


@pytest.fixture(scope="module")
def programs() -> Iterator[Programs]:
    made = Programs()
    yield made
    made.close()


@dataclass
class Figures:
    """What a campaign came to; ``repeats`` are the inputs that ran a step again, by trial."""

    trials: int = 0
    kills: int = 0
    lost: int = 0
    recorded_again: int = 0
    steps: int = 0
    repeats: list[int] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.trials} trials, {self.kills} kills, {self.lost} finished inputs lost, "
            f"{self.recorded_again} recorded steps repeated, {self.steps} steps of {sum(self.repeats)} inputs in flight"
        )


class Trial:
    """A batch that is killed up to three times, gone on with, repaired, and brought to its end."""

    def __init__(self, programs: Programs, case: Command, folder: Path, seed: int) -> None:
        folder.mkdir()
        self.chance = random.Random(seed)
        self.programs = programs
        self.folder = folder
        mode, paged = self.chance.choice(["stream", "resume"]), self.chance.choice([False, True])
        self.command = placed(case, folder, mode=mode, paged=paged)
        self.done: set[tuple[str, str]] = set()
        self.kills = self.lost = self.recorded_again = 0

    def run(self, usual_s: float) -> float:
        """Make the trial of a batch that takes ``usual_s`` seconds; how long it takes, as far as is known then."""
        for earlier in range(self.chance.randint(1, 3)):
            after_s = self.chance.uniform(0.0, 0.8 * usual_s)
            killed, took_s = self.programs.run(msgspec.structs.replace(self.command, killed_after_s=after_s))
            self.kills += killed
            usual_s = usual_s if killed or earlier else min(usual_s, took_s)  # that was a slow moment
            self.look()
        (self.folder / "repaired").touch()
        last = "again" if self.command.mode == "stream" else "resume"  # a stream records only what it has pulled
        self.programs.run(msgspec.structs.replace(self.command, mode=last))
        self.recorded_again += self.ran_again(self.seen)
        self.programs.clean_up()
        return usual_s

    seen = 0
    """How many lines of the witness there were at the last look."""

    def look(self) -> None:
        """Compare what the witness saw and what was handed out with what is recorded."""
        self.recorded_again += self.ran_again(self.seen)
        with closing(journal_of(self.command)) as journal:
            recorded = recorded_in(journal)
        self.done |= {(name, input_id) for input_id, names in recorded.items() for name in names}
        self.lost += len({line.split()[0] for line in lines(self.folder / "handed")} - recorded.keys())
        self.seen = len(lines(self.folder / "witness"))

    def ran_again(self, since: int) -> int:
        """How many steps that were recorded as done ran after that."""
        return sum((*line.split(),) in self.done for line in lines(self.folder / "witness")[since:])

    def repeats(self) -> Counter[str]:
        """The inputs that ran steps more often than in an uninterrupted run and its resumes, and how many more."""
        ran = Counter(lines(self.folder / "witness"))
        allowed = {f"check {number}": self.kills + 4 for number in FAILING}  # a failed step runs in each resume
        repeated: Counter[str] = Counter()
        for line, times in ran.items():
            repeated[line.split()[1]] += max(0, times - allowed.get(line, 1))
        return +repeated


def placed(case: Command, folder: Path, **changes: Any) -> Command:
    """The case with a journal of its own."""
    return msgspec.structs.replace(case, folder=str(folder), schema=f"test_{uuid4().hex}", **changes)


def forget(command: Command) -> None:
    """Drop the tables in a database; the folder goes with the test."""
    if command.dsn:
        drop(command.dsn, command.schema)


def recorded_in(journal: Any) -> dict[str, tuple[str, ...]]:
    """Input ids with the steps that the journal has as done, for all that have an outcome."""
    run = journal.find("jobs")
    if run is None:
        return {}
    ids = dict(journal.input_ids(run.batch))
    return {
        ids[row.id]: STEPS if row.step is None else STEPS[: STEPS.index(row.step)]
        for row in journal.outcomes(run.batch)
    }


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def uninterrupted(programs: Programs, case: Command, folder: Path) -> tuple[float, Any]:
    """How long the batch takes when nobody kills it, and what it comes to once it is repaired."""
    folder.mkdir()
    command = placed(case, folder)
    _, usual_s = programs.run(command)
    assert json.loads((folder / "output").read_text()) == {"output": None, "failed": [*FAILING]}
    (folder / "repaired").touch()
    programs.run(command)
    forget(command)
    return usual_s, json.loads((folder / "output").read_text())


def campaign(programs: Programs, case: Command, folder: Path, seeds: Iterator[int]) -> Figures:
    usual_s, expected = uninterrupted(programs, case, folder / "uninterrupted")
    assert expected == {"output": [number * 10 for number in range(INPUTS)], "failed": []}
    figures = Figures()
    for seed in seeds:
        trial = Trial(programs, case, folder / str(seed), seed)
        usual_s = trial.run(usual_s)
        result = json.loads((trial.folder / "output").read_text())
        assert result == expected, f"seed {seed}: not what an uninterrupted run gives"
        assert trial.lost == 0, f"seed {seed}: handed out, but not recorded"
        assert trial.recorded_again == 0, f"seed {seed}: recorded as done, and ran again"
        repeated = trial.repeats()
        assert len(repeated) <= trial.kills * IN_FLIGHT[case.runner], f"seed {seed}: more than what was in flight"
        if case.durability == "step":
            assert max(repeated.values(), default=0) <= trial.kills, f"seed {seed}: more than the step in flight"
        figures.trials += 1
        figures.kills += trial.kills
        figures.lost += trial.lost
        figures.recorded_again += trial.recorded_again
        figures.repeats.append(len(repeated))
        figures.steps += repeated.total()
        forget(trial.command)
    return figures


def named(case: Command) -> str:
    return f"{case.runner}-{case.durability}"


@pytest.mark.parametrize("case", CASES, ids=named)
def test_kills_lose_nothing_finished_and_repeat_only_what_was_in_flight(
    programs: Programs, case: Command, dsn: str, tmp_path: Path
) -> None:
    seeds = range(2 if dsn else 6) if SEED is None else [int(SEED)]
    figures = campaign(programs, msgspec.structs.replace(case, dsn=dsn), tmp_path, iter(seeds))

    assert figures.kills > 0 or SEED is not None


@pytest.mark.campaign
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("case", CASES, ids=named)
def test_kills_by_the_hundred(programs: Programs, case: Command, dsn: str, tmp_path: Path) -> None:
    seeds = seeds_for(BUDGET_S / len(CASES) / len(SHARED))
    figures = campaign(programs, msgspec.structs.replace(case, dsn=dsn), tmp_path, seeds)

    where = "postgres" if dsn else "sqlite"
    print(f"\nR1 {named(case)} {where}: {figures}, at most {max(figures.repeats)} a trial")


def seeds_for(budget_s: float) -> Iterator[int]:
    """New seeds until the time is up; the first is printed, and any can be replayed."""
    first = int(SEED) if SEED is not None else random.SystemRandom().randrange(10**9)
    print(f"\nseeds from {first}")
    until = time.monotonic() + budget_s
    seed = first
    while time.monotonic() < until and (SEED is None or seed == first):
        yield seed
        seed += 1

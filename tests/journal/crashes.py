"""A batch on a machine that loses its power, or whose disk fails; what was acknowledged is noted outside of it.

boot ─▶ find the latest run ─▶ go on with it ─▶ fault ─▶ what is left of the disk ─▶ boot ─▶ … ─▶ the result
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from time import perf_counter
from typing import Any, Literal, NamedTuple
from unittest.mock import patch

from pipeline import ExecutionContext, Processor, ProcessorInput, step, to_inputs
from pipeline.errors import JournalDamaged, JournalError, RunFailed
from pipeline.journal import SqliteJournal, pages
from pipeline.journal.owner import LIVE
from pipeline.journal.protocol import Change, Lease, Sync
from pipeline.journal.records import SLOTS, OutcomeRow
from tests.journal.disk import Choice, Disk, Fault, Kind, Operation, PowerCut, by_chance, everything, in_place, nothing

INPUTS = 5
FAILS_AT_FIRST = 3
"""The input whose second step fails until the last boot."""

EXPECTED = [2 * value + 1 for value in range(INPUTS)]

ran: list[tuple[str, int]] = []
broken: set[int] = set()


@step("double")
def double(value: int) -> int:
    ran.append(("double", value))
    return value * 2


@step("add")
def add(value: int) -> int:
    ran.append(("add", value // 2))
    if value // 2 in broken:
        raise ValueError(f"{value} does not go through yet")
    return value + 1


class Setting(NamedTuple):
    """How the batch is run, and what a crash costs: the process (``kill``), or the ``power`` of the machine."""

    way: Literal["stream", "batch"] = "stream"
    crash: Literal["kill", "power"] = "kill"
    sync: Sync = "process"
    checkpoint_pages: int | None = None
    paged: bool = False
    """Whether what a first run writes lies in pages, each of a single row."""
    group_s: float = 0.0

    def __str__(self) -> str:
        return f"{self.way}-{self.crash}-{self.sync}-{self.checkpoint_pages}{'-paged' if self.paged else ''}"

    @property
    def keeps_what_it_acknowledged(self) -> bool:
        """Not when the power goes and only the process was to be survived."""
        return self.crash == "kill" or self.sync == "power"


LEVELS: list[tuple[Any, Sync]] = [("kill", "process"), ("power", "power"), ("power", "process")]
WAYS: list[Any] = ["stream", "batch"]
SETTINGS = [
    Setting(way, *level, checkpoint_pages, paged=(WAYS.index(way) + LEVELS.index(level)) % 2 == 0)
    for way in WAYS
    for level in LEVELS
    for checkpoint_pages in (None, 4)
]
POWER: tuple[Kind, ...] = ("before", "after", "torn")
ERRORS: tuple[Kind, ...] = ("error", "lost", "broken", "full")
KINDS = POWER + ERRORS


class Noted(NamedTuple):
    """The outcomes in the journal after a commit: what each input's row says."""

    rows: dict[int, OutcomeRow]

    def and_then(self, change: Change) -> Noted:
        return Noted({**self.rows, **{row.id: row for row in change.outcomes}})


class NotingJournal(SqliteJournal):
    """Notes each state of the outcomes before its commit, and that it was acknowledged after."""

    is_shared = False  # so that no thread of its own writes, at a moment that the test does not choose

    states: list[Noted]
    acknowledged: int
    failed: bool = False

    def write(self, lease: Lease, change: Change) -> None:
        self.states.append(self.states[-1].and_then(change))
        assert not self.failed, "it was asked to write more although a write had failed"
        self.failed = True
        super().write(lease, change)
        self.failed = False
        self.acknowledged = len(self.states) - 1


class Machine:
    """A machine over its ``falls``: boots that did not come to the batch's end.

    ``repeated`` counts steps that ran again although what came of them was acknowledged, ``again`` the inputs that
    ran again because it was not. ``refused``: the file was damaged, which is told; that may only be where the power
    was lost in a boot that began with a log in doubt, since a sync of an earlier one had failed.
    """

    def __init__(self, folder: Path, setting: Setting) -> None:
        self.path = folder / "runs.db"
        self.setting = setting
        self.disk = Disk()
        self.states = [Noted({})]
        self.acknowledged = 0
        self.falls = self.repeated = self.again = 0
        self.executed: Counter[tuple[str, int]] = Counter()
        self.result: list[int] | None = None
        self.error: Exception | None = None
        self.may_be_damaged = self.refused = False

    # a boot

    def boot(self, faults: Sequence[Fault] = (), choice: Choice | None = None, last: bool = False) -> bool:
        """Go on with the batch until its end or a fault; whether it came to its end.

        ``choice`` says what a loss of power then leaves; without one only the process is gone.
        """
        LIVE.clear()
        ran.clear()
        broken.clear()
        broken.update(() if last else (FAILS_AT_FIRST,))
        done, in_doubt = self._done(), self.disk.is_in_doubt
        self.disk.switch_on(faults)
        self.error = None
        fewest = 1 if self.setting.paged else pages.FEWEST
        with patch.object(pages, "FEWEST", fewest), in_place(self.disk, self.setting.checkpoint_pages):
            ended = self._go_on()
        broken.clear()
        self.falls += not ended
        self._count(done)
        if choice is not None:
            self.may_be_damaged |= in_doubt
            self.disk = Disk(self.disk.after_power_cut(choice))
        return ended

    def _go_on(self) -> bool:
        self.journal = journal = NotingJournal(self.path, sync=self.setting.sync)
        journal.group_s = self.setting.group_s
        journal.states, journal.acknowledged = self.states, self.acknowledged
        try:
            self.result = self._run(journal)
            journal.close()
        except PowerCut:
            return False
        except (JournalError, RunFailed) as error:
            self.error = error
            return False
        finally:
            self.acknowledged = journal.acknowledged
        return True

    def _run(self, journal: NotingJournal) -> list[int]:
        numbers = Processor(name="numbers", pipeline=double >> add, journal=journal)
        found = journal.find("numbers")
        if found is None:
            self._begin_anew(journal)
        else:
            self._check(journal, found.batch)
            if self.setting.way == "batch":
                return list(numbers.resume().output or ())
        context = None if found is None else ExecutionContext(previous_run_id=found.run_id)
        if self.setting.way == "batch":
            return list(numbers.execute(inputs(), context).output or ())
        stream: Any = numbers.stream(inputs(), context)
        with closing(stream):
            return [self._handed(journal, outcome) for outcome in stream]

    def _handed(self, journal: NotingJournal, outcome: Any) -> int:
        acknowledged = {row.id % SLOTS for row in self.states[journal.acknowledged].rows.values()}
        assert int(outcome.input_id) in acknowledged, f"input {outcome.input_id} was handed out before it was durable"
        return int(getattr(outcome, "output", -1))

    def _begin_anew(self, journal: NotingJournal) -> None:
        """Nothing is there: never acknowledged, or gone with the power where only the process was to be survived."""
        assert self.acknowledged == 0 or not self.setting.keeps_what_it_acknowledged
        self.states[:] = [Noted({})]
        journal.acknowledged = 0

    def _check(self, journal: NotingJournal, batch: int) -> None:
        """What is there is exactly what was there after one of the commits, at the earliest the last acknowledged."""
        found = Noted({row.id: row for row in journal.outcomes(batch)})
        first = self.acknowledged if self.setting.keeps_what_it_acknowledged else 0
        assert found in self.states[first:], f"{len(found.rows)} outcomes are no state since commit {first}"
        journal.acknowledged = first + self.states[first:].index(found)
        self.states[journal.acknowledged + 1 :] = []

    # what is held against it

    def _done(self) -> set[tuple[str, int]]:
        """The steps that need not run any more, because an outcome behind them was acknowledged."""
        if not self.setting.keeps_what_it_acknowledged:
            return set()
        found = set[tuple[str, int]]()
        for row in self.states[self.acknowledged].rows.values():
            found.add(("double", row.id % SLOTS))
            found.update([("add", row.id % SLOTS)] if row.status == "succeeded" else ())
        return found

    def _count(self, done: set[tuple[str, int]]) -> None:
        self.repeated += len([one for one in ran if one in done])
        new = set(ran) - done - {("add", FAILS_AT_FIRST)}  # which is meant to run again
        self.again += len({one[1] for one in new if self.executed[one]})
        self.executed.update(ran)

    def finish(self) -> None:
        """A boot without a fault: nothing was lost, nothing that was acknowledged ran again, the result is the same."""
        ended = self.boot(last=True)
        if not ended and self.may_be_damaged:
            assert isinstance(self.error, JournalDamaged)
            self.refused = True
            return
        assert ended, self.error
        assert self.result == EXPECTED
        assert self.repeated == 0
        in_flight = INPUTS if self.setting.group_s else 1
        assert self.again <= self.falls * in_flight or not self.setting.keeps_what_it_acknowledged


class Figures:
    """What a campaign prints."""

    def __init__(self) -> None:
        self.trials = self.falls = self.again = self.refused = 0
        self.began = perf_counter()

    def add(self, machine: Machine) -> None:
        self.trials += 1
        self.falls += machine.falls
        self.again += machine.again
        self.refused += machine.refused

    def __str__(self) -> str:
        rate = self.trials / (perf_counter() - self.began)
        return (
            f"{self.trials:,} trials, {self.falls:,} crashes, 0 lost, 0 repeated after they were acknowledged, "
            f"{self.again:,} inputs in flight ran again, {self.refused:,} files refused after a sync that failed, "
            f"{rate:.0f} trials a second"
        )


def operations_of(folder: Path, setting: Setting) -> list[Operation]:
    """What a run of the batch without a fault asks of its disk."""
    machine = Machine(folder, setting)
    assert machine.boot(), machine.error
    return machine.disk.operations


def fall(folder: Path, setting: Setting, fault: Fault, choice: Choice | None = None) -> Machine:
    """One fault, and the way out of it."""
    machine = Machine(folder, setting)
    machine.boot([fault], choice)
    machine.finish()
    return machine


def choices(setting: Setting, seed: int) -> list[Choice | None]:
    """What may be left after the power was cut: the least, the most, and something between."""
    return [nothing, everything, by_chance(random.Random(seed))] if setting.crash == "power" else [None]


def schedule(folder: Path, seed: int) -> Machine:
    """One to five boots that end by chance, each in its own way, and a last one that does not."""
    chance = random.Random(seed)
    machine = Machine(folder, chance.choice(SETTINGS)._replace(group_s=chance.choice((0.0, 0.0, 60.0))))
    for _ in range(chance.randint(1, 5)):
        fault = Fault(chance.randrange(130), chance.choice(KINDS), chance.randrange(16_384))
        cut = machine.setting.crash == "power" and (fault.kind in POWER or chance.random() < 0.5)
        machine.boot([fault], by_chance(chance) if cut else None)
    machine.finish()
    return machine


def inputs() -> list[ProcessorInput[int]]:
    return list(to_inputs(range(INPUTS), key=str))

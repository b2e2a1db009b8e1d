"""Long tier: real SQLite on a disk that fails at every operation, and at many in a row. Figures are printed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.journal.crashes import ERRORS, SETTINGS, Figures, Machine, choices, fall, operations_of, schedule
from tests.journal.disk import Fault, Operation

pytestmark = [pytest.mark.campaign, pytest.mark.timeout(3600)]

SCHEDULES = int(os.environ.get("STEPSLICE_SCHEDULES", "5000"))


def test_a_crash_at_every_operation(tmp_path: Path) -> None:
    """R3: power cut or killed before and after each operation, of a stream and of a batch, at each level."""
    figures = Figures()
    for setting in SETTINGS:
        for at in range(len(operations_of(tmp_path, setting))):
            for choice in choices(setting, at):
                figures.add(fall(tmp_path, setting, Fault(at, "before"), choice))
                figures.add(fall(tmp_path, setting, Fault(at, "after"), choice))
    print(f"\nR3: before and after every operation: {figures}")


def test_a_write_torn_at_every_sector(tmp_path: Path) -> None:
    """R3: every write cut at each 512 bytes, and the short ones at each byte."""
    figures = Figures()
    for setting in (SETTINGS[1], SETTINGS[3]):
        for at, operation in enumerate(operations_of(tmp_path, setting)):
            for offset in tears(operation):
                choice = choices(setting, offset + at)[-1]
                figures.add(fall(tmp_path, setting, Fault(at, "torn", offset), choice))
    print(f"\nR3: torn within every write: {figures}")


def tears(operation: Operation) -> range:
    size = len(operation.data)
    return range(1, size) if size <= 32 else range(512, size, 512)


def test_an_error_at_every_operation(tmp_path: Path) -> None:
    """R8: an error, an answer that got lost, a disk that breaks or is full, then the power goes some time later."""
    figures = Figures()
    for setting in SETTINGS:
        for at in range(len(operations_of(tmp_path, setting))):
            for kind in ERRORS:
                machine = Machine(tmp_path, setting)
                machine.boot([Fault(at, kind)])
                machine.boot([Fault((at * 7) % 70, "before")], choices(setting, at)[0])
                machine.finish()
                figures.add(machine)
    print(f"\nR8: errors at every operation: {figures}")


def test_many_crashes_in_a_row(tmp_path: Path) -> None:
    """R4: one to five boots that end by chance, each in its own way."""
    figures = Figures()
    for seed in range(SCHEDULES):
        figures.add(schedule(tmp_path, seed))
    print(f"\nR4: random schedules: {figures}")

"""Long tier: a journal cut short and with every bit flipped. Figures are printed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.journal.damage import Specimen, cuts, flips, tally

pytestmark = [pytest.mark.campaign, pytest.mark.timeout(3600)]

ALLOWED = {
    "unchanged",
    "an earlier state",
    "error naming the file",
    "error naming the file and the row",
    "rows are gone: refused by the file's name",
}


def test_a_file_cut_short_anywhere(tmp_path: Path) -> None:
    """R6: a closed journal at each 16 bytes, one of a killed process with its log at each 512."""
    check(tmp_path, False, "cut at each 16 bytes", lambda specimen: cuts(specimen, 16))
    check(tmp_path, True, "with its log, cut at each 512 bytes", lambda specimen: cuts(specimen, 512))


def test_every_bit_flipped(tmp_path: Path) -> None:
    """R6: every bit of a closed journal that is in a byte in use, and 4,000 of a killed process's with its log."""
    check(tmp_path, False, "every bit", lambda specimen: flips(specimen, None))
    check(tmp_path, True, "with its log, bits by chance", lambda specimen: flips(specimen, 4_000))


def check(folder: Path, killed: bool, what: str, damages: Callable[[Specimen], Iterator[tuple[str, bytes]]]) -> None:
    place = folder / f"killed-{killed}"
    place.mkdir()
    specimen = Specimen(place, killed)
    verdicts = tally(specimen, damages(specimen))
    figures = ", ".join(f"{count:,} {verdict}" for verdict, count in verdicts.most_common())
    print(f"\nR6: {what}: {sum(verdicts.values()):,} trials: {figures}; 0 wrong values")
    assert set(verdicts) <= ALLOWED

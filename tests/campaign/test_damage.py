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

each_way = pytest.mark.parametrize("paged", [False, True], ids=["rows", "pages"])


@each_way
def test_a_file_cut_short_anywhere(tmp_path: Path, paged: bool) -> None:
    """R6: a closed journal at each 32 bytes, one of a killed process with its log at each 1,024."""
    check(specimen(tmp_path, False, paged), "cut at each 32 bytes", lambda specimen: cuts(specimen, 32))
    check(specimen(tmp_path, True, paged), "with its log, cut at each 1,024", lambda specimen: cuts(specimen, 1_024))


@each_way
def test_every_bit_flipped(tmp_path: Path, paged: bool) -> None:
    """R6: every bit of a closed journal that is in a byte in use, and 4,000 of a killed process's with its log."""
    check(specimen(tmp_path, False, paged), "every bit", lambda specimen: flips(specimen, None))
    check(specimen(tmp_path, True, paged), "with its log, bits by chance", lambda specimen: flips(specimen, 4_000))


def specimen(folder: Path, killed: bool, paged: bool) -> Specimen:
    place = folder / f"killed-{killed}"
    place.mkdir()
    return Specimen(place, killed, paged)


def check(specimen: Specimen, what: str, damages: Callable[[Specimen], Iterator[tuple[str, bytes]]]) -> None:
    verdicts = tally(specimen, damages(specimen))
    figures = ", ".join(f"{count:,} {verdict}" for verdict, count in verdicts.most_common())
    where, trials = "in pages, " if specimen.paged else "", sum(verdicts.values())
    print(f"\nR6: {where}{what}: {trials:,} trials: {figures}; 0 wrong values")
    assert set(verdicts) <= ALLOWED

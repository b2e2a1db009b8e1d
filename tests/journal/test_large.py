"""Large runs: a stream of inputs goes through a journal in memory that does not grow with their number."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import ProcessorInput, prevalidate
from pipeline.journal.index import Index
from pipeline.prevalidate import Prevalidation
from tests.journal.roster import Store, Stores

ROOT = Path(__file__).parents[2]
MB = 1_000_000

pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from Linux's /proc")


def streamed(store: Store, folder: Path, *numbers: int, again: bool = False) -> dict[str, int]:
    """What a process of its own has to say of such a run; see ``large.py`` for the numbers."""
    command = [sys.executable, str(Path(__file__).with_name("large.py")), store.code, *map(str, numbers)]
    done = subprocess.run(
        [*command, "first"] if again else command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, int] = json.loads(done.stdout)
    return told


@pytest.mark.slow
def test_a_stream_is_journaled_in_flat_memory_and_so_is_its_resume(shared_store: Store, tmp_path: Path) -> None:
    numbers = (30_000, 10_000, 1_000, 1_000)  # of 20,000 inputs the ids alone, if kept, are 20 MB
    first = streamed(shared_store, tmp_path, *numbers)
    again = streamed(shared_store, tmp_path, *numbers, again=True)

    assert (first["inputs"], again["inputs"]) == (30_000, 30_000)
    assert first["grew"] < 12 * MB  # what SQLite caches is some 8 MB, and is full after 45,000 inputs
    assert again["grew"] < 12 * MB


@pytest.mark.campaign
@pytest.mark.parametrize(("kind", "inputs"), [("sqlite", 1_000_000), ("postgres", 300_000)])
def test_a_million_inputs_are_journaled_in_flat_memory(
    kind: str, inputs: int, make_store: Stores, tmp_path: Path
) -> None:
    store = make_store(kind)
    numbers = (inputs, 150_000, prevalidate.WINDOW, 12)
    first = streamed(store, tmp_path, *numbers)
    again = streamed(store, tmp_path, *numbers, again=True)

    print(
        f"\nlarge {kind}: {inputs} inputs grew by {first['grew'] / MB:.1f} MB, resumed by {again['grew'] / MB:.1f} MB"
    )
    print(f"beside {(again['began'] - first['began']) / MB:.1f} MB for what a resume knows of them")
    assert first["grew"] < 8 * MB
    assert again["grew"] < 8 * MB
    assert again["began"] - first["began"] < 100 * inputs


def test_an_index_knows_what_a_dictionary_knows() -> None:
    rows, known = Index(), dict[str, int]()
    names = [*map(str, range(5_000)), "", "\ud800", "é" * 1000, *map(str, range(3_000, 6_000))]
    for number, name in enumerate(names):
        assert rows.setdefault(name, number) == known.setdefault(name, number)

    assert len(rows) == len(known)
    assert all(rows.get(name) == number for name, number in known.items())
    assert rows.get("unknown") is None
    assert [rows.take("7"), rows.take("7"), rows.take("unknown")] == [7, None, None]


def test_in_a_stream_an_id_is_used_twice_within_a_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prevalidate, "WINDOW", 10)
    endless, batch = Prevalidation(None, None, endless=True), Prevalidation(None, None)
    again = {distance: distance_is_noticed(endless, distance) for distance in (1, 10, 21)}

    assert again == {1: True, 10: True, 21: False}
    assert distance_is_noticed(batch, 1_000)


def distance_is_noticed(scan: Prevalidation, distance: int) -> bool:
    """Whether an id is noticed that was used ``distance`` inputs before."""
    ids = [f"{distance}-{number}" for number in range(distance)]
    problems = [scan.problem(ProcessorInput(input_id=name, data=0)) for name in [*ids, ids[0]]]
    return problems[-1] is not None

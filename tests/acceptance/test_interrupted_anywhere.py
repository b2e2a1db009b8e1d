"""A handler that raises anywhere leaves no lock taken and no run in progress, and costs nothing that was handed out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance import interrupted

ROOT = Path(__file__).parents[2]

CASES = {
    "a batch": ("execute", "input", "SequentialRunner"),
    "a stream": ("stream", "input", "SequentialRunner"),
    "a batch that keeps steps, in threads": ("execute", "step", "ThreadRunner"),
    "a stream of coroutines": ("stream", "input", "AsyncRunner"),
    "a start": ("start", "input", "SequentialRunner"),
}
EVERY_CASE = [
    (how, durability, runner)
    for how in ("execute", "start", "stream")
    for durability in ("input", "step")
    for runner in interrupted.RUNNERS
]


def figures(case: tuple[str, str, str], place: Path | str, first: int, every: int) -> dict[str, Any]:
    command = [sys.executable, interrupted.__file__, *case, str(place), str(first), str(every)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=3600, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("case", CASES)
def test_a_run_that_is_interrupted_at_any_place_goes_on(case: str, tmp_path: Path) -> None:
    found = figures(CASES[case], tmp_path, 1 + list(CASES).index(case), 11)

    assert found["problems"] == []
    assert found["trials"] > 40


@pytest.mark.postgres
def test_a_run_in_postgres_goes_on_too(postgres_dsn: str) -> None:
    found = figures(("execute", "input", "SequentialRunner"), postgres_dsn, 1, 23)

    assert found["problems"] == []
    assert found["trials"] > 40


@pytest.mark.campaign
@pytest.mark.parametrize("case", EVERY_CASE, ids=" ".join)
def test_at_every_single_place(case: tuple[str, str, str], tmp_path: Path) -> None:
    every = 7 if case[-1] == "ProcessRunner" else 1  # it has some 6,000, and starts workers at each
    found = figures(case, tmp_path, 1, every)
    print(f"\ninterrupted {' '.join(case)}: {found['trials']} places, {len(found['problems'])} problems")

    assert found["problems"] == []


@pytest.mark.campaign
@pytest.mark.postgres
@pytest.mark.parametrize("case", EVERY_CASE[:2] + EVERY_CASE[-4:-2], ids=" ".join)
def test_at_every_single_place_in_postgres(case: tuple[str, str, str], postgres_dsn: str) -> None:
    found = figures(case, postgres_dsn, 1, 1)
    print(f"\ninterrupted in PostgreSQL {' '.join(case)}: {found['trials']} places, {len(found['problems'])} problems")

    assert found["problems"] == []

"""Fixtures and settings of every test."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.runners.roster", "tests.journal.roster"]

settings.register_profile("short", max_examples=50, deadline=None, derandomize=True)
settings.register_profile(
    "campaign",
    max_examples=2_000,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.register_profile("mutants", max_examples=10, deadline=None, derandomize=True)  # thousands of times
settings.load_profile(os.environ.get("STEPSLICE_HYPOTHESIS_PROFILE", "short"))


@pytest.fixture(scope="session")
def postgres_dsn() -> str:
    """A PostgreSQL of which a test may use anything; in CI it is there, or the test fails."""
    dsn = os.environ.get("STEPSLICE_POSTGRES_DSN")
    if dsn is None:
        refuse = pytest.fail if "CI" in os.environ else pytest.skip
        refuse("no server: set STEPSLICE_POSTGRES_DSN, or let `bash .ci/run` start one")
    return dsn


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Only tests are collected here; ``--doctest-modules`` would import scripts and benchmarks as well."""
    stray = collection_path.suffix == ".py" and not collection_path.name.startswith("test_")
    return True if stray else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Clusters come last: they leave threads in this process, and one with threads does not fork its workers."""
    items.sort(key=lambda item: item.get_closest_marker("cluster") is not None)

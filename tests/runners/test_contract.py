"""Every runner keeps the contract: one suite, never copies of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from runners import AsyncRunner, ProcessRunner, Runner, SequentialRunner, ThreadRunner
from runners.testing import LAWS, Law

RUNNERS: list[Callable[[], Runner]] = [
    SequentialRunner,
    ThreadRunner,
    lambda: ThreadRunner(max_workers=1),
    lambda: ThreadRunner(max_workers=64),
    AsyncRunner,
    lambda: AsyncRunner(max_concurrency=1),
    lambda: ProcessRunner(max_workers=2),
]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("make", RUNNERS, ids=lambda make: repr(make()))
def test_a_runner_keeps_the_law(make: Callable[[], Runner], law: Law) -> None:
    law(make())

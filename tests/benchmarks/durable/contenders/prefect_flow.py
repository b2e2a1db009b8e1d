"""Prefect: a flow of three tasks for each input, whose results it keeps, on the server that it starts for itself."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.benchmarks.durable.contender import Contender, Work
from tests.benchmarks.durable.steps import NAMES, increment


@contextmanager
def opened(folder: Path) -> Iterator[Work]:
    os.environ |= {
        "PREFECT_HOME": str(folder),
        "PREFECT_LOGGING_LEVEL": "CRITICAL",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
        "DO_NOT_TRACK": "1",
    }
    prefect: Any = import_module("prefect")
    first_step, second, third = (prefect.task(name=name, persist_result=True)(increment) for name in NAMES)

    @prefect.flow(persist_result=True, validate_parameters=False)  # type: ignore[untyped-decorator]
    def flow(values: range) -> None:
        for value in values:
            assert third(second(first_step(value))) == value + 3

    def work(count: int, first: int) -> None:
        flow(range(first, first + count))

    yield work


VARIANTS = {"Prefect": Contender(opened, 20, "finished steps", serves=True)}

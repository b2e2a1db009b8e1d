"""DBOS on SQLite: a workflow of three steps for each input."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.benchmarks.durable.contender import Contender, Work
from tests.benchmarks.durable.steps import NAMES, increment


@contextmanager
def opened(folder: Path) -> Iterator[Work]:
    dbos: Any = import_module("dbos").DBOS
    url = f"sqlite:///{folder / 'dbos.sqlite'}"
    dbos(config={"name": "bench", "system_database_url": url, "run_admin_server": False, "log_level": "ERROR"})
    first_step, second, third = (dbos.step(name=name)(increment) for name in NAMES)

    @dbos.workflow()  # type: ignore[untyped-decorator]
    def workflow(value: int) -> int:
        return third(second(first_step(value)))  # type: ignore[no-any-return]

    def work(count: int, first: int) -> None:
        for value in range(first, first + count):
            assert workflow(value) == value + 3

    dbos.launch()
    yield work
    dbos.destroy()


VARIANTS = {"DBOS, SQLite": Contender(opened, 40, "finished steps")}

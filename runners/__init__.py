"""Runners: map a function over inputs, in this thread, in threads, processes, an event loop or a cluster.

Each name is loaded when it is first used, so that ``import runners`` costs nothing:

>>> from runners import SequentialRunner
>>> SequentialRunner().run(str.upper, ["a", "b"])
['A', 'B']
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runners.asynchronous import AsyncRunner
    from runners.choose import Choice, choose_runner
    from runners.crash import Crash
    from runners.dask import DaskRunner
    from runners.errors import InputFailed, RunnerError, WorkerDied
    from runners.executor import ExecutorRunner
    from runners.process import ProcessRunner
    from runners.protocol import Runner
    from runners.ray import RayRunner
    from runners.sequential import SequentialRunner
    from runners.thread import ThreadRunner

__all__ = [
    "AsyncRunner",
    "Choice",
    "Crash",
    "DaskRunner",
    "ExecutorRunner",
    "InputFailed",
    "ProcessRunner",
    "RayRunner",
    "Runner",
    "RunnerError",
    "SequentialRunner",
    "ThreadRunner",
    "WorkerDied",
    "choose_runner",
]

_ROOMS = {
    "AsyncRunner": "asynchronous",
    "Choice": "choose",
    "Crash": "crash",
    "DaskRunner": "dask",
    "ExecutorRunner": "executor",
    "InputFailed": "errors",
    "ProcessRunner": "process",
    "RayRunner": "ray",
    "Runner": "protocol",
    "RunnerError": "errors",
    "SequentialRunner": "sequential",
    "ThreadRunner": "thread",
    "WorkerDied": "errors",
    "choose_runner": "choose",
}

if not TYPE_CHECKING:  # a type checker must not take a misspelt name for one of these

    def __getattr__(name: str) -> object:
        if name not in _ROOMS:
            raise AttributeError(f"module 'runners' has no attribute {name!r}; it has {', '.join(__all__)}")
        return getattr(import_module(f"runners.{_ROOMS[name]}"), name)

    def __dir__() -> list[str]:
        return sorted([*globals(), *__all__])

"""Ray on this machine: a task an input, and a task for 64 inputs."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from tests.benchmarks.runners.contender import Contender, Map


def in_chunks(size: int) -> Callable[[int], AbstractContextManager[Map]]:
    @contextmanager
    def open_ray(workers: int) -> Iterator[Map]:
        import ray

        os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"  # or it warns of what will change
        ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        task = ray.remote(_each)
        try:
            yield lambda func, inputs: _flat(ray.get([task.remote(func, part) for part in _parts(inputs, size)]))
        finally:
            ray.shutdown()

    return open_ray


def _parts(inputs: list[Any], size: int) -> Iterator[list[Any]]:
    return (inputs[first : first + size] for first in range(0, len(inputs), size))


def _each(func: Callable[[Any], Any], values: list[Any]) -> list[Any]:
    return [func(value) for value in values]


def _flat(parts: list[list[Any]]) -> list[Any]:
    return [value for part in parts for value in part]


VARIANTS = {
    "ray, 1": Contender(in_chunks(1), cluster=True, listed=True),
    "ray, 64": Contender(in_chunks(64), cluster=True, listed=True),
}

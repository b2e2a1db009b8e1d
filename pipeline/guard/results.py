"""The results that a step's calls gave, for calls that are the same: found by fingerprints, kept as typed JSON."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from threading import Lock
from time import time
from typing import Any, NamedTuple, Protocol

import msgspec

from pipeline import codec, fingerprint
from pipeline.codec import Registry
from pipeline.policies import Cache
from pipeline.policies.cache import is_fresh, key_of
from pipeline.step import Step

_LOGGER = logging.getLogger("pipeline.guard")


class Kept(NamedTuple):
    """A result as bytes, and when it was kept, in seconds since the epoch."""

    at: float
    body: bytes


class Results(Protocol):
    """Where results are kept."""

    def kept_result(self, key: str, /) -> Kept | None:
        """The result of that key."""
        ...

    def keep_result(self, step: str, key: str, kept: Kept, max_size: int, /) -> None:
        """Keep a result, and forget the oldest ones of the step beyond ``max_size`` bytes."""
        ...


class InMemory:
    """Results while the process lives. Guard: the lock."""

    def __init__(self) -> None:
        self._kept: dict[str, dict[str, Kept]] = {}  # by step, the oldest first
        self._steps: dict[str, str] = {}
        self._sizes: dict[str, int] = {}
        self._lock = Lock()

    def kept_result(self, key: str) -> Kept | None:
        """The result of that key."""
        with self._lock:
            step = self._steps.get(key)
            return None if step is None else self._kept[step][key]

    def keep_result(self, step: str, key: str, kept: Kept, max_size: int) -> None:
        """Keep a result, and forget the oldest ones of the step beyond ``max_size`` bytes."""
        with self._lock:
            if key in self._steps:
                self._forget(step, key)
            self._kept.setdefault(step, {})[key] = kept
            self._steps[key] = step
            self._sizes[step] = self._sizes.get(step, 0) + len(kept.body)
            while self._sizes[step] > max_size:
                self._forget(step, next(iter(self._kept[step])))

    def _forget(self, step: str, key: str) -> None:
        self._sizes[step] -= len(self._kept[step].pop(key).body)
        del self._steps[key]


IN_MEMORY = InMemory()
"""The results of all runs of this process that have no journal."""


class Caching(NamedTuple):
    """What the caches of a run need: where results are kept, the user's own types, and the fingerprints of the code."""

    results: Results | None = None
    registry: Registry | None = None
    code: Mapping[str, str | None] = {}


class Found(msgspec.Struct, frozen=True):
    """What a look for a result found: its ``key`` (``None``: nothing to look for) and, if ``hit``, the ``output``."""

    key: str | None
    hit: bool = False
    output: Any = None


class Remembered:
    """The cache of one step at work. A cache that fails is told of in the log, and costs no input."""

    def __init__(self, step: Step[Any, Any, Any], policy: Cache, caching: Caching) -> None:
        self.step: Step[Any, Any, Any] = step
        self.policy: Cache = policy
        self.code: str | None = caching.code.get(step.name)
        self.registry: Registry | None = caching.registry
        self.results: Results = caching.results or IN_MEMORY
        if self.code is None:
            told = "the code of step %r, or a setting of it, cannot be seen: its cache is not used; give it a version="
            _LOGGER.warning(told, step.name)

    def look(self, value: Any) -> Found:
        """The result of an earlier call with this value."""
        key = key_of(self.step.name, self.code, fingerprint.of_data(value))
        try:
            kept = None if key is None else self.results.kept_result(key)
            if kept is None or not is_fresh(self.policy, kept.at, time()):
                return Found(key)
            return Found(key, hit=True, output=codec.decode(kept.body, self.step.output_type, registry=self.registry))
        except Exception:
            _LOGGER.warning("the cache of step %r cannot be read", self.step.name, exc_info=True)
            return Found(key)

    def keep(self, key: str, output: Any) -> None:
        """Keep the result of a call, if it can be kept exactly."""
        try:
            body = codec.encode(
                output,
                self.step.output_type,
                registry=self.registry,
                max_bytes=min(self.policy.max_size, codec.MAX_BYTES),
            )
        except codec.CodecError as error:
            _LOGGER.debug("a result of step %r is not kept: %s", self.step.name, error)
            return
        try:
            self.results.keep_result(self.step.name, key, Kept(time(), body), self.policy.max_size)
        except Exception:
            _LOGGER.warning("the cache of step %r cannot be written", self.step.name, exc_info=True)

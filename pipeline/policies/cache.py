"""Using a step's result again: when it is the same call, and when it is too old."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import msgspec

from pipeline.policies.matching import check, is_number


class Cache(msgspec.Struct, frozen=True, kw_only=True):
    """Use the result of an earlier call of the step again, in this run or another, when nothing differs.

    A call is the same when the step's code (or its ``version``) and the value that enters it have the same
    fingerprints. Where one is unknown, because the code or the value cannot be seen, the step is called.
    So is a step whose result does not survive the codec: what is kept is typed JSON, never a pickle.

    ``max_age_s`` is how long a result is good, in seconds; ``None``: for ever.
    ``max_size`` is how much is kept of one step, in bytes; the oldest results go first.

    Results are kept in the processor's journal, SQLite or PostgreSQL; without one, in the memory of each process.

    >>> Cache(max_age_s=86_400).max_size
    100000000
    >>> Cache(max_age_s=0)
    Traceback (most recent call last):
        ...
    pipeline.errors.InvalidSetting: Cache cannot use max_age_s=0; it takes seconds, more than 0, or None
    """

    max_age_s: float | None = None
    max_size: int = 100_000_000

    def __post_init__(self) -> None:
        age: Any = self.max_age_s
        size: Any = self.max_size
        good = age is None or (is_number(age) and age > 0)
        check("Cache", "max_age_s", age, good, "seconds, more than 0, or None")
        check("Cache", "max_size", size, type(size) is int and size >= 1, "a number of bytes from 1")


def key_of(step: str, code: str | None, value: str | None) -> str | None:
    """The name of a result: that of the step, the fingerprints of its code and of what enters it; ``None``: unknown.

    >>> key_of("parse", "c0de", "da7a") == key_of("parse", "c0de", "da7a"), key_of("parse", None, "da7a")
    (True, None)
    """
    if code is None or value is None:
        return None
    return sha256(f"{step}\0{code}\0{value}".encode("utf-8", "surrogatepass")).hexdigest()


def is_fresh(cache: Cache, kept_at: float, now: float) -> bool:
    """Whether a result that was kept at ``kept_at`` is good at ``now``, both in seconds since the epoch.

    >>> is_fresh(Cache(max_age_s=60), kept_at=0, now=60), is_fresh(Cache(max_age_s=60), kept_at=0, now=61)
    (True, False)
    """
    return cache.max_age_s is None or 0 <= now - kept_at <= cache.max_age_s

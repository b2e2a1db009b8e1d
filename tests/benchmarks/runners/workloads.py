"""What the contenders work on: functions that every worker can import, and the inputs for them."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable, Iterable, Iterator
from hashlib import pbkdf2_hmac
from typing import Any, NamedTuple

import msgspec

_MILLISECOND = 4_400
"""Turns of the hash in ``burn`` that take about 1 ms here; the bare loop's time says how long they really take."""


class Workload(NamedTuple):
    """A function, its inputs, and the name of what it wears out."""

    func: Callable[[Any], Any]
    make_inputs: Callable[[], list[Any]]
    workers: int = 2
    waits: bool = False
    """It only waits: for threads and event loops, with many workers."""
    streamed: bool = False
    """Results are taken one by one and dropped; else all are kept, in a list."""


def noop(value: Any) -> Any:
    return value


def burn(milliseconds: float) -> int:
    """Keep the processor busy: a fixed amount of work, so that a busy machine takes longer.

    It is done in C. A loop in Python takes from 0.46 to 0.82 ms in one process or another, by where its objects
    happen to lie in memory; this one differs by less than 3 %, and so shows what a pool adds.
    """
    return pbkdf2_hmac("sha256", b"work", b"", int(milliseconds * _MILLISECOND))[0]


def pause(duration_s: float) -> float:
    time.sleep(duration_s)
    return duration_s


async def apause(duration_s: float) -> float:
    await asyncio.sleep(duration_s)
    return duration_s


class Entry(msgspec.Struct, frozen=True):
    """A line of a statement."""

    day: str
    text: str
    amount: int
    balance: int
    tags: list[str]


class Statement(msgspec.Struct, frozen=True):
    """A document after it was parsed."""

    account: str
    pages: int
    entries: list[Entry]


def parse(raw: bytes) -> Statement:
    """20 kB of JSON, by the standard library, into Structs."""
    return msgspec.convert(json.loads(raw), Statement)


def _document(number: int) -> bytes:
    chooser = random.Random(number)
    entries = [
        {
            "day": f"2026-{chooser.randint(1, 12):02}-{chooser.randint(1, 28):02}",
            "text": f"transfer {chooser.getrandbits(128):032x} for invoice {chooser.randint(1, 10**6)}",
            "amount": chooser.randint(-(10**6), 10**6),
            "balance": chooser.randint(0, 10**8),
            "tags": ["imported", "checked"],
        }
        for _ in range(122)
    ]
    return json.dumps({"account": f"acc_{number}", "pages": 3, "entries": entries}).encode()


def _skewed(count: int) -> list[float]:
    """Most take half a millisecond, one in twenty takes twenty."""
    chooser = random.Random(7)
    return [20.0 if chooser.random() < 0.05 else 0.5 for _ in range(count)]


_BATCHES = {
    "noop": Workload(noop, lambda: list(range(100_000))),
    "cpu": Workload(burn, lambda: [1.0] * 1_500),
    "skewed": Workload(burn, lambda: _skewed(1_000)),
    "20kB": Workload(noop, lambda: [bytes([number % 256]) * 20_000 for number in range(5_000)]),
    "2MB": Workload(noop, lambda: [bytes([number]) * 2_000_000 for number in range(100)]),
    "documents": Workload(parse, lambda: [_document(number) for number in range(1_000)]),
    "io": Workload(pause, lambda: [0.01] * 6_400, workers=64, waits=True),
    "noop-threads": Workload(noop, lambda: list(range(100_000)), waits=True),
}
WORKLOADS = _BATCHES | {
    f"{name}-streamed": _BATCHES[name]._replace(streamed=True) for name in ("noop", "20kB", "2MB", "documents")
}


def endless(count: int) -> Iterator[int]:
    """Inputs nobody can know the number of."""
    yield from range(count)


def drain(results: Iterable[Any]) -> int:
    """Take everything and keep nothing; how many there were."""
    return sum(1 for _ in results)

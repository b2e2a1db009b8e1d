"""A file to which every outcome is appended with its length and a checksum; nothing finds them again but a scan."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from struct import pack
from zlib import crc32

from tests.benchmarks.durable.contender import Contender, Work
from tests.benchmarks.durable.steps import increment


@contextmanager
def opened(folder: Path) -> Iterator[Work]:
    file = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def work(count: int, first: int) -> None:
        for value in range(first, first + count):
            record = b"%d %d" % (value, increment(increment(increment(value))))
            os.write(file, pack("<II", len(record), crc32(record)) + record)

    yield work
    os.close(file)


VARIANTS = {"append log, one write an input": Contender(opened, 20_000, "finished inputs")}

"""A journal whose file is damaged: what can be read of it is what was there, or it is an error that names the file."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from unittest.mock import patch

from pipeline import Processor, Retry, step, to_inputs
from pipeline.errors import JournalDamaged, JournalError
from pipeline.journal import SqliteJournal, pages

T = TypeVar("T")

PROCESSORS = ("numbers", "others")
broken: set[int] = set()


@step("double")
def double(value: int) -> int:
    return value * 2


@step("add", retry=Retry(on=(ValueError,), attempts=2, wait=0.0))
def add(value: int) -> int:
    if value // 2 in broken:
        raise ValueError(f"{value} does not go through yet")
    return value + 1


def processor(journal: Any, name: str = "numbers") -> Processor[int, int, list[int]]:
    return Processor(name=name, pipeline=double >> add, journal=journal)


class Seen(NamedTuple):
    """Everything in a journal: each row as its queries give it."""

    rows: frozenset[str]


class NotingJournal(SqliteJournal):
    """Lets what each commit left be noted."""

    is_shared = False  # so that no thread of its own writes, at a moment that the test does not choose

    note: Callable[[], None]

    def _transact(self, work: Callable[[Any], T]) -> T:
        done = super()._transact(work)
        self.note()
        return done


class Specimen:
    """A journal's files, byte by byte, and what each of its commits left to be seen.

    ``paged``: what the first runs wrote lies in pages, though it is less than would make one.
    """

    def __init__(self, folder: Path, killed: bool, paged: bool = False) -> None:
        self.path = folder / "runs.db"
        self.paged = paged
        self.states: list[Seen] = [Seen(frozenset())]
        journal = NotingJournal(self.path)
        journal.group_s, journal.note = 0.0, self._note
        with patch.object(pages, "FEWEST", 1 if paged else pages.FEWEST):
            self._work(journal)
        if not killed:
            journal.close()
        self.files = {suffix: self._file(suffix).read_bytes() for suffix in ("", "-wal") if self._file(suffix).exists()}
        journal.close()
        self.reader = SqliteJournal(self.path)
        self.states.append(self.see())

    def _work(self, journal: SqliteJournal) -> None:
        """Two runs that leave something to do, one that does it, and one of somebody else."""
        broken.update((3, 5))
        processor(journal).execute(to_inputs(range(8), key=str))
        broken.remove(5)
        processor(journal).resume()
        broken.clear()
        processor(journal).resume()
        processor(journal, "others").execute(to_inputs(range(3), key=str))

    def _note(self) -> None:
        """What the next process would see now, on a copy: the state that a loss of everything behind it leaves."""
        copy = self.path.with_name("copy.db")
        for suffix in ("", "-wal"):
            shutil.copy(self._file(suffix), f"{copy}{suffix}")
        reader = SqliteJournal(copy)
        with patch("pipeline.journal.owner.LIVE", set[str]()):
            self.states.append(see(reader))
        reader.close()
        for suffix in ("", "-wal", "-shm"):
            Path(f"{copy}{suffix}").unlink(missing_ok=True)

    def _file(self, suffix: str) -> Path:
        return Path(f"{self.path}{suffix}")

    # damage

    def put(self, suffix: str = "", content: bytes | None = None) -> None:
        """The files as they were, but for one."""
        self.reader.close()
        for other in ("", "-wal", "-shm"):
            self._file(other).unlink(missing_ok=True)
        for other, held in self.files.items():
            self._file(other).write_bytes(content if content is not None and other == suffix else held)
        self.reader = SqliteJournal(self.path)

    def flipped(self, suffix: str, bit: int) -> bytes:
        content = bytearray(self.files[suffix])
        content[bit // 8] ^= 1 << bit % 8
        return bytes(content)

    def bits(self, suffix: str) -> list[int]:
        """Every bit of every byte that is not zero."""
        return [place * 8 + bit for place, byte in enumerate(self.files[suffix]) if byte for bit in range(8)]

    # what is seen of it

    def see(self) -> Seen:
        return see(self.reader)

    def verdict(self) -> str:
        """What is seen is all that was there, what was there earlier, or an error; anything else is a wrong value."""
        try:
            seen = self.see()
        except JournalError as error:
            return self._named(error, f"error naming the file{' and the row' if ': row ' in str(error) else ''}")
        if seen in self.states:
            return "unchanged" if seen == self.states[-1] else "an earlier state"
        wrong = seen.rows - frozenset[str]().union(*(state.rows for state in self.states))
        assert not wrong, f"read as if it had been written: {wrong}"
        return self._refused()

    def _refused(self) -> str:
        """Rows are gone, and none of those that are left is wrong: to go on is refused."""
        for name in PROCESSORS:
            try:
                list(processor(self.reader, name).plan(runs_of(self.reader, name)[-1]))
            except JournalDamaged as error:
                return self._named(error, "rows are gone: refused by the file's name")
        return "rows are gone"

    def _named(self, error: JournalError, verdict: str) -> str:
        assert str(self.path) in str(error), error
        return verdict


def runs_of(journal: SqliteJournal, name: str) -> list[str]:
    return [run.run_id for run in journal.runs() if run.processor == name]


def see(journal: SqliteJournal) -> Seen:
    return Seen(frozenset(map(repr, _rows(journal))))


def _rows(journal: SqliteJournal) -> Iterator[tuple[Any, ...]]:
    journal.recover()
    runs = journal.runs()
    yield from (("run", run) for run in runs)
    for batch in sorted({run.batch for run in runs}):
        inputs = list(journal.inputs(batch))
        yield from (("input", row) for row in inputs)
        yield from (("outcome", row) for row in journal.outcomes(batch))
        yield from (("place", number) for number in journal.places(batch))
        for row in inputs:
            assert journal.input(row.id) in (None, row)
            yield from (("looked up", found) for found in [journal.outcome(row.id)] if found is not None)
            yield from (("tries", tries) for tries in journal.attempts(row.id))
    for name in PROCESSORS:
        found = journal.find(name)
        yield from [] if found is None else [("latest", found)]


def tally(specimen: Specimen, damages: Iterator[tuple[str, bytes]]) -> Counter[str]:
    """How each damage ends; those that are no exact earlier state and no error are ``wrong`` and fail at once."""
    verdicts = Counter[str]()
    for suffix, content in damages:
        specimen.put(suffix, content)
        verdicts[specimen.verdict()] += 1
    specimen.reader.close()
    return verdicts


def cuts(specimen: Specimen, every: int) -> Iterator[tuple[str, bytes]]:
    """Each file cut short at each so many bytes, and one byte beside."""
    for suffix, content in specimen.files.items():
        for size in range(0, len(content), every):
            yield suffix, content[: size + size // every % 3 - 1] if size else b""


def flips(specimen: Specimen, count: int | None, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """Single bits: so many by chance over all files, or every one of the main file that is in a byte in use."""
    if count is None:
        yield from (("", specimen.flipped("", bit)) for bit in specimen.bits(""))
        return
    chance = random.Random(seed)
    bits = {suffix: specimen.bits(suffix) for suffix in specimen.files}
    for _ in range(count):
        suffix = chance.choice(list(bits))
        yield suffix, specimen.flipped(suffix, chance.choice(bits[suffix]))

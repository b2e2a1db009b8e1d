"""A processor on the sequential runner: without a journal, and with each promise of the journal in a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from pipeline import Journal, Pipeline, Processor, SqliteJournal, step, to_inputs
from tests.benchmarks.durable.contender import Contender, Work
from tests.benchmarks.durable.steps import NAMES, increment, work_a_millisecond

QUICK = Pipeline.of([step(name)(increment) for name in NAMES])
SLOW = Pipeline.of([step(name)(fn) for name, fn in zip(NAMES, (increment, increment, work_a_millisecond), strict=True)])


def processing(
    make: Callable[[Path], Journal | None], pipeline: Pipeline[int, int, None] = QUICK
) -> Callable[[Path], AbstractContextManager[Work]]:
    @contextmanager
    def opened(folder: Path) -> Iterator[Work]:
        journal = make(folder / "runs.db")
        processor = Processor(pipeline=pipeline, journal=journal)

        def work(count: int, first: int) -> None:
            inputs = to_inputs(range(first, first + count), key=str)
            assert processor.execute(inputs).success

        yield work
        if journal is not None:
            journal.close()

    return opened


VARIANTS = {
    "ours, no journal": Contender(processing(lambda _: None), 20_000, "-"),
    "ours": Contender(processing(SqliteJournal), 20_000, "finished inputs"),
    "ours, power": Contender(processing(lambda path: SqliteJournal(path, sync="power")), 20_000, "finished inputs"),
    "ours, each step": Contender(processing(lambda path: SqliteJournal(path, "step")), 2_000, "finished steps"),
    "1 ms, no journal": Contender(processing(lambda _: None, SLOW), 300, "-"),
    "1 ms, ours": Contender(processing(SqliteJournal, SLOW), 300, "finished inputs"),
    "1 ms, ours, each step": Contender(
        processing(lambda path: SqliteJournal(path, "step"), SLOW), 300, "finished steps"
    ),
}

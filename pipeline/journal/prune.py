"""Which batches are forgotten. Pure: nothing is deleted here."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from time import time
from typing import Any

import msgspec

from pipeline.errors import InvalidSetting, UnknownRun
from pipeline.journal.records import SeenRun
from pipeline.shown import quoted


class Chosen(msgspec.Struct, frozen=True):
    """The batches to forget, and how many runs they have; ``rows`` are of runs that go without a batch."""

    batches: tuple[int, ...]
    runs: int
    rows: tuple[int, ...] = ()


class Pruning(msgspec.Struct, frozen=True, kw_only=True):
    """What to forget: one of three.

    Batches whose latest run ended more than ``older_than_s`` seconds ago, the batch of one run,
    or all but the ``keep_last`` latest batches of each processor.
    """

    older_than_s: float | None = None
    run_id: str | None = None
    keep_last: int | None = None

    def __post_init__(self) -> None:
        if (self.older_than_s, self.run_id, self.keep_last).count(None) != 2:
            raise InvalidSetting("prune takes one of older_than_s=, run_id= and keep_last=; which shall go?")
        kept: object = self.keep_last
        if kept is not None and (type(kept) is not int or kept < 0):
            raise InvalidSetting(f"keep_last={kept!r}: give the number of batches to keep, 0 for none")
        age: Any = self.older_than_s
        if age is not None and (isinstance(age, bool) or not isinstance(age, int | float) or not age >= 0):
            raise InvalidSetting(f"older_than_s={age!r}: give a number of seconds, from 0; 86_400 are a day")

    def astray(self, runs: Sequence[SeenRun], is_there: Callable[[int], bool]) -> list[int]:
        """The damaged rows of the run to forget that name a batch which sound runs have, or which is not there."""
        sound = {run.batch for run in runs if run.is_sound}
        damaged = [run for run in runs if run.run_id == self.run_id and not run.is_sound]
        return [run.run for run in damaged if run.batch in sound or not is_there(run.batch)]

    def choose(self, runs: Sequence[SeenRun], owned: Collection[int], now: float | None = None) -> Chosen:
        """The batches to forget among ``runs``, the earliest first; those in ``owned`` are in progress and stay."""
        by_batch: dict[int, list[SeenRun]] = {}
        for run in runs:
            by_batch.setdefault(run.batch, []).append(run)
        if self.run_id is not None and all(run.run_id != self.run_id for run in runs):
            raise UnknownRun(f"no run {quoted(self.run_id)} to prune; runs() lists them")
        chosen = [batch for batch in self._candidates(by_batch, time() if now is None else now) if batch not in owned]
        return Chosen(tuple(chosen), sum(len(by_batch[batch]) for batch in chosen))

    def _candidates(self, by_batch: dict[int, list[SeenRun]], now: float) -> list[int]:
        if self.older_than_s is not None:
            limit = now - self.older_than_s
            return [batch for batch, runs in by_batch.items() if max(run.seen_at for run in runs) < limit]
        if self.run_id is not None:
            return [batch for batch, runs in by_batch.items() if any(run.run_id == self.run_id for run in runs)]
        kept: dict[str, int] = {}
        candidates = list[int]()
        for batch, runs in sorted(by_batch.items(), key=lambda item: item[1][-1].run, reverse=True):
            latest, later = runs[-1], kept.get(runs[-1].processor, 0)
            if later >= (self.keep_last or 0):
                candidates.append(batch)
            kept[latest.processor] = later + latest.is_sound  # a damaged one takes the place of no other
        return candidates

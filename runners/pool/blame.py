"""Which input a worker's death is put down to, and what has to run again: decisions, without processes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from runners.pool.feed import Chunk
from runners.pool.slot import LEAVING, RUNNING, SENDING

MAX_DEATHS = 3
"""After so many deaths without a culprit a chunk goes on input by input, and a single input is blamed."""


class Verdict(NamedTuple):
    """What a death means for the inputs that the worker had."""

    culprit: int | None
    """Position of the input that is blamed."""
    again: list[Chunk]
    """What the worker had and has not delivered, without the culprit, in order."""


def judge(chunks: Sequence[Chunk], position: int, phase: float, *, was_ready: bool = True) -> Verdict:
    """``chunks`` is what the worker still had; ``position`` and ``phase`` are its slot's last words.

    An input in progress is to blame. While several results were on their way it could be any of them:
    those run again, each alone. Where nothing was in progress, nobody is to blame, nor where it left by itself.
    A worker that was never ready has not seen an input: its death counts against none, but against starting.
    """
    if not chunks or phase == LEAVING:
        return Verdict(None, list(chunks))
    current, waiting = chunks[0], list(chunks[1:])
    if phase not in (RUNNING, SENDING) or not current.first <= position < current.end:
        return _without_culprit(current, waiting) if was_ready else Verdict(None, list(chunks))
    rest = current.cut(position + 1, current.end)
    if phase == SENDING and position > current.first:
        return Verdict(None, [*_one_by_one(current, position + 1), rest, *waiting])
    return Verdict(position, [current.cut(current.first, position), rest, *waiting])


def _without_culprit(current: Chunk, waiting: list[Chunk]) -> Verdict:
    deaths = current.deaths + 1
    if deaths < MAX_DEATHS:
        return Verdict(None, [current.cut(current.first, current.end, alone=current.alone, deaths=deaths), *waiting])
    if len(current.values) == 1:
        return Verdict(current.first, waiting)
    return Verdict(None, [*_one_by_one(current, current.end), *waiting])


def _one_by_one(chunk: Chunk, stop: int) -> list[Chunk]:
    return [chunk.cut(position, position + 1, alone=True) for position in range(chunk.first, stop)]

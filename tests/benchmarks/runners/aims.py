"""What ours has to reach: a ratio of times in one run, on one workload, over the best of the peers it names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import NamedTuple

Rounds = Mapping[str, Sequence[float]]
"""Seconds by contender, one for each round; the rounds are interleaved, so the same place means the same moment."""


class Aim(NamedTuple):
    """``ours`` takes at most ``at_most`` times as long as the quickest of ``peers`` (none named: of all)."""

    ours: str
    at_most: float
    peers: tuple[str, ...] = ()


AIMS = {
    "noop": Aim("ours", 1.2, ("Pool.map",)),
    "cpu": Aim("ours", 1.03),
    "skewed": Aim("ours", 1.03),
    "20kB": Aim("ours", 1 / 2),
    "documents": Aim("ours", 1 / 1.2),
    "2MB": Aim("ours", 1 / 2.5),
    "io": Aim("ours, threads", 1.03, ("ThreadPoolExecutor.map", "ThreadPool.imap", "pebble threads", "joblib threads")),
    "noop-threads": Aim("ours, threads", 1 / 40, ("ThreadPoolExecutor.map",)),
    "20kB-streamed": Aim("ours, stream", 1 / 2),
    "documents-streamed": Aim("ours, stream", 1 / 1.2),
    "2MB-streamed": Aim("ours, stream", 1 / 2.5),
    "first result": Aim("ours", 1.0, ("ProcessPoolExecutor, 1",)),
}


def ratio(rounds: Rounds, one: str, other: str) -> float:
    """How many times as long ``one`` takes as ``other``: the median over the rounds; of a cluster, by medians."""
    if len(rounds[one]) != len(rounds[other]):
        return median(rounds[one]) / median(rounds[other])
    return median(a / b for a, b in zip(rounds[one], rounds[other], strict=True))


def verdict(workload: str, rounds: Rounds) -> str | None:
    """One line that says how far the aim is reached; None if who it speaks of did not run."""
    aim = AIMS.get(workload)
    peers = [name for name in rounds if name in aim.peers or (is_peer(name) and not aim.peers)] if aim else []
    if aim is None or aim.ours not in rounds or not peers:
        return None
    best = min(peers, key=lambda name: median(rounds[name]))
    reached = ratio(rounds, aim.ours, best)
    word = "reached" if reached <= aim.at_most else "MISSED"
    return f"{word}: {aim.ours} takes {reached:.2f} times {best} (aim: at most {aim.at_most:.3g})"


def is_peer(name: str) -> bool:
    return not name.startswith("ours") and name != "bare loop"

"""How many failures a run bears before it stops dispatching: one exact counter in the coordinator."""

from __future__ import annotations

from math import log

from pipeline.model import Failed
from pipeline.step import RESERVED

RATIO_FLOOR = 10
"""A ratio over an unknown number of inputs is not judged before this many have finished."""

DOZEN = 12
"""So many inputs, the first of a run, that all fail alike, say that the others will."""

ODDS = 1e-6
"""How unlikely it must be that a run in which so many have failed keeps to its ratio of failures."""


class Tolerance:
    """The failures of one run, and whether it bears them. Guard: only the thread that consumes the run uses it.

    ``total`` is the number of inputs, where it is known; the others are the processor's settings of the same names.
    """

    def __init__(self, total: int | None, max_failures: float | None, fail_fast: bool, early_stop: bool) -> None:
        self.total = total
        self.max_failures = max_failures
        self.fail_fast = fail_fast
        self.early_stop = early_stop
        self.failures: int = 0
        self.first: FirstFailures = FirstFailures()

    def take(self, failed: Failed, finished: int, succeeded: int) -> str | None:
        """One more has failed: why the run should stop now, or ``None``.

        ``finished`` inputs have an outcome, ``succeeded`` of them an output that this run gave them.
        """
        self.failures += 1
        reason = reason_to_stop(self.failures, finished, self.total, self.max_failures, self.fail_fast)
        if reason is not None or not self.early_stop or failed.step in RESERVED:
            return reason
        self.first.take(failed)
        ratio = self.max_failures if self.total is not None else None
        return reason_to_give_up(self.first, succeeded, ratio)


class FirstFailures:
    """How the inputs of a run that failed at a step did so: at which, and with what, as long as it is the same."""

    def __init__(self) -> None:
        self.count: int = 0
        self.alike: tuple[str, str] | None = None

    def take(self, failed: Failed) -> None:
        """One more input has failed."""
        kind = (failed.step, failed.exception)
        self.alike = kind if self.count == 0 or kind == self.alike else None
        self.count += 1


def reason_to_stop(
    failures: int, finished: int, total: int | None, max_failures: float | None, fail_fast: bool
) -> str | None:
    """Why a run should stop now, or ``None``. ``total`` is the number of inputs, where it is known.

    ``max_failures`` is a count from 1, or below 1 a ratio of all inputs (of the finished ones in a stream).

    >>> reason_to_stop(6, 50, 100, 5, fail_fast=False)
    'too many failures: 6 inputs failed, 5 are allowed (max_failures=5)'
    >>> reason_to_stop(5, 50, 100, 5, fail_fast=False) is None
    True
    """
    if fail_fast and failures:
        return "an input failed (fail_fast)"
    if max_failures is None:
        return None
    if max_failures >= 1 or max_failures == 0:
        allowed = int(max_failures)
    elif total is not None:
        allowed = int(max_failures * total)
    else:
        allowed = int(max_failures * max(finished, RATIO_FLOOR))
    if failures <= allowed:
        return None
    return f"too many failures: {failures} inputs failed, {allowed} are allowed (max_failures={max_failures:g})"


def reason_to_give_up(first: FirstFailures, succeeded: int, max_failures: float | None) -> str | None:
    """Why the inputs that are left will not change how a run ends, or ``None``.

    >>> first = FirstFailures()
    >>> for _ in range(12):
    ...     first.take(Failed(input_id="1", step="call", exception="Busy", message="", payload=None))
    >>> reason_to_give_up(first, succeeded=0, max_failures=None)
    "the first 12 inputs all failed alike, at 'call' with Busy (early_stop)"
    >>> reason_to_give_up(first, succeeded=1, max_failures=None) is None
    True
    >>> reason_to_give_up(first, succeeded=1, max_failures=0.1)
    '12 of the first 13 inputs failed, more than max_failures=0.1 can bear (early_stop)'
    """
    finished = first.count + succeeded
    if first.count == finished == DOZEN and first.alike is not None:
        step, exception = first.alike
        return f"the first {DOZEN} inputs all failed alike, at {step!r} with {exception} (early_stop)"
    if max_failures is None or not 0 < max_failures < 1 or finished < RATIO_FLOOR:
        return None
    if log_odds(first.count, finished, max_failures) > log(ODDS):
        return None
    told = f"{first.count} of the first {finished} inputs failed"
    return f"{told}, more than max_failures={max_failures:g} can bear (early_stop)"


def log_odds(failures: int, finished: int, ratio: float) -> float:
    """The logarithm of how likely so many failures are, at most, where each input fails with the probability ``ratio``.

    Chernoff's bound of the binomial tail: ``finished`` times the relative entropy of the two rates.

    >>> log_odds(1, 10, 0.1), round(log_odds(10, 10, 0.1), 1)
    (0.0, -23.0)
    """
    rate = failures / finished
    if rate <= ratio:
        return 0.0
    entropy = rate * log(rate / ratio)
    if failures < finished:
        entropy += (1 - rate) * log((1 - rate) / (1 - ratio))
    return -finished * entropy

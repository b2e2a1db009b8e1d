"""How many failures a run bears before it stops dispatching: one exact counter in the coordinator."""

from __future__ import annotations

RATIO_FLOOR = 10
"""A ratio over an unknown number of inputs is not judged before this many have finished."""


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

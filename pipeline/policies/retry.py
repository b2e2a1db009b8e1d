"""Trying a call again: which errors, how often, and how long to wait in between."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal, TypeAlias

import msgspec

from pipeline.errors import WRONG_RETURNS
from pipeline.policies.matching import Errors, check, check_errors, is_number, matches

Jitter: TypeAlias = Literal["full", "none"]
"""``full``: any wait from none to the whole delay, so that inputs that failed together do not return together."""

BUDGET_FLOOR = 10
"""Retries that a budget always allows, so that a small batch has some."""


class Retry(msgspec.Struct, frozen=True, kw_only=True):
    """Call a step again when it fails with one of the errors ``on``, at most ``attempts`` times in all.

    An exception and a ``Failure`` are alike. ``on`` is an exception type, a function of the error (one that pickles),
    or a tuple of types, functions and error values; by default what is known to pass: ``ConnectionError`` and
    ``TimeoutError``, which a step's own ``timeout`` is as well. An error whose ``retryable`` is ``False`` never is,
    nor is a mistake in what the step returns, such as a forgotten ``return``: it would be there again.
    ``WorkerDied``, which is no ``Exception``, asks for the same where the input's worker was killed or crashed: then
    the input goes on from where it started in this run, or from its last checkpoint.

    ``wait`` is the first delay in seconds; each later one is twice as long, up to ``max_wait``.
    ``jitter="full"`` draws the wait from zero to that delay. An error that says how long to wait (a ``retry_after``
    attribute, or a ``Retry-After`` header of its own or of its ``response``: seconds or an HTTP date) is waited for
    at least so long; if that is more than ``max_wait``, the step is not called again in this run.

    ``budget`` limits the retries of all inputs together, so that an outage does not multiply the load: ``0.2`` allows
    one for every five first calls, and 10 to begin with, for each step of a run in all its processes on this machine.

    >>> Retry(on=(TimeoutError, "busy"), attempts=3).attempts
    3
    >>> Retry(attempts=0)
    Traceback (most recent call last):
        ...
    pipeline.errors.InvalidSetting: Retry cannot use attempts=0; it takes a number from 1
    """

    attempts: int = 4
    on: Errors = (ConnectionError, TimeoutError)
    wait: float = 0.5
    max_wait: float = 30.0
    jitter: Jitter = "full"
    budget: float | None = None

    def __post_init__(self) -> None:
        check_errors("Retry", self.on)
        attempts: Any = self.attempts
        check("Retry", "attempts", attempts, type(attempts) is int and attempts >= 1, "a number from 1")
        check("Retry", "wait", self.wait, is_number(self.wait) and self.wait >= 0, "seconds from 0")
        good = is_number(self.max_wait) and self.max_wait >= self.wait
        check("Retry", "max_wait", self.max_wait, good, f"seconds, and at least wait={self.wait!r}")
        check("Retry", "jitter", self.jitter, self.jitter in ("full", "none"), "'full' or 'none'")
        good = self.budget is None or (is_number(self.budget) and self.budget >= 0)
        check("Retry", "budget", self.budget, good, "retries for each first call, such as 0.2, or None")


class Again(msgspec.Struct, frozen=True):
    """Call once more, after ``wait_s`` seconds."""

    wait_s: float


class GiveUp(msgspec.Struct, frozen=True):
    """Call no more, and ``why``."""

    why: str


def decide(retry: Retry, tries: int, error: object, *, draw: float, now: float) -> Again | GiveUp:
    """What follows when the latest of ``tries`` tries failed with ``error``.

    ``draw`` is a random number from 0 to 1, ``now`` seconds since the epoch. ``within_budget`` is asked apart.

    >>> decide(Retry(wait=0.5), 2, TimeoutError(), draw=0.5, now=0.0)
    Again(wait_s=0.5)
    >>> decide(Retry(attempts=2), 2, TimeoutError(), draw=0.5, now=0.0)
    GiveUp(why='all 2 attempts failed')
    """
    if not may_pass(error) or not matches(retry.on, error):
        return GiveUp("this error is not one to retry")
    if tries >= retry.attempts:
        return GiveUp(f"all {tries} attempts failed")
    asked_s = asked_wait_s(error, now)
    if asked_s is not None and asked_s > retry.max_wait:
        return GiveUp(f"it asks to wait {asked_s:.0f} s, longer than max_wait={retry.max_wait:g}")
    return Again(max(_wait_s(retry, tries, draw), asked_s or 0.0))


def may_pass(error: object) -> bool:
    """Whether ``error`` may be gone at the next try.

    What ends more than the call may only if it says so itself, and a mistake in what the step returns never.
    """
    if isinstance(error, WRONG_RETURNS):
        return False
    asked = _asked(error, "retryable")
    is_fatal = isinstance(error, BaseException) and not isinstance(error, Exception)
    return asked is True if is_fatal else asked is not False


def is_retryable(error: object) -> bool:
    """Whether ``error`` does not say of itself that it will never pass, by ``retryable = False``."""
    return _asked(error, "retryable") is not False


def within_budget(retry: Retry, first_calls: int, retries: int) -> bool:
    """Whether the budget bears one more retry, after so many in all.

    >>> within_budget(Retry(budget=0.2), first_calls=100, retries=29)
    True
    >>> within_budget(Retry(budget=0.2), first_calls=100, retries=30)
    False
    """
    return retry.budget is None or retries < BUDGET_FLOOR + retry.budget * first_calls


def asked_wait_s(error: object, now: float) -> float | None:
    """How long ``error`` asks to wait, in seconds: its ``retry_after``, or a ``Retry-After`` header.

    The headers are those of its ``response``, as in httpx and requests, or its own, as in urllib and aiohttp.

    >>> from urllib.error import HTTPError
    >>> asked_wait_s(HTTPError("desk", 429, "Too Many Requests", {"Retry-After": "7"}, None), now=0.0)
    7.0
    """
    asked = _asked(error, "retry_after")
    for answer in (_asked(error, "response"), error):
        headers: Any = _asked(answer, "headers") if asked is None else None
        if hasattr(headers, "get"):
            asked = headers.get("Retry-After") or headers.get("retry-after")
    return _seconds(asked, now)


def _asked(error: object, name: str) -> Any:
    """An attribute of an error, or ``None``: one that raises when it is asked says nothing."""
    try:
        return getattr(error, name, None)
    except Exception:  # noqa: BLE001 - a property may raise anything
        return None


def _wait_s(retry: Retry, tries: int, draw: float) -> float:
    delay_s = min(retry.max_wait, retry.wait * 2.0 ** min(tries - 1, 64))
    return delay_s * draw if retry.jitter == "full" else delay_s


def _seconds(asked: object, now: float) -> float | None:
    """``asked`` in seconds from 0, or ``None`` where it says nothing; ``now`` is for an HTTP date.

    >>> _seconds("120", 0.0), _seconds("Thu, 01 Jan 1970 00:01:00 GMT", 15.0), _seconds("soon", 0.0)
    (120.0, 45.0, None)
    """
    if isinstance(asked, timedelta):
        return max(0.0, asked.total_seconds())
    try:
        seconds = float(str(asked))
    except ValueError:
        return _until(str(asked), now)
    return max(0.0, seconds) if is_number(seconds) and seconds == seconds else None


def _until(date: str, now: float) -> float | None:
    from email.utils import parsedate_to_datetime  # 15 ms of import that most runs never need

    try:
        return max(0.0, parsedate_to_datetime(date).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return None

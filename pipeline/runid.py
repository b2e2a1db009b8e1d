"""Identifiers of runs that sort by time, also within one process and one clock tick."""

from __future__ import annotations

from secrets import token_hex
from threading import Lock
from time import gmtime, strftime, time_ns

_lock = Lock()
_last_ns = 0
"""Guard: ``_lock``."""


def new_run_id() -> str:
    """A new identifier such as ``20261123T234230.123456789-5f0c9a``: UTC time, then chance.

    >>> new_run_id() < new_run_id()
    True
    """
    global _last_ns
    with _lock:
        _last_ns = max(time_ns(), _last_ns + 1)
        seconds, nanoseconds = divmod(_last_ns, 1_000_000_000)
    return f"{strftime('%Y%m%dT%H%M%S', gmtime(seconds))}.{nanoseconds:09d}-{token_hex(3)}"

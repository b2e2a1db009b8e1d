# pyright: basic
"""What a worker's process is bound to: its parent's life, a share of memory, and deafness to Ctrl-C."""

from __future__ import annotations

import fcntl
import os
import resource
import signal
from pathlib import Path

HELD_BACK = (signal.SIGINT, signal.SIGTERM)
"""Signals that a worker leaves to its parent; blocked until it can."""


def limit_memory(extra: int) -> None:
    """Let this process take ``extra`` bytes of address space beyond what it has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + extra
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))


def ignore(signum: int, frame: object) -> None:
    """A handler instead of SIG_IGN, which programs started by the function would inherit."""


def end_on_hangup(hangup: int) -> None:
    """Have the kernel kill this process group when the parent's end of the pipe closes.

    That works while the function holds the interpreter lock, too, as a regular expression may do for years.
    """
    fcntl.fcntl(hangup, fcntl.F_SETOWN, -os.getpid())
    fcntl.fcntl(hangup, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(hangup, fcntl.F_SETFL, fcntl.fcntl(hangup, fcntl.F_GETFL) | fcntl.FASYNC)

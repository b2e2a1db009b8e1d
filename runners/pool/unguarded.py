"""A worker that imports the main script must not start the batch again by that.

A process that was not forked from its parent imports the parent's main script, to find what is defined there.
Where that script starts a batch outside ``if __name__ == '__main__':``, the import starts it, too.
"""

from __future__ import annotations

import os
from multiprocessing.process import current_process

from runners.errors import RunnerError

WORKER = "pool-worker"
"""What the processes of our own pool are called."""
EXIT_UNGUARDED = 73
"""How such a process of ours ends: without a word, so that its parent's sentence about it is the only one."""
_CURE = "put what starts it under `if __name__ == '__main__':`"


def check_guard() -> None:
    """Go no further in a process that is only about to start."""
    process = current_process()
    if not getattr(process, "_inheriting", False):
        return
    if process.name == WORKER:
        os._exit(EXIT_UNGUARDED)
    raise RunnerError(f"a process that is being started imports the main script, and that starts a batch: {_CURE}")


def unguarded() -> RunnerError:
    """What the parent says of it."""
    return RunnerError(f"a worker process imports the main script, and that starts the batch again: {_CURE}")

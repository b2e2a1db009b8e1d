"""What a fork server imports before it forks anything: the worker's modules, so that each worker is up sooner.

It is started with signals for the whole group held back, lest Ctrl-C in its first moments ends it with a traceback.
What it forks inherits that. Our workers let the signals through themselves; for other processes it is done here.
"""

from __future__ import annotations

import signal
from importlib import import_module
from multiprocessing import util
from multiprocessing.process import current_process

from runners.pool.bounds import HELD_BACK
from runners.pool.unguarded import WORKER


def let_signals_through(_: object) -> None:
    """In a process that was forked, just before its own code runs."""
    if current_process().name != WORKER:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_BACK)


import_module("runners.pool.worker")
util.register_after_fork(let_signals_through, let_signals_through)

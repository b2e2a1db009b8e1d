"""What a worker is doing right now: 64 bytes of memory that it shares with its parent. The arenas lie behind them.

The worker writes without locks and without system calls; the parent only reads, save where noted.
Every field is a double: aligned stores of eight bytes do not tear, and a position is exact up to 2**53.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Slot = memoryview[float]

# The fields, in order.
POSITION = 0
"""Position of the input in progress, or of the last one; -1 before the first of a stream (written by the parent)."""
START = 1
"""When it started, in seconds of ``time.monotonic``, which is the same clock in every process."""
MARK = 2
"""The number that the function last gave to ``pulse``; -1 if none."""
DEADLINE = 3
"""When the input must have ended, as the function asked through ``pulse``; infinite if it did not ask."""
PHASE = 4
"""RUNNING while an input is read, computed or packed; else the worker waits or sends."""
CONDEMNED = 5
"""One more than the position of the input whose time is up, so that a signal which comes late does not hit the next
(written by the parent; taken back by ``pulse``); NOBODY if there is none."""

WAITING = 0.0
RUNNING = 1.0
SENDING = 2.0
LEAVING = 3.0
"""The worker ends by itself, with everything delivered that it had finished."""

NOBODY = 0.0
NO_INPUT = -1.0
NO_MARK = -1.0
_BYTES = 64
_ARENAS_AT = 4096
_ARENA_BYTES = 1 << 23


def create_slot() -> int:
    """A file descriptor of fresh shared memory: a slot and two arenas, of which only what is used takes memory."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("worker-slot")
    else:  # an older C library
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    try:
        os.ftruncate(descriptor, _ARENAS_AT + 2 * _ARENA_BYTES)
    except OSError:  # the process may not write files of that size: it has to do without arenas
        os.ftruncate(descriptor, _ARENAS_AT)
    return descriptor


def open_slot(descriptor: int) -> Slot:
    """The slot behind ``descriptor``, which may be closed afterwards."""
    return memoryview(mmap.mmap(descriptor, os.fstat(descriptor).st_size))[:_BYTES].cast("d")


def arenas_behind(slot: Slot) -> tuple[memoryview, memoryview]:
    """The memory for what goes to the worker, and for what comes from it."""
    whole = memoryview(slot.obj)
    half = (len(whole) - _ARENAS_AT) // 2
    return whole[_ARENAS_AT : _ARENAS_AT + half], whole[_ARENAS_AT + half :]


def close_slot(slot: Slot, *arenas: memoryview) -> None:
    """Give the memory back now, and the file descriptor that Python keeps for it."""
    memory = slot.obj
    slot.release()
    for arena in arenas:
        arena.release()
    if isinstance(memory, mmap.mmap):
        with suppress(BufferError):  # a frame that is being read holds it, and will be the last to do so
            memory.close()


def clear_slot(slot: Slot) -> None:
    """Forget the inputs of an earlier stream; only while the worker has nothing to do."""
    slot[POSITION] = NO_INPUT
    slot[START] = inf
    slot[MARK] = NO_MARK
    slot[DEADLINE] = inf
    slot[PHASE] = WAITING
    slot[CONDEMNED] = NOBODY

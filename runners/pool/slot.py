"""What a worker is doing right now: 64 bytes of memory that it shares with its parent.

The worker writes without locks and without system calls; the parent only reads, save where noted.
Every field is a double: aligned stores of eight bytes do not tear, and a position is exact up to 2**53.
"""

from __future__ import annotations

import mmap
import os
import tempfile
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
"""1 if the parent wants the worker to end because time is up (written by the parent)."""

WAITING = 0.0
RUNNING = 1.0
SENDING = 2.0

NO_INPUT = -1.0
NO_MARK = -1.0
_BYTES = 64


def create_slot() -> int:
    """A file descriptor of fresh shared memory that holds one slot."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("worker-slot")
    else:  # pragma: no cover - platforms without memory files
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, _BYTES)
    return descriptor


def open_slot(descriptor: int) -> Slot:
    """The slot behind ``descriptor``, which may be closed afterwards."""
    return memoryview(mmap.mmap(descriptor, _BYTES)).cast("d")


def close_slot(slot: Slot) -> None:
    """Give the memory back now, and the file descriptor that Python keeps for it."""
    memory = slot.obj
    slot.release()
    if isinstance(memory, mmap.mmap):
        memory.close()


def clear_slot(slot: Slot) -> None:
    """Forget the inputs of an earlier stream; only while the worker has nothing to do."""
    slot[POSITION] = NO_INPUT
    slot[START] = inf
    slot[MARK] = NO_MARK
    slot[DEADLINE] = inf
    slot[PHASE] = WAITING
    slot[CONDEMNED] = 0.0

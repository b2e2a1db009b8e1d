"""What a test needs to know about processes: who lives, and what this process has open."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import forkserver, resource_tracker
from pathlib import Path


def descendants(root: int | None = None) -> set[int]:
    """Processes below ``root`` (default: this one), zombies included, without Python's own two helpers."""
    children: dict[int, list[int]] = {}
    for pid, parent in _parents().items():
        children.setdefault(parent, []).append(pid)
    found: set[int] = set()
    waiting = [root or os.getpid()]
    while waiting:
        new = children.get(waiting.pop(), [])
        found.update(new)
        waiting.extend(new)
    helpers = {forkserver._forkserver._forkserver_pid, resource_tracker._resource_tracker._pid}  # type: ignore[attr-defined]
    return found - helpers


def _parents() -> dict[int, int]:
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int(entry.joinpath("stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    return parents


def is_alive(pid: int) -> bool:
    """It exists and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def open_descriptors() -> dict[str, str]:
    """Number and target of every open file of this process."""
    files = {}
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # the one that lists the folder
            files[entry.name] = str(entry.readlink())
    return files


def wait_until(condition: Callable[[], bool], within_s: float) -> bool:
    """Whether it became true in that time."""
    until = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


@contextmanager
def nothing_left_behind() -> Iterator[None]:
    """Afterwards there are the same processes and as many open files as before."""
    forkserver.ensure_running()  # Python keeps it, and descriptors for it, once it has been used
    gc.collect()  # what an earlier test left to the collector must not be closed in between
    processes, descriptors = descendants(), open_descriptors()
    yield
    assert wait_until(lambda: descendants() <= processes, 2.0), "a process is left"
    opened = open_descriptors().items() - descriptors.items()
    assert not opened, f"files left open: {opened}"

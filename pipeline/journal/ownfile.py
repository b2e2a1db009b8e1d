"""The file that a journal lies in: its owner's alone, and the same from the beginning of a run to its end."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from pipeline.errors import JournalError


def identity(path: str) -> tuple[int, int] | None:
    """Which file has this name now."""
    try:
        found = os.stat(path)  # noqa: PTH116 - for every commit, and a Path takes three times as long
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def make_private(path: str) -> None:
    """Create the file for its owner alone, before SQLite does; refuse one that somebody else may have put there.

    An existing file is only looked at: closing a descriptor of it would drop SQLite's locks in this process.
    """
    for suffix in ("", "-wal", "-shm", "-journal"):
        _refuse_foreign(f"{path}{suffix}")
    try:
        created = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        return
    try:
        os.fchmod(created, 0o600)
    finally:
        os.close(created)


def _refuse_foreign(path: str) -> None:
    try:
        found = Path(path).lstat()
    except FileNotFoundError:
        return
    if stat.S_ISLNK(found.st_mode):
        raise JournalError(f"{path} is a symbolic link; name the journal's file itself")
    if not stat.S_ISREG(found.st_mode):
        raise JournalError(f"{path} is not a file; name a file, new or an earlier journal")
    if found.st_uid != os.geteuid():
        raise JournalError(f"{path} belongs to user {found.st_uid}, not to you; name a file of your own")

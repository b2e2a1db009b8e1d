"""Writes a file that is there whole or not at all, whatever happens meanwhile."""

from __future__ import annotations

import errno
import os
import re
import tempfile
from pathlib import Path

MOST_LINKS = 40
"""So many links lead on, as Linux has it; more lead around in circles."""

_DESCRIPTORS = re.compile(r"/dev/fd|/proc/.+/fd")


def write_whole(path: Path, data: bytes) -> None:
    """Write ``data`` for the owner alone: in the place of a file, or to a device, a pipe or an open descriptor.

    Links are followed, as ``open`` follows them. An error names the path.
    """
    try:
        _write(_end_of_links(path), data)
    except OSError as error:
        if error.errno is None:
            raise
        raise type(error)(error.errno, error.strerror, str(path)) from error


def _end_of_links(path: Path) -> Path:
    """What links lead to, there or not; ``/dev/stdout`` leads to the descriptor, and no further."""
    for _ in range(MOST_LINKS):
        if _is_descriptor(path) or not path.is_symlink():
            return path
        path = path.parent / path.readlink()
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def _is_descriptor(path: Path) -> bool:
    return path.name.isdecimal() and bool(_DESCRIPTORS.fullmatch(os.path.realpath(path.parent)))


def _is_own(path: Path) -> bool:
    return os.path.realpath(path.parent) in ("/dev/fd", f"/proc/{os.getpid()}/fd")


def _write(path: Path, data: bytes) -> None:
    if _is_descriptor(path) and _is_own(path):
        with os.fdopen(os.dup(int(path.name)), "wb") as file:  # behind what was written there
            file.write(data)
    elif _is_descriptor(path) or path.is_char_device() or path.is_fifo():
        path.write_bytes(data)
    else:
        _replace(path, data)


def _replace(path: Path, data: bytes) -> None:
    """Put ``data`` in the place of a file, all of it or nothing."""
    descriptor, written = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:50]}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o600)  # whatever the umask says
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(written).replace(path)
    except BaseException:
        Path(written).unlink(missing_ok=True)
        raise
    _sync(path.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

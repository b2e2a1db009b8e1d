"""What is put around stored bytes: a format version, a checksum, and the user's cipher.

    magic 4 bytes · version 1 · flags 1 (1 = encrypted) · crc32 of everything else 4 · body

The checksum finds damage, not tampering: for that, bring a cipher that authenticates (AES-GCM, Fernet).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Protocol
from zlib import crc32

import msgspec

from pipeline.codec.problem import CodecError

_MAGIC = b"SSLC"
_HEADER = struct.Struct(">4sBBI")
_ENCRYPTED = 1


class Cipher(Protocol):
    """How stored bytes are encrypted; ``decrypt`` raises when the bytes are not what ``encrypt`` gave."""

    def encrypt(self, data: bytes, /) -> bytes:
        """The encrypted form of ``data``."""
        ...

    def decrypt(self, data: bytes, /) -> bytes:
        """The data that ``encrypt`` was given."""
        ...


class Envelope(msgspec.Struct, frozen=True):
    """A format of stored bytes: its version (1 to 255), and how to lift the body of each older version by one.

    >>> older, newer = Envelope(version=1), Envelope(version=2, migrations={1: bytes.upper})
    >>> newer.open(older.seal(b"data"))
    b'DATA'
    >>> older.open(newer.seal(b"data"))
    Traceback (most recent call last):
    ...
    pipeline.codec.problem.CodecError: $: was written in format version 2, and this version of stepslice reads ...
    """

    version: int = 1
    migrations: Mapping[int, Callable[[bytes], bytes]] = MappingProxyType({})

    def seal(self, data: bytes, cipher: Cipher | None = None) -> bytes:
        """``data``, encrypted if there is a cipher, with version and checksum before it."""
        body = data if cipher is None else _called(cipher.encrypt, data, "could not be encrypted")
        head = bytes([self.version, 0 if cipher is None else _ENCRYPTED])
        return _HEADER.pack(_MAGIC, *head, crc32(body, crc32(head))) + body

    def open(self, sealed: bytes, cipher: Cipher | None = None) -> bytes:
        """The data that ``seal`` was given, lifted to this version; ``CodecError`` for anything damaged or newer.

        Bytes that were sealed without a cipher can be read with one, so encryption can be switched on later.
        """
        version, flags, body = _parts(sealed)
        if version > self.version:
            raise CodecError(
                "$",
                f"was written in format version {version}, and this version of stepslice reads up to "
                f"{self.version}; upgrade stepslice",
            )
        return self._lifted(version, _decrypted(flags, body, cipher))

    def _lifted(self, version: int, body: bytes) -> bytes:
        for step in range(version, self.version):
            if step not in self.migrations:
                raise CodecError("$", f"was written in format version {version}, which can no longer be read")
            body = _called(self.migrations[step], body, f"could not be migrated from format version {step}")
        return body


def _parts(sealed: bytes) -> tuple[int, int, bytes]:
    if len(sealed) < _HEADER.size or not sealed.startswith(_MAGIC):
        raise CodecError("$", "is no sealed data: it is cut short, damaged, or was written by something else")
    _, version, flags, checksum = _HEADER.unpack_from(sealed)
    body = sealed[_HEADER.size :]
    if crc32(body, crc32(sealed[4:6])) != checksum:
        raise CodecError("$", "is damaged: the checksum does not match")
    return version, flags, body


def _decrypted(flags: int, body: bytes, cipher: Cipher | None) -> bytes:
    if not flags & _ENCRYPTED:
        return body
    if cipher is None:
        raise CodecError("$", "is encrypted; pass the cipher that it was written with")
    return _called(cipher.decrypt, body, "could not be decrypted; is it the right key?")


def _called(function: Callable[[bytes], bytes], data: bytes, problem: str) -> bytes:
    try:
        return function(data)
    except Exception as error:
        raise CodecError("$", f"{problem} ({type(error).__name__})") from error


CURRENT = Envelope()


def seal(data: bytes, cipher: Cipher | None = None) -> bytes:
    """Give ``data`` in the current envelope: version, checksum, encrypted if there is a cipher.

    >>> unseal(seal(b"data"))
    b'data'
    """
    return CURRENT.seal(data, cipher)


def unseal(sealed: bytes, cipher: Cipher | None = None) -> bytes:
    """Give the data in an envelope of this or an older version, or raise ``CodecError``.

    >>> unseal(seal(b"data")[:-1] + b"?")
    Traceback (most recent call last):
    ...
    pipeline.codec.problem.CodecError: $: is damaged: the checksum does not match
    """
    return CURRENT.open(sealed, cipher)

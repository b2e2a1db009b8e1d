"""Stored bytes are opened whole, or an error says what is wrong with them."""

from __future__ import annotations

import pytest

from pipeline.codec import CodecError, Envelope, seal, unseal

FIRST_FORMAT = b"SSLC\x01\x00\xb8\x55\xe4\xed" + b'{"n":1}'
"""What version 1 of the format wrote: this must be readable for ever."""


class Reverse:
    """Not a cipher, but it can be undone, and it refuses what it did not write."""

    def encrypt(self, data: bytes) -> bytes:
        return b"!" + data[::-1]

    def decrypt(self, data: bytes) -> bytes:
        if not data.startswith(b"!"):
            raise KeyError("not mine")
        return data[:0:-1]


class Broken(Reverse):
    def decrypt(self, data: bytes) -> bytes:
        raise RuntimeError("wrong key")


def test_the_first_format_is_what_is_written_and_read() -> None:
    assert seal(b'{"n":1}') == FIRST_FORMAT
    assert unseal(FIRST_FORMAT) == b'{"n":1}'


def test_a_cipher_hides_the_data_and_is_needed_to_read_it() -> None:
    sealed = seal(b"secret", Reverse())

    assert b"secret" not in sealed
    assert unseal(sealed, Reverse()) == b"secret"
    with pytest.raises(CodecError, match="is encrypted; pass the cipher"):
        unseal(sealed)
    with pytest.raises(CodecError, match=r"could not be decrypted; is it the right key\? \(RuntimeError\)"):
        unseal(sealed, Broken())


def test_data_from_before_encryption_was_switched_on_can_be_read() -> None:
    assert unseal(seal(b"plain"), Reverse()) == b"plain"


def test_every_flipped_bit_and_every_cut_is_found() -> None:
    sealed = seal(b'{"pages":[1,2,3]}')
    flipped = [
        sealed[:place] + bytes([sealed[place] ^ (1 << bit)]) + sealed[place + 1 :]
        for place in range(len(sealed))
        for bit in range(8)
    ]

    for damaged in [*flipped, *(sealed[:length] for length in range(len(sealed))), sealed + b"\x00", b"", b"{}"]:
        with pytest.raises(CodecError):
            unseal(damaged)


def test_older_versions_are_lifted_step_by_step() -> None:
    newest = Envelope(version=3, migrations={1: lambda body: body + b" two", 2: lambda body: body + b" three"})

    assert newest.open(Envelope(version=1).seal(b"one")) == b"one two three"
    assert newest.open(Envelope(version=2).seal(b"since")) == b"since three"
    assert newest.open(newest.seal(b"now")) == b"now"


def test_a_newer_version_is_refused_with_a_sentence() -> None:
    with pytest.raises(CodecError, match="written in format version 9, and this version of stepslice reads up to 1"):
        unseal(Envelope(version=9).seal(b"data"))


def test_a_version_without_migration_and_a_migration_that_fails_are_named() -> None:
    def fail(body: bytes) -> bytes:
        raise ValueError("no")

    with pytest.raises(CodecError, match="format version 1, which can no longer be read"):
        Envelope(version=2).open(seal(b"data"))
    with pytest.raises(CodecError, match=r"could not be migrated from format version 1 \(ValueError\)"):
        Envelope(version=2, migrations={1: fail}).open(seal(b"data"))

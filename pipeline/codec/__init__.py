"""User data to bytes and back by its declared type: exact, or refused with the path of what would change.

    value --encode--> typed JSON --seal--> envelope (version, checksum, cipher) --> disk
    value <--decode-- typed JSON <--unseal-- envelope                           <-- disk
    value <--conform-- JSON-like data of a payload that came from elsewhere

Nothing is pickled, no class path is stored, and nothing is imported because data says so.
"""

from __future__ import annotations

from pipeline.codec.conform import conform
from pipeline.codec.envelope import Cipher, Envelope, seal, unseal
from pipeline.codec.problem import MAX_BYTES, MAX_DEPTH, CodecError
from pipeline.codec.registry import Registry
from pipeline.codec.stored import decode, encode, writer

__all__ = [
    "MAX_BYTES",
    "MAX_DEPTH",
    "Cipher",
    "CodecError",
    "Envelope",
    "Registry",
    "conform",
    "decode",
    "encode",
    "seal",
    "unseal",
    "writer",
]

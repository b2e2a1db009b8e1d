"""Fingerprints that say whether an input's data, or the code of a step, is still what it was.

Both are 32 hexadecimal digits of a SHA-256, the same in every process whatever the hash seed.
"""

from __future__ import annotations

from pipeline.fingerprint.code import CodeFingerprint, of_code
from pipeline.fingerprint.data import of_data

__all__ = ["CodeFingerprint", "of_code", "of_data"]

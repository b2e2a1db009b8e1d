"""Which row an input has, by its id, in about 50 bytes an input whatever its length: batches may have millions.

id ─▶ 128 bits of its hash ─▶ table (open addressing) ─▶ place ─▶ the row's number, and whether it was taken
"""

from __future__ import annotations

from array import array
from hashlib import blake2b

_BYTES = 16
"""Of a hash: that two of a thousand million ids share one has a chance of less than 1 in 10**20."""


class Index:
    """Maps ids to row numbers; what was added first stays.

    >>> rows = Index()
    >>> rows.setdefault("a", 7), rows.setdefault("a", 8), rows.get("a"), rows.get("b")
    (7, 7, 7, None)
    >>> rows.take("a"), rows.take("a"), rows.take("b")
    (7, None, None)
    >>> rows.put("a", 8)
    >>> rows.get("a"), rows.is_taken("a"), rows.is_taken("b")
    (8, True, False)
    """

    def __init__(self) -> None:
        self._hashes = bytearray()
        self._numbers = array("Q")
        self._taken = bytearray()
        self._table = array("I", bytes(4 * 1024))  # a place + 1, or 0

    def __len__(self) -> int:
        return len(self._numbers)

    def get(self, name: str) -> int | None:
        """The number of a name."""
        place = self._table[self._slot(_hash(name))]
        return self._numbers[place - 1] if place else None

    def setdefault(self, name: str, number: int, *, taken: bool = False) -> int:
        """The number of a name, which is ``number`` where it had none; ``taken``: it is not to be taken again."""
        hashed = _hash(name)
        slot = self._slot(hashed)
        if self._table[slot]:
            return self._numbers[self._table[slot] - 1]
        self._hashes += hashed
        self._numbers.append(number)
        self._taken.append(taken)
        self._table[slot] = len(self)
        if 3 * len(self) > 2 * len(self._table):
            self._grow()
        return number

    def put(self, name: str, number: int) -> None:
        """Give a name that has a number another one."""
        self._numbers[self._table[self._slot(_hash(name))] - 1] = number

    def take(self, name: str) -> int | None:
        """The number of a name, once."""
        place = self._table[self._slot(_hash(name))]
        if not place or self._taken[place - 1]:
            return None
        self._taken[place - 1] = True
        return self._numbers[place - 1]

    def is_taken(self, name: str) -> bool:
        """Whether the number of a name was taken."""
        place = self._table[self._slot(_hash(name))]
        return bool(place and self._taken[place - 1])

    def _slot(self, hashed: bytes) -> int:
        """Where a hash is in the table, or would be."""
        mask = len(self._table) - 1
        slot = int.from_bytes(hashed[:8], "little") & mask
        while (place := self._table[slot]) and self._hash_at(place - 1) != hashed:
            slot = (slot + 1) & mask
        return slot

    def _hash_at(self, place: int) -> bytes:
        return bytes(self._hashes[place * _BYTES : (place + 1) * _BYTES])

    def _grow(self) -> None:
        self._table = array("I", bytes(8 * len(self._table)))
        for place in range(len(self)):
            self._table[self._slot(self._hash_at(place))] = place + 1


def _hash(name: str) -> bytes:
    return blake2b(name.encode("utf-8", "surrogatepass"), digest_size=_BYTES).digest()

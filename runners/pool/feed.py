"""Where chunks come from: what has to run again first, then the inputs, pulled only when somebody can take them."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterable, Sized
from itertools import islice
from time import monotonic
from typing import Any

_PULL_S = 0.001
_PULL_BYTES = 1 << 20


class Chunk:
    """Inputs at consecutive positions, on their way through one worker."""

    __slots__ = ("alone", "deaths", "first", "values")

    def __init__(self, first: int, values: list[Any], *, alone: bool = False, deaths: int = 0) -> None:
        self.first: int = first
        """Position of the first input that has no result yet."""
        self.values: list[Any] = values
        """The inputs from there on."""
        self.alone: bool = alone
        """Run it on a worker that has nothing else to lose."""
        self.deaths: int = deaths
        """How many workers died with it without a certain culprit."""

    @property
    def end(self) -> int:
        """The position after the last input."""
        return self.first + len(self.values)

    def cut(self, start: int, stop: int, *, alone: bool = False, deaths: int = 0) -> Chunk:
        """The part at the positions from ``start`` up to ``stop``."""
        values = self.values[start - self.first : stop - self.first]
        return Chunk(start, values, alone=alone, deaths=deaths)

    def drop(self, count: int) -> None:
        """The first ``count`` inputs have their results."""
        self.first += count
        del self.values[:count]


class Feed:
    """The inputs of one stream, as chunks."""

    def __init__(self, inputs: Iterable[Any]) -> None:
        self._is_there = isinstance(inputs, list | tuple | range)  # others that know their length may take time
        self._length = _length_of(inputs)
        self._iterator = iter(inputs)
        self._pulled = 0
        self._returned: deque[Chunk] = deque()
        self.is_open: bool = True
        """There may be more to pull."""
        self.error: BaseException | None = None
        """What the inputs raised; the stream ends with it when everything pulled before is done."""

    @property
    def is_done(self) -> bool:
        """Everything has been handed out; what is in the hands of workers may come back."""
        return not (self.is_open or self._returned)

    def remaining(self) -> int | None:
        """How many inputs have not been pulled, where that can be known."""
        return None if self._length is None else max(0, self._length - self._pulled)

    def next_chunk(self, size: int) -> Chunk | None:
        """At most ``size`` inputs; None if there is nothing (left) to do."""
        if self._returned:
            return self._returned.popleft()
        if not self.is_open:
            return None
        values = self._pull(size)
        if not values:
            return None
        self._pulled += len(values)
        return Chunk(self._pulled - len(values), values)

    def give_back(self, chunks: Iterable[Chunk]) -> None:
        """These are to be handed out again, before anything else and in this order."""
        self._returned.extendleft(reversed([chunk for chunk in chunks if chunk.values]))

    def _pull(self, size: int) -> list[Any]:
        """Take inputs, and stop early where they are slow to come or large: somebody waits for results.

        The clock is asked for each one: a source that turns slow in the midst of a block would hold everything up.
        """
        values: list[Any] = []
        pulled = 0
        until = monotonic() + _PULL_S
        try:
            if self._is_there:
                values.extend(islice(self._iterator, size))
            else:
                for value in islice(self._iterator, size):  # keeps what came before an exception
                    values.append(value)
                    pulled += sys.getsizeof(value)
                    if monotonic() > until or pulled > _PULL_BYTES:
                        return values
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the caller's iterable raises is raised at the end
            self.error = error
        self.is_open = len(values) == size
        return values


def _length_of(inputs: Iterable[Any]) -> int | None:
    """How many there are, where that can be known: some that have a ``__len__`` wrap an iterator that has none."""
    try:
        return len(inputs) if isinstance(inputs, Sized) else None
    except Exception:  # noqa: BLE001 - the caller's own code
        return None

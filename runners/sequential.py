"""One input after the other, in the caller's thread."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Self, TypeVar

from returns.result import Result

from runners.crash import attempt
from runners.protocol import Crash
from runners.streaming import StreamRunner

T = TypeVar("T")
R = TypeVar("R")


class SequentialRunner(StreamRunner):
    """Works on one input after the other, in the caller's thread and in input order.

    For debugging, for small batches, and as the reference that every other runner agrees with.
    An input is pulled only when the one before it is finished and handed over; nothing is pickled.
    Ctrl-C is not an input's failure: in the main thread, ``KeyboardInterrupt`` ends the stream.

    >>> runner = SequentialRunner()
    >>> runner.run(int, ["1", "2"])
    [1, 2]
    >>> for position, result in runner.stream(int, ["1", "two"]):
    ...     print(position, result)
    0 <Success: 1>
    1 <Failure: Crash(kind='error', exception='ValueError', message="invalid literal ...
    """

    __slots__ = ()

    def stream(self, func: Callable[[T], R], inputs: Iterable[T]) -> Iterator[tuple[int, Result[R, Crash]]]:
        """Yield ``(position, result)`` in input order, each as soon as it is there."""
        for position, value in enumerate(inputs):
            yield position, attempt(func, value)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        return None

    def __repr__(self) -> str:
        return "SequentialRunner()"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SequentialRunner)

    def __hash__(self) -> int:
        return hash(SequentialRunner)

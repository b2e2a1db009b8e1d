"""Runners whose one loop is ``stream``: ``run`` comes from it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn, TypeVar

from returns.result import Result, Success

from runners.errors import InputFailed
from runners.protocol import Crash, Runner

NOTICE_S = 0.5
"""How long to wait at a time, in seconds: a signal that comes just before a wait begins is handled only after it."""

T = TypeVar("T")
R = TypeVar("R")


class StreamRunner(Runner):
    """A runner that writes ``stream`` as a generator and derives ``run`` from it."""

    @abstractmethod
    def stream(self, func: Callable[[T], R], inputs: Iterable[T]) -> Iterator[tuple[int, Result[R, Crash]]]:
        """Yield ``(position, result)`` for every input as it finishes."""

    def run(self, func: Callable[[T], R], inputs: Iterable[T]) -> list[R]:
        """Apply ``func`` to every input and return the results in input order.

        The first failure to arrive stops the run: the exception of ``func`` is raised where it survived,
        else ``InputFailed``, which names the input.
        """
        results: dict[int, R] = {}
        with closed_afterwards(self.stream(func, inputs)) as stream:
            for position, result in stream:
                if type(result) is not Success:
                    raise_crash(position, result.failure())
                results[position] = result.unwrap()
        return [results[position] for position in range(len(results))]


@contextmanager
def closed_afterwards(stream: Iterator[T]) -> Generator[Iterator[T]]:
    """Close it, where it can be closed: an iterator that is no generator may have nothing to let go of."""
    try:
        yield stream
    finally:
        close = getattr(stream, "close", None)
        if close is not None:
            close()


def raise_crash(position: int, crash: Crash) -> NoReturn:
    """Raise what ended the input at ``position``: the function's own exception if there is one."""
    if crash.kind != "error" or crash.error is None:
        raise InputFailed(position, crash)
    if crash.error.__traceback__ is None:
        with suppress(Exception):  # a class of the user's may refuse a note
            crash.error.add_note(_remote_note(position, crash))
    raise crash.error


def _remote_note(position: int, crash: Crash) -> str:
    lines = [f'  File "{file}", line {line}, in {function}' for file, line, function in crash.frames]
    return "\n".join([f"raised in a worker, for input {position}:", *lines])

"""What a runner is: something that maps a function over inputs and says how each one ended.

A runner knows nothing of pipelines.
``stream`` is the one method a built-in runner writes; ``run`` is the document's interface.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from asyncio import to_thread
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any, ClassVar, Literal, TypeVar

import msgspec
from returns.result import Failure, Result, Success

T = TypeVar("T")
R = TypeVar("R")

CrashKind = Literal["error", "invalid", "timeout", "crash", "cancelled"]
"""``error``: the function raised; ``invalid``: a value could not cross a process boundary;
``timeout``: its time was up; ``crash``: its worker died; ``cancelled``: the runner was told to stop."""


class Crash(msgspec.Struct, frozen=True):
    """Why one input has no result, as data that crosses every boundary.

    ``exception`` is the type name and ``message`` its text (bounded).
    ``frames`` are ``(file, line, function)``, outermost first, at most the innermost 20.
    ``error`` is the exception itself where it survived the way here; it never crosses a process on its own.
    ``mark`` is the last number that the function gave to ``Runner.pulse``, or -1.
    ``duration_s`` is how long the input had been running, in seconds.
    """

    kind: CrashKind
    exception: str
    message: str
    frames: tuple[tuple[str, int, str], ...] = ()
    mark: int = -1
    duration_s: float = 0.0
    error: BaseException | None = None


class Runner(ABC):
    """Maps a function over inputs. A runner of your own needs only ``run``."""

    crosses_processes: ClassVar[bool] = False
    """Function, inputs and results are pickled, so they must pickle."""

    awaits: ClassVar[bool] = False
    """``func`` may be a coroutine function, which is then awaited."""

    pulse: ClassVar[Callable[[int, float | None], None] | None] = None
    """Where the runner can kill a hung input: a module-level function that ``func`` may call in the worker,
    with a number to remember (it comes back as ``Crash.mark``) and a time limit in seconds from now, or None."""

    @property
    def workers(self) -> int:
        """How many inputs are worked on at the same time, at most."""
        return 1

    @abstractmethod
    def run(self, func: Callable[[T], R], inputs: Iterable[T]) -> list[R]:
        """Apply ``func`` to every input and return the results in input order; what ``func`` raises is raised."""

    def stream(self, func: Callable[[T], R], inputs: Iterable[T]) -> Iterator[tuple[int, Result[R, Crash]]]:
        """Yield ``(position, result)`` for every input as it finishes: total, lazy, bounded in memory.

        This default serves runners that have only ``run``: it waits for the whole batch.
        """
        yield from enumerate(self.run(_Guarded(func), inputs))

    async def astream(
        self, func: Callable[[T], Any], inputs: Iterable[T]
    ) -> AsyncIterator[tuple[int, Result[Any, Crash]]]:
        """``stream`` for a caller that must not block its event loop; this default steps it in a thread."""
        stream = self.stream(func, inputs)
        try:
            while (item := await to_thread(next, stream, None)) is not None:
                yield item
        finally:
            close = getattr(stream, "close", None)
            if close is not None:
                await to_thread(close)


class _Guarded:
    """``func`` with what it raises as a value; picklable when ``func`` is."""

    def __init__(self, func: Callable[[Any], Any]) -> None:
        self.func = func

    def __call__(self, value: Any) -> Result[Any, Crash]:
        try:
            return Success(self.func(value))
        except Exception as error:  # noqa: BLE001 - whatever a function raises is that input's own end
            return Failure(Crash(kind="error", exception=type(error).__name__, message=str(error), error=error))

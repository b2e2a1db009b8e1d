"""What travels to workers that are not ours and back, so that one bad value costs its neighbours nothing.

::

    caller   pack ─▶ [value, value, …] ─▶ executor, cluster ─▶ work_on ─▶ Report([answer, answer, …]) ─▶ opened

Every value and every result is pickled on its own; an exception becomes a ``Crash``, and itself comes along if it can.
What the executor or cluster sees are bytes and tuples, which always pickle.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import lru_cache
from time import perf_counter
from typing import Any, NamedTuple, Protocol, TypeAlias, cast

import msgspec
from returns.result import Failure, Result, Success

from runners.crash import Crash, attempt, crash_of
from runners.message import message_of

PLAIN = frozenset({int, float, bool, str, bytes, type(None)})
"""Types whose instances travel as they are."""

MAX_ERROR_BYTES = 1_000_000
"""An exception that pickles to more does not come along; what is known of it as data does."""

MAX_ANSWER_BYTES = 1 << 20
"""A chunk whose results have so many bytes comes back as it is; the rest of its inputs is sent again."""

Answer: TypeAlias = Any
"""What became of one input, as its wire has it."""


class Report(NamedTuple):
    """What a worker gives back: an answer for each of the first inputs of a chunk, and the seconds they took.

    Where there are fewer answers than inputs, time or room was up and the others have not begun.
    """

    answers: list[Answer]
    busy_s: float


class NotLoaded(NamedTuple):
    """The worker cannot load the function; nothing ran."""

    reason: str


class Begun(NamedTuple):
    """Nothing ran, because a worker has begun with this chunk before and did not finish; ``where`` tells of it."""

    where: str


class Wire(Protocol):
    """How values get to a worker and back."""

    def pack(self, value: Any) -> Any:
        """The value as it travels; raises what pickling raises."""
        ...

    def loaded(self, function: Any) -> Callable[[Any], Any]:
        """The function, in the worker; raises what unpickling raises."""
        ...

    def answer(self, func: Callable[[Any], Any], packed: Any) -> Answer:
        """What becomes of one input, in the worker."""
        ...

    def opened(self, answer: Answer) -> Result[Any, Crash]:
        """An answer that has come back."""
        ...


def work_on(wire: Wire, function: Any, values: list[Any], budget_s: float) -> Report | NotLoaded:
    """In the worker: one input after the other, until all are done, ``budget_s`` seconds over, or results large."""
    try:
        func = wire.loaded(function)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - unpickling runs user code
        return NotLoaded(f"{type(error).__name__}: {message_of(error)}")
    began = perf_counter()
    answers: list[Answer] = []
    size = 0
    for value in values:
        answer = wire.answer(func, value)
        answers.append(answer)
        size += _size_of(answer)
        if perf_counter() - began > budget_s or size > MAX_ANSWER_BYTES:
            break
    return Report(answers, perf_counter() - began)


def _size_of(answer: Answer) -> int:
    """Bytes of a result, as far as they show; all else counts as small."""
    value: Any = answer
    if is_sealed(answer):
        value = answer[0]
    elif type(answer) is Success:
        value = cast("Any", answer).unwrap()
    return len(value) if isinstance(value, bytes | bytearray | str) else 8


class InPlace:
    """For workers in this process: nothing is pickled."""

    def pack(self, value: Any) -> Any:
        """``value`` itself."""
        return value

    def loaded(self, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """``function`` itself."""
        return function

    def answer(self, func: Callable[[Any], Any], packed: Any) -> Answer:
        """The result, or what was raised, as one value."""
        return attempt(func, packed)

    def opened(self, answer: Answer) -> Result[Any, Crash]:
        """``answer`` itself."""
        return cast("Result[Any, Crash]", answer)


class Pickled(NamedTuple):
    """For workers in other processes. ``dumps`` is how values are pickled; they are read by ``pickle.loads``.

    It pickles by reference, so that the worker answers in the same way.
    """

    dumps: Callable[[Any], bytes] = pickle.dumps

    def pack(self, value: Any) -> Any:
        """Plain values as they are, anything else as ``(bytes,)``."""
        return value if type(value) in PLAIN else (self.dumps(value),)

    def loaded(self, function: bytes) -> Callable[[Any], Any]:
        """The function; a worker keeps the last few that it has loaded."""
        return _loaded(function)

    def answer(self, func: Callable[[Any], Any], packed: Any) -> Answer:
        """A plain result, ``(bytes,)``, or ``(crash, pickled error or None)``."""
        try:
            value = pickle.loads(packed[0]) if is_sealed(packed) else packed
        except (Exception, SystemExit) as error:  # noqa: BLE001 - unpickling runs user code
            return _not_crossing("it cannot be unpickled", error)
        try:
            result = func(value)
        except BaseException as error:  # noqa: BLE001 - SystemExit and its like, too, are the end of one input only
            return self._raised(error)
        try:
            return self.pack(result)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - pickling runs user code
            return _not_crossing("its result cannot be pickled", error)

    def opened(self, answer: Answer) -> Result[Any, Crash]:
        """The result, or how the input ended without one."""
        if not is_sealed(answer):
            return Success(answer)
        if len(answer) == 2:
            return Failure(_with_error(*answer))
        try:
            return Success(pickle.loads(answer[0]))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - unpickling runs user code
            return Failure(described("its result cannot be unpickled", error))

    def _raised(self, error: BaseException) -> Answer:
        crash = crash_of(error)
        try:  # not SystemExit and its like: they must not end the parent
            data = self.dumps(error) if isinstance(error, Exception) else b""
        except (Exception, SystemExit):  # noqa: BLE001 - pickling runs user code
            data = b""
        return _as_data(crash), data if 0 < len(data) <= MAX_ERROR_BYTES else None


def is_sealed(packed: Any) -> bool:
    """Whether ``packed`` is no plain value, but the bytes of one in a tuple."""
    return type(packed) is tuple


@lru_cache(maxsize=4)
def _loaded(function: bytes) -> Callable[[Any], Any]:
    return pickle.loads(function)  # type: ignore[no-any-return]


def described(problem: str, error: BaseException) -> Crash:
    """How an input ends that cannot cross a process boundary."""
    return Crash(kind="invalid", exception=type(error).__name__, message=f"{problem}: {message_of(error)}")


def _not_crossing(problem: str, error: BaseException) -> Answer:
    return _as_data(described(problem, error)), None


def _as_data(crash: Crash) -> tuple[Any, ...]:
    return crash.kind, crash.exception, crash.message, crash.frames, crash.mark, crash.duration_s


def _with_error(fields: tuple[Any, ...], data: bytes | None) -> Crash:
    try:
        error = None if data is None else pickle.loads(data)
    except (Exception, SystemExit):  # noqa: BLE001 - it did not survive the way
        error = None
    return msgspec.structs.replace(Crash(*fields), error=error if isinstance(error, Exception) else None)

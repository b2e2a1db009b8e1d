"""A runner that works through another one and remembers which steps ran, on which input, with what."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import aclosing, closing
from functools import partial
from typing import Any, Self, TypeVar, cast

import msgspec
from returns.result import Result, Success

from pipeline.batchcall import Pairs
from pipeline.engine import Program
from pipeline.errors import InvalidSetting
from pipeline.stepwise import Start
from pipeline.walk import Trace
from runners import Crash, Runner, SequentialRunner
from runners.streaming import StreamRunner

T = TypeVar("T")
R = TypeVar("R")


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """One input that a worker took on: ``steps`` ran, in order, the first of them with ``value``.

    ``crash`` is why it did not come back, if it did not; then ``steps`` ends with the one it was in, where that
    is known. A step that its policies called several times counts once.
    Where inputs meet at a batch step, an input is recorded there, before and behind it, each by itself.
    """

    input_id: str
    value: Any
    steps: tuple[str, ...]
    crash: Crash | None = None


class RecordingRunner(StreamRunner):
    """Gives the inputs to ``runner`` (default: ``SequentialRunner()``) and records what became of them.

    Works with any runner, because it looks at what crosses to the workers and what comes back.

    >>> from pipeline import Processor, step, to_inputs
    >>> runner = RecordingRunner()
    >>> inverse = Processor(pipeline=step("parse")(int) >> step("invert")(lambda n: 1 / n), runner=runner)
    >>> first = inverse.execute(to_inputs(["2", "0"]))
    >>> runner.steps
    {'input-1': ('parse', 'invert'), 'input-2': ('parse', 'invert')}
    >>> runner.clear()
    >>> again = inverse.retry(first)
    >>> runner.steps, runner.recorded[0].value
    ({'input-2': ('invert',)}, 0)
    """

    def __new__(cls, runner: Runner | None = None) -> Self:
        """What a runner can do is told by its class, so there is one for each class of ``runner``."""
        if isinstance(runner, type):
            raise InvalidSetting(f"RecordingRunner({runner.__name__}) got a class; make one: {runner.__name__}()")
        inner = type(runner or SequentialRunner())
        pulse = None if inner.pulse is None else staticmethod(inner.pulse)
        members = {name: getattr(inner, name) for name in ("awaits", "ends_calls")}
        members |= {"pulse": pulse, "__module__": cls.__module__, "__doc__": cls.__doc__}
        made: Any = type(cls.__name__, (cls,), members)
        new: Self = super().__new__(made)
        return new

    def __init__(self, runner: Runner | None = None) -> None:
        self.runner: Runner = runner or SequentialRunner()
        self.crosses_processes: bool = self.runner.crosses_processes
        self.recorded: list[Recorded] = []

    @property
    def workers(self) -> int:
        """How many inputs ``runner`` works on at the same time."""
        return self.runner.workers

    @property
    def steps(self) -> dict[str, tuple[str, ...]]:
        """The names of the steps that ran, by ``input_id``, over all runs since ``clear``."""
        ran: dict[str, tuple[str, ...]] = {}
        for item in self.recorded:
            ran[item.input_id] = ran.get(item.input_id, ()) + item.steps
        return ran

    def clear(self) -> None:
        """Forget what was recorded."""
        self.recorded.clear()

    def stream(self, func: Callable[[T], R], inputs: Iterable[T]) -> Iterator[tuple[int, Result[R, Crash]]]:
        """The stream of ``runner``."""
        started: dict[int, Any] = {}
        return self._watched(func, started, self.runner.stream(func, _remembering(inputs, started)))

    def ticking(
        self, func: Callable[[T], R], inputs: Iterable[T], every_s: float
    ) -> Iterator[tuple[int, Result[R, Crash]] | None]:
        """The ticking stream of ``runner``."""
        started: dict[int, Any] = {}
        return self._watched(func, started, self.runner.ticking(func, _remembering(inputs, started), every_s))

    def _watched(self, func: Callable[..., Any], started: dict[int, Any], stream: Any) -> Iterator[Any]:
        with closing(stream):
            for arrived in stream:
                if arrived is not None:
                    self._record(func, started.pop(arrived[0]), arrived[1])
                yield arrived

    async def astream(
        self, func: Callable[[T], Any], inputs: Iterable[T]
    ) -> AsyncIterator[tuple[int, Result[Any, Crash]]]:
        """The stream of ``runner``, for a caller with an event loop."""
        started: dict[int, Any] = {}
        stream: Any = self.runner.astream(func, _remembering(inputs, started))
        async with aclosing(stream):
            async for position, result in stream:
                self._record(func, started.pop(position), result)
                yield position, result

    def _record(self, func: Callable[..., Any], given: Any, result: Result[Any, Crash]) -> None:
        if not isinstance(func, partial) or not func.args or not isinstance(func.args[0], Program):
            return
        program = func.args[0]
        if isinstance(given, list):
            place = cast("int", func.args[1])
            self.recorded.extend(_together(program.names[place], cast("Pairs", given), result))
        elif given[1] < len(program.names):
            self.recorded.append(_recorded(program.names, given, result))

    def __enter__(self) -> Self:
        getattr(self.runner, "__enter__", _nothing)()
        return self

    def __exit__(self, *exc_info: object) -> None:
        getattr(self.runner, "__exit__", _nothing)(*exc_info)

    def __repr__(self) -> str:
        return f"RecordingRunner({self.runner!r})"


def _remembering(inputs: Iterable[T], started: dict[int, Any]) -> Iterator[T]:
    """``inputs``, each kept until its result is there; a runner's thread may pull, so one statement per input."""
    for position, given in enumerate(inputs):
        started[position] = given
        yield given


def _recorded(names: tuple[str, ...], given: Start, result: Result[Any, Crash]) -> Recorded:
    input_id, index, value = given[:3]
    if type(result) is Success:
        _, readings, _ = cast("Trace", result.unwrap())
        return Recorded(input_id=input_id, value=value, steps=names[index : index + len(readings) - 1])
    crash = result.failure()
    return Recorded(input_id=input_id, value=value, steps=names[index : max(crash.mark, index - 1) + 1], crash=crash)


def _together(step: str, given: Pairs, result: Result[Any, Crash]) -> Iterator[Recorded]:
    """The inputs of one call of a batch step."""
    crash = None if type(result) is Success else result.failure()
    for input_id, value in given:
        yield Recorded(input_id=input_id, value=value, steps=(step,), crash=crash)


def _nothing(*_: object) -> None:
    """Enters and leaves what has nothing to enter."""

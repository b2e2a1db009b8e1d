"""Faults on demand: a step that fails, hangs or dies on the inputs you name, in an otherwise untouched pipeline.

    faults.raise_("fetch", TimeoutError("busy"), on="doc_2").into(pipeline)     a pipeline with one fault
    faults.inject(pipeline, one, other)                                         with several

A fault replaces the function of one step and keeps its name, types, policies and code fingerprint, so a run of
the faulty pipeline is resumed by the one without faults as after a repair. Faults pickle where the step does.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterable
from copy import copy
from typing import Any, Literal, NoReturn, TypeAlias, TypeVar

import msgspec
from returns.result import Failure

from pipeline.compose import Pipeline, steps_of
from pipeline.errors import InvalidSetting
from pipeline.step import Step
from pipeline.stepcontext import StepContext
from pipeline.testing.spoil import spoil
from pipeline.testing.standin import StandIn, with_stand_ins

A = TypeVar("A")
B = TypeVar("B")
E = TypeVar("E")

Kind: TypeAlias = Literal["fail", "raise_", "mutate_then_raise", "hang", "kill_worker", "interrupt"]

Inputs: TypeAlias = str | Iterable[str] | None
"""One ``input_id``, several, or ``None`` for every input."""


class FaultRaised(Exception):
    """What a fault raises unless it was given another exception."""


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """What goes wrong in ``step`` for the inputs ``on`` (``None``: for each); made by the functions of this module.

    ``error`` is what it fails with, ``seconds`` how long it hangs, ``process`` the one that must not be killed.
    """

    kind: Kind
    step: str
    on: tuple[str, ...] | None = None
    error: Any = None
    seconds: float = 0.0
    process: int = 0

    def into(self, pipeline: Pipeline[A, B, E] | Step[A, B, E]) -> Pipeline[A, B, E]:
        """``pipeline`` with this fault; ``UnknownStep`` when it has no such step."""
        return inject(pipeline, self)

    def strikes(self, input_id: str | None) -> bool:
        """Whether it goes wrong for this input; ``None`` is a call outside of any run."""
        return self.on is None or input_id in self.on

    def __str__(self) -> str:
        return f"{self.kind} in {self.step!r} on {'every input' if self.on is None else ', '.join(self.on)}"


def fail(step: str, error: Any = "a fault was put here", *, on: Inputs = None) -> Fault:
    """The step returns ``Failure(error)`` and is not called.

    >>> from pipeline import Processor, step, to_inputs
    >>> from pipeline.testing import faults
    >>> pipeline = step("parse")(int) >> step("invert")(lambda n: 1 / n)
    >>> broken = faults.fail("invert", "no rate", on="input-2").into(pipeline)
    >>> first = Processor(pipeline=broken).execute(to_inputs(["2", "4"]))
    >>> [(failed.input_id, failed.step, failed.message) for failed in first.failed]
    [('input-2', 'invert', 'no rate')]
    >>> Processor(pipeline=pipeline).retry(first).output
    [0.5, 0.25]
    >>> faults.fail("inwert").into(pipeline)
    Traceback (most recent call last):
        ...
    pipeline.errors.UnknownStep: no step 'inwert' in pipeline (parse >> invert); did you mean 'invert'?
    """
    return Fault(kind="fail", step=step, on=_inputs(on), error=error)


def raise_(step: str, error: BaseException | type[BaseException] = FaultRaised, *, on: Inputs = None) -> Fault:
    """The step raises ``error`` and is not called."""
    return Fault(kind="raise_", step=step, on=_inputs(on), error=_exception(error))


def mutate_then_raise(
    step: str, error: BaseException | type[BaseException] = FaultRaised, *, on: Inputs = None
) -> Fault:
    """The step changes the value it was given, as far as that can be changed, and raises ``error``."""
    return Fault(kind="mutate_then_raise", step=step, on=_inputs(on), error=_exception(error))


def hang(step: str, *, on: Inputs = None, seconds: float = 3_600.0) -> Fault:
    """The step takes ``seconds`` longer; only ``ProcessRunner``, with a timeout, ends it before."""
    return Fault(kind="hang", step=step, on=_inputs(on), seconds=seconds)


def kill_worker(step: str, *, on: Inputs = None) -> Fault:
    """The worker process is killed (SIGKILL) in the step; on a runner without worker processes the step raises."""
    return Fault(kind="kill_worker", step=step, on=_inputs(on), process=os.getpid())


def interrupt(step: str, *, on: str) -> Fault:
    """The process that made this fault gets a Ctrl-C (SIGINT) when the step begins with this input; then it goes on.

    ``execute`` in that process's main thread ends with ``RunInterrupted``, which carries the result.
    """
    return Fault(kind="interrupt", step=step, on=_inputs(on), process=os.getpid())


def inject(pipeline: Pipeline[A, B, E] | Step[A, B, E], *faults: Fault) -> Pipeline[A, B, E]:
    """``pipeline`` with all these faults; where several strike one call, the first given does."""
    pipeline = Pipeline(*steps_of(pipeline))
    for fault in faults:
        pipeline.index(fault.step)
    by_step = {step.name: tuple(fault for fault in faults if fault.step == step.name) for step in pipeline}
    return with_stand_ins(pipeline, lambda step: Faulty(step, by_step[step.name]) if by_step[step.name] else None)


class Faulty(StandIn):
    """A step's function with faults; it calls the step for the inputs that none of them strikes."""

    def __init__(self, step: Step[Any, Any, Any], faults: tuple[Fault, ...]) -> None:
        super().__init__(step)
        self.faults: tuple[Fault, ...] = faults

    def __call__(self, value: Any, *context: Any) -> Any:
        """Strike, or call the step's function."""
        current = StepContext.current()
        input_id = None if current is None else current.input_id
        fault = next((fault for fault in self.faults if fault.strikes(input_id)), None)
        if fault is None:
            return super().__call__(value, *context)
        return STRIKES[fault.kind](fault, self.step, value, context)

    def __reduce__(self) -> tuple[Any, ...]:
        return Faulty, (self.step, self.faults)


# ---- what each kind does in the step's place ----------------------------------------------------


def _fail(fault: Fault, step: Step[Any, Any, Any], value: Any, context: tuple[Any, ...]) -> Any:
    failure: Failure[Any] = Failure(fault.error)
    return _given(failure) if step.is_async else failure


def _raise(fault: Fault, step: Step[Any, Any, Any], value: Any, context: tuple[Any, ...]) -> NoReturn:
    raise _fresh(fault.error)


def _mutate_then_raise(fault: Fault, step: Step[Any, Any, Any], value: Any, context: tuple[Any, ...]) -> NoReturn:
    spoil(value)
    raise _fresh(fault.error)


def _hang(fault: Fault, step: Step[Any, Any, Any], value: Any, context: tuple[Any, ...]) -> Any:
    if step.is_async:
        return _later(fault.seconds, lambda: step.fn(value, *context))
    time.sleep(fault.seconds)
    return step.fn(value, *context)


def _kill_worker(fault: Fault, step: Step[Any, Any, Any], value: Any, context: tuple[Any, ...]) -> NoReturn:
    if os.getpid() == fault.process:
        raise InvalidSetting(f"{fault}: there is no worker process to kill here; run it on ProcessRunner")
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable: SIGKILL cannot be caught")


def _interrupt(fault: Fault, step: Step[Any, Any, Any], value: Any, context: tuple[Any, ...]) -> Any:
    os.kill(fault.process, signal.SIGINT)
    return step.fn(value, *context)


STRIKES: dict[Kind, Callable[[Fault, Step[Any, Any, Any], Any, tuple[Any, ...]], Any]] = {
    "fail": _fail,
    "raise_": _raise,
    "mutate_then_raise": _mutate_then_raise,
    "hang": _hang,
    "kill_worker": _kill_worker,
    "interrupt": _interrupt,
}


async def _given(answer: Any) -> Any:
    return answer


async def _later(seconds: float, call: Callable[[], Any]) -> Any:
    await asyncio.sleep(seconds)
    return await call()


def _inputs(on: Inputs) -> tuple[str, ...] | None:
    return (on,) if isinstance(on, str) else None if on is None else tuple(on)


def _fresh(error: BaseException) -> BaseException:
    """A copy, because a raised exception collects its traceback; some cannot be copied."""
    try:
        return copy(error)
    except Exception:  # noqa: BLE001 - copying runs the exception's own __init__
        return error


def _exception(error: Any) -> BaseException:
    """An exception to raise; a class is called, which some refuse without arguments."""
    if isinstance(error, BaseException):
        return error
    try:
        made: object = error()
    except Exception as refused:  # noqa: BLE001 - the exception's own __init__
        raise InvalidSetting(
            f"a fault cannot raise {error!r} ({refused}); give an exception: ValueError('no')"
        ) from None
    if not isinstance(made, BaseException):
        raise InvalidSetting(f"a fault cannot raise {error!r}; give an exception: ValueError('no')")
    return made

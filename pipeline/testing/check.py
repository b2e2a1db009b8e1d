"""Checks the laws of resuming on a pipeline of your own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from typing_extensions import TypeIs

from pipeline.codec import Registry
from pipeline.compose import Pipeline, steps_of
from pipeline.errors import InvalidSetting
from pipeline.model import ProcessorInput
from pipeline.policies import Policies
from pipeline.step import Step
from pipeline.testing.law import Law
from pipeline.testing.laws import LAWS
from pipeline.testing.trial import Subject
from runners import ProcessRunner, Runner, RunnerError, ThreadRunner

if TYPE_CHECKING:
    from hypothesis import settings as Settings  # noqa: N812 - a class with the name of a function
    from hypothesis.strategies import SearchStrategy

A = TypeVar("A")


def check_resume(
    pipeline: Pipeline[A, Any, Any] | Step[A, Any, Any],
    inputs: SearchStrategy[A] | Iterable[ProcessorInput[A] | A] | None = None,
    *,
    runners: Sequence[Runner] | None = None,
    laws: Sequence[Law] = LAWS,
    idempotent: Mapping[str, Callable[[], object]] | None = None,
    registry: Registry | None = None,
    examples: int = 25,
    settings: Settings | None = None,
) -> None:
    """Hold a pipeline against the laws of resuming; raise ``LawBroken``, an ``AssertionError``, when it breaks one.

    ``inputs`` are inputs, or values for the first step, or a hypothesis strategy of such values; without them,
    values are made from the first step's declared type. hypothesis draws ``examples`` batches of one to four of
    them, lets up to three calls of steps fail, and shrinks what breaks a law to the smallest batch and faults.
    The same call draws the same examples; ``settings`` are hypothesis's own, if that should be otherwise.

    ``runners`` have to agree; default: threads and processes, so the steps have to pickle.
    ``idempotent`` names steps that may be called twice, each with a function that reads the state it writes.
    Steps are called many times, without their policies: give them doubles of what must not be touched.

    >>> from pipeline import step
    >>> from pipeline.testing import check_resume
    >>> from runners import ThreadRunner
    >>> clean = step("clean")(str.strip) >> step("words")(str.split)
    >>> check_resume(clean, ["a b", " c "], runners=[ThreadRunner(2)])

    >>> def add_total(row: dict[str, float]) -> dict[str, float]:
    ...     row["total"] = row["net"] + row["tax"]
    ...     return row
    >>> check_resume(step("total")(add_total), [{"net": 1.0, "tax": 0.5}], runners=[ThreadRunner(2)])
    Traceback (most recent call last):
        ...
    pipeline.testing.law.LawBroken: (total) breaks the law 'the payload holds what entered the step'
      step      'total'
      input     input-1: {'net': 1.0, 'tax': 0.5}
      observed  {'net': 1.0, 'tax': 0.5} entered it, and it left that value as {'net': 1.0, 'tax': 0.5, 'total': 1.5}
      mend      return a changed copy instead: {**value, ...}, [*value, ...], copy.replace or deepcopy
    """
    __tracebackhide__ = True  # pytest then shows the caller's line, and what the law says
    try:
        from pipeline.testing.search import search
    except ImportError as missing:  # the rest of the kit does without hypothesis
        raise ImportError("check_resume needs hypothesis: pip install 'stepslice[testing]'") from missing
    steps = [step.replace(policies=Policies()) for step in steps_of(pipeline)]
    if not steps:
        raise InvalidSetting("check_resume: the pipeline has no steps; give one that has")
    if runners is not None and not runners:
        raise InvalidSetting("check_resume: there are no runners; give at least one, or leave runners out")
    bare = Pipeline.of(steps)
    for name in idempotent or {}:
        bare.index(name)
    with ExitStack() as stack:
        chosen = [_entered(stack, runner) for runner in (_default_runners() if runners is None else runners)]
        subject = Subject(pipeline=bare, runners=tuple(chosen), registry=registry, idempotent=idempotent or {})
        broken = search(subject, _batch(inputs), tuple(laws), examples, settings)
    if broken is not None:
        raise broken


def _batch(inputs: Any) -> Any:
    """Given inputs as ``ProcessorInput``; a strategy, or ``None``, as it is."""
    if inputs is None or hasattr(inputs, "example"):
        return inputs
    batch = [_input(place, item) for place, item in enumerate(inputs, 1)]
    if not batch:
        raise InvalidSetting("check_resume: there are no inputs; give at least one, or a hypothesis strategy")
    return batch


def _input(place: int, item: Any) -> ProcessorInput[Any]:
    if _is_input(item):
        return msgspec.structs.replace(item, payload=None)
    return ProcessorInput(input_id=f"input-{place}", data=item)


def _is_input(item: object) -> TypeIs[ProcessorInput[Any]]:
    return isinstance(item, ProcessorInput)


def _default_runners() -> list[Runner]:
    threads = ThreadRunner(max_workers=2)
    try:
        return [threads, ProcessRunner(max_workers=2)]
    except RunnerError:  # this system has no processes that can be watched
        return [threads]


def _entered(stack: ExitStack, runner: Any) -> Runner:
    """The runner, with its worker processes kept for all trials; threads that stay would forbid to fork those."""
    if runner.crosses_processes and hasattr(runner, "__enter__"):
        stack.enter_context(runner)
    checked: Runner = runner
    return checked

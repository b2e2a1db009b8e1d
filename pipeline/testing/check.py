"""Checks the laws of resuming on a pipeline of your own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec.structs import replace

from pipeline.codec import Registry
from pipeline.compose import Pipeline
from pipeline.model import ProcessorInput
from pipeline.step import Step
from pipeline.testing.arguments import bare, batch_of, examples_of, idempotent_of, laws_of, runners_of
from pipeline.testing.fresh import FreshProcess
from pipeline.testing.law import Law
from pipeline.testing.laws import LAWS
from pipeline.testing.trial import Subject
from runners import AsyncRunner, ProcessRunner, Runner, RunnerError, ThreadRunner

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
    fresh: bool = False,
    examples: int = 25,
    settings: Settings | None = None,
) -> None:
    """Hold a pipeline against the laws of resuming; raise ``LawBroken``, an ``AssertionError``, when it breaks one.

    ``inputs`` are inputs, or values for the first step, or a hypothesis strategy of such values; without them,
    values are made from the first step's declared type. hypothesis draws ``examples`` batches of one to four of
    them, lets up to three calls of steps fail, and shrinks what breaks a law to the smallest batch and faults.
    The same call draws the same examples; ``settings`` are hypothesis's own, if that should be otherwise.

    ``runners`` have to agree; default: threads, processes (so the steps have to pickle), and, for async steps, a loop.
    ``idempotent`` names steps that may be called twice, each with a function that reads the state it writes.
    ``fresh`` also resumes in a process that has run nothing yet, as after a crash. It imports the steps anew,
    without what a test has patched in, and finds those that need what an earlier step left in memory.
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
    steps = bare(pipeline)
    subject = Subject(
        pipeline=steps,
        runners=tuple(_default_runners(steps.is_async)) if runners is None else runners_of(runners),
        registry=registry,
        idempotent=idempotent_of(idempotent or {}, steps),
    )
    source, chosen = batch_of(inputs), laws_of(laws)
    with ExitStack() as stack:
        if fresh:
            subject = replace(subject, fresh=stack.enter_context(FreshProcess(subject.pipeline)))
        _start_workers(stack, subject.runners)
        broken = search(subject, source, chosen, examples_of(examples), settings)
    if broken is not None:
        raise broken


def _default_runners(is_async: bool) -> Iterator[Runner]:
    yield ThreadRunner(max_workers=2)
    if is_async:  # there steps of several inputs take turns at every await
        yield AsyncRunner()
    with suppress(RunnerError):  # this system may have no processes that can be watched
        yield ProcessRunner(max_workers=2)


def _start_workers(stack: ExitStack, runners: Iterable[Any]) -> None:
    """Worker processes are kept for all trials; threads that stay would forbid to fork those."""
    for runner in runners:
        if runner.crosses_processes and hasattr(runner, "__enter__"):
            stack.enter_context(runner)
            _see_it_work(runner)


def _see_it_work(runner: Runner) -> None:
    """A runner that cannot work at all says so itself, better than a law that it seems to break."""
    try:
        runner.run(abs, [0])
    except RunnerError as error:
        raise RunnerError(f"check_resume: {error}") from None

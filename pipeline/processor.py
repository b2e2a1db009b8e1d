"""The processor: a pipeline, a runner and the ids of a batch. ``execute`` reads as the way of a datum.

inputs ─▶ prevalidate ─▶ decide ─▶ runner.stream(run_one) ─▶ take ─▶ gather ─▶ ProcessingResult
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from typing import Any, Generic

import msgspec
from typing_extensions import TypeVar, Unpack

from pipeline.aggregate import collect
from pipeline.codeof import CodeOf
from pipeline.compose import Pipeline, steps_of
from pipeline.crossing import check_crossing
from pipeline.deadletters import DeadLetters, Place
from pipeline.dispatch import aarrivals, arrivals
from pipeline.errors import InvalidSetting, RunFailed, RunInterrupted
from pipeline.gather import Known, gather
from pipeline.handle import RunHandle
from pipeline.journal import Past, recorder_for
from pipeline.model import ExecutionContext, Outcome, Plan, ProcessorInput
from pipeline.plan import describe_decision
from pipeline.result import ProcessingResult
from pipeline.run import RunInProgress
from pipeline.runid import new_run_id
from pipeline.settings import Options, Settings, settings_of
from pipeline.step import Step
from runners import Runner, SequentialRunner

A = TypeVar("A", default=Any)
B = TypeVar("B", default=Any)
R = TypeVar("R", default=list[B])

_LOGGER = logging.getLogger("pipeline")


class Processor(Generic[A, B, R]):
    """Runs batches through a pipeline, and lets every input that failed go on from the step that failed it.

    ``aggregate`` makes one result of all outputs, a list of them unless given; ``Options`` has the other arguments.
    A processor holds no state of a run: ``execute`` may be called from several threads at once.

    >>> from pipeline import Processor, step, to_inputs
    >>> inverse = Processor(name="inverse", pipeline=step("parse")(int) >> step("invert")(lambda n: 1 / n))
    >>> inverse.execute(to_inputs(["2", "4"])).output
    [0.5, 0.25]
    >>> result = inverse.execute(to_inputs(["2", "0"]))
    >>> result.success, [(failed.input_id, failed.step, failed.message) for failed in result.failed]
    (False, [('input-2', 'invert', 'division by zero')])
    """

    def __init__(
        self,
        *,
        pipeline: Pipeline[A, B, Any] | Step[A, B, Any],
        name: str = "processor",
        aggregate: Callable[[Sequence[B]], R] = collect,  # type: ignore[assignment]  # it gives R's default
        **options: Unpack[Options],
    ) -> None:
        self.pipeline: Pipeline[A, B, Any] = Pipeline(*steps_of(pipeline))
        self.pipeline.check_types()
        self.runner: Runner = options.get("runner") or SequentialRunner()
        _check_timeouts(self.pipeline, self.runner)
        self.settings: Settings = settings_of(name, aggregate, options, CodeOf(self.pipeline.steps))

    @property
    def name(self) -> str:
        """The processor's name."""
        return self.settings.name

    def execute(
        self, inputs: Iterable[ProcessorInput[A]], context: ExecutionContext | None = None
    ) -> ProcessingResult[B, R]:
        """Run every input to its end and return all outcomes in input order.

        Nothing that an input meets is raised. ``RunInterrupted`` (Ctrl-C, SIGTERM) and ``RunFailed`` (the inputs
        themselves raised, or the runner did) carry the result so far.
        """
        return self._execute(self._begin(context, inputs))

    async def aexecute(
        self, inputs: Iterable[ProcessorInput[A]], context: ExecutionContext | None = None
    ) -> ProcessingResult[B, R]:
        """``execute`` for a caller with a running event loop, which is not blocked."""
        run = self._begin(context, inputs)
        try:
            async for arrival in aarrivals(run, self.runner, run.items):
                run.keep(arrival)
            return self._end(run)
        finally:
            run.recorder.abandon()

    def stream(
        self, inputs: Iterable[ProcessorInput[A]], context: ExecutionContext | None = None
    ) -> Iterator[Outcome[B]]:
        """Yield each outcome as its input finishes; memory is bounded, ``inputs`` may be endless.

        Inputs that do not belong fail on their own, because those to come cannot be seen.
        Closing the iterator stops the workers.
        """
        run = self._begin(context)
        try:
            for arrival in arrivals(run, self.runner, inputs):
                yield arrival.outcome
            self._end_stream(run)
        finally:
            run.recorder.abandon()

    async def astream(
        self, inputs: Iterable[ProcessorInput[A]], context: ExecutionContext | None = None
    ) -> AsyncIterator[Outcome[B]]:
        """``stream`` for a caller with a running event loop."""
        run = self._begin(context)
        try:
            async for arrival in aarrivals(run, self.runner, inputs):
                yield arrival.outcome
            self._end_stream(run)
        finally:
            run.recorder.abandon()

    def start(self, inputs: Iterable[ProcessorInput[A]], context: ExecutionContext | None = None) -> RunHandle[B, R]:
        """``execute`` in a thread of its own: a handle with ``progress()``, ``cancel()`` and ``result()``.

        All inputs are pulled before this returns. Observers are called by that thread.
        """
        return RunHandle(self._begin(context, inputs), self._execute)

    def retry(self, result: ProcessingResult[B, R]) -> ProcessingResult[B, R]:
        """Go on with what did not succeed, each input from the step that failed it; successes keep their outputs."""
        return self.execute(result.retry_inputs(), context=result.retry_context())

    def resume(self, run_id: str | None = None) -> ProcessingResult[B, R]:
        """Go on with a run of the journal, the latest unless named, also after kill -9; its inputs come from there.

        What succeeded keeps its output, everything else goes on where it stopped.
        ``UnknownRun`` (a ``LookupError``) when there is none, ``RunOwned`` when another process is at work on it,
        ``InputsNeeded`` when an input could not be stored: then give the inputs again, with ``previous_run_id``.
        """
        inputs, context = self._past().to_resume(run_id)
        return self.execute(inputs, context=context)

    def reaggregate(self, result: ProcessingResult[B, Any]) -> ProcessingResult[B, R]:
        """The same outcomes under this processor's aggregate; no step runs."""
        known = Known(
            context=result.context,
            metrics=result.metrics,
            steps=result.steps,
            stopped=result.stopped,
            code=result.code,
            letters=self._letters,
        )
        return gather(result.inputs, result.outcomes, self.settings.aggregate, known)

    def plan(self, inputs: Iterable[ProcessorInput[A]] | str) -> Plan:
        """What ``execute(inputs)``, or ``resume(run_id)``, would do with each input, and why. Nothing runs."""
        items = self._past().recalled(inputs) if isinstance(inputs, str) else list(inputs)
        run = RunInProgress(self.settings, self.pipeline, ExecutionContext(), items)
        return Plan(tuple(describe_decision(self.pipeline, item, run.decide(item)) for item in items))

    def read_failures(self, path: Place) -> list[ProcessorInput[A]]:
        """The inputs in a file that ``result.write_failures(path)`` wrote, for ``execute`` to go on where each failed.

        ``DeadLettersDamaged`` names the lines that cannot be read, and carries the inputs of all the others.
        """
        return self._letters.read(path)

    @property
    def _letters(self) -> DeadLetters:
        return DeadLetters(self.pipeline, self.settings.rules.registry)

    def _past(self) -> Past:
        return Past(self.name, self.settings.journal, self.pipeline, self.settings.rules.registry)

    def _begin(
        self, context: ExecutionContext | None, inputs: Iterable[ProcessorInput[A]] | None = None
    ) -> RunInProgress:
        """A new run, after everything that would make it pointless has been checked."""
        if self.runner.crosses_processes:
            check_crossing(self.pipeline)
        merged = self.settings.context.merge(context)
        lineage = msgspec.structs.replace(merged, run_id=(context and context.run_id) or new_run_id())
        run = RunInProgress(self.settings, self.pipeline, lineage, inputs)
        if self.settings.journal is not None:
            items = None if inputs is None else run.items
            run.recorder = recorder_for(self._past(), lineage, self.settings.code, items)
        run.begin(self.runner.workers)
        _LOGGER.info("run started", extra={"run_id": lineage.run_id, "processor": self.name})
        return run

    def _execute(self, run: RunInProgress) -> ProcessingResult[B, R]:
        try:
            for arrival in arrivals(run, self.runner, run.items):
                run.keep(arrival)
            return self._end(run)
        finally:
            run.recorder.abandon()

    def _end(self, run: RunInProgress) -> ProcessingResult[B, R]:
        """The result of a run over a batch, or the exception that carries it."""
        outcomes = run.outcomes()
        known = Known(
            context=run.context,
            metrics=run.metrics(),
            steps=run.names,
            stopped=run.stopped,
            complete=run.broken is None,
            code=dict(self.settings.code()),
            letters=self._letters,
        )
        result: ProcessingResult[B, R] = gather(run.items, outcomes, self.settings.aggregate, known)
        self._tell_conflicts(result)
        run.finish(result.success)
        _raise_for(run, result)
        return result

    def _end_stream(self, run: RunInProgress) -> None:
        run.finish(run.stopped is None and not run.failures)
        _raise_for(run, None)

    def _tell_conflicts(self, result: ProcessingResult[Any, Any]) -> None:
        for conflict in result.conflicts:
            extra = {"run_id": result.run_id, "path": conflict.path, "input_ids": conflict.input_ids}
            _LOGGER.warning("inputs disagree about %s; the last one won", conflict.path, extra=extra)

    def __repr__(self) -> str:
        return f"<Processor {self.name}: {self.pipeline} on {type(self.runner).__name__}>"


def _raise_for(run: RunInProgress, result: ProcessingResult[Any, Any] | None) -> None:
    if run.broken is not None:
        reason = run.stopped or f"the inputs raised {type(run.broken).__name__}: {run.broken}"
        raise RunFailed(f"{reason}; what was finished by then is in .result", result) from run.broken
    if run.interrupted:
        raise RunInterrupted(run.stopped or "interrupted", result)


def _check_timeouts(pipeline: Pipeline[Any, Any, Any], runner: Runner) -> None:
    limited = [step.name for step in pipeline if step.policies.timeout_s is not None]
    if limited and type(runner).pulse is None:
        raise InvalidSetting(
            f"step {limited[0]!r} has a timeout, but {type(runner).__name__} cannot end a hung call; use ProcessRunner"
        )

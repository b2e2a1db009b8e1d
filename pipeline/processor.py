"""The processor: a pipeline, a runner and the ids of a batch. ``execute`` reads as the way of a datum.

inputs ─▶ prevalidate ─▶ decide ─▶ runner.stream(run_one) ─▶ take ─▶ gather ─▶ ProcessingResult
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing, closing
from functools import partial
from typing import Any, Generic, overload

import msgspec
from typing_extensions import TypeVar, Unpack

from pipeline.aggregate import collect
from pipeline.arguments import batch, check_context, check_result, check_run_id
from pipeline.codeof import CodeOf
from pipeline.compose import Pipeline, steps_of
from pipeline.crossing import check_crossing
from pipeline.deadletters import DeadLetters, Place
from pipeline.dispatch import aarrivals, arrivals
from pipeline.edit import edited_result
from pipeline.ending import end_batch, end_stream
from pipeline.errors import InvalidSetting
from pipeline.gather import Known, gather
from pipeline.guard import check_named
from pipeline.handle import RunHandle, started
from pipeline.interrupts import give_back_signals
from pipeline.journal import Past, check_shared, recorder_for
from pipeline.leaving import hand_over, keep_all, leave
from pipeline.model import ExecutionContext, Outcome, Plan, ProcessorInput
from pipeline.planned import planned
from pipeline.prevalidate import Prevalidation
from pipeline.result import ProcessingResult
from pipeline.run import RunInProgress
from pipeline.runid import new_run_id
from pipeline.selection import AS_IT_WAS, Again, Left, Lift, Only, going_on, left_by
from pipeline.settings import Options, Settings, settings_of
from pipeline.step import Step
from runners import Runner, SequentialRunner

A = TypeVar("A", default=Any)
B = TypeVar("B", default=Any)
R = TypeVar("R", default=list[B])


class Processor(Generic[A, B, R]):
    """Runs batches through a pipeline, and lets every input that failed go on from the step that failed it.

    ``aggregate`` makes one result of all outputs, a list of them unless given. It is a plain function of a list; what
    is in the list are the outputs themselves, which it must not change. ``Options`` has the other arguments.
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
        check_named(self.pipeline)
        self.runner: Runner = options.get("runner") or SequentialRunner()
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
        return self._execute(context, batch(inputs))

    async def aexecute(
        self, inputs: Iterable[ProcessorInput[A]], context: ExecutionContext | None = None
    ) -> ProcessingResult[B, R]:
        """``execute`` for a caller with a running event loop, which is not blocked."""
        run = self._begin(context, batch(inputs))
        try:
            await keep_all(run, self.runner, aarrivals(run, self.runner, run.items))
            return end_batch(run)
        finally:
            leave(run)

    def stream(
        self, inputs: Iterable[ProcessorInput[A]], context: ExecutionContext | None = None
    ) -> Iterator[Outcome[B]]:
        """Yield each outcome as its input finishes; memory is bounded, ``inputs`` may be endless.

        Inputs that do not belong fail on their own, because those to come cannot be seen; an id that is used twice
        is found if the two are at most 50,000 inputs apart. Closing the iterator stops the workers.
        """
        inputs = batch(inputs)
        run = self._begin(context, joining=inputs if isinstance(inputs, list | tuple) else ())
        try:
            with closing(arrivals(run, self.runner, inputs)) as arriving:
                for arrival in arriving:
                    yield arrival.outcome
            end_stream(run)
        finally:
            leave(run)

    async def astream(
        self, inputs: Iterable[ProcessorInput[A]], context: ExecutionContext | None = None
    ) -> AsyncIterator[Outcome[B]]:
        """``stream`` for a caller with a running event loop."""
        inputs = batch(inputs)
        run = self._begin(context, joining=inputs if isinstance(inputs, list | tuple) else ())
        try:
            async with aclosing(hand_over(run, self.runner, aarrivals(run, self.runner, inputs))) as handed_over:
                async for arrival in handed_over:
                    yield arrival.outcome
            end_stream(run)
        finally:
            leave(run)

    def start(self, inputs: Iterable[ProcessorInput[A]], context: ExecutionContext | None = None) -> RunHandle[B, R]:
        """``execute`` in a thread of its own: a handle with ``progress()``, ``cancel()`` and ``result()``.

        All inputs are pulled before this returns. Observers are called by that thread.
        """
        return started(lambda: self._begin(context, batch(inputs)), self._finished)

    def retry(self, result: ProcessingResult[B, R], *, only: Only = None, lift: Lift = False) -> ProcessingResult[B, R]:
        """Go on with what did not succeed, each input from the step that failed it; successes keep their outputs.

        With ``only`` (a ``Selection``, a function of a ``Failed``, or failures such as a cluster of
        ``result.failure_clusters()``) the others stay as they are, to be retried later.
        ``lift`` lets inputs out of quarantine: all with ``True``, or some by their ids.
        """
        return self._go_on(_left_by(result), only, lift, None)

    def resume(self, run_id: str | None = None, *, only: Only = None, lift: Lift = False) -> ProcessingResult[B, R]:
        """Go on with a run of the journal, the latest unless named, also after kill -9; its inputs come from there.

        What succeeded keeps its output, the rest goes on where it stopped; ``only`` and ``lift`` as in ``retry``.
        ``UnknownRun`` (a ``LookupError``) when there is none, ``RunOwned`` when another process is at work on it
        or came first by a moment, ``InputsNeeded`` when an input could not be stored: then give the inputs again, with
        ``previous_run_id``.
        """
        check_run_id(run_id)
        return self._go_on(self._past().left(run_id), only, lift)

    def _go_on(
        self, left: Left, only: Only, lift: Lift, joining: Sequence[ProcessorInput[A]] | None = ()
    ) -> ProcessingResult[B, R]:
        again = going_on(left, only, lift, self.pipeline.names)
        return self._execute(left.context, left.inputs, again, joining, left.read)

    @overload
    def edit(self, of: ProcessingResult[B, R], input_id: str, data: Any) -> ProcessingResult[B, R]: ...
    @overload
    def edit(self, of: str, input_id: str, data: Any) -> str: ...
    def edit(self, of: ProcessingResult[B, R] | str, input_id: str, data: Any) -> ProcessingResult[B, R] | str:
        """Let an input that did not succeed go on with other ``data`` at the step it stopped at. Nothing runs yet.

        Of a result: gives the result to retry. Of a run of the journal, by its id: recorded there, gives a run id.
        ``InvalidEdit``, with a ``$.path``, when the data does not fit what the step declares.
        """
        if isinstance(of, str):
            return self._past().edit(of, input_id, data, self._prevalidation().problems)
        check_result(of)
        problems = self._prevalidation().problems
        return edited_result(of, self.pipeline, input_id, data, self.settings.rules.registry, problems)

    def reaggregate(self, result: ProcessingResult[B, Any]) -> ProcessingResult[B, R]:
        """The same outcomes under this processor's aggregate; no step runs."""
        check_result(result)
        known = Known(
            context=result.context,
            metrics=result.metrics,
            steps=result.steps,
            stopped=result.stopped,
            code=result.code,
            letters=self._letters,
        )
        return gather(result.inputs, result.outcomes, self.settings.aggregate, known)

    def plan(
        self,
        of: Iterable[ProcessorInput[A]] | ProcessingResult[B, R] | str,
        context: ExecutionContext | None = None,
        *,
        only: Only = None,
        lift: Lift = False,
    ) -> Plan:
        """What ``execute(inputs, context)``, ``retry(result)`` or ``resume(run_id)`` would do with each input, and why.

        Nothing runs.
        """
        if context is not None and isinstance(of, str | ProcessingResult):
            raise InvalidSetting("plan(…, context) is of inputs: a run's own context is known")
        check_shared(self.pipeline, self.settings.journal, self.runner.crosses_processes)
        left = self._past().recalled(of) if isinstance(of, str) else self._joining(_left_by(of), context)
        again = going_on(left, only, lift, self.pipeline.names)
        run = RunInProgress(self.settings, self.pipeline, left.context, left.inputs, again)
        return planned(run)

    def _joining(self, left: Left, context: ExecutionContext | None) -> Left:
        """Inputs with what the journal holds of them, where they join an earlier run."""
        check_context(context)
        lineage = self.settings.context.merge(left.context).merge(context)
        if self.settings.journal is None or lineage.previous_run_id is None:
            return left._replace(context=lineage)
        return self._past().joined(left._replace(context=lineage))

    def read_failures(self, path: Place) -> list[ProcessorInput[A]]:
        """The inputs in a file that ``result.write_failures(path)`` wrote, for ``execute`` to go on where each failed.

        ``DeadLettersDamaged`` names the lines that cannot be read, and carries the inputs of all the others.
        """
        return self._letters.read(path)

    @property
    def _letters(self) -> DeadLetters:
        return DeadLetters(self.pipeline, self.settings.rules.registry)

    def _prevalidation(self) -> Prevalidation:
        return Prevalidation(self.settings.account_id, self.settings.underwriting_id)

    def _past(self) -> Past:
        return Past(self.name, self.settings.journal, self.pipeline, self.settings.rules.registry)

    def _begin(
        self,
        context: ExecutionContext | None,
        inputs: Iterable[ProcessorInput[A]] | None = None,
        again: Again = AS_IT_WAS,
        joining: Sequence[ProcessorInput[A]] | None = (),
        read: Any = None,
    ) -> RunInProgress:
        """A new run, after everything that would make it pointless has been checked.

        ``joining`` are the inputs of a stream, where they can be seen before; ``None`` where a result is gone on with.
        ``read`` is what ``Left`` has of inputs that come from the journal.
        """
        check_context(context)
        give_back_signals()
        if self.runner.crosses_processes:
            check_crossing(self.pipeline, self.settings.journal, self.settings.rules.registry, self.runner.dumps)
        check_shared(self.pipeline, self.settings.journal, self.runner.crosses_processes)
        merged = self.settings.context.merge(context)
        lineage = msgspec.structs.replace(merged, run_id=(context and context.run_id) or new_run_id())
        run = RunInProgress(self.settings, self.pipeline, lineage, inputs, again)
        if self.settings.journal is not None:
            items = None if inputs is None else run.items
            given = None if joining is None else items or joining
            run.recorder = recorder_for(self._past(), lineage, self.settings.code, items, given, again.kept, read)
        try:
            run.recorder.on_lost = partial(run.stop, "another process has taken over this run")
            run.begin(self.runner.workers)
        except BaseException:
            run.recorder.abandon()
            raise
        return run

    def _execute(
        self,
        context: ExecutionContext | None,
        inputs: Iterable[ProcessorInput[A]],
        again: Again = AS_IT_WAS,
        joining: Sequence[ProcessorInput[A]] | None = (),
        read: Any = None,
    ) -> ProcessingResult[B, R]:
        run = self._begin(context, inputs, again, joining, read)
        try:  # nothing is called in between, where a signal's handler could raise: a run that began is left
            return self._finished(run)
        finally:
            leave(run)

    def _finished(self, run: RunInProgress) -> ProcessingResult[B, R]:
        for arrival in arrivals(run, self.runner, run.items):
            run.keep(arrival)
        return end_batch(run)

    def __repr__(self) -> str:
        return f"<Processor {self.name}: {self.pipeline} on {type(self.runner).__name__}>"


def _left_by(of: ProcessingResult[Any, Any] | Iterable[ProcessorInput[Any]]) -> Left:
    return left_by(of if isinstance(of, ProcessingResult) else batch(of))

"""What ``execute`` returns: every input's outcome in input order, and what a retry needs."""

from __future__ import annotations

from collections import Counter
from typing import Any, Generic, assert_never

import msgspec
from toolz import groupby
from typing_extensions import TypeVar

from pipeline import fingerprint
from pipeline.compose import Pipeline
from pipeline.deadletters import DeadLetters, Place
from pipeline.errors import InvalidSetting
from pipeline.fingerprint.origin import is_project_file
from pipeline.metrics import Metrics
from pipeline.model import (
    Completed,
    Conflict,
    ExecutionContext,
    Failed,
    NotRun,
    Outcome,
    ProcessorInput,
    Skipped,
    Succeeded,
)
from pipeline.shown import printable
from pipeline.step import RESERVED

MOST_LINES = 20
"""So many inputs without an output are told when a result is printed."""

MOST_OF_AN_ID = 200
"""Characters of an id that such a line repeats."""

T_co = TypeVar("T_co", covariant=True, default=Any)
R_co = TypeVar("R_co", covariant=True, default=Any)


class ProcessingResult(msgspec.Struct, Generic[T_co, R_co], frozen=True, kw_only=True, dict=True):
    """How a run ended.

    ``outcomes`` has one entry for each of ``inputs``, in their order.
    ``output`` is the aggregate over all outputs when every input succeeded (now or earlier), else ``None``.
    ``aggregation`` is why the aggregate failed; redo it with ``Processor.reaggregate``, no step runs again.
    ``stopped`` says why the run was ended early. ``code`` maps step names to the fingerprints of their code.
    Printed, it is the counts, and a line for each of the first inputs that failed, or else did not run; its ``repr``,
    which a notebook shows, is the counts alone.

    >>> from pipeline import Processor, step, to_inputs
    >>> print(Processor(pipeline=step("invert")(lambda n: 1 / n)).execute(to_inputs([4, 0])))
    2 inputs: 1 succeeded, 1 failed
    input-2  invert  ZeroDivisionError: division by zero
    """

    success: bool
    output: R_co | None
    outcomes: tuple[Outcome[T_co], ...]
    inputs: tuple[ProcessorInput[Any], ...]
    context: ExecutionContext
    conflicts: tuple[Conflict, ...] = ()
    metrics: Metrics = Metrics()
    aggregation: Failed | None = None
    stopped: str | None = None
    code: dict[str, str | None] = {}
    steps: tuple[str, ...] = ()

    @property
    def run_id(self) -> str:
        """The identifier of this run; run ids sort by time."""
        return self.context.run_id or ""

    @property
    def succeeded(self) -> tuple[Succeeded[T_co] | Skipped[T_co], ...]:
        """The inputs that have an output, now or from an earlier run, in input order."""
        return tuple(outcome for outcome in self.outcomes if isinstance(outcome, Succeeded | Skipped))

    @property
    def failed(self) -> tuple[Failed, ...]:
        """The inputs that failed in this run, in input order."""
        return tuple(outcome for outcome in self.outcomes if isinstance(outcome, Failed))

    @property
    def not_run(self) -> tuple[NotRun, ...]:
        """The inputs that were not started or were set aside, in input order."""
        return tuple(outcome for outcome in self.outcomes if isinstance(outcome, NotRun))

    def __repr__(self) -> str:
        return f"<ProcessingResult of {self._heading()}>"

    def _heading(self) -> str:
        counts = Counter(type(outcome) for outcome in self.outcomes)
        told = ", ".join(f"{counts[kind]} {word}" for kind, word in _WORDS.items() if counts[kind])
        return f"{len(self.outcomes)} input{'' if len(self.outcomes) == 1 else 's'}{': ' if told else ''}{told}"

    def __str__(self) -> str:
        failed = (*self.failed, *filter(None, [self.aggregation]))
        lines = [*map(_line, failed[:MOST_LINES]), *map(_line, self.not_run[: max(0, MOST_LINES - len(failed))])]
        rest = len(failed) + len(self.not_run) - len(lines)
        return "\n".join([self._heading(), *lines, *([f"… and {rest} more"] if rest else [])])

    def error_responses(self) -> list[dict[str, Any]]:
        """The document's error response of every failed input, in input order."""
        return [outcome.error_response() for outcome in self.failed]

    def write_failures(self, path: Place, pipeline: Pipeline[Any, Any, Any] | None = None) -> int:
        """Write the error response of every failed input to a file of JSON Lines; how many there were.

        Each line also holds what a retry needs: ``Processor.read_failures(path)`` gives the inputs back. Data is
        written by the declared types of the steps; of what would not come back equal, the line says why.
        The file is there whole or not at all, with mode 0600, and replaces an earlier one. ``pipeline`` is needed
        only for a result that was copied, or came from another process: that does not know its steps' types.
        """
        known: DeadLetters | None = vars(self).get("letters")
        letters = known if pipeline is None else DeadLetters(pipeline, known.registry if known else None)
        if letters is None:
            raise InvalidSetting("this result is a copy, which has not its steps' types; pass pipeline= as well")
        failed = ((outcome, item) for outcome, item in zip(self.outcomes, self.inputs, strict=True))
        again = [(outcome, self._again(item, outcome)) for outcome, item in failed if isinstance(outcome, Failed)]
        return letters.write(path, self.run_id, again)

    def failure_clusters(self) -> dict[tuple[str, str, str], list[Failed]]:
        """Failures that are probably one: by step, exception, and where it was raised (``file:line``).

        That is the innermost frame of the project's own code: not the standard library's, not an installed package's.
        """
        return groupby(_cluster, self.failed)

    def retry_inputs(self) -> list[ProcessorInput[Any]]:
        """All inputs as a retry takes them: what succeeded is marked completed, the rest goes on where it stopped."""
        return [self._again(item, outcome) for item, outcome in zip(self.inputs, self.outcomes, strict=True)]

    def retry_context(self) -> ExecutionContext:
        """The lineage of a retry of this run."""
        return ExecutionContext(
            parent_run_id=self.context.parent_run_id or self.context.run_id,
            previous_run_id=self.context.run_id,
            last_error_step=self._earliest_failing_step(),
            retry_count=self.context.retry_count + 1,
            execution_metadata=self.context.execution_metadata,
        )

    def _again(self, item: ProcessorInput[Any], outcome: Outcome[Any]) -> ProcessorInput[Any]:
        replace = msgspec.structs.replace
        match outcome:
            case Succeeded():
                seen = fingerprint.of_data(item.data)
                done = Completed(output=outcome.output, input_fingerprint=seen, code=self.code, run_id=self.run_id)
                return replace(item, payload=done)
            case Skipped():
                return replace(item, payload=_still_done(item, outcome))
            case Failed():
                if outcome.step in RESERVED:
                    return item
                return replace(item, payload=replace(outcome.payload, retry_count=outcome.payload.retry_count + 1))
            case NotRun():
                return item if outcome.payload is None else replace(item, payload=outcome.payload)
            case _:
                assert_never(outcome)

    def _earliest_failing_step(self) -> str | None:
        failing = {outcome.step for outcome in self.failed}
        return next((step for step in (*self.steps, *sorted(failing)) if step in failing), None)


def _still_done(item: ProcessorInput[Any], skipped: Skipped[Any]) -> Completed[Any]:
    """An output with the code and the data that made it; where the data is not known, it counts as unchanged."""
    done: Completed[Any] = Completed(output=skipped.output, run_id=skipped.run_id)
    if isinstance(item.payload, Completed):
        done = item.payload
    return msgspec.structs.replace(done, input_fingerprint=done.input_fingerprint or fingerprint.of_data(item.data))


def _line(outcome: Failed | NotRun) -> str:
    """An input that has no output, as one line of a printed result."""
    if isinstance(outcome, Failed):
        what = f"{outcome.step}  {outcome.exception}: {outcome.message:.200}"
    else:
        what = f"not run  {outcome.reason:.200}"
    told = f"{printable(outcome.input_id[:MOST_OF_AN_ID])}  {printable(' '.join(what.splitlines()))}"
    return told.lstrip()  # an aggregation is of no input


def _cluster(failed: Failed) -> tuple[str, str, str]:
    inwards = [frame for frame in failed.frames if is_project_file(frame[0])] or failed.frames
    where = next((f"{file}:{line}" for file, line, _ in reversed(inwards)), "")
    return failed.step, failed.exception, where


_WORDS: dict[type[Any], str] = {Succeeded: "succeeded", Skipped: "skipped", Failed: "failed", NotRun: "not run"}

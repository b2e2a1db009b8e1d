"""How a run ends: with its result, or with the exception that carries it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from pipeline.deadletters import DeadLetters
from pipeline.errors import JournalError, RunFailed, RunInterrupted
from pipeline.gather import Known, gather
from pipeline.model import Outcome
from pipeline.result import ProcessingResult
from pipeline.run import RunInProgress
from pipeline.story import tell_finish

_LOGGER = logging.getLogger("pipeline")


def end_batch(run: RunInProgress) -> ProcessingResult[Any, Any]:
    """The result of a run over a batch, or the exception that carries it."""
    outcomes = run.outcomes()
    known = Known(
        context=run.context,
        metrics=run.metrics(),
        steps=run.names,
        stopped=run.stopped,
        complete=run.broken is None,
        code=dict(run.settings.code()),
        letters=DeadLetters(run.pipeline, run.settings.rules.registry),
    )
    result = _gathered(run, outcomes, known)
    _tell_conflicts(result)
    finish(run, result.success)
    _raise_for(run, result)
    return result


def _gathered(run: RunInProgress, outcomes: list[Outcome[Any]], known: Known) -> ProcessingResult[Any, Any]:
    """The result, also where Ctrl-C ends the aggregate: that must not cost what was finished before."""
    try:
        return gather(run.items, outcomes, run.settings.aggregate, known)
    except KeyboardInterrupt:
        run.interrupt("interrupted while the outputs were aggregated; redo that with reaggregate")
        return gather(run.items, outcomes, _interrupted, known)


def _interrupted(outputs: Sequence[Any]) -> Any:
    raise InterruptedError(f"Ctrl-C came while {len(outputs)} outputs were aggregated")


def end_stream(run: RunInProgress) -> None:
    """The end of a run whose outcomes have been handed out."""
    finish(run, run.stopped is None and not run.tolerance.failures)
    _raise_for(run, None)


def finish(run: RunInProgress, success: bool) -> None:
    """Tell the journal and the observers that the run is over."""
    run.has_ended = True
    state = "succeeded" if success else "stopped" if run.stopped else "failed"
    if isinstance(run.broken, JournalError):
        run.recorder.abandon()
    try:
        in_doubt = run.broken_into or not isinstance(run.broken, JournalError | None)  # an outcome may have no row
        metrics = run.recorder.as_recorded(run.metrics()) if in_doubt else run.metrics()
        run.recorder.finish(state, run.stopped, metrics)
    except JournalError as error:
        run.fail(error)
    tell_finish(run, success)


def _tell_conflicts(result: ProcessingResult[Any, Any]) -> None:
    for conflict in result.conflicts:
        extra = {"run_id": result.run_id, "path": conflict.path, "input_ids": conflict.input_ids}
        _LOGGER.warning("inputs disagree about %s; the last one won", conflict.path, extra=extra)


def _raise_for(run: RunInProgress, result: ProcessingResult[Any, Any] | None) -> None:
    if run.broken is not None:
        raise RunFailed(f"{_reason(run, run.broken)}; what was finished by then is in .result", result) from run.broken
    if run.interrupted:
        raise RunInterrupted(run.stopped or "interrupted", result)


def _reason(run: RunInProgress, broken: Exception) -> str:
    error = f"{type(broken).__name__}: {broken}"
    if run.stopped is not None and error in run.stopped:
        return run.stopped
    whose = "" if isinstance(broken, JournalError) else "the inputs raised "
    return "; ".join(filter(None, [whose + error, run.stopped]))

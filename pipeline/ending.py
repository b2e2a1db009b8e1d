"""How a run ends: with its result, or with the exception that carries it."""

from __future__ import annotations

import logging
from typing import Any

from pipeline.deadletters import DeadLetters
from pipeline.errors import RunFailed, RunInterrupted
from pipeline.gather import Known, gather
from pipeline.result import ProcessingResult
from pipeline.run import RunInProgress

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
    result = gather(run.items, outcomes, run.settings.aggregate, known)
    _tell_conflicts(result)
    run.finish(result.success)
    _raise_for(run, result)
    return result


def end_stream(run: RunInProgress) -> None:
    """The end of a run whose outcomes have been handed out."""
    run.finish(run.stopped is None and not run.tolerance.failures)
    _raise_for(run, None)


def _tell_conflicts(result: ProcessingResult[Any, Any]) -> None:
    for conflict in result.conflicts:
        extra = {"run_id": result.run_id, "path": conflict.path, "input_ids": conflict.input_ids}
        _LOGGER.warning("inputs disagree about %s; the last one won", conflict.path, extra=extra)


def _raise_for(run: RunInProgress, result: ProcessingResult[Any, Any] | None) -> None:
    if run.broken is not None:
        reason = run.stopped or f"the inputs raised {type(run.broken).__name__}: {run.broken}"
        raise RunFailed(f"{reason}; what was finished by then is in .result", result) from run.broken
    if run.interrupted:
        raise RunInterrupted(run.stopped or "interrupted", result)

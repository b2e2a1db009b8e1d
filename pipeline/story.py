"""A run told as events and as records of the log: what one outcome, a start and an end mean to those who listen.

Nothing of an input is logged above DEBUG, and its data never: so neither what an exception says, which may repeat it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pipeline import events
from pipeline.model import Attempt, Failed, NotRun, Skipped, Succeeded
from pipeline.shown import quoted

if TYPE_CHECKING:
    from pipeline.plan import Run
    from pipeline.run import RunInProgress
    from pipeline.settle import Arrival


_LOGGER = logging.getLogger("pipeline")

NOTED: dict[str, type[events.Event]] = {
    "breaker_opened": events.BreakerOpened,
    "breaker_half_opened": events.BreakerHalfOpened,
    "breaker_closed": events.BreakerClosed,
    "cache_hit": events.StepReused,
}


def tell_start(run: RunInProgress) -> None:
    """The run begins."""
    _LOGGER.info("run started", extra={"run_id": run.context.run_id, "processor": run.settings.name})
    run.announcer.tell(
        events.RunStarted,
        processor=run.settings.name,
        steps=run.names,
        inputs=run.total,
        retry_count=run.context.retry_count,
    )


def tell_outcome(run: RunInProgress, arrival: Arrival, decision: Run | None, now: float) -> None:
    """One input's way through its steps, in order. Wall-clock times are counted back from ``now``."""
    outcome, input_id = arrival.outcome, arrival.item.input_id
    tell = run.announcer.tell
    for step in arrival.changed if decision is None else decision.changed:
        tell(events.CodeChanged, input_id=input_id, step=step)
    duration_s = 0.0
    if not isinstance(outcome, Skipped) and not arrival.kept:
        duration_s = outcome.duration_s
        _tell_steps(run, outcome, input_id, now - duration_s)
    for note in arrival.notes:
        tell(NOTED[note.what], input_id=input_id, step=note.step)
    status: Any = outcome.__struct_config__.tag
    tell(events.InputFinished, at=now, input_id=input_id, status=status, duration_s=duration_s)


def log_failure(run: RunInProgress, failed: Failed) -> None:
    """One input that failed, for who debugs a run."""
    if _LOGGER.isEnabledFor(logging.DEBUG):
        extra = {"run_id": run.context.run_id, "input_id": failed.input_id, "step": failed.step}
        told = quoted(failed.input_id), failed.step, failed.exception, failed.kind
        _LOGGER.debug("input %s failed at step %r with %s (%s)", *told, extra=extra)


def tell_finish(run: RunInProgress, success: bool) -> None:
    """The run is over."""
    metrics = run.metrics()
    good, bad, left = metrics.succeeded + metrics.skipped, metrics.failed, metrics.not_run
    extra = {"run_id": run.context.run_id, "processor": run.settings.name, "success": success}
    _LOGGER.info("run ended: %d succeeded, %d failed, %d not run", good, bad, left, extra=extra)
    run.announcer.tell(
        events.RunFinished,
        success=success,
        succeeded=good,
        failed=bad,
        not_run=left,
        duration_s=metrics.duration_s,
        stopped=run.stopped,
    )


def _tell_steps(run: RunInProgress, outcome: Succeeded[Any] | Failed | NotRun, input_id: str, began: float) -> None:
    tell = run.announcer.tell
    if outcome.steps:
        tell(events.InputStarted, at=began, input_id=input_id, step=outcome.steps[0])
    at = began
    for step, duration_s in outcome.step_durations_s.items():
        tell(events.StepStarted, at=at, input_id=input_id, step=step)
        at += duration_s
        tries = [attempt for attempt in outcome.attempts if attempt.step == step]
        failed = isinstance(outcome, Failed) and step == outcome.step
        _tell_tries(run, input_id, tries[:-1] if failed else tries, at)
        if not failed:
            tell(events.StepFinished, at=at, input_id=input_id, step=step, duration_s=duration_s)
    has_failed = isinstance(outcome, Failed)
    followed = outcome.attempts[:-1] if has_failed else outcome.attempts
    _tell_tries(run, input_id, [each for each in followed if each.step not in outcome.steps], at)  # workers died
    if isinstance(outcome, Failed):
        tell(
            events.StepFailed,
            at=at,
            input_id=input_id,
            step=outcome.step,
            kind=outcome.kind,
            exception=outcome.exception,
            message=outcome.message,
            duration_s=outcome.step_durations_s.get(outcome.step, 0.0),
        )


def _tell_tries(run: RunInProgress, input_id: str, tries: Sequence[Attempt], at: float) -> None:
    for attempt in tries:
        exception, message = attempt.exception, attempt.message
        run.announcer.tell(
            events.StepRetried, at=at, input_id=input_id, step=attempt.step, exception=exception, message=message
        )

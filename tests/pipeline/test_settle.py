"""What becomes of an input whose worker died, whose runner lost it, or that was in flight when its run stopped."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline import Failed, JournalError, NotRun, Payload, ProcessorInput, Succeeded
from pipeline.errors import RunOwned
from pipeline.plan import Run
from pipeline.settle import Dispatched, Settler, raise_unkept
from pipeline.stepwise import Unkept
from runners import Crash

SETTLER = Settler(("read", "double", "label"), lambda: {"read": "code of read"})
ITEM: ProcessorInput[str] = ProcessorInput(input_id="doc", data="7")
KILLED = Crash(kind="crash", exception="WorkerDied", message="killed by SIGKILL")


def dispatched(index: int, value: Any, payload: Payload | None = None, *, further_on: bool = False) -> Dispatched:
    return Dispatched(0, ITEM, Run(index, value, "a reason", payload), is_further_on=further_on)


def crashed(at: Dispatched, crash: Crash = KILLED) -> Failed:
    outcome = SETTLER.settle(at, crash)
    assert isinstance(outcome, Failed)
    return outcome


def stopped(at: Dispatched) -> NotRun:
    outcome = SETTLER.not_given_back(at, "the run was cancelled")
    assert isinstance(outcome, NotRun)
    return outcome


def test_an_input_whose_worker_died_goes_on_where_it_had_started() -> None:
    failed = crashed(dispatched(1, 7))

    assert (failed.input_id, failed.step, failed.kind, failed.exception) == ("doc", "double", "crash", "WorkerDied")
    assert failed.message == "killed by SIGKILL"
    assert (failed.payload.step, failed.payload.data, failed.payload.message) == ("double", 7, failed.message)
    assert failed.payload.code == {"read": "code of read"}
    assert failed.payload.input_fingerprint is not None


@pytest.mark.parametrize(
    ("mark", "message"),
    [
        (2, "killed by SIGKILL (in step 'label')"),
        (1, "killed by SIGKILL"),
        (0, "killed by SIGKILL (in step 'read')"),
        (3, "killed by SIGKILL"),
        (-1, "killed by SIGKILL"),
    ],
)
def test_the_step_in_which_it_died_is_told_where_it_is_known_and_another(mark: int, message: str) -> None:
    crash = Crash(kind="crash", exception="WorkerDied", message="killed by SIGKILL", mark=mark)

    failed = crashed(dispatched(1, 7), crash)

    assert failed.message == failed.payload.message == failed.attempts[0].message == message
    assert failed.step == failed.payload.step == "double"


@pytest.mark.parametrize(("kind", "retryable"), [("crash", True), ("timeout", True), ("invalid", False)])
def test_a_crash_is_one_failed_try_and_passes_unless_the_datum_is_to_blame(kind: Any, retryable: bool) -> None:
    frames = (("steps.py", 3, "double"),)
    crash = Crash(kind=kind, exception="Gone", message="gone", duration_s=1.5, frames=frames)

    failed = crashed(dispatched(1, 7), crash)

    (attempt,) = failed.attempts
    assert (attempt.step, attempt.exception, attempt.message, attempt.kind) == ("double", "Gone", "gone", kind)
    assert (attempt.duration_s, attempt.frames) == (1.5, frames)
    assert (failed.kind, failed.frames, failed.retryable) == (kind, frames, retryable)


def test_an_input_that_was_edited_or_retried_before_still_is() -> None:
    earlier = Payload(step="double", data=7, retry_count=2, edited=True)

    failed = crashed(dispatched(1, 7, earlier))

    assert (failed.payload.retry_count, failed.payload.edited) == (2, True)
    assert (crashed(dispatched(1, 7)).payload.retry_count, crashed(dispatched(1, 7)).payload.edited) == (0, False)


@pytest.mark.parametrize("back", ["crash", "stop"])
def test_what_every_step_had_been_kept_of_has_ended_whatever_became_of_its_worker(back: str) -> None:
    at = dispatched(3, "no. 14", further_on=True)

    outcome = SETTLER.settle(at, KILLED) if back == "crash" else SETTLER.not_given_back(at, "the run was cancelled")

    assert isinstance(outcome, Succeeded)
    assert (outcome.input_id, outcome.output) == ("doc", "no. 14")


def test_an_input_that_the_runner_lost_failed_and_the_runner_is_to_blame() -> None:
    failed = SETTLER.not_given_back(dispatched(1, 7), None)

    assert isinstance(failed, Failed)
    assert (failed.exception, failed.kind, failed.step) == ("LostByRunner", "crash", "double")
    assert failed.message == "the runner ended without a result for this input"


def test_an_input_in_flight_that_had_started_anew_starts_anew() -> None:
    not_run = stopped(dispatched(0, "7"))

    assert (not_run.input_id, not_run.step, not_run.payload) == ("doc", "read", None)
    assert not_run.reason == "in flight when the run was cancelled"


def test_an_input_in_flight_that_was_going_on_keeps_its_place_and_why_it_was_there() -> None:
    earlier = Payload(step="double", data=6, exception="TimeoutError", message="busy", retry_count=1)

    not_run = stopped(dispatched(1, 7, earlier))

    assert not_run.step == "double"
    assert not_run.payload is not None
    assert (not_run.payload.step, not_run.payload.data, not_run.payload.retry_count) == ("double", 7, 1)
    assert (not_run.payload.exception, not_run.payload.message) == ("TimeoutError", "busy")
    assert not not_run.payload.checkpoint


def test_an_input_in_flight_goes_on_at_its_checkpoint_which_is_no_failure() -> None:
    started = dispatched(0, "7")

    not_run = stopped(started.further_on((2, 14)))

    assert not_run.step == "label"
    assert not_run.payload is not None
    assert (not_run.payload.step, not_run.payload.data, not_run.payload.checkpoint) == ("label", 14, True)
    assert (not_run.payload.exception, not_run.payload.message) == ("", "")


def test_without_a_checkpoint_it_is_where_it_started() -> None:
    started = dispatched(0, "7")

    further = started.further_on((2, 14))

    assert started.further_on(None) is started
    assert (further.place, further.item, further.is_further_on) == (0, ITEM, True)
    assert (further.decision.index, further.decision.value, further.decision.reason) == (2, 14, "a reason")


@pytest.mark.parametrize(("exception", "raised"), [("RunOwned", RunOwned), ("JournalError", JournalError)])
def test_a_checkpoint_that_could_not_be_kept_ends_the_run_as_what_it_was(exception: str, raised: Any) -> None:
    with pytest.raises(JournalError, match=r"^the disk is full$") as told:
        raise_unkept((Unkept(exception, "the disk is full"), [0], ()))

    assert type(told.value) is raised
    raise_unkept(KILLED)
    raise_unkept(("an output", [0, 1], ()))

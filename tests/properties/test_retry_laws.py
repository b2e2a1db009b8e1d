"""Laws of retries, for any policy and any sequence of errors. Time is a fake clock's."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline import Failure, Pipeline, Result, Retry, Success, step
from pipeline.engine import Program, work_of
from pipeline.guard import Timing
from pipeline.testing import FakeClock


class Later(ConnectionError):
    def __init__(self, retry_after: float) -> None:
        super().__init__("later")
        self.retry_after = retry_after


ERRORS = st.sampled_from([TimeoutError("slow"), ValueError("bad"), "busy", "wrong"]) | st.builds(
    Later, st.floats(0, 50)
)
RETRIES = st.builds(
    Retry,
    on=st.just((TimeoutError, ConnectionError, "busy")),
    attempts=st.integers(1, 6),
    wait=st.floats(0, 5),
    max_wait=st.floats(5, 40),
    jitter=st.sampled_from(["full", "none"]),
    budget=st.none() | st.floats(0, 1),
)


def run(retry: Retry, errors: list[object], draws: float) -> tuple[FakeClock, int, object]:
    """The clock, the number of calls and the end of a step that meets these errors, then succeeds."""
    clock, calls = FakeClock(), list[object]()

    def call(value: int) -> Result[int, object]:
        calls.append(value)
        if len(calls) > len(errors):
            return Success(value)
        error = errors[len(calls) - 1]
        if isinstance(error, Exception):
            raise error
        return Failure(error)

    timing = Timing(clock.monotonic, clock.time, clock.sleep, clock.asleep, lambda: draws)
    pipeline = Pipeline.of([step("call", retry=retry)(call)])
    trace = work_of(Program(pipeline, timing=timing), on_loop=False)(("input", 0, 1))
    assert trace is not None
    return clock, len(calls), trace[0]


@given(RETRIES, st.lists(ERRORS, max_size=8), st.floats(0, 1))
def test_a_step_is_never_called_more_than_its_attempts(retry: Retry, errors: list[object], draws: float) -> None:
    _, calls, _ = run(retry, errors, draws)

    assert 1 <= calls <= retry.attempts


@given(RETRIES, st.lists(ERRORS, max_size=8), st.floats(0, 1))
def test_no_wait_is_longer_than_the_longest_and_none_follows_the_last_call(
    retry: Retry, errors: list[object], draws: float
) -> None:
    clock, calls, _ = run(retry, errors, draws)

    assert sum(clock.slept) <= (calls - 1) * retry.max_wait + 1e-6


@given(RETRIES, st.lists(ERRORS, max_size=8), st.floats(0, 1))
def test_an_error_that_does_not_pass_is_met_once(retry: Retry, errors: list[object], draws: float) -> None:
    _, calls, _ = run(retry, errors, draws)

    met = errors[:calls]
    assert not any(isinstance(error, ValueError) or error == "wrong" for error in met[:-1])


@given(RETRIES, st.lists(ERRORS, max_size=8), st.floats(0, 1))
def test_it_succeeds_exactly_if_a_call_did_and_every_failed_call_is_told(
    retry: Retry, errors: list[object], draws: float
) -> None:
    _, calls, end = run(retry, errors, draws)

    if calls > len(errors):
        assert end == 1
    else:
        assert [attempt.step for attempt in end.attempts] == ["call"] * calls  # type: ignore[attr-defined]

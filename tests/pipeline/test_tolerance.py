"""Early stop: a run that is lost stops, says why, and loses nothing over it."""

from __future__ import annotations

from math import comb, exp

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import InvalidSetting, Processor, step, to_inputs
from pipeline.tolerance import log_odds
from runners import Runner

down: set[str] = set()


@step("parse")
def parse(text: str) -> int:
    if text == "?":
        raise ValueError(text)
    return int(text)


@step("call")
def call(number: int) -> int:
    if "service" in down or number < 0:
        raise ConnectionError(f"no answer to {number}")
    return number


@pytest.fixture(autouse=True)
def up() -> None:
    down.clear()


def processor(**options: object) -> Processor[str, int, list[int]]:
    return Processor(pipeline=parse >> call, early_stop=True, **options)  # type: ignore[arg-type]


def test_when_the_first_dozen_fail_alike_the_rest_does_not_run_and_is_resumed_later() -> None:
    down.add("service")
    first = processor().execute(to_inputs(str(number) for number in range(30)))
    down.clear()

    again = processor().retry(first)

    assert first.stopped == "the first 12 inputs all failed alike, at 'call' with ConnectionError (early_stop)"
    assert (len(first.failed), len(first.not_run)) == (12, 18)
    assert {waiting.reason for waiting in first.not_run} == {first.stopped}
    assert again.output == list(range(30))


@pytest.mark.parametrize("spared", ["1", "?"], ids=["one succeeds", "one fails otherwise"])
def test_one_of_the_first_dozen_that_ends_otherwise_keeps_the_run_going(spared: str) -> None:
    texts = ["-1"] * 11 + [spared] + ["-1"] * 18

    result = processor().execute(to_inputs(texts))

    assert result.stopped is None
    assert len(result.outcomes) == len(result.failed) + len(result.succeeded)


def test_it_is_off_unless_asked_for() -> None:
    result = Processor(pipeline=parse >> call).execute(to_inputs(["-1"] * 30))

    assert result.stopped is None
    assert len(result.failed) == 30


def test_a_ratio_that_cannot_be_kept_stops_the_run_before_it_is_exceeded() -> None:
    texts = ["1", *["-1", "?"] * 10, *["1"] * 979]

    stopped = processor(max_failures=0.1).execute(to_inputs(texts))
    tolerant = Processor(pipeline=parse >> call, max_failures=0.1).execute(to_inputs(texts))

    assert stopped.stopped == "9 of the first 10 inputs failed, more than max_failures=0.1 can bear (early_stop)"
    assert len(stopped.not_run) == 990
    assert tolerant.stopped is None


def test_inputs_that_do_not_belong_are_no_sample_of_the_others() -> None:
    strangers = list(to_inputs(["1"] * 12, account_id="other"))
    own = list(to_inputs(["2"] * 3, key=lambda text: "own", account_id="acc"))[:1]

    result = processor(account_id="acc", prevalidation="isolate").execute([*strangers, *own])

    assert result.stopped is None
    assert [outcome.output for outcome in result.succeeded] == [2]


def test_it_stops_on_every_runner(every_runner: Runner) -> None:
    result = processor(runner=every_runner).execute(to_inputs(["-1"] * 30_000))

    assert result.stopped is not None
    assert "early_stop" in result.stopped
    assert len(result.outcomes) == 30_000
    assert len(result.not_run) > 0


def test_a_choice_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidSetting, match="early_stop='yes' is neither True nor False"):
        Processor(pipeline=call, early_stop="yes")  # type: ignore[arg-type]


@given(st.integers(1, 80).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.01, 0.99))
def test_the_odds_are_never_less_than_the_binomial_tail(counts: tuple[int, int], ratio: float) -> None:
    failures, finished = counts

    tail = sum(comb(finished, k) * ratio**k * (1 - ratio) ** (finished - k) for k in range(failures, finished + 1))

    assert exp(log_odds(failures, finished, ratio)) >= tail * (1 - 1e-9)

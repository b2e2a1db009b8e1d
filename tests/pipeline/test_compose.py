"""A pipeline as a value: what it is made of, how it is cut, and what one value becomes in it."""

from __future__ import annotations

import asyncio
import pickle
from typing import Any, cast

import pytest

from pipeline import Failure, InvalidStep, Pipeline, Result, StepContext, StepMismatch, UnknownStep, configurable, step


@step("read")
def read(text: str) -> int:
    return int(text)


@step("fetch", aliases=("load",))
async def fetch(n: int) -> int:
    await asyncio.sleep(0)
    return n + 1


@step("label")
def label(n: int) -> Result[str, str]:
    return Failure("too large") if n > 9 else Result.from_value(f"no. {n}")


@step("where")
def where(n: int, context: StepContext) -> str:
    return f"{n} of {context.step}"


WHOLE = read >> fetch >> label


def test_one_value_goes_through_async_and_plain_steps_and_the_same_on_a_loop_that_runs() -> None:
    assert WHOLE("1").unwrap() == asyncio.run(WHOLE.acall("1")).unwrap() == "no. 2"
    assert (read >> label)("1").unwrap() == asyncio.run((read >> label).acall("1")).unwrap() == "no. 1"


@pytest.mark.parametrize(
    ("value", "step", "error", "message", "entered"),
    [("x", "read", ValueError, "invalid literal", "x"), ("9", "label", str, "too large", 10)],
)
def test_one_value_that_fails_tells_the_step_the_error_and_what_entered_it(
    value: str, step: str, error: type, message: str, entered: Any
) -> None:
    for failure in (WHOLE(value).failure(), asyncio.run(WHOLE.acall(value)).failure()):
        assert (failure.step, failure.payload.step, failure.payload.data) == (step, step, entered)
        assert isinstance(failure.error, error)
        assert message in failure.payload.message
        assert failure.payload.exception == ("ValueError" if error is ValueError else "Failure")


def test_an_async_step_that_fails_tells_what_entered_it() -> None:
    @step("refuse")
    async def refuse(n: int) -> int:
        await asyncio.sleep(0)
        raise LookupError(n)

    for failure in ((read >> refuse)("3").failure(), asyncio.run((read >> refuse).acall("3")).failure()):
        assert (failure.step, failure.payload.data, failure.payload.exception) == ("refuse", 3, "LookupError")


def test_one_value_resumes_at_a_step_by_name_or_object() -> None:
    assert WHOLE.resume("label", 3).unwrap() == WHOLE.resume(label, 3).unwrap() == "no. 3"
    assert WHOLE.resume("fetch", 3).unwrap() == "no. 4"


def test_a_step_is_replaced_in_its_place_and_the_pipeline_stays_as_it_was() -> None:
    @step("double")
    def double(n: int) -> int:
        return 2 * n

    changed = WHOLE.replace("fetch", double)

    assert changed.names == ("read", "double", "label")
    assert changed("2").unwrap() == "no. 4"
    assert WHOLE.names == ("read", "fetch", "label")
    assert WHOLE.replace("read", step("parse")(len)).names == ("parse", "fetch", "label")
    assert WHOLE.replace("label", step("name")(str)).names == ("read", "fetch", "name")


def test_a_step_that_is_not_there_cannot_be_replaced_and_a_guess_is_given() -> None:
    with pytest.raises(
        UnknownStep, match=r"no step 'fetsh' in pipeline \(read >> fetch >> label\); did you mean 'fetch'"
    ):
        WHOLE.replace("fetsh", label)


def test_a_pipeline_has_steps_by_name_and_by_object() -> None:
    assert "read" in WHOLE
    assert read in WHOLE
    assert "load" not in WHOLE  # an earlier name finds payloads only
    assert where not in WHOLE
    assert 3 not in WHOLE
    assert [part.name for part in WHOLE] == list(WHOLE.names)
    assert (len(WHOLE), WHOLE.index("label"), WHOLE.index(fetch)) == (3, 2, 1)


def test_a_step_of_another_pipeline_is_no_place_to_cut() -> None:
    with pytest.raises(UnknownStep, match=r"cut with one of its own steps"):
        WHOLE[where:]


def test_an_earlier_name_of_a_step_is_found() -> None:
    assert (WHOLE.find("load"), WHOLE.find("fetch"), WHOLE.find("unknown")) == (1, 1, None)


def test_pipelines_of_the_same_steps_are_equal_also_after_pickling() -> None:
    again = Pipeline(read) >> fetch >> label

    assert again == WHOLE
    assert hash(again) == hash(WHOLE) != hash(WHOLE[:2])
    assert pickle.loads(pickle.dumps(WHOLE)) == WHOLE
    assert WHOLE[:2] != WHOLE
    assert WHOLE.steps != WHOLE


def test_a_pipeline_shows_its_steps() -> None:
    assert repr(WHOLE) == "<Pipeline read >> fetch >> label>"
    assert str(WHOLE) == "read >> fetch >> label"
    assert repr(WHOLE[:0]) == "<Pipeline (empty)>"


def test_a_pipeline_without_steps_gives_back_what_it_is_given() -> None:
    assert WHOLE[:0]("1").unwrap() == "1"


def test_a_pipeline_has_no_stride() -> None:
    backwards: Any = slice(None, None, -1)

    with pytest.raises(UnknownStep, match=r"a pipeline has no stride, got -1; steps run in their order"):
        WHOLE[backwards]


def test_it_is_async_where_a_step_is() -> None:
    assert WHOLE.is_async
    assert WHOLE[fetch:].is_async
    assert not WHOLE[label:].is_async


def test_a_step_that_asks_is_told_its_name_in_a_call_by_hand() -> None:
    assert (read >> where)("1").unwrap() == "1 of where"


@configurable("at least")
def at_least(n: int, *, least: int) -> int:
    return max(n, least)


@pytest.mark.parametrize(
    ("part", "cure"),
    [
        ([read, label], r"compose them: first >> second, or Pipeline\.of\(steps\)"),
        ((read,), r"compose them: first >> second"),
        (at_least, "call it with its settings, which gives the step"),
        (len, r"make a step of it with step\(fn\) or @step\('name'\)"),
    ],
)
def test_what_is_no_step_says_how_to_make_one(part: Any, cure: str) -> None:
    for compose in (lambda: WHOLE >> part, lambda: WHOLE.then(part), lambda: part >> WHOLE, lambda: Pipeline(part)):
        with pytest.raises(InvalidStep, match=f"a pipeline is made of steps, got .*; {cure}"):
            compose()


def test_then_is_the_same_as_the_arrow() -> None:
    assert read.then(fetch).then(label) == WHOLE == Pipeline(read).then(fetch >> label)


@pytest.mark.parametrize(
    ("before", "after"),
    [(int, float), (bool, int), (bool, complex), (object, str), (str, object), (type(None), str), (int, Any)],
)
def test_types_that_may_fit_are_let_be(before: Any, after: Any) -> None:
    Pipeline.of([returning(before), taking(after)]).check_types()


@pytest.mark.parametrize(("before", "after"), [(int, str), (float, int), (list, dict), (str, bytes)])
def test_types_that_cannot_fit_are_told_with_both_steps(before: Any, after: Any) -> None:
    told = f"step 'after' takes {after.__name__}, but 'before' before it gives {before.__name__}; put a step between"

    with pytest.raises(StepMismatch, match=told):
        Pipeline.of([returning(before), taking(after)]).check_types()


def returning(declared: Any) -> Any:
    def before(value: int) -> Any:
        return value

    before.__annotations__["return"] = declared
    return step("before")(before)


def taking(declared: Any) -> Any:
    def after(value: Any) -> int:
        return cast("int", value)

    after.__annotations__["value"] = declared
    return step("after")(after)

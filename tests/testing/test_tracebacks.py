"""A failing check of the kit is shown by pytest as the line of the test that made it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pipeline import Processor, Succeeded, step, to_inputs
from pipeline.testing import LawBroken, assert_outcome, check_resume, laws
from runners import SequentialRunner
from runners.testing import check_runner


@step("grows")
def grows(numbers: list[int]) -> int:
    numbers.append(1)
    return len(numbers)


class Forgetful(SequentialRunner):
    def run(self, func: Callable[[Any], Any], inputs: Any) -> list[Any]:
        return super().run(func, inputs)[:1]


def check_of_a_pipeline() -> None:
    law = laws.the_payload_holds_what_entered_the_step
    check_resume(grows, [[1]], runners=[SequentialRunner()], laws=[law], examples=1)


def check_of_a_runner() -> None:
    check_runner(Forgetful)


def check_of_an_outcome() -> None:
    assert_outcome(Processor(pipeline=grows).execute(to_inputs([[1]])), "input-1", Succeeded, output=7)


@pytest.mark.parametrize("check", [check_of_a_pipeline, check_of_a_runner, check_of_an_outcome])
def test_the_last_line_that_pytest_shows_is_the_callers(check: Callable[[], None]) -> None:
    with pytest.raises(AssertionError) as caught:
        check()

    assert caught.traceback.filter(caught)[-1].name == check.__name__
    assert isinstance(caught.value, LawBroken) == (check is check_of_a_pipeline)

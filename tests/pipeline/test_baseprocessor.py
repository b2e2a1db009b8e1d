"""The document's class style, where the document itself has no example."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline import BaseProcessor, Failure, InvalidSetting, ProcessorInput, Result, Success
from runners import AsyncRunner, ProcessRunner, Runner, SequentialRunner, ThreadRunner


class Waiting(BaseProcessor[str, int, float, dict[str, float]]):
    PROCESSOR_NAME = "waiting"

    async def _validate(self, data: str) -> int:
        return int(data)

    async def _process(self, data: int) -> Result[float, str]:
        return Success(12 / data) if data else Failure("nothing to divide by")

    def _extract(self, data: float) -> dict[str, float]:
        return {"quotient": data}


@pytest.mark.parametrize("runner", [SequentialRunner(), ThreadRunner(2), AsyncRunner(2), ProcessRunner(1)], ids=repr)
def test_methods_may_be_async(runner: Runner) -> None:
    processor = Waiting(runner=runner)
    result = processor.execute([ProcessorInput(input_id=data, data=data) for data in ("4", "0", "x")])

    assert [outcome.output for outcome in result.succeeded] == [{"quotient": 3.0}]
    assert [(failed.input_id, failed.step) for failed in result.failed] == [("0", "processing"), ("x", "validation")]


class WithoutItsBase(Waiting):
    def __init__(self, account_id: str) -> None:
        self.account_id = account_id


@pytest.mark.parametrize("ask", ["processor", "runner", "pipeline"])
def test_an_init_that_forgets_its_base_is_told_so(ask: str) -> None:
    with pytest.raises(InvalidSetting, match=r"WithoutItsBase has no processor: .* super\(\)\.__init__\(account_id"):
        getattr(WithoutItsBase("acc_123"), ask)


def test_executing_it_tells_the_same() -> None:
    inputs: list[ProcessorInput[Any]] = []

    with pytest.raises(InvalidSetting, match="has to call super"):
        WithoutItsBase("acc_123").execute(inputs)

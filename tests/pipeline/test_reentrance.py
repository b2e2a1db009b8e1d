"""A processor holds no state of a run: it runs wherever it is called, within a run too, and at once in many places."""

from __future__ import annotations

import asyncio
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pipeline import Event, ProcessingResult, Processor, step, to_inputs
from runners import AsyncRunner, ProcessRunner, Runner, SequentialRunner, ThreadRunner


@step("parse")
def parse(text: str) -> int:
    return int(text)


def inner(runner: Runner) -> Processor[str, int, Any]:
    return Processor(pipeline=parse, runner=runner)


def summary(result: ProcessingResult[Any, Any]) -> list[Any]:
    return [getattr(outcome, "output", None) for outcome in result.outcomes]


def test_threads_may_call_one_processor_at_once(every_runner: Runner) -> None:
    processor = inner(every_runner)

    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(lambda n: processor.execute(to_inputs([str(n), "x", str(n + 1)])), range(8)))

    assert [summary(result) for result in results] == [[n, None, n + 1] for n in range(8)]
    assert len({result.run_id for result in results}) == 8


@step("sequential")
def in_sequence(text: str) -> list[Any]:
    return summary(inner(SequentialRunner()).execute(to_inputs([text, "x"])))


@step("threads")
def in_threads(text: str) -> list[Any]:
    return summary(inner(ThreadRunner(2)).execute(to_inputs([text, "x"])))


@step("processes")
def in_processes(text: str) -> list[Any]:
    return summary(inner(ProcessRunner(1)).execute(to_inputs([text, "x"])))


@step("loop")
async def on_a_loop(text: str) -> list[Any]:
    return summary(await inner(AsyncRunner()).aexecute(to_inputs([text, "x"])))


def test_a_step_may_run_a_batch_of_its_own_on_any_runner_on_any_runner(every_runner: Runner) -> None:
    for nested in (in_sequence, in_threads, in_processes, on_a_loop):
        assert Processor(pipeline=nested, runner=every_runner).execute(to_inputs(["1", "2"])).output == [
            [1, None],
            [2, None],
        ]


class Asking:
    """An observer that runs a batch of its own at the first event, with a processor that may be the one observed."""

    def __init__(self) -> None:
        self.processor: Processor[str, int, Any] | None = None
        self.result: ProcessingResult[int, Any] | None = None

    def on_event(self, event: Event) -> None:
        processor, self.processor = self.processor, None
        if processor is not None:
            self.result = processor.execute(to_inputs(["7", "x"]))


def test_an_observer_may_run_a_batch_with_the_processor_it_observes(every_runner: Runner) -> None:
    asking = Asking()
    observed = Processor(pipeline=parse, runner=every_runner, observers=[asking])
    asking.processor = observed

    result = observed.execute(to_inputs(["1", "x"]))

    assert summary(result) == [1, None]
    assert asking.result is not None
    assert summary(asking.result) == [7, None]


def test_a_batch_may_run_where_a_loop_is_running_with_and_without_blocking_it(every_runner: Runner) -> None:
    async def both() -> list[list[Any]]:
        blocking = inner(every_runner).execute(to_inputs(["1", "x"]))
        awaited = await asyncio.gather(*(inner(every_runner).aexecute(to_inputs([text, "x"])) for text in "234"))
        return [summary(result) for result in (blocking, *awaited)]

    assert asyncio.run(both()) == [[1, None], [2, None], [3, None], [4, None]]


def test_a_processor_goes_to_another_process_and_works_there() -> None:
    sent: Processor[str, int, Any] = pickle.loads(pickle.dumps(inner(ThreadRunner(2))))

    assert summary(sent.execute(to_inputs(["1", "x"]))) == [1, None]

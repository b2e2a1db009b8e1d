"""One trial of a pipeline: a few inputs, a few faults and a runner, with everything that laws look at.

Each run is made once, when a law first asks for it:

    passages   every input through the steps by hand: what is expected
    first      a run with the faults
    again      the retry of it, without them
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from pipeline.codec import Registry
from pipeline.compose import Pipeline
from pipeline.crossing import check_crossing
from pipeline.errors import NotPicklable
from pipeline.model import ExecutionContext, ProcessorInput
from pipeline.processor import Processor
from pipeline.result import ProcessingResult
from pipeline.testing.faults import Fault, inject
from pipeline.testing.fresh import FreshProcess
from pipeline.testing.passage import SCOPE, Passage, by_hand
from pipeline.testing.sameness import copied
from pipeline.testing.watched import calls_in, watched
from runners import Runner, SequentialRunner


class Ran(msgspec.Struct, frozen=True):
    """A run: its result, and the steps that were called, by input, as an independent witness saw them."""

    result: ProcessingResult[Any, Any]
    calls: Mapping[str, tuple[str, ...]]


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """What all trials of one check have in common."""

    pipeline: Pipeline[Any, Any, Any]
    runners: tuple[Runner, ...]
    registry: Registry | None = None
    idempotent: Mapping[str, Callable[[], object]] = {}
    fresh: FreshProcess | None = None


class Trial:
    """Inputs, faults and the runner for ``first`` and ``again``; ``calls`` of their steps are witnessed in a file."""

    def __init__(
        self, subject: Subject, inputs: Sequence[ProcessorInput[Any]], faults: Sequence[Fault], runner: Runner
    ) -> None:
        self.subject: Subject = subject
        self.pipeline: Pipeline[Any, Any, Any] = subject.pipeline
        self.faults: tuple[Fault, ...] = tuple(faults)
        self.runner: Runner = runner if _can_run(self.pipeline, runner) else SequentialRunner()
        self._inputs: tuple[ProcessorInput[Any], ...] = tuple(inputs)

    @property
    def inputs(self) -> list[ProcessorInput[Any]]:
        """The inputs, with data of their own each time: a step that changes it does so to itself alone."""
        return [msgspec.structs.replace(item, data=copied(item.data)) for item in self._inputs]

    @cached_property
    def passages(self) -> dict[str, Passage]:
        """Every input by hand, one after the other."""
        return {item.input_id: by_hand(self.pipeline, item) for item in self.inputs}

    @cached_property
    def first(self) -> Ran:
        """The run with the faults."""
        return self.run(self.inputs, None, *self.faults)

    @cached_property
    def again(self) -> Ran:
        """The retry of ``first`` after the faults are repaired."""
        return self.retry(self.first.result)

    def runs(self) -> Iterator[Ran]:
        """``first``, then ``again``, which is run only then."""
        yield self.first
        yield self.again

    def retry(self, earlier: ProcessingResult[Any, Any], *faults: Fault) -> Ran:
        """A retry of an earlier run with these faults."""
        return self.run(earlier.retry_inputs(), earlier.retry_context(), *faults)

    def run(self, inputs: Sequence[ProcessorInput[Any]], context: ExecutionContext | None, *faults: Fault) -> Ran:
        """A witnessed run with these faults."""
        with tempfile.TemporaryDirectory(prefix="check_resume") as folder:
            witness = Path(folder, "calls")
            processor = self.processor(watched(inject(self.pipeline, *faults), witness), self.runner)
            result = processor.execute(inputs, context)
            return Ran(result, calls_in(witness))

    def processor(self, pipeline: Pipeline[Any, Any, Any], runner: Runner) -> Processor[Any, Any, Any]:
        """A processor as laws use it."""
        return Processor(name=SCOPE, pipeline=pipeline, runner=runner, registry=self.subject.registry)

    def stop(self, input_id: str) -> tuple[int, Fault | None]:
        """Where an input is to stop in ``first``, as the number of steps it enters, and the fault that stops it."""
        entered = len(self.passages[input_id].calls)
        striking = [fault for fault in self.faults if fault.strikes(input_id)]
        places = [self.pipeline.index(fault.step) for fault in striking]
        place = min(places, default=entered)
        return (place + 1, striking[places.index(place)]) if place < entered else (entered, None)

    def size(self) -> int:
        """How much there is to read: of two trials that break a law, the smaller one is told."""
        return sum(len(repr(item.data)) + 10 for item in self._inputs) + 10 * len(self.faults)


def _can_run(pipeline: Pipeline[Any, Any, Any], runner: Runner) -> bool:
    if not runner.crosses_processes:
        return True
    try:
        check_crossing(pipeline)
    except NotPicklable:
        return False
    return True

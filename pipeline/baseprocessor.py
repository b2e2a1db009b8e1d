"""The document's class style: three methods, composed into the same pipeline as three steps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, ClassVar, Generic, TypeAlias

from returns.result import Result
from typing_extensions import TypeVar, Unpack

from pipeline.aggregate import merge_factors
from pipeline.compose import Pipeline
from pipeline.errors import InvalidSetting
from pipeline.model import ExecutionContext, ProcessorInput
from pipeline.processor import Processor
from pipeline.result import ProcessingResult
from pipeline.selection import Lift, Only
from pipeline.settings import CommonOptions
from pipeline.step import Step, step
from runners import Runner, SequentialRunner

Doc = TypeVar("Doc", default=Any)
Valid = TypeVar("Valid", default=Any)
Proc = TypeVar("Proc", default=Any)
Out = TypeVar("Out", default=Any)

Answer: TypeAlias = Out | Result[Out, Any] | Awaitable[Out | Result[Out, Any]]
"""What one of the three methods may give: a value or a ``Result``, now or, when it is async, later."""


class BaseProcessor(ABC, Generic[Doc, Valid, Proc, Out]):
    """A processor of three steps: ``validation`` → ``processing`` → ``extraction``.

    A subclass sets ``PROCESSOR_NAME`` and writes ``_validate``, ``_process`` and ``_extract``; each returns a value
    or a ``Result``, or raises, and may be async.
    On a ``ProcessRunner`` the instance is sent to the workers without its processor.

    >>> class Doubling(BaseProcessor):
    ...     PROCESSOR_NAME = "doubling"
    ...     def _validate(self, data): return int(data)
    ...     def _process(self, data): return data * 2
    ...     def _extract(self, data): return {"doubled": data}
    >>> processor = Doubling("acc_123", "uw_456")
    >>> make = lambda data: ProcessorInput(input_id="doc_1", account_id="acc_123", underwriting_id="uw_456", data=data)
    >>> processor.execute([make("21")]).output
    {'doubled': 42}
    >>> processor.execute([make("x")]).failed[0].step
    'validation'
    """

    PROCESSOR_NAME: ClassVar[str]
    STEP_METHODS: ClassVar[dict[str, str]] = {
        "validation": "_validate",
        "processing": "_process",
        "extraction": "_extract",
    }

    def __init__(
        self,
        account_id: str | None = None,
        underwriting_id: str | None = None,
        runner: Runner | None = None,
        *,
        aggregate: Callable[[Sequence[Any]], Any] = merge_factors,
        **options: Unpack[CommonOptions],
    ) -> None:
        if not getattr(self, "PROCESSOR_NAME", None):
            raise InvalidSetting(f"{type(self).__name__} needs a name: PROCESSOR_NAME = 'bank_statement'")
        self.account_id = account_id
        self.underwriting_id = underwriting_id
        self._processor: Processor[Doc, Out, Any] | None = Processor(
            name=self.PROCESSOR_NAME,
            pipeline=self._pipeline(),
            aggregate=aggregate,
            account_id=account_id,
            underwriting_id=underwriting_id,
            runner=runner or SequentialRunner(),
            **options,
        )

    @abstractmethod
    def _validate(self, data: Doc) -> Answer[Valid]:
        """Check an input and give what ``_process`` takes."""

    @abstractmethod
    def _process(self, data: Valid) -> Answer[Proc]:
        """Transform it into what ``_extract`` takes."""

    @abstractmethod
    def _extract(self, data: Proc) -> Answer[Out]:
        """Give the factors."""

    @property
    def processor(self) -> Processor[Doc, Out, Any]:
        """The processor that runs the three methods; it has ``plan``, ``stream``, ``aexecute`` and more."""
        made: Processor[Doc, Out, Any] | None = self.__dict__.get("_processor")
        if made is None:
            raise InvalidSetting(
                f"{type(self).__name__} has no processor: its __init__ has to call super().__init__(account_id, "
                "underwriting_id, runner), and in a worker process there is none"
            )
        return made

    @property
    def runner(self) -> Runner:
        """The runner the inputs are worked on."""
        return self.processor.runner

    @property
    def pipeline(self) -> Pipeline[Doc, Out, Any]:
        """The three methods as a pipeline."""
        return self.processor.pipeline

    def execute(
        self, data: Iterable[ProcessorInput[Doc]], context: ExecutionContext | None = None
    ) -> ProcessingResult[Out, Any]:
        """Execute the pipeline on every input; see ``Processor.execute``."""
        return self.processor.execute(data, context)

    def retry(
        self, result: ProcessingResult[Out, Any], *, only: Only = None, lift: Lift = False
    ) -> ProcessingResult[Out, Any]:
        """Go on with what did not succeed; see ``Processor.retry``."""
        return self.processor.retry(result, only=only, lift=lift)

    def resume(self, run_id: str | None = None, *, only: Only = None, lift: Lift = False) -> ProcessingResult[Out, Any]:
        """Go on with a run of the journal; see ``Processor.resume``."""
        return self.processor.resume(run_id, only=only, lift=lift)

    def _pipeline(self) -> Pipeline[Any, Any, Any]:
        methods = self.STEP_METHODS.items()
        steps: list[Step[Any, Any, Any]] = [step(name)(getattr(self, method)) for name, method in methods]
        return Pipeline(*steps)

    def __getstate__(self) -> dict[str, Any]:
        """What workers need: everything but the processor, which holds the runner and the observers."""
        return {key: value for key, value in self.__dict__.items() if key != "_processor"}

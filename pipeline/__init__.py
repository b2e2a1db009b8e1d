"""Batches that do not lose work: named steps, typed results, and a retry that is a slice of the pipeline.

>>> from pipeline import Failure, Processor, Result, Success, step, to_inputs
>>> @step("validation")
... def validate(text: str) -> Result[float, str]:
...     return Success(float(text)) if text.isdigit() else Failure(f"not a number: {text!r}")
>>> processor = Processor(pipeline=validate, aggregate=sum)
>>> processor.execute(to_inputs(["1", "2"])).output
3.0
>>> processor.execute(to_inputs(["1", "two"])).failed[0].message
"not a number: 'two'"
"""

from __future__ import annotations

from returns.result import Failure, Result, Success

from pipeline.aggregate import Aggregate, Merged, collect, merge_factors
from pipeline.answer import is_failure, is_success
from pipeline.baseprocessor import BaseProcessor
from pipeline.batchstep import batch_step
from pipeline.compose import Pipeline, StepFailure
from pipeline.configurable import configurable
from pipeline.deadletters import read_failures
from pipeline.errors import (
    DeadLettersDamaged,
    DuplicateStep,
    ForgottenReturn,
    InputsNeeded,
    InvalidEdit,
    InvalidSetting,
    InvalidStep,
    JournalDamaged,
    JournalError,
    MergeConflict,
    NotPicklable,
    PipelineError,
    RunFailed,
    RunInterrupted,
    RunOwned,
    StepMismatch,
    UnknownInput,
    UnknownRun,
    UnknownStep,
    WrongAnswer,
    WrongResults,
)
from pipeline.events import Event, Observer
from pipeline.handle import Progress, RunHandle
from pipeline.inputs import to_inputs
from pipeline.journal import Journal, MemoryJournal, PostgresJournal, SqliteJournal
from pipeline.metrics import Metrics, StepMetrics
from pipeline.model import (
    Attempt,
    Completed,
    Conflict,
    ExecutionContext,
    Failed,
    NotRun,
    Outcome,
    Payload,
    Plan,
    PlannedInput,
    ProcessorInput,
    Skipped,
    Succeeded,
)
from pipeline.policies import Cache, CircuitBreaker, ConcurrencyLimit, RateLimit, Retry
from pipeline.processor import Processor
from pipeline.repeat import WorkerDied
from pipeline.result import ProcessingResult
from pipeline.selection import Selection
from pipeline.step import Step, step
from pipeline.stepcontext import StepContext

__all__ = [
    "Aggregate",
    "Attempt",
    "BaseProcessor",
    "Cache",
    "CircuitBreaker",
    "Completed",
    "ConcurrencyLimit",
    "Conflict",
    "DeadLettersDamaged",
    "DuplicateStep",
    "Event",
    "ExecutionContext",
    "Failed",
    "Failure",
    "ForgottenReturn",
    "InputsNeeded",
    "InvalidEdit",
    "InvalidSetting",
    "InvalidStep",
    "Journal",
    "JournalDamaged",
    "JournalError",
    "MemoryJournal",
    "MergeConflict",
    "Merged",
    "Metrics",
    "NotPicklable",
    "NotRun",
    "Observer",
    "Outcome",
    "Payload",
    "Pipeline",
    "PipelineError",
    "Plan",
    "PlannedInput",
    "PostgresJournal",
    "ProcessingResult",
    "Processor",
    "ProcessorInput",
    "Progress",
    "RateLimit",
    "Result",
    "Retry",
    "RunFailed",
    "RunHandle",
    "RunInterrupted",
    "RunOwned",
    "Selection",
    "Skipped",
    "SqliteJournal",
    "Step",
    "StepContext",
    "StepFailure",
    "StepMetrics",
    "StepMismatch",
    "Succeeded",
    "Success",
    "UnknownInput",
    "UnknownRun",
    "UnknownStep",
    "WorkerDied",
    "WrongAnswer",
    "WrongResults",
    "batch_step",
    "collect",
    "configurable",
    "is_failure",
    "is_success",
    "merge_factors",
    "read_failures",
    "step",
    "to_inputs",
]

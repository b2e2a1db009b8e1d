"""The data of a run: inputs, payloads, contexts, outcomes and results, all frozen.

Durations are in seconds, or in nanoseconds where the name ends in ``_ns``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeAlias

import msgspec
from typing_extensions import TypeVar

from pipeline.shown import printable

T_co = TypeVar("T_co", covariant=True, default=Any)
R_co = TypeVar("R_co", covariant=True, default=Any)

FailureKind: TypeAlias = Literal["error", "invalid", "timeout", "crash", "cancelled"]
"""``error``: the step failed; ``invalid``: the datum cannot be used; ``timeout``: its time was up;
``crash``: its worker died; ``cancelled``: it was told to stop."""

Frame: TypeAlias = tuple[str, int, str]
"""One traceback frame: file, line, function."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One failed try of ``step``: what it failed with and how long it took, in seconds."""

    step: str
    exception: str
    message: str
    kind: FailureKind = "error"
    duration_s: float = 0.0
    frames: tuple[Frame, ...] = ()


class Note(msgspec.Struct, frozen=True):
    """Something else that happened at ``step``. It travels with the failed tries, and is told as an event."""

    step: str
    what: Literal["breaker_opened", "breaker_half_opened", "breaker_closed", "cache_hit"]


class Payload(msgspec.Struct, frozen=True, kw_only=True):
    """Where and why an input stopped, and the exact value that entered that step.

    ``step``, ``exception``, ``message`` and ``data`` are the document's payload; the rest is for the resume:
    ``retry_count`` counts the resumes so far, ``input_fingerprint`` is of the input's ``data`` at that time,
    ``code`` maps the names of the steps there were, in order, to the fingerprints of their code,
    ``edited`` says that a person replaced ``data``,
    and ``checkpoint`` that the input did not fail: ``data`` is what the steps before returned when its run was cut off.
    """

    step: str
    exception: str = ""
    message: str = ""
    data: Any = None
    retry_count: int = 0
    input_fingerprint: str | None = None
    code: dict[str, str | None] = {}
    edited: bool = False
    checkpoint: bool = False

    def as_document(self) -> dict[str, Any]:
        """The four keys of the document's payload."""
        return {"step": self.step, "exception": self.exception, "message": self.message, "data": self.data}


class Completed(msgspec.Struct, Generic[T_co], frozen=True, kw_only=True, tag_field="status", tag="completed"):
    """An earlier success, carried by an input so that a retry skips it and keeps its output.

    ``plain`` says that ``output`` is JSON as it was read where other steps are known than those that made it:
    a retry reads it by the type that its own steps declare before it keeps it.
    """

    output: T_co
    input_fingerprint: str | None = None
    code: dict[str, str | None] = {}
    run_id: str | None = None
    plain: bool = False


if TYPE_CHECKING:
    Resume: TypeAlias = Payload | Completed[Any] | Mapping[str, Any] | None
else:  # msgspec refuses a union of dict-like members; what arrives here is checked by `plan.decide`
    Resume = Any


class ProcessorInput(msgspec.Struct, Generic[T_co], frozen=True, kw_only=True):
    """One item of a batch. ``input_id`` tells it apart; ``payload`` says where to go on, if not at the start.

    >>> ProcessorInput(input_id="doc_1", account_id="acc_123", underwriting_id="uw_456", data=b"%PDF").payload is None
    True
    """

    input_id: str
    account_id: str | None = None
    underwriting_id: str | None = None
    data: T_co
    payload: Resume = None


class ExecutionContext(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The lineage of a run: which run was the first, which one it retries, how often.

    >>> base = ExecutionContext(parent_run_id="run_1", execution_metadata={"desk": "north"})
    >>> base.merge(ExecutionContext(retry_count=1, execution_metadata={"by": "ana"})).execution_metadata
    {'desk': 'north', 'by': 'ana'}
    """

    parent_run_id: str | None = None
    previous_run_id: str | None = None
    last_error_step: str | None = None
    retry_count: int = 0
    execution_metadata: dict[str, str] = {}
    run_id: str | None = None

    def merge(self, override: ExecutionContext | None) -> ExecutionContext:
        """A new context: fields that ``override`` sets win, metadata merges by key. Neither is changed."""
        if override is None:
            return self
        changes = {
            name: value
            for name in self.__struct_fields__
            if (value := getattr(override, name)) not in (None, 0) and name != "execution_metadata"
        }
        metadata = {**self.execution_metadata, **override.execution_metadata}
        return msgspec.structs.replace(self, **changes, execution_metadata=metadata)


class Timed(msgspec.Struct, frozen=True, kw_only=True):
    """What every outcome of a worked-on input knows of its own time.

    ``steps`` are the names of the steps that ran, in order, one that failed last;
    ``clock_ns`` is a monotonic clock read before the first and after each of them.
    """

    steps: tuple[str, ...] = ()
    clock_ns: tuple[int, ...] = ()

    @property
    def duration_s(self) -> float:
        """Time from the first step's start to the last one's end, in seconds."""
        return (self.clock_ns[-1] - self.clock_ns[0]) / 1e9 if self.clock_ns else 0.0

    @property
    def step_durations_s(self) -> dict[str, float]:
        """Seconds by step name."""
        ends = zip(self.steps, self.clock_ns, self.clock_ns[1:], strict=False)
        return {step: (end - start) / 1e9 for step, start, end in ends}


class Succeeded(Timed, Generic[T_co], frozen=True, kw_only=True, tag_field="status", tag="succeeded"):
    """The input went through every remaining step in this run."""

    input_id: str
    output: T_co
    attempts: tuple[Attempt, ...] = ()


class Skipped(msgspec.Struct, Generic[T_co], frozen=True, kw_only=True, tag_field="status", tag="skipped"):
    """The input had succeeded earlier; nothing ran, and this is that output."""

    input_id: str
    output: T_co
    run_id: str | None = None


class Failed(Timed, frozen=True, kw_only=True, tag_field="status", tag="failed"):
    """The input stopped at ``step``. ``payload`` is what a retry goes on with.

    ``step`` is a step of the pipeline, or ``prevalidation``, ``resume`` or ``aggregation``.
    ``frames`` are where it was raised, outermost first, the innermost 20.
    ``attempts`` holds every failed try, the deciding one last.
    """

    input_id: str
    step: str
    exception: str
    message: str
    payload: Payload
    kind: FailureKind = "error"
    retryable: bool = True
    frames: tuple[Frame, ...] = ()
    attempts: tuple[Attempt, ...] = ()

    def error_response(self) -> dict[str, Any]:
        """The document's error response (section 6), keys in its order."""
        return {
            "input_id": self.input_id,
            "success": False,
            "step": self.step,
            "exception": self.exception,
            "message": self.message,
            "payload": self.payload.as_document(),
        }

    @property
    def traceback(self) -> str:
        """The frames as Python prints them, with the exception last."""
        lines = [f'  File "{file}", line {line}, in {function}' for file, line, function in self.frames]
        return "\n".join(["Traceback (most recent call last):", *lines, f"{self.exception}: {self.message}"])


class NotRun(Timed, frozen=True, kw_only=True, tag_field="status", tag="not_run"):
    """The input was not worked on, or was set aside before ``step``; ``reason`` says why.

    ``payload`` is where it goes on later; ``None`` means from the first step.
    ``steps`` are those that ran before it was set aside, ``attempts`` their failed tries.
    """

    input_id: str
    reason: str
    step: str | None = None
    payload: Payload | None = None
    attempts: tuple[Attempt, ...] = ()


Outcome: TypeAlias = Succeeded[T_co] | Skipped[T_co] | Failed | NotRun
"""How one input ended. Match it to the end with ``assert_never``."""


class Conflict(msgspec.Struct, frozen=True):
    """Inputs that gave one factor different values; ``path`` is ``$.licence.state``. The last one won."""

    path: str
    input_ids: tuple[str, ...]
    values: tuple[Any, ...]


class PlannedInput(msgspec.Struct, frozen=True, kw_only=True):
    """What a run would do with one input, and why.

    ``action`` is ``run``, ``skip`` (it has succeeded), ``keep`` (not selected: its outcome stays), ``park`` (set
    aside: it is in quarantine, or other inputs do not belong) or ``refuse`` (it cannot be gone on with, and fails).
    """

    input_id: str
    action: Literal["run", "skip", "keep", "park", "refuse"]
    start: str | None
    steps: tuple[str, ...]
    reason: str


class Plan(msgspec.Struct, frozen=True):
    """What a run would do, input by input; it prints as a table.

    >>> print(Plan((PlannedInput(input_id="doc_1", action="skip", start=None, steps=(), reason="already successful"),)))
    doc_1  skip  already successful
    """

    inputs: tuple[PlannedInput, ...]

    def __iter__(self) -> Iterator[PlannedInput]:
        return iter(self.inputs)

    def __len__(self) -> int:
        return len(self.inputs)

    def __str__(self) -> str:
        width = max((len(printable(item.input_id)) for item in self.inputs), default=0)
        return "\n".join(_planned_line(item, width) for item in self.inputs)


def _planned_line(item: PlannedInput, width: int) -> str:
    what = f"run {' → '.join(item.steps)}" if item.action == "run" else item.action
    return f"{printable(item.input_id):<{width}}  {printable(what)}  {printable(item.reason)}"

"""What a processor is told, and the same as one frozen value that travels with each of its runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypedDict, cast

import msgspec

from pipeline import codec
from pipeline.arguments import check_aggregate, check_options
from pipeline.changes import Code
from pipeline.errors import InvalidSetting, did_you_mean
from pipeline.events import Observer
from pipeline.journal import Journal
from pipeline.model import ExecutionContext
from pipeline.plan import OnChange, ResumeRules
from runners import Runner


class CommonOptions(TypedDict, total=False):
    """The keyword arguments that ``Processor`` and ``BaseProcessor`` share."""

    observers: Sequence[Observer]
    """Told every event, in order, by the thread that consumes the run."""
    context: ExecutionContext | None
    """What every run's context starts from; the context of a call is merged over it."""
    prevalidation: Literal["abort", "isolate"]
    """When an input does not belong: ``"abort"`` (default) runs nothing, ``"isolate"`` runs the others."""
    on_input_change: OnChange
    """When an input's data is not what it was when it stopped; default ``"restart"``."""
    on_code_change: OnChange
    """When a step that an input had finished has other code, or steps before the one where it stopped were added, moved
    or removed; default ``"resume"``. A success goes on at steps added behind it, and is refused after other changes."""
    on_bad_payload: Literal["restart", "error"]
    """When a payload cannot be gone on from; default ``"error"``, never a silent restart."""
    max_attempts: int | None
    """Quarantine an input that failed in more resumes than this: it ends ``NotRun`` without running, until lifted."""
    registry: codec.Registry | None
    """How types of your own are written as JSON."""
    max_failures: float | None
    """Stop dispatching when more inputs than this have failed: a count, or below 1 a ratio of all inputs."""
    fail_fast: bool
    """Stop dispatching at the first failure."""
    early_stop: bool
    """Stop dispatching when the run is lost: the first dozen inputs all failed at one step with one kind of error, or
    so many failed that a ratio as ``max_failures`` will be exceeded (odds of a million to one). Default ``False``,
    because it takes the first inputs for a sample of all, which those of a sorted batch are not."""
    journal: Journal | None
    """Where runs are remembered; ``SqliteJournal(path)`` also survives kill -9. Without one, nothing is."""


class Options(CommonOptions, total=False):
    """The keyword arguments of a ``Processor`` besides its name, pipeline and aggregate."""

    runner: Runner | None
    """Where the inputs are worked on; ``SequentialRunner()`` unless given."""
    account_id: str | None
    """The account every input must carry; not checked when ``None``."""
    underwriting_id: str | None
    """The underwriting every input must carry; not checked when ``None``."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The checked settings of a processor; ``Options`` says what each means."""

    name: str
    aggregate: Callable[[Sequence[Any]], Any]
    code: Callable[[], Code]
    account_id: str | None = None
    underwriting_id: str | None = None
    observers: tuple[Observer, ...] = ()
    context: ExecutionContext = ExecutionContext()
    prevalidation: Literal["abort", "isolate"] = "abort"
    rules: ResumeRules = ResumeRules()
    max_failures: float | None = None
    fail_fast: bool = False
    early_stop: bool = False
    journal: Journal | None = None

    def __post_init__(self) -> None:
        if self.prevalidation not in ("abort", "isolate"):
            raise InvalidSetting(f"prevalidation={self.prevalidation!r}: choose 'abort' or 'isolate'")
        limit = self.max_failures
        if limit is not None and (not limit >= 0 or (limit >= 1 and limit % 1 != 0)):
            raise InvalidSetting(f"max_failures={limit!r}: give a count (20) or a ratio below 1 (0.1)")

    @property
    def scope(self) -> str:
        """What this processor's idempotency keys begin with."""
        return "/".join(part for part in (self.name, self.account_id, self.underwriting_id) if part)


def settings_of(name: str, aggregate: Callable[[Sequence[Any]], Any], options: Options, code: Any) -> Settings:
    """The arguments of a processor, checked; ``InvalidSetting`` guesses what a misspelt one was meant to be."""
    known = (*CommonOptions.__annotations__, *Options.__annotations__)
    unknown = sorted(set(options) - set(known))
    if unknown:
        hint = did_you_mean(unknown[0], known)
        raise InvalidSetting(f"Processor has no argument {unknown[0]!r}{hint}")
    check_options(name, options)
    check_aggregate(aggregate)
    given = {key: value for key, value in options.items() if key != "runner" and value is not None}
    rules = {key: given.pop(key) for key in ResumeRules.__struct_fields__ if key in given}
    given["observers"] = tuple(options.get("observers") or ())
    made: Any = {**given, "rules": ResumeRules(**cast("Any", rules))}
    return Settings(name=name, aggregate=aggregate, code=code, **made)

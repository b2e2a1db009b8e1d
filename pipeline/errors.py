"""What a programmer did wrong, raised early; what a run can meet is a value (see ``model``).

Every message is subject, problem, cure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pipeline.model import ProcessorInput
    from pipeline.result import ProcessingResult


class PipelineError(Exception):
    """The root of everything this package raises for a mistake in the calling code."""


class UnknownStep(PipelineError, LookupError):
    """A name that no step of the pipeline has."""


class DuplicateStep(PipelineError, ValueError):
    """Two steps of one pipeline with the same name: a resume could not tell them apart."""


class StepMismatch(PipelineError, TypeError):
    """A step whose declared input type cannot take the declared output of the step before it."""


class InvalidStep(PipelineError, TypeError):
    """Something that cannot be a step."""


class NotPicklable(PipelineError, TypeError):
    """A step that cannot cross a process boundary, found before any worker started."""


class InvalidSetting(PipelineError, ValueError):
    """A setting outside its domain."""


class MergeConflict(PipelineError, ValueError):
    """Inputs that disagree about a factor, under ``merge_factors(conflict="error")``."""


class JournalError(PipelineError, RuntimeError):
    """The journal cannot be read or written; the message names the file or server and what it said."""


class JournalDamaged(JournalError):
    """A stored row is not what was written: its checksum does not match, or it cannot be read."""


class RunOwned(JournalError):
    """Another process, or another thread, is working on this run; two at once would do work twice."""


class UnknownRun(PipelineError, LookupError):
    """No run of that id, or none at all, in the journal."""


class UnknownInput(PipelineError, LookupError):
    """An ``input_id`` that no input of the run has."""


class InvalidEdit(PipelineError, ValueError):
    """New data for an input that cannot go on with it; ``path`` says where in the data, ``$`` for all of it."""

    def __init__(self, message: str, path: str = "$") -> None:
        super().__init__(message)
        self.path = path


class InputsNeeded(PipelineError, LookupError):
    """A run that can be resumed only with the caller's inputs, because some of them could not be stored."""


class DeadLettersDamaged(PipelineError, ValueError):
    """A file of dead letters with lines that cannot be read.

    ``problems`` has the number (from 1) of each such line and what is wrong with it; ``inputs`` are all the others'.
    """

    def __init__(
        self, path: str, problems: Sequence[tuple[int, str]] = (), inputs: Sequence[ProcessorInput[Any]] = ()
    ) -> None:
        told = "; ".join(f"line {number}: {problem}" for number, problem in problems[:5])
        more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
        super().__init__(f"{path}: {told}{more}. The {len(inputs)} inputs of the other lines are in .inputs")
        self.path: str = path
        self.problems: tuple[tuple[int, str], ...] = tuple(problems)
        self.inputs: list[ProcessorInput[Any]] = list(inputs)

    def __reduce__(self) -> tuple[Any, ...]:
        return DeadLettersDamaged, (self.path, self.problems, self.inputs)


class ForgottenReturn(TypeError):
    """What a step fails with when it returned ``None`` although its declared output is not optional."""


class WrongAnswer(TypeError):
    """What a step fails with when it returned no value: a ``Result`` in a ``Success``, a coroutine or a generator."""


class WrongResults(TypeError):
    """What the inputs of a call of a batch step fail with when it did not return one result for each value."""


WRONG_RETURNS: Final = (ForgottenReturn, WrongAnswer, WrongResults)
"""Mistakes in the code of a step, which are there again at the next try."""


class RunFailed(PipelineError, RuntimeError):
    """The run could not go on; ``result`` holds every outcome so far, and what did not run as ``NotRun``.

    Raised when the iterable of inputs itself raises (that error is the ``__cause__``).
    """

    def __init__(self, message: str, result: ProcessingResult[Any, Any] | None = None) -> None:
        super().__init__(message)
        self.result = result


class RunInterrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM stopped the run; ``result`` holds every outcome, the rest as ``NotRun``."""

    def __init__(self, message: str, result: ProcessingResult[Any, Any] | None = None) -> None:
        super().__init__(message)
        self.result = result


class StopNow(KeyboardInterrupt):
    """The second Ctrl-C or SIGTERM: stop without waiting for what is in flight. Steps cannot swallow it as failure."""


LONGEST_NAME = 200
"""Characters of a name for which one that was meant is looked for: longer ones are no slip of the pen."""


def did_you_mean(name: object, known: Iterable[str], cutoff: float = 0.5) -> str:
    """The ending of a message about a misspelt name; ``cutoff`` is how alike they must be, from 0 to 1.

    >>> did_you_mean("extract", ["validation", "extraction"])
    "; did you mean 'extraction'?"
    >>> did_you_mean("x", ["validation"])
    ''
    """
    text = str(name)
    close = get_close_matches(text, list(known), n=1, cutoff=cutoff) if len(text) <= LONGEST_NAME else []
    return f"; did you mean {close[0]!r}?" if close else ""

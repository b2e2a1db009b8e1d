"""What a runner raises: a mistake of its user, found early, or an input that has no result; and what a death is."""

from __future__ import annotations

from runners.protocol import Crash


class RunnerError(Exception):
    """A runner cannot do what it was asked for; the message says what, why, and what would help."""


class WorkerDied(BaseException):
    """What kind ``crash`` is to a policy: the worker of an input was killed, crashed or ended itself.

    No ``Exception``, because it ends more than a call and may be the input's own doing: what is about any
    ``Exception`` is not about this. It is never raised, only named, as in ``Retry(on=(WorkerDied, TimeoutError))``,
    and a function of the error is given one, which says how the worker ended.

    >>> isinstance(WorkerDied("killed by SIGKILL while on this input"), Exception)
    False
    """

    retryable = True
    """Who names it has it tried again, although it ends more than a call."""


def is_count(value: object) -> bool:
    """Whether ``value`` can be a number of workers.

    >>> is_count(4), is_count(0), is_count("4")
    (True, False, False)
    """
    return type(value) is int and value >= 1


def is_seconds(value: object) -> bool:
    """Whether ``value`` can be a time limit.

    >>> is_seconds(0.5), is_seconds(0), is_seconds("3")
    (True, False, False)
    """
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def tells_to_end(kind: type[BaseException] | None) -> bool:
    """Whether what ends a stream says to wait for nobody, as a signal's ``KeyboardInterrupt`` or ``SystemExit`` does.

    >>> tells_to_end(KeyboardInterrupt), tells_to_end(GeneratorExit), tells_to_end(None)
    (True, False, False)
    """
    return kind is not None and issubclass(kind, KeyboardInterrupt | SystemExit)


class InputFailed(RunnerError):
    """``run`` has no result for one input and no exception of the function to raise instead.

    ``position`` is the input's place in the batch, starting at 0; ``crash`` says how it ended.
    """

    def __init__(self, position: int, crash: Crash) -> None:
        super().__init__(position, crash)
        self.position = position
        self.crash = crash

    def __str__(self) -> str:
        crash = self.crash
        return f"input {self.position} has no result ({crash.kind}): {crash.exception}: {crash.message}"

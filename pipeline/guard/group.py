"""The inputs of one call of a batch step: what each of them enters with, and what has become of it."""

# pyright: basic
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

import msgspec
from returns.result import Failure, Success

from pipeline import snapshot
from pipeline.batchstep import Batched
from pipeline.errors import WrongResults
from pipeline.guard.effects import Late, Raised
from pipeline.guard.guard import Guard
from pipeline.guard.tries import attempt_of
from pipeline.model import Attempt, FailureKind, Note
from pipeline.policies.retry import is_retryable, may_pass
from pipeline.snapshot import IMMUTABLE, Snapshot
from pipeline.walk import Call, Refusal, refuse

UNSETTLED: Any = object()


class Member:
    """One input at a batch step. ``end`` is its output, or a ``Stop``; ``error`` is what its last try failed with.

    ``alone`` says that this was its own failure, not that of a call with others.
    """

    __slots__ = ("alone", "attempts", "before", "end", "error", "escaped", "input_id", "kind", "share_s", "value")

    def __init__(self, input_id: str, value: Any) -> None:
        self.input_id: str = input_id
        self.value: Any = value
        self.before: Snapshot = None if type(value) in IMMUTABLE else snapshot.take(value)
        self.end: Any = UNSETTLED
        self.error: Any = None
        self.alone: bool = False
        self.kind: FailureKind = "error"
        self.escaped: bool = False
        self.attempts: list[Attempt | Note] = []
        self.share_s: float = 0.0

    def entering(self) -> tuple[str, Any]:
        """What a call gets of it: the value as it entered the step, whatever an earlier call did to it."""
        if self.error is not None:
            self.value = (snapshot.copied if self.escaped else snapshot.restore)(self.value, self.before)
        return self.input_id, self.value

    def fails(self, attempt: Attempt, error: Any, alone: bool) -> None:
        """One more failed try."""
        self.attempts.append(attempt)
        self.error, self.kind, self.alone = error, attempt.kind, alone

    def stop(self, call: Call, refusal: Refusal) -> None:
        """It ends here; ``attempts`` tells how it went, because more may be told of it later."""
        self.end = refuse(call, refusal, self.value, (self.before, None, ()))


class Group:
    """The inputs that are called together; ``call`` is the step in its place."""

    def __init__(self, guard: Guard, call: Call, members: Sequence[Member]) -> None:
        self.guard = guard
        self.call = call
        self.members: list[Member] = list(members)

    @property
    def pending(self) -> list[Member]:
        """Those that have not ended."""
        return [member for member in self.members if member.end is UNSETTLED]

    def halves(self) -> tuple[Group, Group]:
        """Those that have not ended, in two groups."""
        pending = self.pending
        middle = len(pending) // 2
        return Group(self.guard, self.call, pending[:middle]), Group(self.guard, self.call, pending[middle:])

    def take(self, answer: Any, duration_s: float) -> Any:
        """Settle what a call answered. What it failed with, or what some of its inputs did that may pass, or ``None``.

        An answer for each settles all of them but those whose failure is one to try again.
        """
        called, batched = self.pending, cast("Batched", self.guard.step.fn)
        for member in called:
            member.share_s += duration_s / len(called)
        try:
            error = self._error_in(answer)
            results = [] if error is not None else batched.results(answer, len(called))
        except Exception as wrong:  # noqa: BLE001 - what it returned may be of any kind, and raise when it is read
            error, results = wrong, []
        if error is not None:
            self._all_fail(called, answer, error, duration_s)
            return error
        for member, result in zip(called, results, strict=True):
            self._settle(member, result, duration_s)
        return next((member.error for member in self.pending), None)

    def _error_in(self, answer: Any) -> Any:
        return self.guard.error_in(answer) if type(answer) in (Failure, Raised, Late) else None

    def _all_fail(self, called: list[Member], answer: Any, error: Any, duration_s: float) -> None:
        is_late = type(answer) is Late
        attempt = attempt_of(self.guard.step.name, error, duration_s, "timeout" if is_late else "error")
        if len(called) > 1:
            told = f"{attempt.message} (in a call with {len(called)} values)"
            attempt = msgspec.structs.replace(attempt, message=told)
        for member in called:
            member.fails(attempt, error, alone=len(called) == 1)
            member.escaped = member.escaped or (is_late and answer.escaped)

    def _settle(self, member: Member, result: Any, duration_s: float) -> None:
        error = result._inner_value if type(result) is Failure else self.guard.wrong_in(result)
        if error is None:
            member.end = result._inner_value if type(result) is Success else result
            return
        member.fails(attempt_of(self.guard.step.name, error, duration_s, "error"), error, alone=True)
        if not (may_pass(error) and self.guard.names(self.guard.retry, error)):
            self.fail(member)

    def fail(self, member: Member) -> None:
        """An input ends with what its last try failed with."""
        retryable = is_retryable(member.error)
        refusal = Refusal(error=member.error, kind=member.kind, retryable=retryable, escaped=member.escaped)
        member.stop(self.call, refusal)

    def set_aside(self, parked: Refusal) -> None:
        """The inputs that have not ended: one that failed by itself fails, any other ends before the step."""
        for member in self.pending:
            if member.alone:
                self.fail(member)
            else:
                member.stop(self.call, parked)

    def note(self, notes: Iterable[Attempt | Note]) -> None:
        """What else happened, told with the first input."""
        self.members[0].attempts.extend(notes)


def is_divisible(group: Group, error: Any) -> bool:
    """Whether a call that failed with ``error`` says nothing about its single inputs."""
    pending = group.pending
    return len(pending) > 1 and not pending[0].alone and not isinstance(error, WrongResults)

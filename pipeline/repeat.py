"""Inputs whose worker died, and that the retry policy of their step lets run again in the same run.

    crash ─▶ takes: what do the policies say? ─┬─▶ waits ─▶ due ─▶ sent among the inputs that start, or after them
                                               └─▶ nothing: the crash is the input's outcome

What the dead worker did after it began with the input is done again; with ``durability="step"``, nothing that had
finished. Only the thread that consumes the run puts inputs here; a thread of the runner may take them out.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.batchstep import is_batched
from pipeline.engine import IDLE
from pipeline.guard import REAL, Budget, Timing
from pipeline.model import Attempt, Failed, Outcome, Skipped
from pipeline.policies.retry import Again, GiveUp, Retry, decide
from pipeline.settle import Back, Dispatched
from pipeline.shown import quoted
from pipeline.snapshot import own
from pipeline.step import Step
from pipeline.stepwise import Start
from runners import Crash, RunnerError
from runners import WorkerDied as WorkerDied

if TYPE_CHECKING:
    from pipeline.run import RunInProgress

_LOGGER = logging.getLogger("pipeline")

WAITING_LIMIT = 1_000
"""Inputs that wait to run again, before no others are started."""

SLICE_S = 0.1
"""A wait is slept in slices of so many seconds, so that a run that is stopped is not kept waiting."""

REPEATED = ("crash", "timeout")
"""Kinds of a crash that a policy is asked about: the worker died, or was killed because a call did not end."""

NO_TRIES: tuple[Attempt, ...] = ()

UNASKED: tuple[()] = ()
"""Stands for a position at which a runner has nothing."""


class Repeat(msgspec.Struct, frozen=True):
    """An input that runs again from where it was dispatched, after ``tries`` that ended in a crash each."""

    dispatched: Dispatched
    tries: tuple[Attempt, ...] = NO_TRIES

    @property
    def tries_by_step(self) -> dict[str, int]:
        """How often it has failed at each step, as a worker is told."""
        by_step: dict[str, int] = {}
        for attempt in self.tries:
            by_step[attempt.step] = by_step.get(attempt.step, 0) + 1
        return by_step


class Repeats:
    """The inputs of one run that are to run again: ``waiting``, a heap by when they are due, and ``sent`` by position.

    ``lost`` is what a runner did not give back of a stream that was not its last.
    Inputs that meet at a batch step are not repeated, as no step is any one input's own.
    """

    def __init__(self, steps: Iterable[Step[Any, Any, Any]], run_id: str | None = None, timing: Timing = REAL) -> None:
        steps = tuple(steps)
        self.run_id = run_id
        meet = any(is_batched(step.fn) for step in steps)
        self.names: tuple[str, ...] = tuple(step.name for step in steps)
        self.policies: tuple[Retry | None, ...] = tuple(None if meet else step.policies.retry for step in steps)
        self.timing: Timing = timing
        self.budgets: Mapping[str, Budget] = {}
        self.waiting: list[tuple[float, int, Repeat, Crash]] = []
        self.sent: dict[int, Repeat] = {}
        self.lost: list[Repeat] = []
        self._numbers = count()

    def takes(self, dispatched: Dispatched, tries: tuple[Attempt, ...], crash: Crash, reached: int) -> bool:
        """Whether an input that was at the step ``reached``, or behind it, runs again after a crash; then it waits.

        ``tries`` are those that ended so before.
        """
        if crash.kind not in REPEATED or reached >= len(self.names):
            return False
        places = (crash.mark,) if self._is_known(crash) else range(reached, len(self.names))
        tries = (*tries, self._attempt(crash, self.names[reached]))
        verdict = self._verdict(places, tries, crash)
        self._log(dispatched, tries[-1].step, verdict)
        if isinstance(verdict, GiveUp):
            return False
        due = self.timing.monotonic() + verdict.wait_s
        heappush(self.waiting, (due, next(self._numbers), Repeat(dispatched, tries), crash))
        return True

    def next_due(self) -> Repeat | None:
        """The next input whose wait is over, taken out; ``None`` where there is none."""
        if not self.waiting or self.waiting[0][0] > self.timing.monotonic():
            return None
        return heappop(self.waiting)[2]

    def wait_s(self) -> float:
        """How long until one is due, in seconds, at most a slice; 0 where one is, or none waits."""
        return min(SLICE_S, max(0.0, self.waiting[0][0] - self.timing.monotonic())) if self.waiting else 0.0

    def answered(self, position: int, was_unasked: bool) -> Repeat | None:
        """What was sent again at a position, taken out; ``None`` where it was no input but a turn for the consumer."""
        if was_unasked:
            raise RunnerError(
                f"the runner gave a result for position {position} twice, or for one that it never got; "
                "hold it against runners.testing.check_runner"
            )
        return self.sent.pop(position, None)

    def left(self, dispatched: dict[int, Dispatched | None]) -> Iterator[Repeat]:
        """What a runner never gave back, in order, taken out."""
        while self.lost:
            yield self.lost.pop(0)
        for position in sorted(dispatched):
            first, again = dispatched.pop(position), self.sent.pop(position, None)
            repeat = again if first is None else Repeat(first)
            if repeat is not None:
                yield repeat

    def with_tries(self, outcome: Outcome[Any], tries: tuple[Attempt, ...], back: Back | None = None) -> Outcome[Any]:
        """``outcome``, made of ``back``, with the ``tries`` before it that ended in a crash."""
        if not tries or isinstance(outcome, Skipped):
            return outcome
        last = outcome.attempts
        if isinstance(back, Crash) and isinstance(outcome, Failed):
            last = (self._attempt(back, outcome.step),)
        return msgspec.structs.replace(outcome, attempts=(*tries, *last))

    def _attempt(self, crash: Crash, started: str) -> Attempt:
        """The try that a crash ended: of the step it was in, or where nobody can say, of the one it started with."""
        return Attempt(
            step=self.names[crash.mark] if self._is_known(crash) else started,
            exception=crash.exception,
            message=crash.message,
            kind=crash.kind,
            duration_s=crash.duration_s,
            frames=crash.frames,
        )

    def _is_known(self, crash: Crash) -> bool:
        return 0 <= crash.mark < len(self.names)

    def _verdict(self, places: Sequence[int], tries: tuple[Attempt, ...], crash: Crash) -> Again | GiveUp:
        """Another try where all steps that it may have died in ask for one; else why not."""
        made = sum(attempt.step == tries[-1].step for attempt in tries)
        longest = Again(0.0)
        for place in places:
            verdict = self._verdict_of(place, made, crash)
            if isinstance(verdict, GiveUp):
                return verdict
            longest = max(longest, verdict, key=lambda again: again.wait_s)
        budgets = [self.budgets[self.names[place]] for place in places if self.names[place] in self.budgets]
        return longest if all(budget.takes_one() for budget in budgets) else GiveUp("the retry budget is spent")

    def _verdict_of(self, place: int, made: int, crash: Crash) -> Again | GiveUp:
        """What the policy of one step decides; a function of the user's in it may raise, which ends the tries."""
        policy = self.policies[place]
        if policy is None:
            return GiveUp("no policy asks for it")
        error = TimeoutError(crash.message) if crash.kind == "timeout" else WorkerDied(crash.message)
        try:
            return decide(policy, made, error, draw=self.timing.draw(), now=self.timing.time())
        except Exception as broken:
            _LOGGER.exception("the retry policy of step %r raised", self.names[place])
            return GiveUp(f"the policy raised {type(broken).__name__}")

    def _log(self, dispatched: Dispatched, step: str, verdict: Again | GiveUp) -> None:
        if _LOGGER.isEnabledFor(logging.DEBUG):
            input_id = dispatched.item.input_id
            extra = {"run_id": self.run_id, "input_id": input_id, "step": step}
            told = f"not run again: {verdict.why}" if isinstance(verdict, GiveUp) else "run again"
            _LOGGER.debug("input %s, whose worker died in step %r, is %s", quoted(input_id), step, told, extra=extra)


def due(run: RunInProgress, position: int) -> Iterator[Start]:
    """Those that are due, as what the workers get, the first at ``position``; where too many wait, more until then."""
    repeats = run.repeats
    while run.stopped is None:
        repeat = repeats.next_due()
        if repeat is None and len(repeats.waiting) < WAITING_LIMIT:
            return
        run.dispatched[position] = None
        if repeat is None:
            repeats.timing.sleep(repeats.wait_s())
            yield IDLE
        else:
            repeats.sent[position] = repeat
            yield _start(run, repeat)
        position += 1


def wait_s_of(run: RunInProgress) -> float:
    """How long to wait before a further stream, in seconds; ask again after that. 0: do not wait."""
    return 0.0 if run.stopped is not None else run.repeats.wait_s()


def are_due(run: RunInProgress) -> bool:
    """Whether there are inputs for a further stream, and the run is not stopped."""
    return run.stopped is None and bool(run.repeats.waiting)


def further(run: RunInProgress) -> Iterator[Start]:
    """What a further stream maps over, after one that has ended."""
    run.repeats.lost.extend(run.repeats.left(run.dispatched))
    return due(run, 0)


def unfinished(run: RunInProgress) -> Iterator[tuple[Dispatched, Outcome[Any]]]:
    """What never came back, and what waits still, each taken out, with its outcome now that the run is over."""
    repeats, settler = run.repeats, run.settler
    for lost in repeats.left(run.dispatched):
        outcome = settler.not_given_back(run.further_on(lost.dispatched), run.stopped)
        yield lost.dispatched, repeats.with_tries(outcome, lost.tries)
    while repeats.waiting:
        *_, repeat, crash = heappop(repeats.waiting)
        outcome = settler.settle(run.further_on(repeat.dispatched), crash, run.stopped)
        yield repeat.dispatched, repeats.with_tries(outcome, repeat.tries[:-1], crash)


def _start(run: RunInProgress, repeat: Repeat) -> Start:
    """What a worker gets: as at the first time, and how often each step was tried."""
    dispatched, seat = repeat.dispatched, None
    start: Start = (dispatched.item.input_id, dispatched.decision.index, own(dispatched.decision.value))
    if run.recorder.keeps_steps:
        *_, seat = run.recorder.seated(start, dispatched.place, dispatched.decision.payload)
    return (*start[:3], seat, repeat.tries_by_step)

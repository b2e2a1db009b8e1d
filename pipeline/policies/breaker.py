"""Calling no more when everything fails: a circuit breaker as data, and its state as values.

state       what happens                                   next
closed      a failure, the last of ``failures`` in a row   open
closed      anything else                                  closed
open        an input comes before ``reset_s`` are over     open, the input is set aside
open        an input comes after that                      half-open, the input is the probe
half-open   an input comes                                 half-open, the input is set aside
half-open   the probe fails                                open
half-open   the probe comes to no end                      open, and the next input may be the probe
half-open   a shared probe is silent for ``PROBE_S``       open, and the next input may be the probe
half-open   the probe is answered                          closed
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec

from pipeline.policies.matching import Errors, check, check_errors, is_number

PROBE_S = 60.0
"""Seconds, or ``reset_s`` if more, after which the probe of a shared breaker counts as lost with its process."""

Phase: TypeAlias = Literal["closed", "open", "half-open"]


class CircuitBreaker(msgspec.Struct, frozen=True, kw_only=True):
    """Stop calling a step when ``failures`` inputs in a row have failed at it, for ``reset_s`` seconds.

    While it is open, inputs are set aside before the step: ``NotRun``, with a payload there, so that they can be
    resumed exactly. After ``reset_s`` one input is let through as a probe; its success closes the breaker.
    A failure is one after all retries, and with one of the errors ``on``: exceptions, raised or in a ``Failure``.
    Any other failure is an answer: it says something about the input, not about the service.

    All inputs of a run share the breaker, in all its threads, tasks and worker processes on this machine; steps that
    give the same ``name`` share one. ``shared=True`` keeps its state in the processor's journal: then all runs,
    programs and machines with that journal share it, with one probe; by its ``name``, processors as well.

    >>> CircuitBreaker(failures=5, reset_s=60.0).failures
    5
    >>> CircuitBreaker(failures=0)
    Traceback (most recent call last):
        ...
    pipeline.errors.InvalidSetting: CircuitBreaker cannot use failures=0; it takes a number from 1
    """

    failures: int = 5
    reset_s: float = 60.0
    on: Errors = (Exception,)
    name: str | None = None
    shared: bool = False

    def __post_init__(self) -> None:
        check_errors("CircuitBreaker", self.on)
        shared: Any = self.shared
        check("CircuitBreaker", "shared", shared, isinstance(shared, bool), "True or False")
        failures: Any = self.failures
        check("CircuitBreaker", "failures", failures, type(failures) is int and failures >= 1, "a number from 1")
        good = is_number(self.reset_s) and self.reset_s >= 0
        check("CircuitBreaker", "reset_s", self.reset_s, good, "seconds from 0")


class BreakerState(msgspec.Struct, frozen=True):
    """Where a breaker is: failures in a row, when it opened (``None``: closed), and whether a probe is on its way.

    ``probe_at`` is when the probe of a shared breaker was let through, by which it is known.
    """

    failures: int = 0
    opened_at: float | None = None
    probing: bool = False
    probe_at: float | None = None

    @property
    def phase(self) -> Phase:
        """The state's name."""
        return "closed" if self.opened_at is None else "half-open" if self.probing else "open"


def on_arrival(breaker: CircuitBreaker, state: BreakerState, now: float) -> tuple[bool, BreakerState]:
    """Whether an input that comes at ``now`` (seconds) is let through, and the state after that.

    A clock that was set back says nothing of how long it was open: then a probe will.

    >>> on_arrival(CircuitBreaker(reset_s=60), BreakerState(5, opened_at=0.0), now=59.0)[0]
    False
    >>> on_arrival(CircuitBreaker(reset_s=60), BreakerState(5, opened_at=0.0), now=60.0)[1].phase
    'half-open'
    """
    if state.opened_at is None:
        return True, state
    if state.probing or 0 <= now - state.opened_at < breaker.reset_s:
        return False, state
    return True, BreakerState(state.failures, state.opened_at, probing=True)


def on_end(
    breaker: CircuitBreaker, state: BreakerState, failed: bool | None, is_probe: bool, now: float
) -> BreakerState:
    """The state after an input that was let through has ended; ``failed`` is ``None`` where nobody can say.

    What was let through before the breaker opened, says nothing any more.

    >>> on_end(CircuitBreaker(failures=2), BreakerState(failures=1), failed=True, is_probe=False, now=7.0)
    BreakerState(failures=2, opened_at=7.0, probing=False, probe_at=None)
    """
    if state.opened_at is not None and not is_probe:
        return state
    if failed is None:
        return BreakerState(state.failures, state.opened_at)
    if not failed:
        return BreakerState()
    failures = state.failures + 1
    opens = is_probe or failures >= breaker.failures
    return BreakerState(failures, opened_at=now if opens else None)


def on_shared_arrival(breaker: CircuitBreaker, state: BreakerState, now: float) -> tuple[bool, BreakerState]:
    """``on_arrival`` where the probe may be in another process, which may have died; ``now`` is the journal's clock.

    >>> half_open = BreakerState(5, opened_at=0.0, probing=True, probe_at=60.0)
    >>> on_shared_arrival(CircuitBreaker(reset_s=60, shared=True), half_open, now=119.0)[0]
    False
    >>> on_shared_arrival(CircuitBreaker(reset_s=60, shared=True), half_open, now=120.0)[1].probe_at
    120.0
    """
    if state.probe_at is not None and not 0 <= now - state.probe_at < max(PROBE_S, breaker.reset_s):
        state = BreakerState(state.failures, state.opened_at)
    is_in, after = on_arrival(breaker, state, now)
    if after.probing and not state.probing:
        after = BreakerState(after.failures, after.opened_at, probing=True, probe_at=now)
    return is_in, after


def on_shared_end(
    breaker: CircuitBreaker, state: BreakerState, failed: bool | None, probe_at: float | None, now: float
) -> BreakerState:
    """``on_end`` of an input that was the probe of ``probe_at``, or none; a probe that counted as lost says nothing."""
    if probe_at is not None and probe_at != state.probe_at:
        return state
    return on_end(breaker, state, failed, probe_at is not None, now)

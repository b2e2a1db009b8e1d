"""A circuit breaker whose state is outside of its process: all who look there see it open, and one of them probes.

It is in the file that the processes of a run share, or, if the policy says ``shared``, in the journal.
It is read before a call, and written when the state changes. When it cannot be, the breaker goes on with a state of its
own, in this process, and says so in the log: it must not fail inputs that the service would not.
"""

# pyright: basic
from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple, Protocol

from pipeline.guard.breaker import Breaker, Notes, Ticket, notes_of
from pipeline.guard.cell import Cell, Numbers, OwnCell
from pipeline.policies import CircuitBreaker
from pipeline.policies.breaker import BreakerState, on_shared_arrival, on_shared_end

_LOGGER = logging.getLogger("pipeline.guard")


class BreakerStates(Protocol):
    """Where the states of breakers are kept."""

    def breaker(self, name: str, /) -> BreakerState:
        """The state of one; closed, where nothing is known of it."""
        ...

    def change_breaker(self, name: str, change: Callable[[BreakerState, float], BreakerState], /) -> BreakerState:
        """Put ``change(state, now)`` in the place of a state, with nobody between; gives the state before."""
        ...


class Sharing(NamedTuple):
    """What the shared breakers of a run need: where their states are, and whose those without a name are."""

    states: BreakerStates | None = None
    processor: str = ""


class SharedBreaker(Breaker):
    """``Breaker`` with its state in ``states``, under ``name``."""

    def __init__(self, policy: CircuitBreaker, clock: Callable[[], float], name: str, states: BreakerStates) -> None:
        super().__init__(policy, clock)
        self.name: str = name
        self.states: BreakerStates = states

    def arrive(self) -> Ticket | None:
        """A ticket for an input that is let through, or ``None``."""
        try:
            if self.states.breaker(self.name).opened_at is None:
                return Ticket(is_probe=False, probe_at=CLOSED)
            return self._let_through()
        except Exception as error:  # noqa: BLE001 - whatever a database may raise
            self._alone(error)
            return super().arrive()

    def bars(self, ticket: Ticket, tries: int) -> bool:
        """Whether the breaker lets no call start any more, after so many tries; a probe is one call."""
        if ticket.is_probe and tries == 0:
            return False
        try:
            return self.states.breaker(self.name).opened_at is not None
        except Exception:  # noqa: BLE001 - as above
            return super().bars(ticket, tries)

    def end(self, step: str, ticket: Ticket, failed: bool | None) -> Notes:
        """The call is over; what became of the breaker by it, the probe's own admission included."""
        if ticket.probe_at is None:
            return super().end(step, ticket, failed)
        try:
            return self._ended(step, ticket, failed)
        except Exception as error:  # noqa: BLE001 - as above
            self._alone(error)
            return super().end(step, Ticket(is_probe=False), failed)

    def _let_through(self) -> Ticket | None:
        admitted: list[Ticket | None] = []

        def change(state: BreakerState, now: float) -> BreakerState:
            is_in, after = on_shared_arrival(self.policy, state, now)
            admitted.append(Ticket(after.probing, after.probe_at if after.probing else CLOSED) if is_in else None)
            return after

        self.states.change_breaker(self.name, change)
        return admitted[-1]

    def _ended(self, step: str, ticket: Ticket, failed: bool | None) -> Notes:
        if not ticket.is_probe and (failed is None or (not failed and not self.states.breaker(self.name).failures)):
            return ()
        probe_at = ticket.probe_at if ticket.is_probe else None
        ended: list[BreakerState] = []

        def change(state: BreakerState, now: float) -> BreakerState:
            ended.append(on_shared_end(self.policy, state, failed, probe_at, now))
            return ended[-1]

        before = self.states.change_breaker(self.name, change)
        return notes_of(step, ticket, before, ended[-1])

    def _alone(self, error: Exception) -> None:
        told = "the state of circuit breaker %r cannot be shared now, so it counts in this process"
        _LOGGER.warning(told, self.name, exc_info=error)


CLOSED = -1.0
"""The ``probe_at`` of a ticket of the shared state that is no probe's."""


class InCell:
    """The state of one breaker of a run, in its cell: failures, phase, when it opened, and when the probe was sent."""

    def __init__(self, cell: Cell, clock: Callable[[], float]) -> None:
        self._cell = cell
        self._clock = clock

    def breaker(self, _name: str) -> BreakerState:
        """The state now."""
        return _state_of(self._cell.look())

    def change_breaker(self, _name: str, change: Callable[[BreakerState, float], BreakerState]) -> BreakerState:
        """Put ``change(state, now)`` in its place, with nobody between; gives the state before."""
        now = self._clock()
        return _state_of(self._cell.change(lambda numbers: _numbers_of(change(_state_of(numbers), now))))


_CLOSED, _OPEN, _HALF_OPEN, _NO_PROBE = 0.0, 1.0, 2.0, -1.0


def _state_of(numbers: Numbers) -> BreakerState:
    failures, phase, opened_at, probe_at = numbers
    if phase == _CLOSED:
        return BreakerState(int(failures))
    sent = None if probe_at == _NO_PROBE else probe_at
    return BreakerState(int(failures), opened_at, probing=phase == _HALF_OPEN, probe_at=sent)


def _numbers_of(state: BreakerState) -> Numbers:
    if state.opened_at is None:
        return (state.failures, _CLOSED, 0.0, 0.0)
    sent = _NO_PROBE if state.probe_at is None else state.probe_at
    return (state.failures, _HALF_OPEN if state.probing else _OPEN, state.opened_at, sent)


def breaker_of(key: str, policy: CircuitBreaker, clock: Callable[[], float], sharing: Sharing, cell: Cell) -> Breaker:
    """The breaker at work, by the name of the policy or else of its step."""
    if not policy.shared or sharing.states is None:
        return (
            Breaker(policy, clock)
            if isinstance(cell, OwnCell)
            else SharedBreaker(policy, clock, key, InCell(cell, clock))
        )
    name = key if policy.name is not None else f"{sharing.processor} {key}"
    return SharedBreaker(policy, clock, name, sharing.states)

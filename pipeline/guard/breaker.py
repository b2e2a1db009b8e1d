"""A circuit breaker at work: its state in this process, which all inputs of a run share."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import TypeAlias

import msgspec

from pipeline.model import Note
from pipeline.policies import CircuitBreaker
from pipeline.policies.breaker import BreakerState, on_arrival, on_end


class Ticket(msgspec.Struct, frozen=True):
    """What an input that was let through gives back at its end."""

    is_probe: bool
    probe_at: float | None = None
    """By which a shared breaker knows its probe."""


Notes: TypeAlias = tuple[Note, ...]


class Breaker:
    """The state of one breaker. The lock is held to look and to decide, never during a call."""

    def __init__(self, policy: CircuitBreaker, clock: Callable[[], float]) -> None:
        self.policy = policy
        self.clock = clock
        self.state: BreakerState = BreakerState()  # guarded by _lock; may be read without
        self._lock = Lock()

    def arrive(self) -> Ticket | None:
        """A ticket for an input that is let through, or ``None``."""
        with self._lock:
            is_in, self.state = on_arrival(self.policy, self.state, self.clock())
            return Ticket(self.state.probing) if is_in else None

    def bars(self, ticket: Ticket, tries: int) -> bool:
        """Whether the breaker lets no call start any more, after so many tries; a probe is one call."""
        return self.state.opened_at is not None and not (ticket.is_probe and tries == 0)

    def end(self, step: str, ticket: Ticket, failed: bool | None) -> Notes:
        """The call is over; what became of the breaker by it, the probe's own admission included."""
        with self._lock:
            before = self.state
            self.state = on_end(self.policy, before, failed, ticket.is_probe, self.clock())
            return notes_of(step, ticket, before, self.state)


def notes_of(step: str, ticket: Ticket, before: BreakerState, after: BreakerState) -> Notes:
    """What the end of a call did to a breaker, and that it was a probe."""
    notes = [Note(step, "breaker_half_opened")] if ticket.is_probe else []
    if after.phase != before.phase:
        notes.append(Note(step, "breaker_closed" if after.phase == "closed" else "breaker_opened"))
    return tuple(notes)

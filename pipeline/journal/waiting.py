"""Rows of a run that wait to be committed together."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.journal.protocol import Change
from pipeline.journal.records import AttemptsRow, InputRow, OutcomeRow

GROUP_ROWS = 512
"""Outcomes that wait for each other at most."""

GROUP_BYTES = 1_000_000
"""Bytes that wait to be committed at most."""


class Waiting:
    """The rows. Guard: the lock of the recorder.

    ``is_first`` says that none of the run's inputs has a row yet that these would take the place of.
    ``in_doubt`` are tries among them that may have been committed already.
    """

    def __init__(self, is_first: bool) -> None:
        self.is_first: bool = is_first
        self.clear()

    def clear(self) -> None:
        """None wait."""
        self.inputs: list[InputRow] = []
        self.outcomes: list[OutcomeRow] = []
        self.attempts: list[AttemptsRow] = []
        self.in_doubt: list[AttemptsRow] = []
        self.size: int = 0
        """Bytes in the outcomes."""

    def __bool__(self) -> bool:
        return bool(self.inputs or self.outcomes or self.attempts)

    def brought(self, row: OutcomeRow) -> None:
        """Take in what an input brought with it: its outcome will take the place of that."""
        self.outcomes.append(row)
        self.is_first = False

    def ended(self, row: OutcomeRow) -> None:
        """Take in an outcome."""
        self.outcomes.append(row)
        if row.data is not None:
            self.size += len(row.data)

    def doubt(self) -> None:
        """These are still to be committed; they may have been, so each goes where it can take its own place."""
        self.in_doubt = self.attempts
        self.is_first = False

    def leave_out(self, is_committed: Callable[[AttemptsRow], bool]) -> None:
        """Of the tries in doubt, keep those that are not committed: a second row would not take the place of one."""
        again = [row for row in self.in_doubt if is_committed(row)]
        self.attempts = [row for row in self.attempts if row not in again]
        self.in_doubt = []

    def change(self) -> Change:
        """All of them, as one transaction writes them."""
        return Change(inputs=self.inputs, outcomes=self.outcomes, attempts=self.attempts, is_first=self.is_first)

    def taken(self) -> Change:
        """All of them; now none wait."""
        change = self.change()
        self.clear()
        return change

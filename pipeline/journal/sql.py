"""The journal over any SQL database: transactions, leases and pages of rows. What differs is in its subclasses."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import msgspec

from pipeline.errors import RunOwned
from pipeline.journal.owner import LIVE, Owner, living
from pipeline.journal.pages import PageRow, pages_of
from pipeline.journal.protocol import Change, Lease, Pruned
from pipeline.journal.prune import Chosen, Pruning
from pipeline.journal.reading import SqlReader
from pipeline.journal.records import Row, RunRow, slot_range


class SqlJournal(SqlReader):
    """The journal over a database; see ``protocol`` for what it promises."""

    # writing

    def begin(self, run: RunRow, previous: RunRow | None, changes: Callable[[Lease], Iterable[Change]]) -> Lease:
        """Record a new run, its owner and its inputs in one transaction; ``RunOwned`` when the batch has a live one."""
        owner = Owner.here()

        def begun(connection: Any) -> Lease:
            batch = self._new_batch(run) if previous is None else self._vacant(connection, previous)
            self._expect_pages(batch, previous is None)
            (number,) = self._one("new_run", *run._replace(batch=batch).row()) or (0,)
            lease = Lease(batch, number, owner.token, msgspec.json.encode(owner).decode())
            connection.execute(self.sql["take"], (number, lease.owner, batch))
            for change in changes(lease):
                self._put(connection, batch, change)
            return lease

        try:
            return self._transact(begun)
        except BaseException:  # also where the commit went well, and its answer was lost
            LIVE.discard(owner.token)
            raise

    def _new_batch(self, run: RunRow) -> int:
        (batch,) = self._one("new_batch", run.row()[2]) or (0,)
        return int(batch)

    def _vacant(self, connection: Any, previous: RunRow) -> int:
        """The batch of a run, once no live owner has it."""
        for number, told, beat, now in self._rows("owner", previous.batch):
            if number is not None:
                owner = living(told, beat, now)
                if owner is not None:
                    run_id = self.run(number).run_id
                    raise RunOwned(f"run {run_id} is in progress in {owner}; wait for its end, or end that process")
                self._bury(connection, previous.batch, number)
            return previous.batch
        raise RunOwned(f"run {previous.run_id} was pruned from {self.name} a moment ago")

    def _bury(self, connection: Any, batch: int, number: int) -> None:
        """A run whose owner is dead has died; a damaged row stays as it is, and keeps no other run from anything."""
        row = self._sound_run(number)
        if row is not None:
            connection.execute(self.sql["change_run"], _changes_of(row._replace(state="died")))
        connection.execute(self.sql["bury"], (batch, number))

    def recover(self) -> None:
        """Find the runs whose owners are dead, so that none stays ``started`` for ever."""
        for batch, run, told, beat, now in self._rows("owners"):
            if living(told, beat, now) is None:
                self._transact(partial(self._bury_dead, batch=batch, run=run))

    def _bury_dead(self, connection: Any, batch: int, run: int) -> None:
        if run in self._dead_owners(batch):
            self._bury(connection, batch, run)

    def _dead_owners(self, batch: int) -> list[int]:
        """The run of a batch's owner, if that does not live any more; none other can take the batch meanwhile."""
        owners = self._rows("owner", batch)
        return [run for run, told, beat, now in owners if run is not None and living(told, beat, now) is None]

    def write(self, lease: Lease, change: Change) -> None:
        """Make a change durable; ``RunOwned`` when the lease was lost."""

        def written(connection: Any) -> None:
            if self._one("holds", *lease.held) is None:
                raise taken_over(self.name)
            self._put(connection, lease.batch, change)

        self._transact(written)

    def _put(self, connection: Any, batch: int, change: Change) -> None:
        pages: list[PageRow] = []
        inputs, outcomes = change.inputs, change.outcomes
        if change.is_first:
            of_inputs, inputs = pages_of(batch, "inputs", inputs)
            of_outcomes, outcomes = pages_of(batch, "outcomes", outcomes)
            pages = [*of_inputs, *of_outcomes]
        for name, rows in (
            ("put_page", pages),
            ("put_input", inputs),
            ("put_outcome", outcomes),
            ("put_attempts", change.attempts),
        ):
            if rows:
                self._many(connection, self.sql[name], [row.row() for row in rows])

    def join(self, lease: Lease) -> None:
        """Make sure that a worker process reaches the run; ``JournalError`` where the run is not in what it opens."""
        told = next((row[1] for row in self._rows("owner", lease.batch)), None)
        if told is None or msgspec.json.decode(told, type=Owner).token != lease.token:
            raise RunOwned(f"{taken_over(self.name)}; or {self.name} is another one on this worker's machine")

    def beat(self, lease: Lease) -> bool:
        """Show that the owner lives; whether the run is still its own."""
        return self._transact(lambda connection: self._changed(connection, "beat", *lease.held))

    def end(self, lease: Lease, run: RunRow) -> None:
        """Record how a run ended and give the lease back; ``RunOwned`` when it was lost."""

        def ended(connection: Any) -> None:
            if not self._changed(connection, "release", *lease.held):
                raise taken_over(self.name)
            connection.execute(self.sql["change_run"], _changes_of(run))

        self._transact(ended)

    def prune(
        self, *, older_than_s: float | None = None, run_id: str | None = None, keep_last: int | None = None
    ) -> Pruned:
        """Forget whole batches that are not in progress: older than, that of one run, or all but the latest.

        Of a damaged run, where that cannot be told, or has sound runs too, its row alone.
        """
        pruning = Pruning(older_than_s=older_than_s, run_id=run_id, keep_last=keep_last)
        self.recover()
        chosen = self._transact(lambda connection: self._pruned(connection, pruning))
        return Pruned(len(chosen.batches), chosen.runs, self._advice() if chosen.batches else "")

    def _pruned(self, connection: Any, pruning: Pruning) -> Chosen:
        chosen = self._chosen(pruning)
        for batch in chosen.batches:
            first, behind = slot_range(batch)
            for table in ("attempts", "outcomes", "inputs"):
                connection.execute(self.sql[f"prune_{table}"], (first, behind))
            for table in ("pages", "runs", "batch"):
                connection.execute(self.sql[f"prune_{table}"], (batch,))
        for number in chosen.rows:
            connection.execute(self.sql["prune_run"], (number,))
        return chosen

    def _chosen(self, pruning: Pruning) -> Chosen:
        """The batches to forget, locked; chosen anew, for one may have been gone on with before it was locked."""
        owned = {row[0]: row[1] for row in self._rows("owners")}
        runs = self._seen()
        astray = pruning.astray(runs, lambda batch: bool(self._rows("owner", batch)))
        if astray:  # what batch these had cannot be told; the one that they name is of others
            rows = tuple(number for number in astray if number not in owned.values())
            return Chosen((), len(rows), rows)
        vacant = {batch for batch in pruning.choose(runs, owned).batches if self._has_no_owner(batch)}
        runs = self._seen()
        return pruning.choose(runs, {run.batch for run in runs} - vacant)

    def _has_no_owner(self, batch: int) -> bool:
        return any(row[0] is None for row in self._rows("owner", batch))

    def _advice(self) -> str:
        return "VACUUM gives the space back to the system"


def taken_over(name: str) -> RunOwned:
    """What whoever lost the lease of a run is told."""
    return RunOwned(f"another process has taken over this run in {name}; nothing more is recorded here")


def _changes_of(run: RunRow) -> Row:
    row = run.row()
    return (run.state, run.inputs, run.ended_at, run.detail, row[-1], run.run)

"""The demonstration: a morning at the desk, lived with threads and then with processes, and told.

play     arrive ─▶ first run ─▶ repair ─▶ plan ─▶ retry
main     play(threads) ─▶ tell      play(processes) ─▶ compare
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import assert_never

from msgspec import Struct
from msgspec.structs import replace

import summary
from businesses import BUSINESSES, licences
from desk import Batch, Desk, Factors, first_run, plans, retry
from inbox import Inbox
from model import Registration
from pipeline import Failed, NotRun, Outcome, Plan, Skipped, Succeeded
from registry import Registry
from runners import ProcessRunner, Runner, ThreadRunner

AS_OF = date(2026, 11, 23)
RATES = {"USD": Decimal(1)}
RISKS = {
    "311811": "moderate",
    "811111": "low",
    "621210": "low",
    "444140": "moderate",
    "238220": "high",
    "561730": "moderate",
    "424490": "moderate",
}


class Story(Struct, frozen=True):
    """A first run, the plan of its retry, and the retry, with their durations in seconds."""

    first: list[Batch]
    first_s: float
    plans: list[tuple[Batch, Plan]]
    again: list[Batch]
    again_s: float
    calls: dict[str, int]
    """How often the registry was asked for each number, over both runs."""


def main() -> tuple[Story, Story]:
    """Tell the story on threads at length and on processes in short, compare the two, and give them back."""
    with TemporaryDirectory(prefix="underwriting-") as folder:
        inbox = Inbox(Path(folder))
        threads = play(inbox, ThreadRunner(max_workers=4))
        print(tell(threads, "ThreadRunner(max_workers=4)"))
        with ProcessRunner(max_workers=2) as runner:
            processes = play(inbox, runner)
        print(tell_in_short(processes, "ProcessRunner(max_workers=2)"))
        compare(threads, processes)
        return threads, processes


def play(inbox: Inbox, runner: Runner) -> Story:
    """The morning: everything arrives, runs, is repaired and goes on."""
    inbox.arrive()
    with registry() as service:
        desk = Desk(str(inbox.keyring), service.address, AS_OF, RATES, RISKS)
        started = time.perf_counter()
        first = first_run(inbox, desk, runner)
        first_s = time.perf_counter() - started

        inbox.repair()
        service.down.clear()
        repaired = replace(desk, rates=RATES | {"CAD": Decimal("0.73")}, risks=RISKS | {"713940": "moderate"})
        what = plans(first, repaired, runner)
        started = time.perf_counter()
        again = retry(first, repaired, runner)
        return Story(first, first_s, what, again, time.perf_counter() - started, dict(service.calls))


@contextmanager
def registry() -> Iterator[Registry]:
    """The licence registry on a bad day: Texas is out of service, and one number's first question is dropped."""
    entries = [
        Registration(licence.number, "suspended" if "CB" in licence.number else "active", licence.expires_on)
        for business in BUSINESSES
        for licence in licences(business)
    ]
    with Registry(entries) as service:
        service.down.add("TX")
        service.flaky.add("FL-CF-51930")
        yield service


PROLOGUE = """\
Eight small businesses ask for money. Their folders hold {files} PDF files: application forms, bank
statements and licences. For each folder and kind of document there is one processor; each file goes
through validation >> processing >> extraction on its own."""

REPAIRS = """\
  new files      the truncated, the empty and the wrong upload are sent again; the garage corrects
                 its form, the plumber's bank its statement
  a password     Blue Heron Dental tells its own; it is put on the keyring
  settings       a rate for CAD, and a row for NAICS 713940 in the risk table
  the service    the registry of Texas is back
  a stray        Maple & Main's application is taken out of Quick Fix Plumbing's folder"""

LEFT = """\
  Nobody can repair these two here: their accounts keep all other outcomes, but have no factors of
  bank statements before the right file comes."""


def tell(told: Story, runner: str) -> str:
    """The whole story, for a terminal."""
    files = sum(len(batch.result.inputs) for batch in told.first)
    inputs = sum(len(batch.result.inputs) for batch in retried(told))
    return "\n\n".join(
        (
            PROLOGUE.format(files=files),
            summary.heading("First run", f"{runner}, {told.first_s:.1f} s"),
            summary.outcomes(told.first),
            summary.failures(told.first),
            summary.heading("Repairs"),
            REPAIRS,
            summary.heading("Plan of the retry", f"{inputs} files of {len(retried(told))} processors"),
            summary.planned(told.plans),
            summary.heading("Retry from the failed steps", f"{told.again_s:.1f} s"),
            summary.outcomes(retried(told)),
            step_counts(told),
            f"  From the start, the {inputs} files of the retry would take up to {3 * inputs} steps.",
            summary.heading("Left for a person"),
            summary.failures(told.again),
            LEFT,
            summary.heading("Factors", f"as of {AS_OF}, money in US dollars"),
            summary.factors(told.again),
        )
    )


def tell_in_short(told: Story, runner: str) -> str:
    """What a second telling adds."""
    title = summary.heading("The same with processes", f"{runner}, {told.first_s:.1f} s + {told.again_s:.1f} s")
    return f"\n{title}\n\n{step_counts(told)}\n"


def step_counts(told: Story) -> str:
    """How often each step ran, at first and again."""
    first, again = summary.steps_run(told.first), summary.steps_run(retried(told))
    return summary.step_counts([("steps that ran at first", first), ("steps that ran in the retry", again)])


def retried(told: Story) -> list[Batch]:
    """The batches of the retry that were not complete before it."""
    return [batch for batch, was in zip(told.again, told.first, strict=True) if batch is not was]


def compare(one: Story, other: Story) -> None:
    """Say that two runners came to the same, or fail."""
    for run, mine, theirs in (("first run", one.first, other.first), ("retry", one.again, other.again)):
        left, right = all_of(mine), all_of(theirs)
        if different := [name for name in left | right if left.get(name) != right.get(name)]:
            raise SystemExit(f"the runners disagree in the {run} on {', '.join(different)}")
        outputs = sum(batch.result.success for batch in mine)
        print(f"  {run}: {len(left) - len(mine)} outcomes and {outputs} aggregated outputs, equal on both runners")


def all_of(batches: Iterable[Batch]) -> dict[str, object]:
    """What every input and every batch came to, without times and run ids."""
    found: dict[str, object] = {}
    for batch in batches:
        found[f"{batch.kind}s of {batch.business.name}"] = batch.result.output
        found.update({outcome.input_id: end_of(outcome) for outcome in batch.result.outcomes})
    return found


def end_of(outcome: Outcome[Factors]) -> tuple[str, object]:
    """How an input ended, and with what."""
    match outcome:
        case Succeeded(output=output) | Skipped(output=output):
            return "has an output", output
        case Failed():
            return "failed", outcome.error_response()
        case NotRun(reason=reason):
            return "did not run", reason
        case _:
            assert_never(outcome)

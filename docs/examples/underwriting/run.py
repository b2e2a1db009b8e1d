"""Underwrite eight small businesses from 68 PDF files: fail, repair, go on from the failed steps.

    python docs/examples/underwriting/run.py

First with threads, then with processes; both come to the same outcomes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec import Struct
from msgspec.structs import replace

import summary
from businesses import BUSINESSES, licences
from desk import Batch, Desk, first_run, plans, retry
from inbox import Inbox
from model import Registration
from pipeline import Failed, Plan
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


def main() -> None:
    """Tell the story on threads at length and on processes in short, and compare the two."""
    with TemporaryDirectory(prefix="underwriting-") as folder:
        inbox = Inbox(Path(folder))
        threads = story(inbox, ThreadRunner(max_workers=4))
        print(tell(threads, "ThreadRunner(max_workers=4)"))
        with ProcessRunner(max_workers=2) as runner:
            processes = story(inbox, runner)
        print(tell_in_short(processes, "ProcessRunner(max_workers=2)"))
        compare(threads, processes)


def story(inbox: Inbox, runner: Runner) -> Story:
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
        return Story(first, first_s, what, again, time.perf_counter() - started)


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


REPAIRS = """\
  - the senders upload the truncated, empty and wrong files again; the garage corrects its form,
    the plumber's bank its statement                                    (their files are new versions)
  - Blue Heron Dental tells its password                                (the keyring file)
  - the underwriter adds a rate for CAD and a risk for NAICS 713940     (settings of extraction)
  - the registry of Texas is back in service                            (nobody did anything)
  - Maple & Main's application is taken out of Quick Fix Plumbing's folder"""


def tell(told: Story, runner: str) -> str:
    """The whole story, for a terminal."""
    files = sum(len(batch.result.inputs) for batch in told.first)
    retried = [batch for batch, was in zip(told.again, told.first, strict=True) if batch is not was]
    first, again = summary.steps_run(told.first), summary.steps_run(retried)
    return "\n".join(
        (
            summary.heading("First run", f"{runner}, {files} PDF files in {told.first_s:.1f} s"),
            "",
            summary.outcomes(told.first),
            "",
            summary.failures(told.first),
            "",
            summary.heading("Repairs"),
            "",
            REPAIRS,
            "",
            summary.heading("Plan of the retry", "nothing has run yet"),
            "",
            summary.planned(told.plans),
            "",
            summary.heading("Retry from the failed steps", f"{told.again_s:.1f} s"),
            "",
            summary.outcomes(retried),
            "",
            summary.step_counts([("steps that ran at first", first), ("steps that ran in the retry", again)]),
            "",
            summary.heading("Left for a person"),
            "",
            summary.failures(told.again),
            "",
            summary.heading("Factors", f"as of {AS_OF}"),
            "",
            summary.factors(told.again),
            "",
        )
    )


def tell_in_short(told: Story, runner: str) -> str:
    """The outcome counts of a story."""
    retried = [batch for batch, was in zip(told.again, told.first, strict=True) if batch is not was]
    return "\n".join(
        (
            summary.heading("The same with processes", f"{runner}, {told.first_s:.1f} s and {told.again_s:.1f} s"),
            "",
            summary.step_counts(
                [
                    ("steps that ran at first", summary.steps_run(told.first)),
                    ("steps that ran in the retry", summary.steps_run(retried)),
                ]
            ),
            "",
        )
    )


def compare(one: Story, other: Story) -> None:
    """Say that two runners came to the same outcomes, or fail."""
    for name, mine, theirs in (("first run", one.first, other.first), ("retry", one.again, other.again)):
        left, right = outcomes_of(mine), outcomes_of(theirs)
        different = [input_id for input_id in left | right if left.get(input_id) != right.get(input_id)]
        if different:
            raise SystemExit(f"the runners disagree in the {name} on {', '.join(different)}")
        outputs = sum(batch.result.success for batch in mine)
        print(f"  {name}: {len(left)} outcomes and {outputs} aggregated outputs, equal on both runners")


def outcomes_of(batches: Sequence[Batch]) -> dict[str, object]:
    """What each input came to, without times and run ids."""
    return {
        outcome.input_id: outcome.error_response() if isinstance(outcome, Failed) else getattr(outcome, "output", None)
        for batch in batches
        for outcome in batch.result.outcomes
    }


if __name__ == "__main__":
    main()

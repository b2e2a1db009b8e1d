"""What the demonstration prints: plain text, at most 100 columns wide."""

from __future__ import annotations

import textwrap
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import starmap
from typing import Any

from businesses import BUSINESSES, Business
from desk import Batch
from inbox import KINDS
from model import AccountFactors, ApplicationFactors, LicenceFactors
from pipeline import Failed, NotRun, Plan, Skipped, Succeeded
from statement import together

WIDTH = 100
STEPS = ("validation", "processing", "extraction")


def heading(left: str, right: str = "") -> str:
    """A rule across the page with a title on it.

    >>> heading("First run", "1.2 s")[:20], len(heading("First run", "1.2 s"))
    ('── First run ───────', 100)
    """
    tail = f" {right} ──" if right else "──"
    return f"── {left} ".ljust(WIDTH - len(tail), "─") + tail


def table(titles: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """Rows under titles, two blanks apart; the first `left` columns stand left, the others right.

    >>> print(table(("month", "NSF"), [("2026-05", "0"), ("2026-06", "12")]))
      month    NSF
      2026-05    0
      2026-06   12
    """
    lines = [tuple(titles), *(tuple(row) for row in rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(titles))]
    return "\n".join(
        "  "
        + "  ".join(
            cell.ljust(w) if at < left else cell.rjust(w) for at, (cell, w) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def outcomes(batches: Iterable[Batch]) -> str:
    """How the inputs of each kind ended."""
    rows: list[Sequence[str]] = []
    for kind in KINDS:
        ended = Counter(type(outcome) for batch in batches if batch.kind == kind for outcome in batch.result.outcomes)
        counts = [ended[Succeeded], ended[Skipped], ended[Failed], ended[NotRun]]
        rows.append((kind, *map(str, (ended.total(), *counts))))
    return table(("", "inputs", "succeeded", "skipped", "failed", "not run"), rows)


def failures(batches: Iterable[Batch]) -> str:
    """What failed, where and why; inputs with the same cause share a line."""
    causes: defaultdict[str, defaultdict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for batch in batches:
        for outcome in batch.result.outcomes:
            if isinstance(outcome, Failed):
                causes[outcome.step][f"{outcome.exception}: {outcome.message}"].append(outcome.input_id)
            elif isinstance(outcome, NotRun):
                causes["not run"][outcome.reason].append(outcome.input_id)
    places = [place for place in ("prevalidation", "not run", *STEPS) if place in causes]
    return "\n".join(line for place in places for line in (f"  {place}", *starmap(cause, causes[place].items())))


def cause(why: str, input_ids: Sequence[str]) -> str:
    """One cause, wrapped beside the first of the inputs it stopped and the number of the others."""
    who = input_ids[0] if len(input_ids) == 1 else f"{input_ids[0]} +{len(input_ids) - 1}"
    return beside(f"    {who:<28}  ", why)


def beside(left: str, text: str) -> str:
    """Text wrapped to the right of something."""
    return textwrap.fill(text, WIDTH, initial_indent=left, subsequent_indent=" " * len(left))


def planned(plans: Iterable[tuple[Batch, Plan]]) -> str:
    """What the retry is going to do, by what it does and why."""
    ways = Counter((item.steps, item.reason) for _, plan in plans for item in plan)
    in_order = sorted(ways.items(), key=lambda way: (len(way[0][0]), way[0][1]))
    return "\n".join(
        beside(f"  {count:>4} x  {' >> '.join(steps) or 'nothing':<38}  ", reason)
        for (steps, reason), count in in_order
    )


def steps_run(batches: Iterable[Batch]) -> Counter[str]:
    """How often each step really ran, over all batches."""
    counts: Counter[str] = Counter()
    for batch in batches:
        counts.update({name: step.count for name, step in batch.result.metrics.steps.items()})
    return counts


def step_counts(rows: Iterable[tuple[str, Counter[str]]]) -> str:
    """Step executions, a row for each run."""
    return table(
        ("", *STEPS, "together"),
        [(name, *(str(counts[step]) for step in STEPS), str(counts.total())) for name, counts in rows],
    )


def factors(batches: Sequence[Batch]) -> str:
    """Three tables: what the statements, the applications and the licences say of each business."""
    found = {(batch.business.account_id, batch.kind): batch.result.output for batch in batches if batch.result.success}
    return "\n\n".join(
        (
            table(
                ("bank statements", "months", "avg balance", "deposits/m", "withdrawn/m", "days<0", "NSF", "trend/m"),
                [account_row(business, found.get((business.account_id, "statement"))) for business in BUSINESSES],
            ),
            table(
                ("application", "requested", "in business", "owner", "debt/revenue", "industry risk"),
                [application_row(business, found.get((business.account_id, "application"))) for business in BUSINESSES],
            ),
            table(
                ("licences", "number", "category", "state", "days left"),
                [
                    row
                    for business in BUSINESSES
                    for row in licence_rows(business, found.get((business.account_id, "licence")))
                ],
                left=4,
            ),
        )
    )


def account_row(business: Business, output: Any) -> tuple[str, ...]:
    """One business's statements, or dashes where a month is missing."""
    if output is None:
        return (business.name, *["-"] * 7)
    account: AccountFactors = together(output)
    trend = account.revenue_trend_per_month
    return (
        business.name,
        str(account.months),
        f"${account.average_daily_balance_usd:,}",
        f"${account.monthly_deposits_usd:,}",
        f"${account.monthly_withdrawals_usd:,}",
        str(account.days_negative),
        str(account.nsf_count),
        "-" if trend is None else f"{trend:+.1%}",
    )


def application_row(business: Business, output: Any) -> tuple[str, ...]:
    """One business's application."""
    if output is None:
        return (business.name, *["-"] * 5)
    read: ApplicationFactors = output["application"]
    return (
        business.name,
        f"${read.requested_amount_usd:,.0f}",
        f"{read.time_in_business_months} months",
        f"{read.largest_ownership_share:.0%}",
        str(read.debt_to_revenue),
        read.industry_risk,
    )


def licence_rows(business: Business, output: dict[str, LicenceFactors] | None) -> list[tuple[str, ...]]:
    """One business's licences, a row each."""
    if output is None:
        return [(business.name, "-", "-", "-", "-")]
    return [
        (business.name, number, read.category, read.state, str(read.days_to_expiry)) for number, read in output.items()
    ]

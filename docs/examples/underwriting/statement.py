"""The bank statement: one month of lines as factors, and an account's months together."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from decimal import ROUND_HALF_UP, Decimal

from returns.result import safe

from model import AccountFactors, Document, MonthFactors, Pages, Statement, Transaction
from pipeline import Failure, Pipeline, Result, Success, configurable, step
from problems import Inconsistent, NoRate, Problem
from reading import day, field, money, validate

CENT = Decimal("0.01")
FOUR_PLACES = Decimal("0.0001")
ROW = re.compile(r"^(\d\d/\d\d/\d{4}) +(.+?) +(-?[\d,]+\.\d\d) +(-?[\d,]+\.\d\d) *$", re.MULTILINE)
NOT_REVENUE = ("LOAN PROCEEDS", "TRANSFER FROM", "REVERSAL")
"""Deposits that are not earned: borrowed, moved or given back."""
FEES = ("NSF FEE", "OVERDRAFT FEE")


def pipeline(keyring: str, rates: Mapping[str, Decimal]) -> Pipeline[Document, dict[str, MonthFactors], Problem]:
    """The way of a statement; `rates` says what one unit of a currency is worth in US dollars."""
    return validate(keyring=keyring) >> parse >> factors(rates=rates)


@step("processing")
@safe(exceptions=(Problem,))
def parse(pages: Pages) -> Statement:
    """The statement as data, if it adds up: each line's balance, both totals and the closing balance."""
    start, end = field(pages.pages, "Statement period").split(" to ")
    statement = Statement(
        holder=pages.business,
        currency=field(pages.pages, "Currency"),
        start=day(start),
        end=day(end),
        opening=money(field(pages.pages, "Opening balance")),
        deposits=money(field(pages.pages, "Total deposits")),
        withdrawals=money(field(pages.pages, "Total withdrawals")),
        closing=money(field(pages.pages, "Closing balance")),
        transactions=tuple(rows(pages.pages)),
    )
    if problem := contradiction(statement):
        raise problem
    return statement


def rows(pages: Sequence[str]) -> Iterator[Transaction]:
    """Every line with a date, an amount and a balance, over all pages."""
    for page in pages:
        for on, description, amount, balance in ROW.findall(page):
            yield Transaction(day(on), description, money(amount), money(balance))


def contradiction(statement: Statement) -> Inconsistent | None:
    """The first thing in the statement that does not add up."""
    balance = statement.opening
    for line in statement.transactions:
        balance += line.amount
        if balance != line.balance:
            return differs(f"balance after {line.description!r} on {line.on}", balance, line.balance)
    for name, added, printed in (
        ("total of deposits", deposited(statement.transactions), statement.deposits),
        ("total of withdrawals", withdrawn(statement.transactions), statement.withdrawals),
        ("closing balance", balance, statement.closing),
    ):
        if added != printed:
            return differs(name, added, printed)
    return None


def differs(name: str, added: Decimal, printed: Decimal) -> Inconsistent:
    """One contradiction in words."""
    return Inconsistent(f"{name}: the lines add up to {added:,}, printed is {printed:,}; ask the bank for a copy")


@configurable("extraction")
def factors(statement: Statement, *, rates: Mapping[str, Decimal]) -> Result[dict[str, MonthFactors], NoRate]:
    """The month's factors in US dollars, under its key such as `2026-05`."""
    rate = rates.get(statement.currency)
    if rate is None:
        return Failure(NoRate(f"no rate for {statement.currency}; add US dollars for one {statement.currency}"))

    def dollars(amount: Decimal) -> Decimal:
        return (amount * rate).quantize(CENT, ROUND_HALF_UP)

    balances = daily_balances(statement)
    earned = [line for line in statement.transactions if not line.description.startswith(NOT_REVENUE)]
    read = MonthFactors(
        days=len(balances),
        average_daily_balance_usd=dollars(sum(balances, Decimal(0)) / len(balances)),
        lowest_daily_balance_usd=dollars(min(balances)),
        deposits_usd=dollars(statement.deposits),
        withdrawals_usd=dollars(statement.withdrawals),
        revenue_usd=dollars(deposited(earned)),
        largest_deposit_usd=dollars(max((line.amount for line in statement.transactions), default=Decimal(0))),
        days_negative=sum(balance < 0 for balance in balances),
        nsf_count=sum(line.description.startswith(FEES) for line in statement.transactions),
    )
    return Success({f"{statement.start:%Y-%m}": read})


def daily_balances(statement: Statement) -> list[Decimal]:
    """The balance at the end of each calendar day of the period; a day without lines keeps the day before's."""
    at_end_of = {line.on: line.balance for line in statement.transactions}
    balances: list[Decimal] = []
    balance, on = statement.opening, statement.start
    while on <= statement.end:
        balance = at_end_of.get(on, balance)
        balances.append(balance)
        on += timedelta(days=1)
    return balances


def deposited(transactions: Sequence[Transaction]) -> Decimal:
    """What came in."""
    return sum((line.amount for line in transactions if line.amount > 0), Decimal(0))


def withdrawn(transactions: Sequence[Transaction]) -> Decimal:
    """What went out, as an amount above zero."""
    return -sum((line.amount for line in transactions if line.amount < 0), Decimal(0))


def together(months: Mapping[str, MonthFactors]) -> AccountFactors:
    """An account's months as one set of factors; `months` need not be in order."""
    in_order = [months[key] for key in sorted(months)]
    days = sum(month.days for month in in_order)
    balances = sum((month.average_daily_balance_usd * month.days for month in in_order), Decimal(0))
    revenues = [month.revenue_usd for month in in_order]
    return AccountFactors(
        months=len(in_order),
        average_daily_balance_usd=(balances / days).quantize(CENT, ROUND_HALF_UP),
        monthly_deposits_usd=mean([month.deposits_usd for month in in_order]),
        monthly_withdrawals_usd=mean([month.withdrawals_usd for month in in_order]),
        monthly_revenue_usd=mean(revenues),
        largest_deposit_usd=max(month.largest_deposit_usd for month in in_order),
        days_negative=sum(month.days_negative for month in in_order),
        nsf_count=sum(month.nsf_count for month in in_order),
        revenue_trend_per_month=trend(revenues),
    )


def mean(amounts: Sequence[Decimal]) -> Decimal:
    """The arithmetic mean, to the cent.

    >>> mean([Decimal("10.00"), Decimal("10.01")])
    Decimal('10.01')
    """
    return (sum(amounts, Decimal(0)) / len(amounts)).quantize(CENT, ROUND_HALF_UP)


def trend(revenues: Sequence[Decimal]) -> Decimal | None:
    """The slope of the least-squares line through monthly revenue, over the mean revenue: 0.02 is 2 % a month.

    None with fewer than three months, or without revenue.

    >>> trend([Decimal(100), Decimal(110), Decimal(120)]), trend([Decimal(100), Decimal(110)])
    (Decimal('0.0909'), None)
    """
    count, total = len(revenues), sum(revenues, Decimal(0))
    if count < 3 or not total:
        return None
    average, middle = total / count, Decimal(count - 1) / 2
    rise = sum(((at - middle) * (revenue - average) for at, revenue in enumerate(revenues)), Decimal(0))
    spread = sum(((at - middle) ** 2 for at in range(count)), Decimal(0))
    return (rise / spread / average).quantize(FOUR_PLACES, ROUND_HALF_UP)

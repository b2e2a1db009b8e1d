"""The application form: what a business says of itself, as factors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from decimal import ROUND_HALF_UP, Decimal

from returns.result import safe

from model import Application, ApplicationFactors, Document, Owner, Pages
from pipeline import Failure, Pipeline, Result, Success, configurable, step
from problems import Inconsistent, Problem, UnknownIndustry
from reading import day, field, fields, money, validate

FOUR_PLACES = Decimal("0.0001")


def pipeline(keyring: str, risks: Mapping[str, str]) -> Pipeline[Document, dict[str, ApplicationFactors], Problem]:
    """The way of an application; `risks` maps NAICS codes to words of the underwriter's."""
    return validate(keyring=keyring) >> parse >> factors(risks=risks)


@step("processing")
@safe(exceptions=(Problem,))
def parse(pages: Pages) -> Application:
    """The form as data, if its owners hold one whole together."""
    owners = tuple(owner(text) for text in fields(pages.pages, "Owner"))
    if (shares := sum(owner.share for owner in owners)) != 1:
        raise Inconsistent(f"owners hold {shares:.0%}, not 100%; ask for a corrected form")
    return Application(
        business=pages.business,
        applied_on=day(field(pages.pages, "Date of application")),
        founded_on=day(field(pages.pages, "Business founded on")),
        industry=field(pages.pages, "Industry (NAICS)"),
        annual_revenue=money(field(pages.pages, "Annual revenue")),
        outstanding_debt=money(field(pages.pages, "Outstanding debt")),
        requested_amount=money(field(pages.pages, "Amount requested")),
        owners=owners,
    )


def owner(text: str) -> Owner:
    """One owner's line.

    >>> owner("Ines Carvalho, 60%")
    Owner(name='Ines Carvalho', share=Decimal('0.6'))
    >>> owner("Ines Carvalho")
    Traceback (most recent call last):
    problems.Inconsistent: owner 'Ines Carvalho' has no share; ask for a corrected form
    """
    match = re.fullmatch(r"(.+), (\d+)%", text)
    if match is None:
        raise Inconsistent(f"owner {text!r} has no share; ask for a corrected form")
    return Owner(match[1], Decimal(match[2]) / 100)


@configurable("extraction")
def factors(
    application: Application, *, risks: Mapping[str, str]
) -> Result[dict[str, ApplicationFactors], UnknownIndustry]:
    """The application's factors, under the key `application`."""
    risk = risks.get(application.industry)
    if risk is None:
        return Failure(UnknownIndustry(f"NAICS {application.industry} is not in the risk table; add it"))
    read = ApplicationFactors(
        requested_amount_usd=application.requested_amount,
        annual_revenue_usd=application.annual_revenue,
        time_in_business_months=whole_months(application.founded_on, application.applied_on),
        largest_ownership_share=max(owner.share for owner in application.owners),
        owners=len(application.owners),
        debt_to_revenue=ratio(application.outstanding_debt, application.annual_revenue),
        request_to_revenue=ratio(application.requested_amount, application.annual_revenue),
        industry=application.industry,
        industry_risk=risk,
    )
    return Success({"application": read})


def ratio(part: Decimal, whole: Decimal) -> Decimal:
    """Part over whole, to four places.

    >>> ratio(Decimal(18_500), Decimal(492_000))
    Decimal('0.0376')
    """
    return (part / whole).quantize(FOUR_PLACES, ROUND_HALF_UP)


def whole_months(start: date, end: date) -> int:
    """Months that are over: the last one counts from the day of the month it began on.

    >>> whole_months(date(2017, 3, 14), date(2026, 11, 16)), whole_months(date(2026, 1, 31), date(2026, 2, 28))
    (116, 0)
    """
    return (end.year - start.year) * 12 + end.month - start.month - (end.day < start.day)

"""The data of underwriting a small business: from a file's reference to the factors read from it.

Every stage is one frozen Struct, so that a stage can be kept in a payload and come back equal.
Money is a `Decimal` in the currency its owner names; a ratio is a `Decimal` where 1 is the whole.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Literal

from msgspec import Struct

Kind = Literal["application", "statement", "licence"]


# Stage one: what a processor is given.


class Document(Struct, frozen=True):
    """A reference to one version of one file: `sha256` says which, so a replaced file is another input."""

    path: str
    sha256: str
    kind: Kind
    business: str
    """Whose document it should be, as the case file names the business."""


# Stage two: what validation leaves.


class Pages(Struct, frozen=True):
    """The text of a readable document of the right kind and the right business, page by page."""

    name: str
    business: str
    pages: tuple[str, ...]


# Stage three: what processing leaves.


class Owner(Struct, frozen=True):
    """One owner; `share` is a ratio, 0.4 for 40 %."""

    name: str
    share: Decimal


class Application(Struct, frozen=True):
    """What the business says of itself on the day it applies; money in US dollars."""

    business: str
    applied_on: date
    founded_on: date
    industry: str
    """A six-digit NAICS code."""
    annual_revenue: Decimal
    outstanding_debt: Decimal
    requested_amount: Decimal
    owners: tuple[Owner, ...]


class Transaction(Struct, frozen=True):
    """One line of a statement; `amount` is above zero for a deposit, `balance` is the one after it."""

    on: date
    description: str
    amount: Decimal
    balance: Decimal


class Statement(Struct, frozen=True):
    """One month of a bank account whose totals and running balances were found to add up."""

    holder: str
    currency: str
    start: date
    end: date
    opening: Decimal
    deposits: Decimal
    withdrawals: Decimal
    closing: Decimal
    transactions: tuple[Transaction, ...]


class Licence(Struct, frozen=True):
    """What the licence itself says."""

    number: str
    holder: str
    jurisdiction: str
    category: str
    issued_on: date
    expires_on: date


class Registration(Struct, frozen=True):
    """What the issuing authority's registry says of a licence number."""

    number: str
    standing: Literal["active", "suspended", "revoked"]
    expires_on: date


class RegisteredLicence(Struct, frozen=True):
    """A licence next to the registry's answer."""

    licence: Licence
    registration: Registration


# Stage four: factors. Definitions and units stand in README.md and are tested by hand.


class ApplicationFactors(Struct, frozen=True):
    """Factors of one application."""

    requested_amount_usd: Decimal
    annual_revenue_usd: Decimal
    time_in_business_months: int
    largest_ownership_share: Decimal
    owners: int
    debt_to_revenue: Decimal
    request_to_revenue: Decimal
    industry: str
    industry_risk: str


class MonthFactors(Struct, frozen=True):
    """Factors of one month's statement; money in US dollars."""

    days: int
    average_daily_balance_usd: Decimal
    lowest_daily_balance_usd: Decimal
    deposits_usd: Decimal
    withdrawals_usd: Decimal
    revenue_usd: Decimal
    largest_deposit_usd: Decimal
    days_negative: int
    nsf_count: int


class AccountFactors(Struct, frozen=True):
    """Factors over every month of an account's statements; money in US dollars."""

    months: int
    average_daily_balance_usd: Decimal
    monthly_deposits_usd: Decimal
    monthly_withdrawals_usd: Decimal
    monthly_revenue_usd: Decimal
    largest_deposit_usd: Decimal
    days_negative: int
    nsf_count: int
    revenue_trend_per_month: Decimal | None
    """None with fewer than three months: a line through two points proves nothing."""


class LicenceFactors(Struct, frozen=True):
    """Factors of one licence on the as-of date."""

    category: str
    jurisdiction: str
    state: Literal["valid", "expired", "suspended", "revoked"]
    days_to_expiry: int
    registry_agrees: bool

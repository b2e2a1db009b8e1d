"""Eight invented businesses: what their documents say before anything goes wrong with the files.

Nothing is random from one run to the next: each month's ledger is drawn from a seed made of its account and month.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from random import Random

from msgspec import Struct

from model import Application, Licence, Owner, Statement, Transaction

MONTHS = tuple(date(2026, month, 1) for month in range(5, 11))
CENT = Decimal("0.01")


class Business(Struct, frozen=True):
    """One applicant; `monthly_sales` in its own currency, `growth` a ratio a month."""

    account_id: str
    name: str
    state: str
    founded_on: date
    industry: str
    requested: int
    debt: int
    owners: tuple[tuple[str, int], ...]
    opening: int
    monthly_sales: int
    growth: float
    spend: float
    """Money going out as a ratio of sales; above 1 the account runs dry."""
    licences: tuple[tuple[str, str, date], ...]
    """Number, category, day of expiry."""
    currency: str = "USD"

    @property
    def underwriting_id(self) -> str:
        """The case this business is judged in.

        >>> BUSINESSES[0].underwriting_id
        'uw_101'
        """
        return self.account_id.replace("acc", "uw")


BUSINESSES = (
    Business(
        "acc_101", "Harbor Street Bakery LLC", "MA", date(2017, 3, 14), "311811", 60_000, 18_500,
        (("Ines Carvalho", 60), ("Paulo Carvalho", 40)), 14_200, 41_000, 0.03, 0.93,
        (("MA-FE-20881", "Food establishment", date(2027, 6, 30)),),
    ),
    Business(
        "acc_102", "Northside Auto Repair Inc", "TX", date(2012, 9, 3), "811111", 85_000, 52_000,
        (("Dale Whitcomb", 55), ("Rosa Whitcomb", 45)), 9_750, 58_000, 0.0, 0.97,
        (("TX-MV-44107", "Motor vehicle repair", date(2027, 1, 31)),),
    ),
    Business(
        "acc_103", "Blue Heron Dental PLLC", "TX", date(2009, 1, 20), "621210", 150_000, 96_000,
        (("Dr. Amara Obi", 100),), 38_400, 92_000, 0.015, 0.9,
        (("TX-DN-10593", "Dental practice", date(2028, 2, 29)), ("TX-XR-77120", "X-ray equipment", date(2026, 12, 15))),
    ),
    Business(
        "acc_104", "Maple & Main Hardware LLC", "OH", date(2019, 11, 8), "444140", 40_000, 27_300,
        (("Gordon Pruitt", 70), ("Lena Pruitt", 20), ("Sam Pruitt", 10)), 6_900, 36_500, -0.02, 0.98,
        (("OH-VL-30264", "Vendor's licence", date(2027, 12, 31)),),
    ),
    Business(
        "acc_105", "Quick Fix Plumbing Co", "FL", date(2022, 5, 27), "238220", 75_000, 48_900,
        (("Travis Boone", 100),), 6_150, 29_000, -0.05, 1.07,
        (("FL-CF-51930", "Plumbing contractor", date(2027, 8, 31)), ("FL-GC-51931", "Builder", date(2027, 8, 31))),
    ),
    Business(
        "acc_106", "Sunrise Yoga Studio LLC", "CA", date(2021, 2, 1), "713940", 25_000, 6_000,
        (("Mei Tanaka", 50), ("Jo Alvarez", 50)), 5_300, 17_500, 0.01, 0.94,
        (("CA-BT-90417", "Business tax certificate", date(2027, 3, 31)),),
    ),
    Business(
        "acc_107", "Cedar Grove Landscaping LLC", "WA", date(2016, 4, 11), "561730", 55_000, 31_200,
        (("Henrik Sund", 80), ("Ana Sund", 20)), 11_600, 47_000, -0.01, 0.95,
        (("WA-LC-66012", "Landscape contractor", date(2026, 11, 6)),),
    ),
    Business(
        "acc_108", "Maritime Imports Ltd", "ME", date(2014, 7, 30), "424490", 120_000, 70_400,
        (("Claire Boudreau", 65), ("Marc Boudreau", 35)), 45_000, 83_000, 0.02, 0.92,
        (("ME-WH-12277", "Wholesale food", date(2027, 5, 31)), ("ME-CB-12290", "Customs broker", date(2027, 9, 30))),
        currency="CAD",
    ),
)  # fmt: skip


def application(business: Business) -> Application:
    """What the business writes on its form; revenue is twelve months of its sales."""
    return Application(
        business=business.name,
        applied_on=date(2026, 11, 16),
        founded_on=business.founded_on,
        industry=business.industry,
        annual_revenue=Decimal(business.monthly_sales * 12),
        outstanding_debt=Decimal(business.debt),
        requested_amount=Decimal(business.requested),
        owners=tuple(Owner(name, Decimal(percent) / 100) for name, percent in business.owners),
    )


def licences(business: Business) -> tuple[Licence, ...]:
    """The licences the business hangs on its wall."""
    return tuple(
        Licence(number, business.name, business.state, category, date(expiry.year - 3, 3, 2), expiry)
        for number, category, expiry in business.licences
    )


def statements(business: Business) -> Iterator[Statement]:
    """Six months of statements; each opens with the balance the one before closed with."""
    opening = Decimal(business.opening).quantize(CENT)
    for index, start in enumerate(MONTHS):
        statement = month(business, index, start, opening)
        yield statement
        opening = statement.closing


def month(business: Business, index: int, start: date, opening: Decimal) -> Statement:
    """One month, its lines in order and its totals right."""
    transactions: list[Transaction] = []
    balance = opening
    for on, description, amount in lines(business, index, start):
        balance += amount
        transactions.append(Transaction(on, description, amount, balance))
        if balance < 0 and amount < -200:
            balance -= 35
            transactions.append(Transaction(on, "NSF FEE RETURNED ITEM", Decimal("-35.00"), balance))
    amounts = [line.amount for line in transactions]
    return Statement(
        holder=business.name,
        currency=business.currency,
        start=start,
        end=start.replace(day=monthrange(start.year, start.month)[1]),
        opening=opening,
        deposits=sum((amount for amount in amounts if amount > 0), Decimal("0.00")),
        withdrawals=-sum((amount for amount in amounts if amount < 0), Decimal("0.00")),
        closing=balance,
        transactions=tuple(transactions),
    )


def lines(business: Business, index: int, start: date) -> Iterator[tuple[date, str, Decimal]]:
    """Day, description and amount of everything that happens in a month, in the order of its days."""
    random = Random(f"{business.account_id} {start}")
    sales = business.monthly_sales * (1 + business.growth) ** index
    for day in range(1, monthrange(start.year, start.month)[1] + 1):
        on = start.replace(day=day)
        for description, share in regular(on, random):
            spent = business.spend if share < 0 else 1
            yield on, description, Decimal(str(sales * spent * share * random.uniform(0.85, 1.15))).quantize(CENT)
        if day == 12 and index == 1:
            yield on, "LOAN PROCEEDS KEYSTONE CAPITAL", Decimal("5000.00")
        if day == 24 and index % 2:
            yield on, "TRANSFER FROM SAVINGS", Decimal("1500.00")


def regular(on: date, random: Random) -> Iterator[tuple[str, float]]:
    """What a day brings and costs, as ratios of a month's sales."""
    if on.day == 1:
        yield "RENT STANDING ORDER", -0.12
    if on.weekday() < 5:
        yield "CARD SETTLEMENT MERCHANT SERVICES", 0.7 / 22
        yield "ACH CREDIT ONLINE ORDERS", 0.3 / 22
    if on.weekday() in (1, 3):
        yield f"ACH DEBIT SUPPLIER {random.randint(100, 999)}", -0.048
    if on.weekday() == 4:
        yield "PAYROLL", -0.09
    if on.day % 3 == 0:
        yield f"CHECK {4000 + 31 * on.month + on.day}", -0.007
    if on.day == 20:
        yield "ELECTRIC AND WATER", -0.02

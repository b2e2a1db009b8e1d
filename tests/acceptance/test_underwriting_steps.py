"""The steps of the underwriting example, one file or one service at a time, and factors worked out by hand."""

from __future__ import annotations

import doctest
import importlib
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Literal, TypeAlias

import pytest
from msgspec.structs import replace

import application
import businesses
import licence
import reading
import statement
from businesses import BUSINESSES, statements
from documents import application_pdf, pdf, scanned_pdf, statement_pdf
from inbox import good_files
from model import (
    Document,
    Licence,
    MonthFactors,
    Owner,
    Pages,
    RegisteredLicence,
    Registration,
    Statement,
)
from model import Transaction as Line
from pipeline import is_failure
from problems import Inconsistent, NotRegistered, RegistryDown
from registry import Registry, look_up

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "underwriting"

# Ten days, few enough to work out with a pencil:
#   day      1     2     3     4     5     6     7     8     9    10
#   end   1000  1000  -535  -535  1465  1465  1465  4465  4465  4000   sum 18,255, mean 1,825.50
TEN_DAYS = Statement(
    holder="Corner Shop",
    currency="USD",
    start=date(2026, 6, 1),
    end=date(2026, 6, 10),
    opening=Decimal("1000.00"),
    deposits=Decimal("5000.00"),
    withdrawals=Decimal("2000.00"),
    closing=Decimal("4000.00"),
    transactions=(
        Line(date(2026, 6, 3), "RENT", Decimal("-1500.00"), Decimal("-500.00")),
        Line(date(2026, 6, 3), "NSF FEE RETURNED ITEM", Decimal("-35.00"), Decimal("-535.00")),
        Line(date(2026, 6, 5), "CARD SETTLEMENT", Decimal("2000.00"), Decimal("1465.00")),
        Line(date(2026, 6, 8), "LOAN PROCEEDS", Decimal("3000.00"), Decimal("4465.00")),
        Line(date(2026, 6, 10), "SUPPLIER", Decimal("-465.00"), Decimal("4000.00")),
    ),
)
TEN_DAYS_BY_HAND = MonthFactors(
    days=10,
    average_daily_balance_usd=Decimal("1825.50"),
    lowest_daily_balance_usd=Decimal("-535.00"),
    deposits_usd=Decimal("5000.00"),
    withdrawals_usd=Decimal("2000.00"),
    revenue_usd=Decimal("2000.00"),
    largest_deposit_usd=Decimal("3000.00"),
    days_negative=2,
    nsf_count=1,
)


Validate: TypeAlias = Callable[..., str]


def test_each_file_is_the_same_whenever_it_is_made() -> None:
    assert dict(good_files()) == dict(good_files())
    assert statement_pdf(TEN_DAYS, "secret") == statement_pdf(TEN_DAYS, "secret")


# One file at a time: what validation says of it.


@pytest.fixture
def validated(tmp_path: Path) -> Validate:
    """Writes one file, validates it, and gives what it failed with; "" for a success."""

    def validate(content: bytes, passwords: bytes = b"{}", digest: str | None = None) -> str:
        path = tmp_path / "folder" / "file.pdf"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        (tmp_path / "keyring.json").write_bytes(passwords)
        document = Document(str(path), digest or sha256(content).hexdigest(), "statement", "Corner Shop")
        result = reading.validate(keyring=str(tmp_path / "keyring.json"))(document)
        return f"{type(result.failure()).__name__}: {result.failure()}" if is_failure(result) else ""

    return validate


GOOD = statement_pdf(TEN_DAYS)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "EmptyFile: the file has 0 bytes"),
        (b"<!DOCTYPE html><title>", "NotPdf: begins with b'<!DOCTYPE html>'"),
        (GOOD[:1000], "TruncatedPdf: cut off after 1,000 bytes"),
        (b"%PDF-1.4\nnothing\n%%EOF\n", "DamagedPdf: cannot be read"),
        (statement_pdf(TEN_DAYS, "secret"), "LockedPdf: no password on the keyring"),
        (scanned_pdf([["a page"]]), "ImageOnly: 1 page(s) without text"),
        (pdf([["BUSINESS LICENCE", "Issued to: Corner Shop"]]), "WrongKind: not headed 'BANK STATEMENT'"),
        (pdf([["A BANK STATEMENT", "Account holder: Mill"]]), "WrongBusiness: belongs to 'Mill', not to 'Corner Shop'"),
        (pdf([["A BANK STATEMENT", "Currency: USD"]]), "MissingField: has no line 'Account holder: ...'"),
    ],
)
def test_validation_names_what_is_wrong_with_a_file(validated: Validate, content: bytes, says: str) -> None:
    assert validated(content).startswith(says)


def test_the_password_on_the_keyring_opens_an_encrypted_file(validated: Validate) -> None:
    locked = statement_pdf(TEN_DAYS, "secret")

    assert validated(locked, passwords=b'{"folder/file.pdf": "secret"}') == ""
    assert validated(locked, passwords=b'{"folder/file.pdf": "guess"}').startswith(
        "LockedPdf: the keyring's password does not open it"
    )


def test_a_file_that_is_no_longer_the_one_referred_to_is_refused(validated: Validate) -> None:
    assert validated(GOOD, digest="0" * 64).startswith("ChangedFile: no longer the version")


def test_a_damaged_file_fails_without_a_word_in_the_log(validated: Validate, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG", "root"):
        assert validated(b"%PDF-1.4\nnothing\n%%EOF\n").startswith("DamagedPdf")

    assert not caplog.records


# Processing.


def pages_of(content: bytes) -> Pages:
    """The text of a PDF, as validation hands it on."""
    return Pages("file", "Corner Shop", reading.pages_of(content, None))


def test_a_statement_comes_back_from_its_pdf_as_it_went_in() -> None:
    assert statement.parse(pages_of(GOOD)).unwrap() == TEN_DAYS


def test_every_statement_of_every_business_comes_back_over_all_its_pages() -> None:
    for business in BUSINESSES:
        for month in statements(business):
            pages = pages_of(statement_pdf(month))

            assert len(pages.pages) >= 2
            assert statement.parse(replace(pages, business=business.name)).unwrap() == month


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (
            replace(TEN_DAYS, deposits=Decimal(5001)),
            "total of deposits: the lines add up to 5,000.00, printed is 5,001",
        ),
        (replace(TEN_DAYS, withdrawals=Decimal(1)), "total of withdrawals: the lines add up to 2,000.00, printed is 1"),
        (replace(TEN_DAYS, closing=Decimal(4100)), "closing balance: the lines add up to 4,000.00, printed is 4,100"),
        (replace(TEN_DAYS, opening=Decimal(900)), "balance after 'RENT' on 2026-06-03: the lines add up to -600.00"),
    ],
)
def test_a_statement_that_does_not_add_up_says_where(wrong: Statement, says: str) -> None:
    problem = statement.parse(pages_of(statement_pdf(wrong))).failure()

    assert isinstance(problem, Inconsistent)
    assert str(problem).startswith(says)


def test_owners_have_to_hold_one_whole_together() -> None:
    form = businesses.application(BUSINESSES[0])
    greedy = replace(form, owners=(*form.owners, Owner("A Third", Decimal("0.1"))))

    assert application.parse(pages_of(application_pdf(greedy))).failure().args == (
        "owners hold 110%, not 100%; ask for a corrected form",
    )


# The registry.


@pytest.fixture
def registry() -> Iterator[Registry]:
    """A registry with one entry."""
    with Registry([Registration("TX-1", "active", date(2027, 1, 31))]) as service:
        yield service


def test_the_registry_answers_for_a_number_it_knows_and_for_no_other(registry: Registry) -> None:
    assert look_up(registry.address, "TX-1").expires_on == date(2027, 1, 31)
    with pytest.raises(NotRegistered, match="does not know TX-2"):
        look_up(registry.address, "TX-2")


def test_a_flaky_number_answers_when_it_is_asked_again(registry: Registry) -> None:
    registry.flaky.add("TX-1")

    with pytest.raises(RegistryDown, match="no answer about TX-1"):
        look_up(registry.address, "TX-1")
    assert look_up(registry.address, "TX-1").standing == "active"


def test_a_state_that_is_down_answers_when_it_is_back(registry: Registry) -> None:
    registry.down.add("TX")

    with pytest.raises(RegistryDown, match="answered 503 about TX-1"):
        look_up(registry.address, "TX-1")
    registry.down.clear()
    assert look_up(registry.address, "TX-1").standing == "active"


# Extraction: factors worked out by hand.


def test_the_factors_of_ten_days_are_those_worked_out_by_hand() -> None:
    found = statement.factors(rates={"USD": Decimal(1)})(TEN_DAYS)

    assert found.unwrap() == {"2026-06": TEN_DAYS_BY_HAND}


def test_money_is_converted_at_the_configured_rate() -> None:
    canadian = replace(TEN_DAYS, currency="CAD")

    found = statement.factors(rates={"CAD": Decimal("0.73")})(canadian).unwrap()["2026-06"]
    assert found.average_daily_balance_usd == Decimal("1332.62")  # 0.73 times 1,825.50 = 1,332.615
    assert found.withdrawals_usd == Decimal("1460.00")
    assert "no rate for CAD" in str(statement.factors(rates={})(canadian).failure())


def test_months_together_weigh_balances_by_days_and_fit_a_line_through_revenue() -> None:
    def month(days: int, balance: int, revenue: int) -> MonthFactors:
        return replace(
            TEN_DAYS_BY_HAND, days=days, average_daily_balance_usd=Decimal(balance), revenue_usd=Decimal(revenue)
        )

    found = statement.together(
        {"2026-02": month(28, 400, 20), "2026-01": month(31, 100, 10), "2026-03": month(31, 700, 60)}
    )
    assert found.average_daily_balance_usd == Decimal("400.00")  # (3,100 + 11,200 + 21,700) / 90
    assert found.monthly_revenue_usd == Decimal("30.00")
    assert found.revenue_trend_per_month == Decimal("0.8333")  # slope 50 / 2 = 25, over a mean of 30
    assert (found.months, found.days_negative, found.nsf_count) == (3, 6, 3)
    assert found.monthly_deposits_usd == Decimal("5000.00")


@pytest.mark.parametrize(
    ("standing", "as_of", "state", "days"),
    [
        ("active", date(2027, 1, 30), "valid", 1),
        ("active", date(2027, 1, 31), "valid", 0),
        ("active", date(2027, 2, 1), "expired", -1),
        ("suspended", date(2027, 1, 1), "suspended", 30),
        ("revoked", date(2027, 2, 28), "revoked", -28),
    ],
)
def test_a_licence_is_valid_up_to_its_last_day_unless_the_registry_says_otherwise(
    standing: Literal["active", "suspended", "revoked"], as_of: date, state: str, days: int
) -> None:
    printed = Licence("TX-1", "Corner Shop", "TX", "Repair", date(2024, 1, 1), date(2027, 1, 31))
    registered = RegisteredLicence(printed, Registration("TX-1", standing, date(2027, 1, 31)))

    found = licence.factors(as_of=as_of)(registered).unwrap()["TX-1"]
    assert (found.state, found.days_to_expiry, found.registry_agrees) == (state, days, True)


@pytest.mark.parametrize("file", sorted(EXAMPLE.glob("*.py")), ids=lambda file: file.stem)
def test_the_doctests_of_the_example_hold(file: Path) -> None:
    assert doctest.testmod(importlib.import_module(file.stem)).failed == 0

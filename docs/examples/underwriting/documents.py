"""Documents as PDF files: an application, a statement or a licence drawn as its sender would print it.

The same data gives the same bytes (`invariant=1`), so a file's digest says which version it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from io import BytesIO

from PIL import Image, ImageDraw
from reportlab.lib.pagesizes import letter
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from model import Application, Licence, Statement

ROWS_ON_A_PAGE = 44


def application_pdf(application: Application) -> bytes:
    """A one-page application form."""
    return pdf(application_pages(application))


def statement_pdf(statement: Statement, password: str | None = None) -> bytes:
    """A statement of several pages; with a password it is encrypted (RC4, 128 bit)."""
    return pdf(statement_pages(statement), password)


def licence_pdf(licence: Licence) -> bytes:
    """A licence on one page."""
    return pdf(licence_pages(licence))


def scanned_pdf(pages: Sequence[Sequence[str]]) -> bytes:
    """The same pages as a scanner makes them: pictures, without any text."""
    content = BytesIO()
    canvas = Canvas(content, pagesize=letter, invariant=1)
    for lines in pages:
        picture = Image.new("1", (918, 1188), 1)
        ImageDraw.Draw(picture).multiline_text((75, 75), "\n".join(lines), fill=0)
        canvas.drawImage(ImageReader(picture), 0, 0, *letter)
        canvas.showPage()
    canvas.save()
    return content.getvalue()


def pdf(pages: Sequence[Sequence[str]], password: str | None = None) -> bytes:
    """Pages of lines as a PDF; the first line of each page is its heading."""
    content = BytesIO()
    encryption = StandardEncryption(password, "the bank's own", strength=128) if password else None
    canvas = Canvas(content, pagesize=letter, invariant=1, encrypt=encryption)
    for heading, *lines in pages:
        canvas.setFont("Helvetica-Bold", 14)
        canvas.drawString(50, 740, heading)
        canvas.setFont("Courier", 9)
        for row, line in enumerate(lines):
            canvas.drawString(50, 716 - 14 * row, line)
        canvas.showPage()
    canvas.save()
    return content.getvalue()


def application_pages(application: Application) -> list[list[str]]:
    """The form's lines: a label and a value each."""
    owners = [f"Owner: {owner.name}, {owner.share:.0%}" for owner in application.owners]
    return [
        [
            "BUSINESS FUNDING APPLICATION",
            f"Business name: {application.business}",
            f"Date of application: {day(application.applied_on)}",
            f"Business founded on: {day(application.founded_on)}",
            f"Industry (NAICS): {application.industry}",
            f"Annual revenue: ${money(application.annual_revenue)}",
            f"Outstanding debt: ${money(application.outstanding_debt)}",
            f"Amount requested: ${money(application.requested_amount)}",
            *owners,
            "Signed electronically. All figures in US dollars.",
        ]
    ]


def statement_pages(statement: Statement) -> list[list[str]]:
    """The summary and the first lines on page one, the other lines on the pages after it."""
    bank = "FIRST HARBOUR BANK" if statement.currency == "USD" else "BANK OF THE ATLANTIC"
    rows = [
        f"{day(line.on)}  {line.description:<38}{money(line.amount):>14}{money(line.balance):>16}"
        for line in statement.transactions
    ]
    summary = [
        f"Account holder: {statement.holder}",
        f"Statement period: {day(statement.start)} to {day(statement.end)}",
        f"Currency: {statement.currency}",
        f"Opening balance: {money(statement.opening)}",
        f"Total deposits: {money(statement.deposits)}",
        f"Total withdrawals: {money(statement.withdrawals)}",
        f"Closing balance: {money(statement.closing)}",
        "",
    ]
    body = [summary + rows[: ROWS_ON_A_PAGE - len(summary)]]
    rest = rows[ROWS_ON_A_PAGE - len(summary) :]
    body += [rest[first : first + ROWS_ON_A_PAGE] for first in range(0, len(rest), ROWS_ON_A_PAGE)]
    return [
        [f"{bank} - BANK STATEMENT", *lines, "", f"Page {number} of {len(body)}"]
        for number, lines in enumerate(body, start=1)
    ]


def licence_pages(licence: Licence) -> list[list[str]]:
    """What is printed on a licence."""
    return [
        [
            "BUSINESS LICENCE",
            f"Licence number: {licence.number}",
            f"Issued to: {licence.holder}",
            f"Jurisdiction: {licence.jurisdiction}",
            f"Category: {licence.category}",
            f"Issued on: {day(licence.issued_on)}",
            f"Expires on: {day(licence.expires_on)}",
        ]
    ]


def day(on: date) -> str:
    """A day as these documents write it.

    >>> day(date(2026, 11, 6))
    '11/06/2026'
    """
    return on.strftime("%m/%d/%Y")


def money(amount: Decimal) -> str:
    """An amount as these documents write it.

    >>> money(Decimal("-1234.5"))
    '-1,234.50'
    """
    return f"{amount:,.2f}"

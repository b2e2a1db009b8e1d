"""Validation: from a file's reference to its text, or the one reason why there is none.

The three pipelines share this step: what can be wrong with a PDF does not depend on what it says.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import msgspec
from pypdf import PdfReader
from returns.result import safe

from model import Document, Kind, Pages
from pipeline import configurable
from problems import (
    ChangedFile,
    DamagedPdf,
    EmptyFile,
    ImageOnly,
    LockedPdf,
    MissingField,
    NotPdf,
    Problem,
    TruncatedPdf,
    WrongBusiness,
    WrongKind,
)

HEADINGS: dict[Kind, str] = {
    "application": "BUSINESS FUNDING APPLICATION",
    "statement": "BANK STATEMENT",
    "licence": "BUSINESS LICENCE",
}
HOLDERS: dict[Kind, str] = {"application": "Business name", "statement": "Account holder", "licence": "Issued to"}

# pypdf reports what it tolerates through logging; here a file is either readable or a Failure that says why.
logging.getLogger("pypdf").setLevel(logging.CRITICAL)


@configurable("validation")
@safe(exceptions=(Problem,))
def validate(document: Document, *, keyring: str) -> Pages:
    """The text of the document; `keyring` is the path of a JSON file of passwords.

    `safe` turns a `Problem` raised on the way into a `Failure` of exactly that type.
    """
    content = content_of(document)
    if problem := damage(content):
        raise problem
    pages = pages_of(content, password_for(document, keyring))
    if problem := mismatch(document, pages):
        raise problem
    return Pages(name=Path(document.path).stem, business=document.business, pages=pages)


def reference(path: Path, kind: Kind, business: str) -> Document:
    """A reference to the version of the file that is there now."""
    return Document(str(path), sha256(path.read_bytes()).hexdigest(), kind, business)


def content_of(document: Document) -> bytes:
    """The bytes of the version that was referred to."""
    try:
        content = Path(document.path).read_bytes()
    except OSError as error:
        raise ChangedFile(f"cannot be read: {error.strerror}; refer to the file that is there now") from error
    if sha256(content).hexdigest() != document.sha256:
        raise ChangedFile("no longer the version that was referred to; refer to the file that is there now")
    return content


def damage(content: bytes) -> Problem | None:
    """What is wrong with the file before anyone tries to read it."""
    if not content:
        return EmptyFile("the file has 0 bytes; upload it again")
    if not content.startswith(b"%PDF-"):
        return NotPdf(f"begins with {content[:15]!r}; upload the PDF itself")
    if b"%%EOF" not in content[-1024:]:
        return TruncatedPdf(f"cut off after {len(content):,} bytes; upload the whole file")
    return None


def password_for(document: Document, keyring: str) -> str | None:
    """The password the keyring holds for this document: a JSON file of file names and passwords.

    Only the keyring's place is configured, so no password comes into a step, a payload or a log.
    """
    passwords = msgspec.json.decode(Path(keyring).read_bytes(), type=dict[str, str])
    return passwords.get("/".join(Path(document.path).parts[-2:]))


def pages_of(content: bytes, password: str | None) -> tuple[str, ...]:
    """The text of each page.

    pypdf raises exceptions of many types on broken files: here they all mean the same.
    """
    try:
        reader = PdfReader(BytesIO(content), strict=False)
        opened = not reader.is_encrypted or (password is not None and bool(reader.decrypt(password)))
        pages = tuple(page.extract_text() for page in reader.pages) if opened else None
    except Exception as error:
        raise DamagedPdf(f"cannot be read ({type(error).__name__}: {error}); upload it again") from error
    if pages is None:
        why = "no password on the keyring" if password is None else "the keyring's password does not open it"
        raise LockedPdf(f"{why}; ask the sender")
    return pages


def mismatch(document: Document, pages: tuple[str, ...]) -> Problem | None:
    """Why a readable document is not the one that was asked for."""
    if not any(page.strip() for page in pages):
        return ImageOnly(f"{len(pages)} page(s) without text; ask for the bank's own PDF")
    if HEADINGS[document.kind] not in pages[0]:
        return WrongKind(f"not headed {HEADINGS[document.kind]!r}; file it where it belongs")
    holder = field(pages, HOLDERS[document.kind])
    if holder.casefold() != document.business.casefold():
        return WrongBusiness(f"belongs to {holder!r}, not to {document.business!r}; ask for the right one")
    return None


# Reading values out of text, for the three kinds of document.


def fields(pages: tuple[str, ...], label: str) -> Iterator[str]:
    """Every value behind the label, in the order of the document."""
    for page in pages:
        for match in re.finditer(rf"^{re.escape(label)}: *(.+?) *$", page, re.MULTILINE):
            yield match[1]


def field(pages: tuple[str, ...], label: str) -> str:
    """The one value behind the label.

    >>> field(("Currency: USD",), "Currency")
    'USD'
    >>> field(("Currency: USD",), "Opening balance")
    Traceback (most recent call last):
    problems.MissingField: has no line 'Opening balance: ...'; ask for a complete document
    """
    for value in fields(pages, label):
        return value
    raise MissingField(f"has no line '{label}: ...'; ask for a complete document")


def money(text: str) -> Decimal:
    """An amount as documents write it.

    >>> money("-1,234.50"), money("$60,000.00")
    (Decimal('-1234.50'), Decimal('60000.00'))
    """
    return Decimal(text.replace(",", "").replace("$", ""))


def day(text: str) -> date:
    """A day as documents write it.

    >>> day("11/06/2026")
    datetime.date(2026, 11, 6)
    """
    month, on, year = map(int, text.split("/"))
    return date(year, month, on)

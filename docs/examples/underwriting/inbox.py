"""The inbox: a folder of an account's documents each, as they arrived, and as they are after repairs.

Nine files arrive broken. Seven of them can be put right; two need a person at the bank's or the business's end.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path

import msgspec
from msgspec.structs import replace

from businesses import BUSINESSES, Business, application, licences, statements
from documents import application_pdf, licence_pdf, scanned_pdf, statement_pages, statement_pdf
from model import Document, Kind
from pipeline import ProcessorInput
from reading import reference

KINDS: tuple[Kind, ...] = ("application", "statement", "licence")
STRAY = "acc_105/application_2"
"""A copy of Maple & Main Hardware's application that lies in Quick Fix Plumbing's folder."""
PASSWORD = "heron-4471"


class Inbox:
    """The folder; `arrive` puts everything back to the first morning."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.keyring = folder / "keyring.json"
        self.good = dict(good_files())
        self.broken = dict(broken_files(self.good))

    def arrive(self) -> None:
        """Write every file as it came in, and a keyring that opens nothing."""
        for name, content in {**self.good, **self.broken}.items():
            self.write(name, content)
        self.keyring.write_bytes(msgspec.json.encode({"acc_103/statement_2026-06.pdf": "guess"}))

    def repair(self) -> None:
        """Replace what can be sent again by a whole and right copy, and note the dentist's password."""
        locked = {"acc_103/statement_2026-06.pdf", "acc_103/statement_2026-09.pdf"}
        for name in self.broken.keys() - locked - IRREPARABLE:
            self.write(name, self.good[name])
        self.keyring.write_bytes(msgspec.json.encode(dict.fromkeys(sorted(locked), PASSWORD)))

    def write(self, name: str, content: bytes) -> None:
        """One file, with its folder."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def inputs(self, business: Business, kind: Kind) -> list[ProcessorInput[Document]]:
        """What lies in a business's folder, one input for each file of a kind."""
        paths = sorted((self.folder / business.account_id).glob(f"{kind}_*.pdf"))
        return [self.input(business, kind, path) for path in paths]

    def input(self, business: Business, kind: Kind, path: Path) -> ProcessorInput[Document]:
        """One file as an input; the stray one says whose it is, as its cover sheet does."""
        input_id = f"{business.account_id}/{path.stem}"
        filed_for = BUSINESSES[3] if input_id == STRAY else business
        return ProcessorInput(
            input_id=input_id,
            account_id=filed_for.account_id,
            underwriting_id=filed_for.underwriting_id,
            data=reference(path, kind, filed_for.name),
        )

    @staticmethod
    def refer_again(inputs: Iterable[ProcessorInput[Document]]) -> list[ProcessorInput[Document]]:
        """The same inputs, each with a reference to the version of its file that is there now.

        A replaced file has another digest, so the engine sees that the input changed and starts it over;
        an input whose file is the same goes on where it stopped.
        """
        return [
            replace(item, data=reference(Path(item.data.path), item.data.kind, item.data.business)) for item in inputs
        ]


def good_files() -> Iterable[tuple[str, bytes]]:
    """Every file as it should be, by its name."""
    for business in BUSINESSES:
        folder = business.account_id
        yield f"{folder}/application_1.pdf", application_pdf(application(business))
        for statement in statements(business):
            yield f"{folder}/statement_{statement.start:%Y-%m}.pdf", statement_pdf(statement)
        for number, licence in enumerate(licences(business), start=1):
            yield f"{folder}/licence_{number}.pdf", licence_pdf(licence)


def broken_files(good: dict[str, bytes]) -> Iterable[tuple[str, bytes]]:
    """What came in instead, and one file that should not be there at all."""
    _, northside, dentist, _, plumber, studio, _, _ = BUSINESSES
    form = application(northside)
    generous = (replace(form.owners[0], share=Decimal("0.65")), *form.owners[1:])
    october = list(statements(plumber))[5]
    yield "acc_102/application_1.pdf", application_pdf(replace(form, owners=generous))
    yield "acc_102/statement_2026-07.pdf", good["acc_102/statement_2026-07.pdf"][:2_600]
    yield "acc_103/statement_2026-06.pdf", statement_pdf(list(statements(dentist))[1], PASSWORD)
    yield "acc_103/statement_2026-09.pdf", statement_pdf(list(statements(dentist))[4], PASSWORD)
    yield "acc_104/statement_2026-08.pdf", b""
    yield "acc_104/licence_1.pdf", b"<!DOCTYPE html><title>Your session has expired</title>"
    yield "acc_105/statement_2026-10.pdf", statement_pdf(replace(october, deposits=october.deposits + 10_000))
    yield "acc_106/statement_2026-05.pdf", scanned_pdf(statement_pages(next(iter(statements(studio)))))
    yield "acc_107/statement_2026-09.pdf", good["acc_101/statement_2026-09.pdf"]
    yield f"{STRAY}.pdf", good["acc_104/application_1.pdf"]


IRREPARABLE = {"acc_106/statement_2026-05.pdf", "acc_107/statement_2026-09.pdf", f"{STRAY}.pdf"}

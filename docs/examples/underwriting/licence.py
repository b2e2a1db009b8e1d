"""The licence: what it says, what the registry says, and how long it is good for."""

from __future__ import annotations

from datetime import date
from typing import Literal

from returns.result import safe

from model import Document, Licence, LicenceFactors, Pages, RegisteredLicence
from pipeline import Pipeline, Result, Success, configurable
from problems import Problem
from reading import day, field, validate
from registry import look_up


def pipeline(keyring: str, registry: str, as_of: date) -> Pipeline[Document, dict[str, LicenceFactors], Problem]:
    """The way of a licence; `registry` is the address of the service, `as_of` the day to judge on."""
    return validate(keyring=keyring) >> register(registry=registry) >> factors(as_of=as_of)


@configurable("processing")
@safe(exceptions=(Problem,))
def register(pages: Pages, *, registry: str) -> RegisteredLicence:
    """The licence as data, next to what the registry answers for its number."""
    licence = Licence(
        number=field(pages.pages, "Licence number"),
        holder=pages.business,
        jurisdiction=field(pages.pages, "Jurisdiction"),
        category=field(pages.pages, "Category"),
        issued_on=day(field(pages.pages, "Issued on")),
        expires_on=day(field(pages.pages, "Expires on")),
    )
    return RegisteredLicence(licence, look_up(registry, licence.number))


@configurable("extraction")
def factors(registered: RegisteredLicence, *, as_of: date) -> Result[dict[str, LicenceFactors], Problem]:
    """The licence's factors on the as-of date, under its number.

    The date is a setting: a step that reads the clock would answer differently on a retry.
    """
    licence, registration = registered.licence, registered.registration
    read = LicenceFactors(
        category=licence.category,
        jurisdiction=licence.jurisdiction,
        state=state(registered, as_of),
        days_to_expiry=(registration.expires_on - as_of).days,
        registry_agrees=licence.expires_on == registration.expires_on,
    )
    return Success({licence.number: read})


def state(registered: RegisteredLicence, as_of: date) -> Literal["valid", "expired", "suspended", "revoked"]:
    """What the licence is worth: the registry's word comes first, then the day of expiry, which still counts."""
    standing = registered.registration.standing
    if standing != "active":
        return standing
    return "valid" if as_of <= registered.registration.expires_on else "expired"

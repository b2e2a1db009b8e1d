"""What can be wrong with a document, one class for each cause, so that failures group by cause.

A step returns these in a `Failure`; the message names what a person has to do.
"""

from __future__ import annotations


class Problem(Exception):
    """A document, or a service it needs, that stops one input; its text names the cure."""


class EmptyFile(Problem):
    """The file has no bytes."""


class NotPdf(Problem):
    """The file is not a PDF, whatever its name says."""


class TruncatedPdf(Problem):
    """The file begins as a PDF and has no end."""


class DamagedPdf(Problem):
    """The file has a beginning and an end, and cannot be read."""


class LockedPdf(Problem):
    """The file is encrypted, and no password we hold opens it."""


class ImageOnly(Problem):
    """The file shows pictures of pages and has no text."""


class ChangedFile(Problem):
    """The file is missing or is no longer the version that was referred to."""


class WrongKind(Problem):
    """The file is a readable document of another kind."""


class WrongBusiness(Problem):
    """The file is a readable document of another business."""


class MissingField(Problem):
    """The document lacks something every document of its kind has."""


class Inconsistent(Problem):
    """The document contradicts itself."""


class RegistryDown(Problem):
    """The licence registry gave no answer; asking again later may help."""


class NotRegistered(Problem):
    """The licence registry does not know the number."""


class NoRate(Problem):
    """The money is in a currency for which no rate is configured."""


class UnknownIndustry(Problem):
    """The industry code stands in no row of the configured risk table."""

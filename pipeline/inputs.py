"""Plain values as inputs with stable ids."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from pipeline.model import ProcessorInput

T = TypeVar("T")


def to_inputs(
    values: Iterable[T],
    key: Callable[[T], str] | None = None,
    *,
    account_id: str | None = None,
    underwriting_id: str | None = None,
) -> Iterator[ProcessorInput[T]]:
    """One input for each value, lazily. ``key`` gives its id; without one it is its place, from 1.

    Give a ``key`` when the batch may be run again with values added or taken away: ids tell inputs apart on a resume.

    >>> [item.input_id for item in to_inputs(["a.pdf", "b.pdf"], key=str)]
    ['a.pdf', 'b.pdf']
    >>> [item.input_id for item in to_inputs([b"%PDF"])]
    ['input-1']
    """
    for place, value in enumerate(values, 1):
        input_id = key(value) if key is not None else f"input-{place}"
        yield ProcessorInput(input_id=input_id, account_id=account_id, underwriting_id=underwriting_id, data=value)

"""Plain values as inputs with stable ids."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from pipeline.errors import InvalidSetting
from pipeline.model import ProcessorInput
from pipeline.shown import quoted

T = TypeVar("T")


def to_inputs(
    values: Iterable[T],
    key: Callable[[T], str] | None = None,
    *,
    account_id: str | None = None,
    underwriting_id: str | None = None,
) -> Iterator[ProcessorInput[T]]:
    """One input for each value, lazily. ``key`` gives its id; without one it is its place, from 1.

    ``InvalidSetting`` for one text, whose characters would be the inputs.

    Give a ``key`` when the batch may be run again with values added or taken away: ids tell inputs apart on a resume.

    >>> [item.input_id for item in to_inputs(["a.pdf", "b.pdf"], key=str)]
    ['a.pdf', 'b.pdf']
    >>> [item.input_id for item in to_inputs([b"%PDF"])]
    ['input-1']
    """
    if isinstance(values, str | bytes):
        raise InvalidSetting("to_inputs() would make an input of every character of a text; give a list: [text]")
    if not hasattr(values, "__iter__"):
        raise InvalidSetting(f"to_inputs() makes an input of each value of a list, got {quoted(values)}; give [value]")
    if key is not None and not callable(key):
        raise InvalidSetting(f"key={quoted(key)} is not a function of a value; write key=lambda value: ... or key=str")
    numbered = enumerate(values, 1)  # what cannot be iterated raises here, not when the run is in progress
    return (
        ProcessorInput(
            input_id=key(value) if key is not None else f"input-{place}",
            account_id=account_id,
            underwriting_id=underwriting_id,
            data=value,
        )
        for place, value in numbered
    )


def pulled(inputs: Iterable[ProcessorInput[T]]) -> tuple[list[ProcessorInput[T]], Exception | None]:
    """The inputs of a batch; where their iterable raises, those before, and what it raised."""
    items: list[ProcessorInput[T]] = []
    try:
        items.extend(inputs)
    except Exception as error:  # noqa: BLE001 - the inputs are the caller's; what came before is run
        return items, error
    return items, None

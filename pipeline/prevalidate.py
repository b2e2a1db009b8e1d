"""Which inputs do not belong to a processor: another account, another underwriting, an id used twice."""

from __future__ import annotations

from typing import Any, cast

from typing_extensions import TypeIs

from pipeline.model import Failed, Payload, ProcessorInput
from pipeline.shown import quoted

WINDOW = 50_000
"""In a stream, an id counts as used twice within this many inputs, or up to twice as many: streams may be endless."""


class Prevalidation:
    """Checks inputs one by one against a processor's ids; remembers the ids it has seen: ``endless``, the last ones."""

    def __init__(self, account_id: str | None, underwriting_id: str | None, endless: bool = False) -> None:
        self.expected: dict[str, str | None] = {"account_id": account_id, "underwriting_id": underwriting_id}
        self.endless = endless
        self.seen: set[str] = set()
        self.before: set[str] = set()

    def problem(self, item: object) -> str | None:
        """What is wrong with this input, or ``None``."""
        if not _is_input(item):
            return f"not a ProcessorInput but {type(item).__name__}; make inputs of plain values with to_inputs(values)"
        input_id = cast("object", item.input_id)
        if not isinstance(input_id, str) or not input_id:
            return f"input_id must be a text that is not empty, got {input_id!r}"
        if input_id in self.seen or input_id in self.before:
            return f"input_id {quoted(input_id)} is used twice; ids tell inputs apart when a run is resumed"
        if self.endless and len(self.seen) == WINDOW:
            self.before, self.seen = self.seen, set()
        self.seen.add(input_id)
        for name, expected in self.expected.items():
            given: object = getattr(item, name)
            if expected is not None and given != expected:
                return f"{name} {quoted(given)} is not this processor's {name} {quoted(expected)}"
        return None


def _is_input(item: object) -> TypeIs[ProcessorInput[Any]]:
    return isinstance(item, ProcessorInput)


def offender(item: object, problem: str) -> Failed:
    """The outcome of an input that does not belong here."""
    if _is_input(item):
        input_id, data = str(item.input_id), item.data
    else:
        input_id, data = f"{item!r:.80}", item
    payload = Payload(step="prevalidation", exception="PrevalidationError", message=problem, data=data)
    return Failed(
        input_id=input_id,
        step="prevalidation",
        exception="PrevalidationError",
        message=problem,
        payload=payload,
        kind="invalid",
        retryable=False,
    )

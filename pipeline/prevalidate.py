"""Which inputs do not belong to a processor: another account, another underwriting, an id used twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from typing import Any

from typing_extensions import TypeIs

from pipeline.answer import READ_ONCE
from pipeline.model import Failed, Payload, ProcessorInput
from pipeline.shown import quoted

WINDOW = 50_000
"""In a stream, an id counts as used twice within this many inputs, or up to twice as many: streams may be endless."""


LONGEST_ID = 80
"""Characters by which an input without an id is told."""


class Prevalidation:
    """Checks inputs one by one against a processor's ids; remembers the ids it has seen: ``endless``, the last ones."""

    def __init__(self, account_id: str | None, underwriting_id: str | None, endless: bool = False) -> None:
        ids = {"account_id": account_id, "underwriting_id": underwriting_id}
        self.expected: dict[str, str] = {name: value for name, value in ids.items() if value is not None}
        self.endless = endless
        self.seen: set[str] = set()
        self.before: set[str] = set()

    def problem(self, item: object) -> str | None:
        """What is wrong with this input, or ``None``."""
        problem = no_input(item)
        if problem or not _is_input(item):
            return problem
        input_id = item.input_id
        if input_id in self.seen or input_id in self.before:
            return f"input_id {quoted(input_id)} is used twice; ids tell inputs apart when a run is resumed"
        if self.endless and len(self.seen) == WINDOW:
            self.before, self.seen = self.seen, set()
        self.seen.add(input_id)
        for name, expected in self.expected.items():
            given: object = getattr(item, name)
            if given != expected:
                return f"{name} {quoted(given)} is not this processor's {name} {quoted(expected)}"
        return None

    def problems(self, items: Sequence[object]) -> dict[int, str]:
        """What is wrong with the inputs of a batch, by their places."""
        if self._all_belong(items):
            return {}
        return {place: problem for place, item in enumerate(items) if (problem := self.problem(item))}

    def _all_belong(self, items: Sequence[object]) -> bool:
        """Whether a look at all of them at once finds nothing wrong; one by one it takes four times as long."""
        if not {ProcessorInput}.issuperset(map(type, items)):
            return False
        ids = [*map(_id_of, items)]
        return (
            {str}.issuperset(map(type, ids))
            and _TEXT_OR_NONE.issuperset(map(type, map(_account_of, items)))
            and _TEXT_OR_NONE.issuperset(map(type, map(_case_of, items)))
            and len(set(ids)) == len(ids)
            and all(ids)
            and READ_ONCE.isdisjoint(map(type, map(_data_of, items)))
            and all(expected == given for name, expected in self.expected.items() for given in _all_of(name, items))
        )


def _all_of(name: str, items: Sequence[object]) -> Iterator[object]:
    return map(attrgetter(name), items)


_data_of: Callable[[object], object] = attrgetter("data")
_id_of: Callable[[object], object] = attrgetter("input_id")  # which a type checker takes for a text
_account_of: Callable[[object], object] = attrgetter("account_id")
_case_of: Callable[[object], object] = attrgetter("underwriting_id")
_TEXT_OR_NONE: frozenset[type] = frozenset({str, type(None)})


def no_input(item: object) -> str | None:
    """What keeps this from being an input of any run, or ``None``: it has no id, or data that is gone once it is read.

    >>> no_input(ProcessorInput(input_id="doc_1", data=(page for page in "ab")))
    'data is a generator, which can be read only once: a retry would find it empty; give a list'
    """
    if not _is_input(item):
        return f"not a ProcessorInput but {type(item).__name__}; make inputs of plain values with to_inputs(values)"
    input_id = _id_of(item)
    if not isinstance(input_id, str) or not input_id:
        return f"input_id must be a text that is not empty, got {quoted(input_id)}"
    for name, given in (("account_id", _account_of(item)), ("underwriting_id", _case_of(item))):
        if given is not None and not isinstance(given, str):
            return f"{name} must be a text, or None, got {quoted(given)}"
    if type(item.data) in READ_ONCE:
        return "data is a generator, which can be read only once: a retry would find it empty; give a list"
    return None


def _is_input(item: object) -> TypeIs[ProcessorInput[Any]]:
    return isinstance(item, ProcessorInput)


def offender(item: object, problem: str) -> Failed:
    """The outcome of an input that does not belong here."""
    given: object = item.input_id if _is_input(item) else item
    input_id = given if isinstance(given, str) and _is_input(item) else quoted(given, LONGEST_ID)
    data = item.data if _is_input(item) else item
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

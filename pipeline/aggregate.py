"""How the outputs of all inputs become one result."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeVar, overload, runtime_checkable

import msgspec
from typing_extensions import TypeIs

from pipeline.errors import InvalidSetting, MergeConflict
from pipeline.model import Conflict, Skipped, Succeeded

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)


class Merged(msgspec.Struct, frozen=True):
    """An aggregate together with what the inputs disagreed about."""

    output: Any
    conflicts: tuple[Conflict, ...] = ()


@runtime_checkable
class Aggregate(Protocol[T_contra, R_co]):
    """An aggregate that is told which input each output came from. A plain function of the outputs serves too."""

    def __call__(self, outputs: Sequence[T_contra], /) -> R_co:
        """Aggregate outputs in input order."""
        ...

    def merge(self, outputs: Sequence[tuple[str, Any]], /) -> Merged:
        """Aggregate ``(input_id, output)`` pairs in input order."""
        ...


def aggregate_outputs(
    aggregate: Callable[[Sequence[Any]], Any], done: Sequence[Succeeded[Any] | Skipped[Any]]
) -> Merged:
    """Apply an aggregate to the outputs of inputs that have one, in input order."""
    if isinstance(aggregate, Aggregate):
        return aggregate.merge([(outcome.input_id, outcome.output) for outcome in done])
    return Merged(aggregate([outcome.output for outcome in done]))


def collect(outputs: Sequence[T]) -> list[T]:
    """The outputs as a list, in input order.

    >>> collect((1, 2))
    [1, 2]
    """
    return list(outputs)


class MergeFactors(msgspec.Struct, frozen=True):
    """Merges dictionaries of factors; see ``merge_factors``."""

    conflict: Literal["last", "error"] = "last"

    def __post_init__(self) -> None:
        if self.conflict not in ("last", "error"):
            raise InvalidSetting(f"merge_factors(conflict={self.conflict!r}): choose 'last' or 'error'")

    @overload
    def __call__(self, outputs: Iterable[Mapping[str, Any]], /) -> dict[str, Any]: ...
    @overload
    def __call__(self, /, *, conflict: Literal["last", "error"]) -> MergeFactors: ...
    def __call__(self, outputs: Iterable[Mapping[str, Any]] = (), /, *, conflict: Any = None) -> Any:
        """Merge the factors of all inputs; or, given ``conflict``, another merge under that rule."""
        if conflict is not None:
            return MergeFactors(conflict)
        return self.merge([(str(place), output) for place, output in enumerate(outputs)]).output

    def merge(self, outputs: Sequence[tuple[str, Any]], /) -> Merged:
        """Merge ``(input_id, factors)`` pairs in input order, with the conflicts."""
        merging = _Merging()
        for input_id, output in outputs:
            if not _is_mapping(output):
                raise TypeError(
                    f"merge_factors merges dictionaries, but input {input_id!r} gave {type(output).__name__}; "
                    "let the last step return a dict, or choose another aggregate, such as collect"
                )
            merging.add(input_id, output)
        if merging.conflicts and self.conflict == "error":
            told = "; ".join(_told(conflict) for conflict in merging.found())
            raise MergeConflict(f"{told}. Correct the inputs, or let the last one win: merge_factors(conflict='last')")
        return Merged(merging.merged, merging.found())


merge_factors: MergeFactors = MergeFactors()
"""Merge the factors of all inputs: dictionaries deeply, lists one after the other, equal values into one.

Where inputs give different values for a factor, the last in input order wins and a ``Conflict`` records it.
``merge_factors(conflict="error")`` fails instead.

>>> merge_factors([{"licence": {"state": "CA"}, "flags": ["new"]}, {"licence": {"days": 30}, "flags": ["late"]}])
{'licence': {'state': 'CA', 'days': 30}, 'flags': ['new', 'late']}
>>> merge_factors(conflict="error")([{"state": "CA"}, {"state": "NV"}])
Traceback (most recent call last):
    ...
pipeline.errors.MergeConflict: $.state is 'CA' in '0' and 'NV' in '1'. Correct the inputs, or let the last one win: \
merge_factors(conflict='last')
"""


class _Merging:
    """The merge in progress: the dictionary so far, who set each leaf, and the disagreements by path."""

    def __init__(self) -> None:
        self.merged: dict[str, Any] = {}
        self.owners: dict[str, str] = {}
        self.conflicts: dict[str, list[tuple[str, Any]]] = {}

    def add(self, input_id: str, factors: Mapping[Any, Any]) -> None:
        self._merge_into(self.merged, factors, "$", input_id)

    def found(self) -> tuple[Conflict, ...]:
        pairs = self.conflicts.items()
        return tuple(Conflict(path, tuple(by for by, _ in told), tuple(v for _, v in told)) for path, told in pairs)

    def _merge_into(self, target: dict[Any, Any], factors: Mapping[Any, Any], path: str, input_id: str) -> None:
        for key, value in factors.items():
            at = f"{path}.{key}"
            if key not in target:
                target[key] = self._copied(value, at, input_id)
                self.owners[at] = input_id
            elif isinstance(target[key], dict) and _is_mapping(value):
                self._merge_into(target[key], value, at, input_id)
            elif isinstance(target[key], list) and isinstance(value, list):
                target[key] = [*target[key], *value]
            elif not _equal(target[key], value):
                told = self.conflicts.setdefault(at, [(self.owners.get(at, input_id), target[key])])
                told.append((input_id, value))
                target[key] = self._copied(value, at, input_id)

    def _copied(self, value: Any, path: str, input_id: str) -> Any:
        """Dictionaries are merged into, so they are ours; every other value is kept as it is."""
        if not _is_mapping(value):
            return value
        copy: dict[Any, Any] = {}
        self._merge_into(copy, value, path, input_id)
        return copy


def _is_mapping(value: object) -> TypeIs[Mapping[Any, Any]]:
    return isinstance(value, Mapping)


def _equal(one: Any, other: Any) -> bool:
    try:
        return type(one) is type(other) and bool(one == other)
    except Exception:  # noqa: BLE001 - values that cannot be compared are not known to be equal
        return False


def _told(conflict: Conflict) -> str:
    pairs = zip(conflict.input_ids, conflict.values, strict=True)
    return f"{conflict.path} is " + " and ".join(f"{value!r} in {input_id!r}" for input_id, value in pairs)

"""How the outputs of a batch become one: what merges, what is a conflict, and what is said of it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NoReturn

import pytest

from pipeline import Conflict, InvalidSetting, MergeConflict, Processor, merge_factors, step, to_inputs
from pipeline.aggregate import MergeFactors


@step("factors")
def factors(given: Any) -> Any:
    return given


def merged(*outputs: Any, aggregate: MergeFactors = merge_factors) -> tuple[Any, tuple[Conflict, ...]]:
    """The output of a batch and its conflicts; inputs are called a, b, c, ..."""
    ids = iter("abcdef")
    result = Processor(pipeline=factors, aggregate=aggregate).execute(to_inputs(outputs, key=lambda _: next(ids)))
    assert result.success
    return result.output, result.conflicts


def test_dictionaries_merge_deeply_lists_join_and_equal_values_become_one() -> None:
    output, conflicts = merged(
        {"state": "CA", "flags": ["new"], "owner": {"name": "Ada", "years": {"first": 1}}},
        {"state": "CA", "flags": ["late"], "owner": {"name": "Ada", "years": {"last": 3}}},
        {"flags": [], "debt": None},
    )

    assert output == {
        "state": "CA",
        "flags": ["new", "late"],
        "owner": {"name": "Ada", "years": {"first": 1, "last": 3}},
        "debt": None,
    }
    assert conflicts == ()


def test_the_last_in_input_order_wins_and_every_value_is_told_with_its_input() -> None:
    output, conflicts = merged({"state": "CA", "n": 1}, {"n": 1}, {"state": "NV"}, {"state": "OR"})

    assert output == {"state": "OR", "n": 1}
    assert conflicts == (Conflict(path="$.state", input_ids=("a", "c", "d"), values=("CA", "NV", "OR")),)


def test_a_conflict_names_its_path_and_the_input_that_gave_the_first_value_however_deep() -> None:
    _, conflicts = merged({}, {"owner": {"licence": {"state": "CA"}}}, {"owner": {"licence": {"state": "NV"}}})

    assert conflicts == (Conflict(path="$.owner.licence.state", input_ids=("b", "c"), values=("CA", "NV")),)


@pytest.mark.parametrize(
    ("one", "other"),
    [(1, 1.0), (1, True), ([1], (1,)), ([1], 1), ({"a": 1}, 1), (1, {"a": 1}), (None, 0), ("1", 1)],
)
def test_values_of_two_kinds_are_a_conflict_though_they_may_compare_equal(one: Any, other: Any) -> None:
    output, conflicts = merged({"n": one}, {"n": other})

    assert (output["n"], type(output["n"])) == (other, type(other))
    assert conflicts == (Conflict(path="$.n", input_ids=("a", "b"), values=(one, other)),)


class Uncomparable:
    def __eq__(self, other: object) -> NoReturn:
        raise TypeError("not comparable")

    __hash__ = None  # type: ignore[assignment]


def test_values_that_cannot_be_compared_are_a_conflict() -> None:
    last = Uncomparable()

    output, conflicts = merged({"n": Uncomparable()}, {"n": last})

    assert output["n"] is last
    assert [conflict.path for conflict in conflicts] == ["$.n"]


def test_what_the_inputs_gave_stays_as_it_was() -> None:
    first: dict[str, Any] = {"owner": {"name": "Ada"}, "flags": ["new"]}
    second: dict[str, Any] = {"owner": {"years": 1}, "flags": ["late"]}

    output, _ = merged(first, second)
    output["owner"]["name"] = "changed"
    output["flags"].append("changed")

    assert first == {"owner": {"name": "Ada"}, "flags": ["new"]}
    assert second == {"owner": {"years": 1}, "flags": ["late"]}


def test_what_replaced_a_value_is_no_input_s_own_dictionary() -> None:
    second: dict[str, Any] = {"owner": {"name": "Ada"}}

    output, _ = merged({"owner": 1}, second, {"owner": {"years": 1}})

    assert output == {"owner": {"name": "Ada", "years": 1}}
    assert second == {"owner": {"name": "Ada"}}


def test_any_mapping_merges_as_a_dictionary() -> None:
    first: Mapping[str, Any] = MappingProxyType({"owner": MappingProxyType({"name": "Ada"})})

    output, conflicts = merged(first, {"owner": {"years": 1}})

    assert (output, conflicts) == ({"owner": {"name": "Ada", "years": 1}}, ())


def test_a_conflict_as_an_error_tells_every_value_and_both_cures_and_costs_no_step() -> None:
    strict = merge_factors(conflict="error")
    outputs = [{"state": "CA", "n": 1}, {"state": "NV", "n": 2}]

    result = Processor(pipeline=factors, aggregate=strict).execute(to_inputs(outputs, key=lambda row: row["state"]))

    assert result.aggregation is not None
    assert (result.aggregation.step, result.aggregation.exception) == ("aggregation", "MergeConflict")
    assert result.aggregation.message == (
        "$.state is 'CA' in 'CA' and 'NV' in 'NV'; $.n is 1 in 'CA' and 2 in 'NV'. "
        "Correct the inputs, or let the last one win: merge_factors(conflict='last')"
    )
    again = Processor(pipeline=factors, aggregate=merge_factors).reaggregate(result)
    assert again.output == {"state": "NV", "n": 2}
    assert [conflict.path for conflict in again.conflicts] == ["$.state", "$.n"]


def test_a_strict_merge_without_a_conflict_is_a_merge() -> None:
    assert merged({"a": 1}, {"b": 2}, aggregate=merge_factors(conflict="error")) == ({"a": 1, "b": 2}, ())


def test_the_rule_is_chosen_anew_from_any_merge() -> None:
    strict = merge_factors(conflict="error")

    assert strict(conflict="last") == merge_factors == merge_factors(conflict="last")
    assert merged({"a": 1}, {"a": 2}, aggregate=strict(conflict="last"))[0] == {"a": 2}


def test_called_by_hand_the_inputs_have_their_places_for_names() -> None:
    assert merge_factors([{"a": 1}, {"a": 2}]) == {"a": 2}
    with pytest.raises(MergeConflict, match=r"^\$\.a is 1 in '0' and 2 in '1'\. Correct"):
        merge_factors(conflict="error")([{"a": 1}, {"a": 2}])


def test_an_output_that_is_no_dictionary_is_told_with_its_input_and_the_cure() -> None:
    result = Processor(pipeline=factors, aggregate=merge_factors).execute(to_inputs([{"a": 1}, [1]]))

    assert result.aggregation is not None
    assert result.aggregation.message == (
        "merge_factors merges dictionaries, but input 'input-2' gave list; "
        "let the last step return a dict, or choose another aggregate, such as collect"
    )


def test_a_rule_that_there_is_not_is_refused_with_those_there_are() -> None:
    unknown: Any = "first"

    with pytest.raises(InvalidSetting, match=r"^merge_factors\(conflict='first'\): choose 'last' or 'error'$"):
        merge_factors(conflict=unknown)

"""Dead letters: failures go to a file, and come back as inputs that go on where they failed."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import (
    Completed,
    DeadLettersDamaged,
    Failure,
    InvalidSetting,
    Payload,
    Pipeline,
    ProcessingResult,
    Processor,
    ProcessorInput,
    Result,
    Success,
    read_failures,
    step,
    to_inputs,
)
from runners import ProcessRunner, Runner, SequentialRunner, ThreadRunner

RUNNERS: list[Runner] = [SequentialRunner(), ThreadRunner(max_workers=2), ProcessRunner(max_workers=2)]


class Line(msgspec.Struct, frozen=True):
    day: date
    amount: Decimal
    currency: str


@step("parsing")
def parse(text: str) -> Line:
    day, amount, currency = text.split()
    return Line(date.fromisoformat(day), Decimal(amount), currency)


@step("conversion")
def convert(line: Line) -> Result[Decimal, str]:
    return Success(line.amount) if line.currency == "EUR" else Failure(f"no rate for {line.currency}")


@step("conversion")
def convert_all(line: Line) -> Decimal:
    return line.amount / 2 if line.currency == "USD" else line.amount


TEXTS = ["2026-11-24 10.10 EUR", "2026-11-24 20.20 USD", "2026-11-24 oops EUR"]


@pytest.fixture
def dead(tmp_path: Path) -> Path:
    return tmp_path / "dead.jsonl"


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def document(line: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in line.items() if key != "retry"}


@pytest.mark.parametrize("runner", RUNNERS, ids=lambda it: type(it).__name__)
def test_every_line_is_the_documents_error_response(runner: Runner, dead: Path) -> None:
    result = Processor(pipeline=parse >> convert, runner=runner).execute(to_inputs(TEXTS))

    assert result.write_failures(dead) == 2

    assert document(lines_of(dead)[0]) == {
        "input_id": "input-2",
        "success": False,
        "step": "conversion",
        "exception": "Failure",
        "message": "no rate for USD",
        "payload": {
            "step": "conversion",
            "exception": "Failure",
            "message": "no rate for USD",
            "data": {"day": "2026-11-24", "amount": "20.20", "currency": "USD"},
        },
    }
    assert lines_of(dead)[1]["payload"]["data"] == TEXTS[2]


def test_reading_gives_what_a_retry_would_take(dead: Path) -> None:
    processor = Processor(pipeline=parse >> convert, account_id="acc", underwriting_id="uw")
    inputs = to_inputs(TEXTS, account_id="acc", underwriting_id="uw")
    result = processor.execute(inputs)
    result.write_failures(dead)

    again = processor.read_failures(dead)

    assert again == result.retry_inputs()[1:]
    assert isinstance(again[0].payload, Payload)
    assert again[0].payload.data == Line(date(2026, 11, 24), Decimal("20.20"), "USD")


def test_what_is_read_goes_on_at_the_step_that_failed_it(dead: Path) -> None:
    Processor(pipeline=parse >> convert).execute(to_inputs(TEXTS[:2])).write_failures(dead)
    repaired = Processor(pipeline=parse >> convert_all)

    plan = repaired.plan(repaired.read_failures(dead))
    again = repaired.execute(repaired.read_failures(dead))

    assert [item.steps for item in plan] == [("conversion",)]
    assert again.output == [Decimal("10.10")]
    assert again.metrics.retried == 1


def test_the_file_is_private_whole_and_replaces_the_one_before(dead: Path) -> None:
    processor = Processor(pipeline=parse >> convert)
    failing, fine = processor.execute(to_inputs(TEXTS)), processor.execute(to_inputs(TEXTS[:1]))
    dead.touch(mode=0o666)

    failing.write_failures(dead)
    mode = dead.stat().st_mode & 0o777
    fine.write_failures(dead)

    assert mode == 0o600
    assert dead.read_bytes() == b""
    assert processor.read_failures(dead) == []
    assert list(dead.parent.iterdir()) == [dead]


def test_a_write_that_fails_leaves_the_earlier_file_alone(dead: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = Processor(pipeline=parse >> convert).execute(to_inputs(TEXTS))
    result.write_failures(dead)
    before = dead.read_bytes()

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device", str(dead))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        Processor(pipeline=parse >> convert).execute(to_inputs(["x"])).write_failures(dead)

    assert dead.read_bytes() == before
    assert list(dead.parent.iterdir()) == [dead]


def test_a_link_leads_to_the_file_that_is_written(dead: Path) -> None:
    result = Processor(pipeline=parse >> convert).execute(to_inputs(TEXTS))
    (dead.parent / "folder").mkdir()
    target, link, chain = dead.parent / "folder" / "target", dead.parent / "folder" / "link", dead
    link.symlink_to("target")
    chain.symlink_to(Path("folder") / "link")

    counts = [result.write_failures(chain) for _ in range(2)]

    assert counts == [2, 2]
    assert (chain.is_symlink(), link.is_symlink(), target.is_symlink()) == (True, True, False)
    assert len(lines_of(target)) == 2
    assert sorted((dead.parent / "folder").iterdir()) == [link, target]


def test_links_in_a_circle_are_an_error_that_names_the_path(dead: Path) -> None:
    dead.symlink_to(dead.name)

    with pytest.raises(OSError, match=r"symbolic links: '.*dead\.jsonl'"):
        Processor(pipeline=parse >> convert).execute(to_inputs(TEXTS)).write_failures(dead)


def test_an_open_file_is_written_into_and_not_replaced(dead: Path) -> None:
    result = Processor(pipeline=parse >> convert).execute(to_inputs(TEXTS))

    with dead.open("w") as file:
        file.write("before\n")
        file.flush()
        link = dead.parent / "stdout"
        link.symlink_to(f"/dev/fd/{file.fileno()}")
        result.write_failures(link)
        result.write_failures(f"/dev/fd/{file.fileno()}")

    told = dead.read_text().splitlines()
    assert told[0] == "before"
    assert len(told) == 5
    assert link.is_symlink()


def test_a_name_may_be_as_long_as_the_system_allows(dead: Path) -> None:
    longest = dead.parent / ("n" * 255)

    assert Processor(pipeline=parse >> convert).execute(to_inputs(TEXTS)).write_failures(longest) == 2


BAD_LINES: dict[str, tuple[str, str]] = {
    "no json": ("{not json", "Expecting property name"),
    "a list": ("[1, 2]", r"\$: an error response is an object, got list"),
    "no id": ('{"payload": {}}', r"\$.input_id: missing"),
    "no payload": ('{"input_id": "doc_9"}', r"\$.payload: missing; input 'doc_9'"),
    "no data": ('{"input_id": "doc_9", "payload": {"step": "conversion"}}', r"'doc_9' has no data to go on with"),
    "not the data's type": (
        '{"input_id": "d", "payload": {"data": 1}, "retry": {"data": 7}}',
        "expected `str`, got `int`",
    ),
    "no count": ('{"input_id": "d", "payload": {"data": 1}, "retry": {"retry_count": "x"}}', r"\$.retry_count"),
    "too deep": ("[" * 100_000, "recursion"),
}


@pytest.mark.parametrize(("line", "problem"), BAD_LINES.values(), ids=BAD_LINES)
def test_a_line_that_cannot_be_read_is_named_and_costs_no_other(line: str, problem: str, dead: Path) -> None:
    processor = Processor(pipeline=parse >> convert)
    processor.execute(to_inputs(TEXTS)).write_failures(dead)
    whole = processor.read_failures(dead)
    first, second = dead.read_text().splitlines()
    dead.write_text(f"{first}\n\n{line}\n{second}\n")

    with pytest.raises(DeadLettersDamaged, match=problem) as caught:
        processor.read_failures(dead)

    assert [number for number, _ in caught.value.problems] == [3]
    assert f"{dead}: line 3: " in str(caught.value)
    assert caught.value.inputs == whole
    assert pickle.loads(pickle.dumps(caught.value)).problems == caught.value.problems


def test_an_edited_payload_that_no_longer_fits_fails_with_its_path(dead: Path) -> None:
    processor = Processor(pipeline=parse >> convert)
    processor.execute(to_inputs(TEXTS[1:2])).write_failures(dead)
    dead.write_text(dead.read_text().replace('"20.20"', "[20.2]", 1))

    (failed,) = processor.execute(processor.read_failures(dead)).failed

    assert (failed.step, failed.kind) == ("resume", "invalid")
    assert "$.amount" in failed.message


def test_an_error_response_written_elsewhere_can_be_read(dead: Path) -> None:
    payload = {"step": "conversion", "data": {"day": "2026-11-24", "amount": "1", "currency": "USD"}}
    dead.write_text(json.dumps({"input_id": "doc_1", "success": False, "payload": payload}))

    result = Processor(pipeline=parse >> convert_all).execute(read_failures(dead, parse >> convert_all))

    assert result.output == [Decimal("0.5")]


class Handle:
    """Something that no codec writes."""


@step("opening")
def open_it(name: str) -> Handle:
    return Handle()


@step("reading")
def read_it(handle: Handle) -> int:
    raise OSError("gone")


def test_data_that_cannot_be_stored_is_told_and_the_input_starts_over(dead: Path) -> None:
    processor = Processor(pipeline=open_it >> read_it)
    processor.execute(to_inputs(["a"])).write_failures(dead)

    (line,) = lines_of(dead)
    (again,) = processor.read_failures(dead)

    assert line["payload"]["data"] is None
    assert "Handle" in line["retry"]["problem"]
    assert (again.data, again.payload) == ("a", None)


def test_an_input_with_nothing_that_can_be_stored_is_named_when_read(dead: Path) -> None:
    processor = Processor(pipeline=step("reading")(read_it.fn))
    processor.execute(to_inputs([Handle()])).write_failures(dead)

    with pytest.raises(DeadLettersDamaged, match="line 1: input 'input-1' has no data to go on with"):
        processor.read_failures(dead)


@step("size")
def size_of(name: Handle) -> int:
    return 1


@step("half")
def half_of(number: int) -> float:
    return 1 / (number - 1)


@step("half")
def half_again(number: int) -> float:
    return number / 2


def test_an_input_that_cannot_be_stored_goes_on_with_what_entered_the_failed_step(dead: Path) -> None:
    Processor(pipeline=size_of >> half_of).execute(to_inputs([Handle()])).write_failures(dead)
    repaired = Processor(pipeline=size_of >> half_again)

    result = repaired.execute(repaired.read_failures(dead))

    assert result.output == [0.5]


@step("none")
def nothing_of(name: Handle) -> int | None:
    return None


@step("or else")
def or_else(number: int | None) -> int:
    raise ValueError(f"no {number}")


@step("or else")
def or_seven(number: int | None) -> int:
    return number or 7


def test_none_that_entered_the_failed_step_is_told_from_what_could_not_be_stored(dead: Path) -> None:
    Processor(pipeline=nothing_of >> or_else, account_id=None).execute(to_inputs([Handle()])).write_failures(dead)
    stranger = Processor(pipeline=nothing_of >> or_seven, account_id="other")
    repaired = Processor(pipeline=nothing_of >> or_seven)

    stranger.execute(stranger.read_failures(dead)).write_failures(dead)

    assert repaired.execute(repaired.read_failures(dead)).output == [7]


def test_an_offender_comes_back_with_the_payload_it_had(dead: Path) -> None:
    line_read = Line(date(2026, 1, 1), Decimal(3), "EUR")
    resumed = Payload(step="conversion", exception="Odd", message="why", data=line_read, retry_count=2, edited=True)
    stray = ProcessorInput(input_id="doc_1", account_id="other", data="never parsed", payload=resumed)
    processor = Processor(pipeline=parse >> convert, account_id="acc")
    processor.execute([stray]).write_failures(dead)

    (again,) = processor.read_failures(dead)
    (line,) = lines_of(dead)

    assert line["step"] == "prevalidation"
    assert again.payload == resumed


@pytest.mark.parametrize("account_id", ["acc", "other"])
@pytest.mark.parametrize("bad", ["text", {"step": "conversion"}, {"step": "conversion", "data": 1, "message": 2}])
def test_a_payload_that_cannot_be_read_is_refused_when_it_comes_back(dead: Path, bad: Any, account_id: str) -> None:
    item: ProcessorInput[str] = ProcessorInput(input_id="doc_1", account_id="acc", data="1", payload=bad)
    processor = Processor(pipeline=parse >> convert, account_id=account_id)
    processor.execute([item]).write_failures(dead)

    right = Processor(pipeline=parse >> convert, account_id="acc")
    (refused,) = right.execute([item]).failed
    (again,) = right.execute(right.read_failures(dead)).failed

    assert (again.step, again.message) == ("resume", refused.message)


def edit(dead: Path, **changes: Any) -> None:
    """What a person does to the payload of the file's only line."""
    (line,) = lines_of(dead)
    line["payload"].update(changes)
    dead.write_text(json.dumps(line) + "\n")


def test_a_slip_in_an_edited_line_can_be_corrected_in_the_next_file(dead: Path) -> None:
    failing, repaired = Processor(pipeline=size_of >> half_of), Processor(pipeline=size_of >> half_again)
    failing.execute([ProcessorInput(input_id="a", data=Handle())]).write_failures(dead)
    edit(dead, data="seven")
    repaired.execute(repaired.read_failures(dead)).write_failures(dead)
    written = lines_of(dead)[0]["payload"]["data"]

    (uncorrected,) = repaired.plan(repaired.read_failures(dead))
    edit(dead, data=7)
    corrected = repaired.execute(repaired.read_failures(dead))

    assert written == "seven"
    assert (uncorrected.action, corrected.output) == ("refuse", [3.5])


def test_the_step_of_a_refused_line_can_be_corrected(dead: Path) -> None:
    bad = ProcessorInput(input_id="a", data=TEXTS[0], payload={"step": "convertion", "data": None})
    processor = Processor(pipeline=parse >> convert_all)
    processor.execute([bad]).write_failures(dead)

    edit(dead, step="conversion", data={"day": "2026-11-24", "amount": "1", "currency": "USD"})

    assert processor.execute(processor.read_failures(dead)).output == [Decimal("0.5")]


@pytest.mark.parametrize("data", ["seven", 2.5, None, [1, {"a": None}]])
def test_data_that_does_not_fit_its_step_is_refused_when_it_comes_back(dead: Path, data: Any) -> None:
    processor = Processor(pipeline=parse >> convert)
    item = ProcessorInput(input_id="a", data=TEXTS[0], payload={"step": "conversion", "data": data})
    first = processor.execute([item])
    first.write_failures(dead)

    (again,) = processor.read_failures(dead)

    assert isinstance(again.payload, Payload)
    assert (again.payload.step, again.payload.data) == ("conversion", data)
    assert processor.execute([again]).failed[0].message == first.failed[0].message


def test_a_payload_that_was_refused_and_cannot_be_stored_is_refused_again(dead: Path) -> None:
    item = ProcessorInput(input_id="a", data=TEXTS[0], payload={"step": "conversion", "data": (1, 2)})
    processor = Processor(pipeline=parse >> convert)
    processor.execute([item]).write_failures(dead)

    for _ in range(2):
        again = processor.execute(processor.read_failures(dead))
        again.write_failures(dead)

        assert again.failed[0].step == "resume"
        assert "what was to enter 'conversion' is not in the dead letter ($: " in again.failed[0].message


def test_a_file_that_has_no_data_of_what_was_refused_can_be_read(dead: Path) -> None:
    payload = {"step": "conversion", "exception": "BadPayload", "message": "no", "data": None}
    retry = {"data": TEXTS[0], "resume": {**payload, "exception": "ValueError"}, "problem": "$: it does not fit"}
    dead.write_text(json.dumps({"input_id": "a", "step": "resume", "payload": payload, "retry": retry}))
    processor = Processor(pipeline=parse >> convert_all)

    (refused,) = processor.plan(processor.read_failures(dead))
    edit(dead, data={"day": "2026-11-24", "amount": "1", "currency": "USD"})

    assert (refused.action, "it does not fit" in refused.reason) == ("refuse", True)
    assert processor.execute(processor.read_failures(dead)).output == [Decimal("0.5")]


@step("is one")
def is_one(number: int) -> int:
    return number == 1  # a bool, which is an int


@step("half")
def half_of_float(number: float) -> float:
    raise ValueError("no")


@pytest.mark.parametrize("number", [1, 2])
def test_a_number_comes_back_as_what_it_was_though_its_step_declares_another(dead: Path, number: int) -> None:
    Processor(pipeline=is_one >> half_of_float).execute(to_inputs([number])).write_failures(dead)

    (again,) = read_failures(dead, is_one >> half_of_float)
    assert isinstance(again.payload, Payload)

    assert again.payload.data is (number == 1)
    assert Processor(pipeline=is_one >> half_again).execute([again]).output == [(number == 1) / 2]


def counted(words: list[str]) -> int:
    return len(words)


def test_a_success_that_was_refused_comes_back_with_its_output(dead: Path) -> None:
    shout, split, count = step("shout")(str.upper), step("split")(str.split), step("count")(counted)
    done = Processor(pipeline=shout >> split).execute(to_inputs(["a b"]))
    other = Processor(pipeline=shout >> step("strip")(str.strip) >> split)
    other.retry(done).write_failures(dead)

    (again,) = other.read_failures(dead)

    (payload,) = [one.payload for one in done.retry_inputs()]
    assert isinstance(payload, Completed)
    assert again.payload == msgspec.structs.replace(payload, plain=True)
    assert other.execute([again]).failed[0].exception == "PipelineChanged"
    assert Processor(pipeline=shout >> split >> count).execute([again]).output == [2]


def test_a_success_that_was_refused_comes_back_as_its_step_declares_it(dead: Path) -> None:
    done: Any = Processor(pipeline=Pipeline(parse)).execute(to_inputs(TEXTS[:1]))
    longer = Processor(pipeline=parse >> convert_all, on_code_change="error")
    longer.retry(done).write_failures(dead)

    (again,) = longer.read_failures(dead)

    assert again == done.retry_inputs()[0]
    assert Processor(pipeline=parse >> convert_all).execute([again]).output == [Decimal("10.10")]


def test_a_success_that_was_refused_and_cannot_be_stored_is_refused_again(dead: Path) -> None:
    own = Processor(pipeline=Pipeline(parse))
    other: Any = Processor(pipeline=Pipeline(step("other")(str.upper)))
    other.retry(own.execute(to_inputs(TEXTS[:1]))).write_failures(dead)

    for processor in (own, other):
        again = processor.execute(processor.read_failures(dead))
        again.write_failures(dead)

        assert again.failed[0].exception == "BadPayload"
        assert "the output that it had is not in the dead letter ($" in again.failed[0].message
    assert Processor(pipeline=Pipeline(parse), on_bad_payload="restart").execute(own.read_failures(dead)).success


def test_a_line_whose_success_could_not_be_stored_can_be_given_a_payload(dead: Path) -> None:
    whole = Processor(pipeline=parse >> convert_all)
    other: Any = Processor(pipeline=Pipeline(step("other")(str.upper)))
    other.retry(Processor(pipeline=Pipeline(parse)).execute(to_inputs(TEXTS[:1]))).write_failures(dead)

    edit(dead, step="conversion", data={"day": "2026-11-24", "amount": "1", "currency": "USD"})

    assert whole.execute(whole.read_failures(dead)).output == [Decimal("0.5")]


COPIES: list[Callable[[Any], Any]] = [lambda it: pickle.loads(pickle.dumps(it)), lambda it: msgspec.structs.replace(it)]


@pytest.mark.parametrize("copied", COPIES, ids=["pickled", "replaced"])
def test_a_copied_result_asks_for_the_pipeline(
    copied: Callable[[ProcessingResult], ProcessingResult], dead: Path
) -> None:
    result = Processor(pipeline=parse >> convert).execute(to_inputs(TEXTS))
    copy = copied(result)

    with pytest.raises(InvalidSetting, match="pass pipeline="):
        copy.write_failures(dead)

    assert copy == result
    assert copy.write_failures(dead, parse >> convert) == 2


@given(st.lists(st.tuples(st.text(min_size=1), st.text()), unique_by=lambda pair: pair[0], max_size=5))
def test_any_text_survives_the_file(tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[str, str]]) -> None:
    path = tmp_path_factory.mktemp("letters") / "dead.jsonl"
    fail = step("fail")(_fail)
    inputs = [ProcessorInput(input_id=key, data=text) for key, text in pairs]
    result = Processor(pipeline=fail).execute(inputs)

    result.write_failures(path)

    assert read_failures(path, fail >> step("after")(str)) == result.retry_inputs()


def _fail(text: str) -> str:
    raise ValueError(f"{text}\udc80")

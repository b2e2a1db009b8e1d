"""R17: any text is an id, data, a message, a name or metadata: it comes back exactly, or a declared error says why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline import (
    ExecutionContext,
    Payload,
    Pipeline,
    PipelineError,
    PostgresJournal,
    Processor,
    ProcessorInput,
    step,
)
from pipeline.codec import CodecError, decode, encode
from pipeline.describe import bounded
from pipeline.step import RESERVED
from tests.pipeline.naughty import NAUGHTY

TEXTS = list(NAUGHTY.values())
WRITABLE = [text for text in TEXTS if not any("\ud800" <= letter <= "\udfff" for letter in text)]
"""Texts that have a JSON form: a lone surrogate is no character."""

each_text = pytest.mark.parametrize("text", NAUGHTY.values(), ids=NAUGHTY)


entered: list[Any] = []
broken: list[bool] = []


@pytest.fixture(autouse=True)
def broken_at_first() -> None:
    entered.clear()
    broken[:] = [True]


@step("keep")
def keep(text: str) -> str:
    entered.append(text)
    if broken:
        raise ValueError(text)
    return text


LONGEST_INDEXED = 8_000


def inputs(texts: list[str], data: Any = "data") -> list[ProcessorInput[Any]]:
    return [ProcessorInput(input_id=text, data=data) for text in texts]


def test_any_text_is_an_id(journal: Any, tmp_path: Path) -> None:
    processor = Processor(name="ids", pipeline=keep, journal=journal)
    first = processor.execute(inputs(TEXTS))
    first.write_failures(tmp_path / "dead.jsonl")
    read = processor.read_failures(tmp_path / "dead.jsonl")
    plan = processor.plan(first.run_id)
    broken.clear()
    again = processor.resume()

    assert [failed.input_id for failed in first.failed] == TEXTS
    assert [item.input_id for item in plan] == TEXTS
    assert [outcome.input_id for outcome in again.succeeded] == TEXTS
    assert [item.input_id for item in read] == TEXTS
    assert len(str(plan).splitlines()) == len(TEXTS)
    assert str(plan).replace("\n", "").isprintable()


def test_any_text_is_data_or_is_asked_for_again(journal: Any) -> None:
    processor = Processor(name="data", pipeline=keep, journal=journal)
    for place, text in enumerate(TEXTS):
        processor.execute([ProcessorInput(input_id=str(place), data=text)])
        broken.clear()
        if text in WRITABLE:
            assert processor.resume().output == [text]
        else:
            with pytest.raises(PipelineError, match="give the inputs again"):
                processor.resume()
        broken[:] = [True]
    assert {*entered} == {*TEXTS}


@each_text
def test_any_text_survives_the_codec_or_is_refused(text: str) -> None:
    for value in (text, [text], {text: text}, {"a": {text: [text]}}):
        if text in WRITABLE:
            assert decode(encode(value)) == value
        else:
            with pytest.raises(CodecError) as caught:
                encode(value)
            assert len(str(caught.value)) < 1_000


def test_any_text_is_a_message_and_the_name_of_an_error(journal: Any, tmp_path: Path) -> None:
    names = [text.replace("\x00", "0") or "x" for text in WRITABLE]

    def fail(place: int) -> int:
        raise type(names[place % len(names)], (Exception,), {})(TEXTS[place])

    batch = [ProcessorInput(input_id=str(place), data=place) for place in range(len(TEXTS))]
    processor = Processor(name="messages", pipeline=step("fail")(fail), journal=journal)
    first = processor.execute(batch)
    first.write_failures(tmp_path / "dead.jsonl")
    read = processor.read_failures(tmp_path / "dead.jsonl")
    kept = processor.resume(only=lambda _: False).failed

    assert [failed.message for failed in first.failed] == [bounded(text) for text in TEXTS]
    assert [failed.message for failed in kept] == [failed.message for failed in first.failed]
    assert [failed.exception for failed in kept] == [failed.exception for failed in first.failed]
    assert [payload.message for payload in map(payload_of, read)] == [failed.message for failed in first.failed]
    assert all(failed.exception in failed.traceback for failed in kept)


def payload_of(item: ProcessorInput[Any]) -> Payload:
    assert isinstance(item.payload, Payload)
    return item.payload


def test_any_text_is_the_name_of_a_step(journal: Any) -> None:
    names = [text for text in TEXTS if text not in RESERVED]

    def pipeline() -> Pipeline[str, str, Any]:
        return Pipeline.of(keep.replace(name=name) for name in names)

    for place, name in enumerate(names):
        assert pipeline().index(name) == place
    broken[:] = []
    done = Processor(name="steps", pipeline=pipeline()).execute(inputs(["a"]))
    assert [getattr(outcome, "steps", ()) for outcome in done.outcomes] == [(*names,)]

    for name in names:
        broken[:] = [True]
        only = Processor(name="steps", pipeline=keep.replace(name=name), journal=journal)
        failed = only.execute(inputs(["a"])).failed
        broken.clear()
        assert [(one.step, one.payload.step) for one in failed] == [(name, name)]
        assert [item.steps for item in only.plan(journal.find("steps").run_id)] == [(name,)]
        assert only.resume().output == ["data"]


@each_text
def test_a_step_that_is_not_there_is_told_in_bounded_words(text: str) -> None:
    processor = Processor(pipeline=keep)
    given = ProcessorInput(input_id="a", data="data", payload={"step": text, "data": "data"})
    broken.clear()

    (outcome,) = processor.execute([given]).outcomes

    assert text in RESERVED or outcome.step == "resume"  # type: ignore[union-attr]
    assert len(getattr(outcome, "message", "")) < 20_000
    with pytest.raises(PipelineError):
        processor.pipeline[text]


@each_text
def test_any_text_names_a_processor_its_account_its_run_and_its_metadata(text: str, journal: Any) -> None:
    def processor() -> Processor[str, str, list[str]]:
        return Processor(name=text, account_id=text, underwriting_id=text, pipeline=keep, journal=journal)

    batch = [ProcessorInput(input_id="a", account_id=text, underwriting_id=text, data="data")]
    context = ExecutionContext(run_id=text, parent_run_id=text, execution_metadata={text: text})
    if isinstance(journal, PostgresJournal) and len(text) > LONGEST_INDEXED:
        with pytest.raises(PipelineError, match="index"):
            processor().execute(batch, context)
        assert entered == []
        return
    first = processor().execute(batch, context)
    broken.clear()
    again = processor().resume(text)

    assert first.run_id == text
    found = journal.find(text, text)
    assert found is not None
    assert found.processor == text
    assert again.output == ["data"]
    assert again.context.execution_metadata == {text: text}
    assert (again.context.previous_run_id, again.context.parent_run_id) == (text, text)


@each_text
def test_a_run_or_an_input_that_is_not_there_is_told_in_bounded_words(text: str, journal: Any) -> None:
    processor = Processor(name="p", pipeline=keep, journal=journal)
    run_id = processor.execute(inputs(["a"])).run_id

    for ask in (
        lambda: processor.resume(text),
        lambda: processor.edit(run_id, text, "x"),
        lambda: journal.prune(run_id=text),
    ):
        with pytest.raises(PipelineError) as caught:
            ask()
        assert len(str(caught.value)) < 2_000

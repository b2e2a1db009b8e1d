"""R19: data is never code. Pickles, names of classes and tags are carried as data, or refused; nothing of them runs.

A gadget would leave a file behind; an audit hook of the interpreter sees what is unpickled, imported or started.
"""

from __future__ import annotations

import ast
import base64
import json
import os
import pickle
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pipeline import Cache, PipelineError, Processor, ProcessorInput, SqliteJournal, step
from pipeline.codec import CodecError, Registry, conform, decode, seal, unseal
from pipeline.guard.results import Kept
from tests.pipeline.forged import COLUMNS, Forger

ROOT = Path(__file__).parents[2]
DECLARED = (PipelineError, CodecError)

watched: list[str] | None = None


def audit(event: str, arguments: tuple[Any, ...]) -> None:
    if watched is None:
        return
    if event in ("pickle.find_class", "os.system", "os.exec", "os.posix_spawn", "subprocess.Popen"):
        watched.append(f"{event} {arguments!r:.200}")
    if event == "import" and arguments[0] in ("this", "antigravity", "gadget"):
        watched.append(f"import {arguments[0]}")


sys.addaudithook(audit)  # for the life of the process; it is asleep while nothing is watched


@pytest.fixture
def sentinel(tmp_path: Path) -> Iterator[Path]:
    """The file that no gadget may make; and nothing may be unpickled, imported or started either."""
    global watched
    watched = []
    yield tmp_path / "sentinel"
    seen, watched = watched, None
    assert not (tmp_path / "sentinel").exists(), "a gadget ran"
    assert seen == []


class Gadget:
    """A pickle of it runs a command when it is read."""

    def __init__(self, sentinel: Path) -> None:
        self.command = f"touch {sentinel}"

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


def pickles(sentinel: Path) -> list[bytes]:
    return [pickle.dumps(Gadget(sentinel), protocol) for protocol in range(6)]


def documents(sentinel: Path) -> list[Any]:
    """What readers of other formats take for an order to make an object."""
    touch = f"touch {sentinel}"
    return [
        {"__class__": "os.system", "__args__": [touch]},
        {"__reduce__": ["os.system", [touch]]},
        {"__type__": "gadget.Gadget", "__module__": "gadget", "command": touch},
        {"py/object": "subprocess.Popen", "py/newargs": [touch]},
        {"py/reduce": [{"py/function": "os.system"}, {"py/tuple": [touch]}]},
        {"$type": "System.Diagnostics.Process", "$value": touch},
        {"@type": "antigravity"},
        {"type": "this", "kind": "Gadget", "status": "completed"},
        {"!!python/object/apply:os.system": [touch]},
        {"lc": 1, "type": "constructor", "id": ["os", "system"], "kwargs": {"command": touch}},
        {"__ext__": 5, "data": base64.b64encode(pickles(sentinel)[4]).decode()},
        *[one.decode("latin-1") for one in pickles(sentinel)],
        *[base64.b64encode(one).decode() for one in pickles(sentinel)],
    ]


def test_a_gadget_would_run(tmp_path: Path) -> None:
    """The test below can fail."""
    global watched
    watched = []
    for gadget in pickles(tmp_path / "sentinel"):
        pickle.loads(gadget)
    seen, watched = watched, None

    assert (tmp_path / "sentinel").exists()
    assert [line.partition(" ")[0] for line in seen] == ["pickle.find_class", "os.system"] * 6


class Scan(msgspec.Struct):
    name: str
    extra: Any = None


class Cat(msgspec.Struct, tag=True):
    name: str


class Dog(msgspec.Struct, tag=True):
    name: str


TYPES: list[Any] = [Any, object, Scan, Cat | Dog, dict[str, Any], list[Any], str, bytes, int, type | None]


def test_the_codec_reads_a_gadget_as_data_or_refuses_it(sentinel: Path) -> None:
    for gadget in pickles(sentinel):
        with pytest.raises(CodecError):
            unseal(gadget)
    for declared in TYPES:
        for gadget in pickles(sentinel):
            with pytest.raises(CodecError):
                decode(unseal(seal(gadget)), declared)
        for document in documents(sentinel):
            with suppress(CodecError):
                assert decode(json.dumps(document).encode(), declared) is not None
            with suppress(CodecError):
                conform(document, declared)


def test_a_tag_names_a_member_of_the_declared_union_and_nothing_else(sentinel: Path) -> None:
    for tag in ("Scan", "tests.pipeline.Cat", "os.system", "Gadget", "object", 5, None, ["Cat"]):
        with pytest.raises(CodecError, match=r"\$"):
            decode(json.dumps({"type": tag, "name": "x"}).encode(), Cat | Dog)


def test_a_registry_is_asked_for_declared_types_only(sentinel: Path) -> None:
    class Money:
        pass

    made: list[str] = []

    def from_wire(wire: str) -> Money:
        made.append(wire)
        return Money()

    registry = Registry()
    registry.register(Money, wire=str, to_wire=lambda _: "x", from_wire=from_wire)
    for document in documents(sentinel):
        with suppress(CodecError):
            decode(json.dumps(document).encode(), Any, registry=registry)

    assert made == []


@step("first")
def first(value: Any) -> Any:
    return value


@step("last")
def last(value: Any) -> str:
    if not isinstance(value, str) or value == "fails":
        raise TypeError("not a text")
    return value


@pytest.mark.parametrize("column", COLUMNS)
def test_a_gadget_in_a_journal_does_not_run(column: str, sentinel: Path, tmp_path: Path) -> None:
    """The journal's rows with their checksums right: whoever wrote them knows the format."""
    gadgets: list[Any] = [*pickles(sentinel), *(json.dumps(document).encode() for document in documents(sentinel))]
    forger = Forger(tmp_path, first >> last)
    for gadget in gadgets:
        with forger.forged(column, gadget) as journal:
            forger.go_on(journal)


def test_a_gadget_in_a_cache_does_not_run(sentinel: Path, tmp_path: Path) -> None:
    cached = step("cached", cache=Cache(), version="1")(first.fn)
    journal = SqliteJournal(tmp_path / "runs.db")
    processor: Processor[Any, Any, Any] = Processor(name="p", pipeline=cached, journal=journal)
    batch = [ProcessorInput(input_id="a", data="text")]
    assert processor.execute(batch).output == ["text"]
    keys = journal._use(lambda connection: [row[0] for row in connection.execute("SELECT key FROM results")])
    for gadget in (*pickles(sentinel), *(json.dumps(document).encode() for document in documents(sentinel))):
        for key in keys:
            journal.keep_result("cached", key, Kept(0.0, gadget), 10**6)
        assert processor.execute(batch).success
    journal.close()

    assert keys


def test_a_gadget_in_dead_letters_does_not_run(sentinel: Path, tmp_path: Path) -> None:
    processor = Processor(pipeline=first >> last)
    path = tmp_path / "dead.jsonl"
    for document in documents(sentinel):
        for letter in letters(document):
            path.write_text(json.dumps(letter))
            with suppress(*DECLARED):
                processor.execute(processor.read_failures(path))
    for gadget in pickles(sentinel):
        path.write_bytes(gadget)
        with pytest.raises(PipelineError, match="line 1"):
            processor.read_failures(path)


def letters(document: Any) -> list[Any]:
    """The document wherever a line of dead letters has room for one."""
    return [
        document,
        {"input_id": "a", "payload": document},
        {"input_id": "a", "payload": {"step": "last", "data": document}},
        {"input_id": "a", "payload": {"step": "last", "data": 1}, "retry": document},
        {"input_id": "a", "payload": {"data": 1}, "retry": {"data": document, "code": document}},
    ]


def test_a_gadget_in_a_payload_does_not_run(sentinel: Path) -> None:
    processor = Processor(pipeline=first >> last)
    for gadget in (*pickles(sentinel), *documents(sentinel)):
        payload: Any
        for payload in (gadget, {"step": "last", "data": gadget, "exception": gadget}, {"step": gadget, "data": 1}):
            (outcome,) = processor.execute([ProcessorInput(input_id="a", data="x", payload=payload)]).outcomes
            assert outcome.input_id == "a"


# the source


UNPICKLES = {"pickle.loads", "pickle.load", "pickle.Unpickler", "cloudpickle.loads", "marshal.loads", "shelve.open"}
RUNS = {
    "eval", "exec", "compile", "__import__", "import_module", "importlib.import_module", "runpy.run_path", "os.system",
    "subprocess.run", "subprocess.Popen",
}  # fmt: skip
ALLOWED = {
    "pipeline/testing/fresh.py": {
        "subprocess.Popen",
        "pickle.loads",
    },  # a process of the kit's own
    "pipeline/snapshot.py": {"pickle.loads"},  # what this process pickled a moment before, and kept in memory
    "pipeline/codec/proof.py": {"eval"},  # a predicate, of the attribute names of a declared class
    "pipeline/fingerprint/graph.py": {"importlib.import_module"},  # what the source of a step imports itself
    "pipeline/fingerprint/source.py": {"compile"},  # that source, to compare it with the code; it is not run
    "pipeline/testing/evidence.py": {"pickle.loads"},  # what it pickled a moment before
    "runners/__init__.py": {"import_module"},  # its own modules, when one of their names is asked for
    "runners/pool/served.py": {"import_module"},  # a module of its own, so that a fork server has it before it forks
}


def test_nothing_is_unpickled_but_by_workers_and_nothing_is_run_or_imported_by_name() -> None:
    found: dict[str, set[str]] = {}
    for folder, forbidden in (("pipeline", RUNS | UNPICKLES), ("runners", RUNS)):  # runners are workers' transport
        for file in (ROOT / folder).rglob("*.py"):
            calls = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
            used = {ast.unparse(call.func) for call in calls} & forbidden
            if used:
                found[file.relative_to(ROOT).as_posix()] = used

    assert found == ALLOWED, "say why, here and in the code"

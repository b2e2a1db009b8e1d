"""The data types of a script, which workers do not import: how they get there, and come back as the script's own."""

from __future__ import annotations

import subprocess
import sys
from inspect import get_annotations
from pathlib import Path
from typing import Any

import pytest

from runners import byvalue
from runners.supply import dumps_by_value

DATA = """
from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from pathlib import Path
from typing import ClassVar, Generic, Literal, NamedTuple, NotRequired, TypedDict, TypeVar

import msgspec

from pipeline import Processor, SqliteJournal, step, to_inputs
from runners import DaskRunner, ExecutorRunner, RayRunner, SequentialRunner

T = TypeVar("T")

class Colour(Enum):
    RED = "red"

class Base(msgspec.Struct, rename="camel", kw_only=True, tag=True, tag_field="kind"):
    "A document."
    some_name: str = "none"
    number: int
    LIMIT: ClassVar[int] = 7

    def doubled(self):
        return 2 * self.number

class Document(Base, forbid_unknown_fields=True, omit_defaults=True, weakref=True, dict=True):
    pages: list[int]
    colour: Colour = Colour.RED
    parts: list[Document] = []
    counts: dict[str, int] = msgspec.field(default_factory=lambda: {"limit": Document.LIMIT}, name="how-many")

    def __post_init__(self):
        self.__dict__["label"] = f"{super().doubled()}"

    @property
    def named(self):
        return self.label

    @classmethod
    def of(cls, number):
        return cls([number], number=number)

class Strict(msgspec.Struct, frozen=True, order=True, cache_hash=True, array_like=True, gc=False):
    number: int
    letter: Literal["x", "y"] = "x"

    def __setattr__(self, name, value):
        raise AttributeError("not asked, since it is frozen")

class Node(msgspec.Struct, eq=False, repr_omit_defaults=True):
    number: int
    strict: Strict = Strict(1)
    behind: Node | None = None

    def __eq__(self, other):
        return type(other) is Node and (other.number, other.behind) == (self.number, self.behind)

    def grown(self):
        return Node(self.number + 1, behind=self)

class Slotted:
    __slots__ = ()

class Box(msgspec.Struct, Slotted, Generic[T], gc=False):
    inside: T

Defined = msgspec.defstruct("Defined", [("number", int), ("text", str, "")], module=__name__, tag=3)

@dataclass
class Record:
    number: int
    colour: Colour = Colour.RED
    nodes: list[Node] = field(default_factory=list)

@dataclass(slots=True)
class Slim:
    number: int

class Pair(NamedTuple):
    number: int
    colour: Colour

class Table(TypedDict):
    number: int
    node: NotRequired[Node]

@step("document")
def document(number: int) -> Document:
    made = Document.of(number)
    assert made.named == f"{2 * number}" and made.counts == {"limit": 7}
    return Document([number], number=number, parts=[made])

@step("strict")
def strict(number: int) -> Strict:
    try:
        Strict(number).number = 2
    except AttributeError as error:
        assert "immutable" in str(error)
    return {Strict(number): Strict(number)}[Strict(number)]

@step("node")
def node(number: int) -> Node:
    return Node(number).grown()

@step("box")
def box(number: int) -> Box[int]:
    return Box(number)

@step("defined")
def defined(number: int) -> Defined:
    return Defined(number)

@step("record")
def record(number: int) -> Record:
    return Record(number, nodes=[Node(number)])

@step("slim")
def slim(number: int) -> Slim:
    return Slim(number)

@step("pair")
def pair(number: int) -> Pair:
    return Pair(number, Colour.RED)

@step("table")
def table(number: int) -> Table:
    return {"number": number, "node": Node(number)}

@step("colour")
def colour(number: int) -> Colour:
    return Colour.RED

STRUCTS = (Base, Document, Strict, Node, Box, Defined)

@step("telling")
def tell(number: int) -> list[list[str]]:
    return [told(kind) for kind in STRUCTS]

def told(kind):
    config = {name: getattr(kind.__struct_config__, name) for name in dir(kind.__struct_config__) if name[0] != "_"}
    return [
        kind.__qualname__, kind.__module__, f"{kind.__doc__}", f"{kind.__mro__}", f"{inspect.signature(kind)}",
        f"{kind.__struct_encode_fields__}", f"{config}",
    ]

def same(kind):
    @step("same")
    def look(value: object) -> object:
        assert isinstance(value, kind) and (kind is not Colour or value is Colour.RED)
        return value
    return look

STEPS = {
    document: Document, strict: Strict, node: Node, box: Box, defined: Defined, record: Record, slim: Slim,
    pair: Pair, table: dict, colour: Colour,
}

def as_it_was():
    return {kind: {name: value for name, value in vars(kind).items() if name[:2] != "__"} for kind in STEPS.values()}

if __name__ == "__main__":
    before = as_it_was()
    with RUNNER as runner:
        for one, kind in STEPS.items():
            for durability in (None, "step"):
                journal = durability and SqliteJournal(f"{one.name}.db", durability=durability)
                for pipeline in (one, one >> same(kind)):
                    result = Processor(pipeline=pipeline, runner=runner, journal=journal).execute(to_inputs([1, 2]))
                    there = [getattr(outcome, "output", outcome) for outcome in result.outcomes]
                    if there != [one(1).unwrap(), one(2).unwrap()] or not isinstance(there[0], kind):
                        print(pipeline, durability, there)
        there = Processor(pipeline=tell, runner=runner).execute(to_inputs([1]))
    print(there.output == [[told(kind) for kind in STRUCTS]] or there.outcomes, as_it_was() == before)
"""
CAME = "True True\n"

HINTED = """
from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import partial
from typing import Annotated, NewType

import loky
import msgspec
from typing_extensions import TypeAliasType

from runners import ExecutorRunner

LOCK = threading.Lock()
UserId = NewType("UserId", int)
Amounts = TypeAliasType("Amounts", list[UserId])
Natural = Annotated[int, msgspec.Meta(ge=0, title="natural")]
Told = msgspec.defstruct("Told", [("natural", Natural)], module=__name__)

@dataclass
class Record:
    user: UserId
    amounts: Amounts
    natural: Natural
    locked: Annotated[int, LOCK]

class Document(msgspec.Struct):
    user: UserId
    natural: Annotated[int, msgspec.Meta(ge=0)]

def record(value):
    return Record(*vars(value).values())

def document(value):
    return Document(value.user + 1, value.natural)

def told(value):
    try:
        return msgspec.convert({"user": 1, "natural": -1}, type(value))
    except msgspec.ValidationError as error:
        return str(error)

def told_again(value):
    return told(value)

def hints(value):
    user, amounts, natural, locked = Record.__annotations__.values()
    name = user.__name__, user.__qualname__, user.__module__, user.__supertype__
    return str((name, amounts.__name__, amounts.__value__ == list[user], natural, locked))

if __name__ == "__main__":
    runner = ExecutorRunner(partial(loky.get_reusable_executor, 1))
    calls = {record: Record(1, [1], 1, 1), document: Document(1, 1), told: Document(1, 1), told_again: Told(1)}
    for function, value in calls.items():
        print([result.unwrap() for _, result in runner.stream(function, [value])] == [function(value)])
    print(*[result.unwrap() for _, result in runner.stream(hints, [1])])
"""
HINTS = """\
True
True
True
True
(('UserId', 'UserId', '__main__', <class 'int'>), 'Amounts', True, \
typing.Annotated[int, msgspec.Meta(ge=0, title='natural')], 'Annotated[int, LOCK]')
"""


def test_data_types_of_a_script_reach_lokys_workers_and_come_back(tmp_path: Path) -> None:
    runner = "ExecutorRunner(partial(__import__('loky').get_reusable_executor, 2))"
    (tmp_path / "script.py").write_text(DATA.replace("RUNNER", runner))

    done = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True, cwd=tmp_path, check=False)

    assert done.stdout == CAME, done.stderr


def test_what_annotations_of_a_script_name_reaches_lokys_workers_and_text_stays_where_it_does_not_pickle(
    tmp_path: Path,
) -> None:
    (tmp_path / "script.py").write_text(HINTED)

    done = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True, cwd=tmp_path, check=False)

    assert done.stdout == HINTS, done.stderr


def test_a_class_crosses_with_its_annotations_as_text_where_one_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def of_python_3_14(kind: Any, *, format: int = 1) -> dict[str, Any]:  # noqa: A002
        if format == 1:
            raise NameError("name 'Missing' is not defined")
        return get_annotations(kind)

    monkeypatch.setattr(byvalue, "get_annotations", of_python_3_14)
    data = type("Data", (), {"__module__": "__main__", "__annotations__": {"number": "Missing"}})

    assert b"Missing" in dumps_by_value(data)

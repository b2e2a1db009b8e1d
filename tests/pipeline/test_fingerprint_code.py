"""The fingerprint of a step follows its code through the project, and nothing that does not count."""

from __future__ import annotations

import functools
import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.fingerprint import CodeFingerprint, of_code

Print = Callable[..., CodeFingerprint]

STEPS = """
import math
from app import helpers
from app.helpers import clean as tidy

LIMIT = 3

def step(text, *, strict=False):
    '''Docstring.'''
    # comment
    return [tidy(part)[:LIMIT] for part in helpers.split(text) if math.isfinite(len(part)) or strict]
"""
HELPERS = """
from app.deep import SEPARATORS, strip

def split(text):
    return text.split(SEPARATORS[0])

def clean(part):
    return strip(part)

def unused():
    return 1
"""
DEEP = """
SEPARATORS = (";", ",")

def strip(part):
    return part.strip()
"""
PROJECT = {"__init__": "", "steps": STEPS, "helpers": HELPERS, "deep": DEEP}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Print]:
    """Writes the package ``app`` to a new directory, imports it and gives the fingerprint of ``app.steps.step``."""
    count = 0

    def forget() -> None:
        for name in [name for name in sys.modules if name.partition(".")[0] == "app"]:
            del sys.modules[name]

    def fingerprint(name: str = "step", **files: str) -> CodeFingerprint:
        nonlocal count
        count += 1
        root = tmp_path / str(count)
        (root / "app").mkdir(parents=True)
        for file, text in {**PROJECT, **files}.items():
            (root / "app" / f"{file}.py").write_text(text)
        forget()
        with monkeypatch.context() as patched:
            patched.syspath_prepend(str(root))
            steps = importlib.import_module("app.steps")
            return of_code(getattr(steps, name))

    yield fingerprint
    forget()


def replaced(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new)


COUNTS = [
    ("steps", "LIMIT = 3", "LIMIT = 4"),
    ("steps", "strict=False", "strict=True"),
    ("steps", "or strict", "and strict"),
    ("steps", "math.isfinite", "math.isnan"),
    ("steps", "clean as tidy", "unused as tidy"),
    ("helpers", "SEPARATORS[0]", "SEPARATORS[1]"),
    ("helpers", "return strip(part)", "return strip(part) or part"),
    ("deep", '(";", ",")', '(";", "|")'),
    ("deep", "part.strip()", "part.lstrip()"),
]


@pytest.mark.parametrize(("file", "old", "new"), COUNTS)
def test_a_change_of_code_or_constants_anywhere_in_use_counts(project: Print, file: str, old: str, new: str) -> None:
    before = project()

    after = project(**{file: replaced(PROJECT[file], old, new)})

    assert before.digest != after.digest
    assert before.unknown == after.unknown == ()


DOES_NOT_COUNT = [
    ("steps", "Docstring.", "Another one."),
    ("steps", "    '''Docstring.'''\n", ""),
    ("steps", "# comment", "# another"),
    ("steps", "LIMIT = 3", "\n\n\nLIMIT = 3  # three"),
    ("steps", "(text, *, strict=False):", "(\n    text: 'str', *, strict: bool = False\n) -> list:"),
    ("steps", "'''\n", "'''\n    unused: int\n"),
    ("helpers", "return 1", "return 2"),
    ("helpers", "def clean(part):", "def clean(\n    part,\n):"),
    ("deep", '(";", ",")', "(';', (','))"),
]


@pytest.mark.parametrize(("file", "old", "new"), DOES_NOT_COUNT[:5] + DOES_NOT_COUNT[6:])
def test_comments_docstrings_layout_hints_and_unused_code_do_not_count(
    project: Print, file: str, old: str, new: str
) -> None:
    before = project()

    after = project(**{file: replaced(PROJECT[file], old, new)})

    assert before == after


KINDS = """
import functools, asyncio
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
import msgspec

FACTOR = 2

def helper(x):
    return x * FACTOR

def logged(fn):
    @functools.wraps(fn)
    def wrapper(*args):
        return fn(*args)
    return wrapper

@logged
def decorated(x):
    return helper(x)

async def asynchronous(x):
    await asyncio.sleep(0)
    return helper(x)

short = lambda x: helper(x)

def make(n):
    def inner(x):
        return helper(x) + n
    return inner

closure = make(1)

def scale(x, by):
    return helper(x) * by

partial = functools.partial(scale, by=3)

class Scale:
    def __init__(self, by):
        self.by = by
    def __call__(self, x):
        return self.double(x) * self.by
    def double(self, x):
        return helper(x)

instance = Scale(5)

@dataclass
class Settings:
    rate: float = 1.5
    def apply(self, x):
        return helper(x) * self.rate

settings = Settings()

def configured(x):
    return settings.apply(x)

class Mode(Enum):
    FAST = "fast"
    def run(self, x):
        return helper(x)

def by_mode(x):
    return Mode.FAST.run(x)

class Result(msgspec.Struct):
    value: int = FACTOR

def structured(x):
    return Result(helper(x))

@functools.lru_cache
def cached(x):
    return helper(x)

def uses_cached(x):
    return cached(x)

@contextmanager
def opened(x):
    yield helper(x)

def uses_context(x):
    with opened(x) as y:
        return y

def even(n):
    return n == 0 or odd(n - 1)

def odd(n):
    return n != 0 and even(helper(n) - 1)

def local_import(x):
    from app.deep import strip
    return strip(helper(x))

TABLE = {"a": helper, "b": [lambda x: x + 1]}

def by_table(x):
    return TABLE["a"](x)

class Base:
    def go(self, x):
        return helper(x)

class Child(Base):
    def go(self, x):
        return super().go(x)

method = Child().go

@functools.singledispatch
def dispatched(x):
    return 0

@dispatched.register
def _(x: int):
    return helper(x)
"""

EVERY_KIND = [
    "decorated", "asynchronous", "short", "closure", "partial", "instance", "configured", "by_mode", "structured",
    "uses_cached", "uses_context", "even", "odd", "local_import", "by_table", "method", "dispatched",
]  # fmt: skip


@pytest.mark.parametrize("name", EVERY_KIND)
def test_every_kind_of_callable_is_followed_to_its_helper(project: Print, name: str) -> None:
    before = project(name, steps=KINDS)

    moved = project(name, steps="# moved down\n\n" + KINDS)
    helped = project(name, steps=replaced(KINDS, "return x * FACTOR", "return x + FACTOR"))
    constant = project(name, steps=replaced(KINDS, "FACTOR = 2", "FACTOR = 3"))

    assert before == moved
    assert before.unknown == ()
    assert len({before.digest, helped.digest, constant.digest}) == 3


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("closure", "make(1)", "make(2)"),
        ("partial", "by=3", "by=4"),
        ("instance", "Scale(5)", "Scale(6)"),
        ("configured", "rate: float = 1.5", "rate: float = 2.5"),
        ("by_mode", '"fast"', '"slow"'),
        ("structured", "value: int", "count: int"),
        ("decorated", "return fn(*args)", "return fn(*args[:1])"),
        ("asynchronous", "sleep(0)", "sleep(1)"),
        ("local_import", "strip(helper(x))", "strip(helper(x), 1)"),
        ("method", "super().go(x)", "super().go(x + 1)"),
    ],
)
def test_what_a_callable_carries_counts(project: Print, name: str, old: str, new: str) -> None:
    assert project(name, steps=KINDS).digest != project(name, steps=replaced(KINDS, old, new)).digest


METHODS = """
class Processor:
    def __init__(self):
        self.account = "a"
        self.rate = 2
    def validate(self, x):
        return self.check(x)
    def check(self, x):
        return x > self.rate
    def extract(self, x):
        return x, self.account

step = Processor().validate
"""


def test_a_method_counts_with_the_members_it_names_and_no_others(project: Print) -> None:
    before = project(steps=METHODS)

    other_method = project(steps=replaced(METHODS, "return x, self.account", "return x"))
    named_method = project(steps=replaced(METHODS, "x > self.rate", "x >= self.rate"))
    named_state = project(steps=replaced(METHODS, "self.rate = 2", "self.rate = 3"))
    other_state = project(steps=replaced(METHODS, 'self.account = "a"', 'self.account = "b"'))

    assert before == other_method == other_state
    assert len({before.digest, named_method.digest, named_state.digest}) == 3


def test_lambdas_on_one_line_are_told_apart() -> None:
    first, second = (lambda x: x + 1), (lambda x: x + 2)

    assert of_code(first).digest != of_code(second).digest


def test_functions_that_call_each_other_differ_from_one_another(project: Print) -> None:
    assert project("even", steps=KINDS) != project("odd", steps=KINDS)


def test_a_function_without_source_counts_by_its_bytecode() -> None:
    def made(text: str) -> Any:
        names: dict[str, Any] = {}
        exec(text, names)
        return names["f"]

    one = made("def f(x):\n    'doc'\n    return x + 1")
    same = made("\n\ndef f(x):\n    'other doc'\n    return (x + 1)  # comment")
    other = made("def f(x):\n    'doc'\n    return x + 2")

    assert of_code(one) == of_code(same)
    assert of_code(one) != of_code(other)


def test_a_file_edited_after_its_import_does_not_pass_for_the_code_that_runs(project: Print) -> None:
    project()
    steps = sys.modules["app.steps"]
    path = Path(str(steps.__file__))
    path.write_text(path.read_text().replace("or strict", "and strict"))
    edited = of_code(steps.step)

    assert edited != project(steps=replaced(STEPS, "or strict", "and strict"))


def test_version_speaks_for_everything() -> None:
    def one() -> int:
        return 1

    def two() -> int:
        return 2

    assert of_code(one, version="1") == of_code(two, version="1")
    assert of_code(one, version="1") != of_code(one, version="2")
    assert of_code(one, version="1") != of_code(one)


def test_library_functions_count_by_name_and_ask_for_nothing() -> None:
    prints = [of_code(function) for function in (len, print, os.path.join, "".join, functools.partial(int, base=2))]

    assert len({found.digest for found in prints}) == len(prints)
    assert [found.unknown for found in prints] == [()] * len(prints)


def test_what_cannot_be_seen_is_named(project: Print) -> None:
    compiled = "import sys\nfrom app import deep\ndef step(x):\n    return x, deep\n"

    assert project(steps=compiled).unknown == ("app.deep (a module used as a value)",)


def test_a_name_bound_to_something_else_later_is_seen_and_state_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    before = of_code(uses_globals)

    STATE.append(1)
    uses_globals()
    same = of_code(uses_globals)
    monkeypatch.setitem(globals(), "used", lambda: 2)

    assert before == same
    assert of_code(uses_globals) != before


STATE: list[int] = []
COUNTER = 0


def used() -> int:
    return 1


def uses_globals() -> int:
    global COUNTER
    COUNTER += 1
    return used() + len(STATE) + COUNTER


def test_another_process_another_hash_seed_and_another_directory_agree(project: Print, tmp_path: Path) -> None:
    here = {name: project(name, steps=KINDS) for name in EVERY_KIND}
    root = next(tmp_path.glob("*/app")).parent
    elsewhere = root.rename(tmp_path / "else where")
    program = (
        "import app.steps, sys; from pipeline.fingerprint import of_code\n"
        "print(*[of_code(getattr(app.steps, name)).digest for name in sys.argv[1:]])"
    )

    for seed in ("1", "2"):
        there = subprocess.run(
            [sys.executable, "-c", program, *EVERY_KIND],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join([str(elsewhere), *sys.path[:]])},
            capture_output=True,
            text=True,
            check=True,
        )
        assert there.stdout.split() == [here[name].digest for name in EVERY_KIND]

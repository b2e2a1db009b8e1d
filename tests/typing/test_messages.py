"""What a user reads on a mistake: one error on one line, with the text that ``docs/explanation/types.md`` shows."""

from __future__ import annotations

import doctest
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/explanation/types.md"
FENCE = re.compile(r"^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
MARK = "  # error"
BOTH = re.compile(r'"(?:Step|Pipeline)\[')
EXPECTATION = re.compile(r"  # type: ignore\[([\w, -]+)\]  # pyright: ignore\[([\w, ]+)\]")


class Error(NamedTuple):
    """What a checker reports."""

    file: str
    line: int
    code: str
    message: str

    def __str__(self) -> str:
        return f"{self.message}  [{self.code}]"


class Mistake(NamedTuple):
    """One section of the page: its code, which follows the page's first block, and what it says the checkers print."""

    file: str
    code: str
    said: list[str]

    @property
    def line(self) -> int:
        (marked,) = [number for number, line in enumerate(self.code.splitlines(), 1) if line.endswith(MARK)]
        return marked

    def differences(self, checker: str, errors: list[Error]) -> list[str]:
        """Where a checker reports something else than the page says, or on another line."""
        found = sorted(f"{error.line}: {error}\n" for error in errors if error.file == self.file)
        shown = sorted(f"{self.line}: {line[len(checker) + 2 :]}\n" for line in self.said if line.startswith(checker))
        if shown and doctest.OutputChecker().check_output("".join(shown), "".join(found), doctest.ELLIPSIS):
            return []
        return [
            f"{self.code.splitlines()[self.line - 1]}\n{checker} says\n{''.join(found)}\nand the page\n{''.join(shown)}"
        ]


def mistakes() -> Iterator[Mistake]:
    blocks = list(FENCE.finditer(PAGE.read_text(encoding="utf-8")))
    (correct,) = [block["text"] for block in blocks if block["language"] == "python"]
    for number, (block, following) in enumerate(pairwise(blocks)):
        if block["language"] == "py":
            yield Mistake(f"mistake_{number}.py", f"{correct}\n{block['text']}", following["text"].splitlines())


def compositions(source: str) -> set[int]:
    """The lines of ``rejected.py`` where one output is not the next input."""
    lines = source.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("# ---- compositions in which"))
    end = next(number for number, line in enumerate(lines) if number > start and line.startswith("# ----"))
    return {number + 1 for number in range(start + 1, end) if lines[number]}


def mypy(folder: Path) -> list[Error]:
    cache = f"--cache-dir={ROOT / '.cache/mypy-messages'}"
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--python-version=3.11",
        "--config-file=",
        cache,
        "--output=json",
        "--no-error-summary",
        ".",
    ]
    printed = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert not printed.stderr, printed.stderr
    found = [json.loads(line) for line in printed.stdout.splitlines()]
    return [Error(e["file"], e["line"], e["code"], e["message"]) for e in found if e["severity"] == "error"]


def pyright(folder: Path) -> list[Error]:
    environment = Path(sys.prefix)
    settings = {
        "typeCheckingMode": "strict",
        "pythonVersion": "3.11",
        "venvPath": str(environment.parent),
        "venv": environment.name,
        "reportUnusedExpression": False,
        "reportUnusedImport": False,  # the page's first block imports for all of them
    }
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "pyright", "--project", str(folder), "--outputjson"]
    printed = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    return [
        Error(Path(e["file"]).name, e["range"]["start"]["line"] + 1, e["rule"], e["message"].splitlines()[0])
        for e in json.loads(printed.stdout)["generalDiagnostics"]
    ]


@pytest.mark.parametrize("checker", [mypy, pyright], ids=["mypy", "pyright"])
def test_a_mistake_reads_as_the_page_shows_and_a_wrong_composition_is_one_error_with_both_types(
    checker: Callable[[Path], list[Error]], tmp_path: Path
) -> None:
    shown = list(mistakes())
    rejected = EXPECTATION.sub("", (ROOT / "tests/typing/rejected.py").read_text(encoding="utf-8"))
    for file, code in [*((mistake.file, mistake.code) for mistake in shown), ("rejected.py", rejected)]:
        (tmp_path / file).write_text(code)

    errors = checker(tmp_path)

    assert len(shown) >= 10
    differences = [text for mistake in shown for text in mistake.differences(checker.__name__, errors)]
    assert not differences, "\n".join(differences)
    wrong = compositions(rejected)
    found = [error for error in errors if error.file == "rejected.py" and error.line in wrong]
    assert sorted(error.line for error in found) == sorted(wrong)
    assert not [error for error in found if len(BOTH.findall(error.message)) < 2]

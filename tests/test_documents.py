"""Every Python block in README and the documentation runs as printed.

The blocks of one document share a module and run from top to bottom, in an empty directory.
A ``pycon`` block is a doctest; a ``text`` block that follows a ``python`` block directly is what that block prints.
A block whose title names PostgreSQL runs where there is a server.
"""

from __future__ import annotations

import doctest
import linecache
import re
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from itertools import zip_longest
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(?P<language>\w+)(?P<title>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


class Block(NamedTuple):
    language: str
    text: str
    line: int
    printed: str | None = None
    needs_postgres: bool = False


def blocks_of(document: str) -> Iterator[Block]:
    """The blocks with Python in them, each ``python`` block with the output that follows it."""
    fences = list(FENCE.finditer(document))
    for fence, following in zip_longest(fences, fences[1:]):
        if fence["language"] in {"python", "pycon"}:
            follows = (
                following and following["language"] == "text" and not document[fence.end() : following.start()].strip()
            )
            line = document.count("\n", 0, fence.start()) + 1
            printed = following["text"] if following and follows else None
            yield Block(fence["language"], fence["text"], line, printed, "PostgreSQL" in fence["title"])


def run_python(block: Block, file: str, names: dict[str, object]) -> None:
    """Run the block under the document's own line numbers, with its source where ``inspect`` finds it."""
    source = "\n" * block.line + block.text
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    printed = StringIO()
    with redirect_stdout(printed):
        exec(compile(source, file, "exec"), names)

    if block.printed is not None:
        matches = doctest.OutputChecker().check_output(block.printed, printed.getvalue(), OPTIONS)
        assert matches, f"{file}:{block.line} prints\n{printed.getvalue()}\ninstead of\n{block.printed}"


def run_pycon(block: Block, file: str, names: dict[str, object]) -> None:
    test = doctest.DocTestParser().get_doctest(block.text, names, file, file, block.line)
    test.globs = names  # the parser copies them, and a later block may need what this one defines
    report = StringIO()
    outcome = doctest.DocTestRunner(optionflags=OPTIONS).run(test, out=report.write, clear_globs=False)

    assert outcome.attempted, f"{file}:{block.line} has no prompt"
    assert not outcome.failed, report.getvalue()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_python_block_runs_as_printed(document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = blocks_of(document.read_text(encoding="utf-8"))
    run_all(document, [block for block in blocks if not block.needs_postgres], tmp_path, monkeypatch)


@pytest.mark.postgres
def test_the_blocks_that_need_a_server_run_as_printed(
    postgres_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = ROOT / "docs/how-to/durable-runs.md"
    blocks = list(blocks_of(document.read_text(encoding="utf-8")))
    monkeypatch.setenv("DATABASE_URL", postgres_dsn)

    assert [block.needs_postgres for block in blocks].count(True) >= 1
    run_all(document, blocks, tmp_path, monkeypatch)


def run_all(document: Path, blocks: list[Block], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType(f"document_{document.stem.replace('-', '_')}")
    monkeypatch.setitem(sys.modules, module.__name__, module)  # its functions pickle by this name
    monkeypatch.chdir(folder)

    for block in blocks:
        run = run_python if block.language == "python" else run_pycon
        run(block, str(document), module.__dict__)


def test_a_block_that_prints_something_else_is_found(tmp_path: Path) -> None:
    (block,) = blocks_of("Text.\n\n```python\nprint(1 + 1)\n```\n\n```text\n3\n```\n")

    with pytest.raises(AssertionError, match=r"page\.md:3 prints\s+2\s+instead of\s+3"):
        run_python(block, "page.md", {})


def test_a_session_with_another_answer_is_found() -> None:
    (block,) = blocks_of("```pycon\n>>> 1 + 1\n3\n```\n")

    with pytest.raises(AssertionError, match=r"Expected:\s+3\s+Got:\s+2"):
        run_pycon(block, "page.md", {})

"""The code in README and the documentation is as typed as we say yours can be: mypy and pyright find nothing in it."""

from __future__ import annotations

import doctest
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.test_documents import DOCUMENTS, ROOT, Block, blocks_of
from tests.typing.test_messages import Error, mypy, pyright


def code_of(document: Path) -> str:
    """The code of all blocks, each on the lines that it has in the document."""
    text = document.read_text(encoding="utf-8")
    lines = [""] * (text.count("\n") + 1)
    for block in blocks_of(text):
        for number, source in sources_of(block):
            lines[number : number + source.count("\n")] = source.splitlines()
    return "\n".join(lines)


def sources_of(block: Block) -> list[tuple[int, str]]:
    if block.language == "python":
        return [(block.line, block.text)]
    return [
        (block.line + example.lineno, example.source) for example in doctest.DocTestParser().get_examples(block.text)
    ]


@pytest.mark.parametrize("checker", [mypy, pyright], ids=["mypy", "pyright"])
def test_the_code_in_documents_type_checks(checker: Callable[[Path], list[Error]], tmp_path: Path) -> None:
    names: dict[str, Path] = {}
    for document in DOCUMENTS:
        name = str(document.relative_to(ROOT).with_suffix(".py")).replace("/", "_").replace("-", "_")
        names[name] = document
        (tmp_path / name).write_text(code_of(document))

    found = [f"{names[error.file].relative_to(ROOT)}:{error.line}: {error}" for error in checker(tmp_path)]

    assert not found, "\n".join(found)

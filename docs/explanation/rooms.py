"""Writes the list of rooms into architecture.md: ``python docs/explanation/rooms.py``.

The order is the layers' in pyproject.toml, the words are the first lines of the modules' docstrings.
"""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = Path(__file__).with_name("architecture.md")
LIST = re.compile(r"(?<=<!-- rooms -->\n).*(?=<!-- /rooms -->)", re.DOTALL)


def page() -> str:
    """The page as it should be."""
    return LIST.sub(lambda _: f"\n```text\n{rooms()}```\n\n", PAGE.read_text(encoding="utf-8"))


def rooms() -> str:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    text = ""
    for contract in contracts:
        for package in contract.get("containers", ()):
            text += f"{package}/\n"
            for name in re.findall(r"\w+", " ".join(contract["layers"])):
                text += "".join(f"  {room:<18}{first_line(file)}\n" for room, file in places(ROOT / package, name))
    return text


def places(package: Path, name: str) -> list[tuple[str, Path]]:
    """The room's name and the file that says what it is; nothing where it does not exist yet."""
    both = [(f"{name}.py", package / f"{name}.py"), (f"{name}/", package / name / "__init__.py")]
    return [(room, file) for room, file in both if file.exists()]


def first_line(file: Path) -> str:
    return (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").partition("\n")[0]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

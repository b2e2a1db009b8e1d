"""The mutation score of each module, and the mutants that no test noticed: ``python score.py mutants``.

A mutant is refused by the type checker, killed by a test, or survives. One that hangs is killed; one that no test
reaches survives. Of some survivors only a text differs, in most cases that of a message.
"""

from __future__ import annotations

import ast
import json
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from mutmut.stats import status_by_exit_code  # pyright: ignore[reportMissingImports, reportUnknownVariableType]

SURVIVED = {"survived", "no tests"}
UNTRIED = {"not checked", "check was interrupted by user", "skipped"}
TEXT = "text"


def main(folder: Path) -> None:
    total: Counter[str] = Counter()
    survivors: list[str] = []
    for meta in sorted(folder.rglob("*.meta")):
        codes: dict[str, int | None] = json.loads(meta.read_text(encoding="utf-8"))["exit_code_by_key"]
        fates = {name: status_by_exit_code[code] for name, code in codes.items()}
        survived = [name for name, fate in fates.items() if fate in SURVIVED]
        in_text = in_a_text(survived, meta.with_suffix(""))
        counted = Counter({**Counter(fates.values()), TEXT: len(in_text)})
        survivors += [f"{name}{' (a text)' if name in in_text else ''}" for name in survived]
        total += counted
        if codes:
            print(line(str(meta.relative_to(folder)).removesuffix(".meta"), counted))
    print(line("all", total))
    print(*(f"survived: mutmut show {name}" for name in survivors), sep="\n")


def line(name: str, counted: Counter[str]) -> str:
    untried = sum(counted[fate] for fate in UNTRIED)
    tried, survived = counted.total() - counted[TEXT] - untried, sum(counted[fate] for fate in SURVIVED)
    by_types = counted["caught by type check"]
    rest = f"; {untried} not tried" if untried else ""
    return (
        f"{name:<30}{tried:>5} mutants, {100 * (tried - survived) / max(1, tried):>5.1f} % noticed: "
        f"{by_types} by types, {tried - survived - by_types} by tests; "
        f"{survived} not, {counted[TEXT]} of them in a text only{rest}"
    )


def in_a_text(survived: list[str], module: Path) -> set[str]:
    """The mutants that differ from their original in the letters of a text alone."""
    nodes = ast.walk(ast.parse(module.read_text(encoding="utf-8")))
    named = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    functions = {node.name: without_letters(node) for node in named}
    return {name for name in survived if is_alike(name.rpartition(".")[2], functions)}


def is_alike(mutant: str, functions: Mapping[str, str]) -> bool:
    original = f"{mutant.rpartition('__mutmut_')[0]}__mutmut_orig"
    return functions.get(mutant, mutant) == functions.get(original, original)


def without_letters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """What a function does, its texts apart."""
    for node in ast.walk(function):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = ""
    return ast.dump(ast.Module(function.body, []))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

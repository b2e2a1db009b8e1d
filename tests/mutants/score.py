"""The mutation score of each module, and the mutants that no test noticed: ``python score.py mutants``.

A mutant is refused by the type checker, killed by a test, or survives. One that hangs is killed; one that no test
reaches survives.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

from mutmut.stats import status_by_exit_code  # pyright: ignore[reportMissingImports, reportUnknownVariableType]

SURVIVED = {"survived", "no tests"}
UNTRIED = {"not checked", "check was interrupted by user", "skipped"}


def main(folder: Path) -> None:
    total: Counter[str] = Counter()
    survivors: list[str] = []
    for meta in sorted(folder.rglob("*.meta")):
        codes: dict[str, int | None] = json.loads(meta.read_text(encoding="utf-8"))["exit_code_by_key"]
        fates = {name: status_by_exit_code[code] for name, code in codes.items()}
        counted = Counter(fates.values())
        survivors += [name for name, fate in fates.items() if fate in SURVIVED]
        total += counted
        if counted:
            print(line(str(meta.relative_to(folder)).removesuffix(".meta"), counted))
    print(line("all", total))
    print(*(f"survived: mutmut show {name}" for name in survivors), sep="\n")


def line(name: str, counted: Counter[str]) -> str:
    untried = sum(counted[fate] for fate in UNTRIED)
    tried, survived = counted.total() - untried, sum(counted[fate] for fate in SURVIVED)
    by_types = counted["caught by type check"]
    rest = f"; {untried} not tried" if untried else ""
    return (
        f"{name:<30}{tried:>5} mutants, {100 * (tried - survived) / max(1, tried):>5.1f} % noticed: "
        f"{by_types} by types, {tried - survived - by_types} by tests{rest}"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))

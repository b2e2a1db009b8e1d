"""Holds the public types of installed packages at 100 %: ``python verify_types.py ENVIRONMENT PACKAGE...``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


def main(environment: Path, packages: list[str]) -> int:
    failed = 0
    for package in packages:
        report = verify(environment, package)
        symbols = [s for s in report["symbols"] if s["isExported"] and s["name"].partition(".")[0] == package]
        unknown = [s for s in symbols if not s["isTypeKnown"] or s["isTypeAmbiguous"]]
        for symbol in unknown:
            print(symbol["name"], *(d["message"] for d in symbol["diagnostics"]), sep="\n    ")
        print(f"{package}: {len(symbols) - len(unknown)} of {len(symbols)} public symbols have a known type")
        failed += bool(unknown) or not symbols
    return failed


def verify(environment: Path, package: str) -> dict[str, Any]:
    """Pyright's own report, from inside the environment: from outside it, the bases of dependencies are unknown."""
    active = {"VIRTUAL_ENV": str(environment.absolute()), "PATH": f"{environment.absolute()}/bin:{os.environ['PATH']}"}
    command = [sys.executable, "-m", "pyright", "--outputjson", "--ignoreexternal", "--verifytypes", package]
    result = subprocess.run(command, cwd=environment, env=os.environ | active, capture_output=True, text=True)
    report: dict[str, Any] = json.loads(result.stdout)
    return report["typeCompleteness"]  # type: ignore[no-any-return]


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))

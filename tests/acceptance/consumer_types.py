"""Checks code that uses the installed wheel as its user would: ``python consumer_types.py ENVIRONMENT FOLDER FILE...``.

The files come to lie in the folder, where nothing of this project's own settings and stubs is seen.
mypy with and without the plugin of ``returns``, pyright and basedpyright must find what the files expect and no more.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

VERSIONS = ("3.11", "3.12", "3.13", "3.14")
PLUGIN = "[mypy]\nplugins = returns.contrib.mypy.returns_plugin\n"


class Check(NamedTuple):
    """One run of one checker."""

    name: str
    command: list[str]
    folder: Path

    def run(self) -> str:
        """What the checker has to object to; nothing when it found what was expected."""
        done = subprocess.run([sys.executable, "-m", *self.command], cwd=self.folder, capture_output=True, text=True)
        return f"{self.name}:\n{done.stdout}{done.stderr}" if done.returncode else ""


def checks(environment: Path, folder: Path, files: list[str]) -> Iterator[Check]:
    """The slow ones first, so that two cores end at about the same time."""
    for version in VERSIONS:
        settings = {
            "include": files,
            "pythonVersion": version,
            "typeCheckingMode": "strict",
            "enableTypeIgnoreComments": False,
            "venvPath": str(environment.parent),
            "venv": environment.name,
        }
        project = folder / f"pyright-{version}.json"
        project.write_text(json.dumps(settings))
        for checker in ("pyright", "basedpyright"):
            yield Check(f"{checker} {version}", [checker, "--project", str(project)], folder)
    (folder / "plugin.ini").write_text(PLUGIN)
    for version in VERSIONS:
        for settings_file, suffix in (("", ""), ("plugin.ini", " with the plugin of returns")):
            options = ["--strict", f"--config-file={settings_file}", f"--python-version={version}"]
            place = ["--python-executable", str(environment / "bin/python"), f"--cache-dir=cache-{version}{suffix[:5]}"]
            yield Check(f"mypy {version}{suffix}", ["mypy", *options, *place, *files], folder)


def main(environment: Path, folder: Path, sources: list[Path]) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    files = [Path(shutil.copy(source, folder)).name for source in sources]
    planned = list(checks(environment.absolute(), folder.absolute(), files))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objections = [said for said in pool.map(Check.run, planned) if said]
    print(*objections, sep="\n", end="\n" if objections else "")
    print(
        f"{', '.join(files)}: as expected by {len(planned) - len(objections)} of {len(planned)} runs of type checkers"
    )
    return len(objections)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), [Path(source) for source in sys.argv[3:]]))

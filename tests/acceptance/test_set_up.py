"""What ``make`` says on a machine where something is missing: a sentence with the cure."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ["make", "sh", "test", "touch", "echo"]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What of a clone the set-up reads, beside a folder with the few programs that such a machine has."""
    (tmp_path / "clone" / ".ci").mkdir(parents=True)
    (tmp_path / "bin").mkdir()
    shutil.copy(ROOT / "Makefile", tmp_path / "clone")
    shutil.copy(ROOT / ".ci" / "uv.txt", tmp_path / "clone" / ".ci")
    for tool in TOOLS:
        program = shutil.which(tool)
        if program is None:
            pytest.skip(f"{tool} is not installed")
        (tmp_path / "bin" / tool).symlink_to(program)
    return tmp_path / "clone"


def made(clone: Path, *arguments: str, **environment: str) -> str:
    """What ``make`` writes to stderr, where it fails."""
    variables = {"PATH": str(clone.parent / "bin"), "HOME": str(clone.parent), **environment}
    done = subprocess.run(
        ["make", *arguments, ".tools/bin/uv"],
        cwd=clone,
        env=variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0, done.stdout
    return done.stderr


def test_without_a_python_it_says_which_one_to_install(clone: Path) -> None:
    assert "Python 3.11 or newer is missing: install it (Debian: apt-get install python3" in made(clone)


@pytest.mark.parametrize("name", ["nowhere/python", "old/python3"])
def test_a_python_that_is_named_has_to_be_recent_enough(clone: Path, name: str) -> None:
    old = clone.parent / "old" / "python3"
    old.parent.mkdir()
    old.write_text("#!/bin/sh\nexit 1\n")  # as any Python before 3.11 answers the question that is asked
    old.chmod(0o755)

    told = made(clone, f"PYTHON={clone.parent / name}")

    assert f"{name} is not Python 3.11 or newer: name one that is: make PYTHON=/path/to/python" in told


def test_without_pip_it_says_how_to_get_it(clone: Path) -> None:
    venv.create(clone.parent / "bare", with_pip=False)

    assert 'bare/bin/python -m ensurepip" (Debian: apt-get install python3-pip)' in made(
        clone, f"PYTHON={clone.parent / 'bare' / 'bin' / 'python'}"
    )


def test_without_a_package_index_it_says_what_pip_is_to_be_told(clone: Path) -> None:
    has_pip = subprocess.run([sys._base_executable, "-m", "pip", "--version"], capture_output=True, check=False)  # type: ignore[attr-defined]
    if has_pip.returncode:
        pytest.skip("the Python of this environment has no pip")

    told = made(
        clone,
        f"PYTHON={sys._base_executable}",  # type: ignore[attr-defined]
        PIP_INDEX_URL="http://127.0.0.1:9/simple",
        PIP_RETRIES="0",
        PIP_TIMEOUT="1",
    )

    assert "pip could not install uv: it has to reach a package index, with PIP_INDEX_URL for a mirror" in told

"""The house rules that no linter knows: what may lie where, and what must agree with what."""

from __future__ import annotations

import ast
import os
import re
import runpy
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())

ROOMS = {"pyproject.toml", "README.md", "pipeline", "runners", "tests", "typings", "docs"}
CONVENTIONAL = {"LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "Makefile", "mkdocs.yml"}
BUILT = {"__pycache__", "build", "dist", "mutants", "site"}

LOCKS = {  # the requirement file, and what it pins
    "tests/requirements.txt": ("dependencies", "all", "build", "test", "types", "examples"),
    "tests/benchmarks/requirements.txt": ("bench",),
    "docs/examples/requirements.txt": ("dependencies", "build", "examples"),
    "docs/requirements.txt": ("docs",),
}
OPTIONAL = {  # an optional package, and where alone it is imported
    "cloudpickle": "runners/supply",
    "dask": "runners/dask/",
    "distributed": "runners/dask/",
    "hypothesis": "pipeline/testing/",
    "psycopg": "pipeline/journal/postgres",
    "pytest": "pipeline/testing/stepslice_pytest",
    "ray": "runners/ray.py",
}
DEFINITIONS = (ast.FunctionDef, ast.ClassDef)
PIN = re.compile(r"^([\w.-]+)==([^\s;]+)[^\n]*((?:\n {4}--hash=sha256:[0-9a-f]{64}(?: \\)?)+)$", re.MULTILINE)
OWN_HOSTS = re.compile(r"localhost|127\.0\.0\.1|\[::1\]|[\w.-]*example\.(?:com|org)|www\.w3\.org|[{<$]")


def files() -> Iterator[Path]:
    """Every file of the project that a person wrote."""
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in BUILT and (name == ".ci" or not name.startswith("."))]
        yield from (Path(folder, name) for name in names if name != ".git")  # a file where git has another work tree


def modules() -> list[Path]:
    return [
        file for file in files() if file.suffix == ".py" and file.relative_to(ROOT).parts[0] in {"pipeline", "runners"}
    ]


def pins(lock: str) -> dict[str, str]:
    """Name and version of every line of a requirement file that carries hashes."""
    return {canonicalize_name(pin[1]): pin[2] for pin in PIN.finditer((ROOT / lock).read_text())}


def asked_for(parts: tuple[str, ...]) -> Iterator[Requirement]:
    """The requirements in pyproject.toml of the package itself, of all its extras, or of a dependency group."""
    own = PROJECT["project"]
    extras = [line for extra in own["optional-dependencies"].values() for line in extra]
    sources = PROJECT["dependency-groups"] | {"dependencies": own["dependencies"], "all": extras}
    requirements = (Requirement(line) for part in parts for line in sources[part])
    return (requirement for requirement in requirements if requirement.name != own["name"])


def imports_of(file: Path) -> Iterator[tuple[int, str, set[str]]]:
    """Line, module and imported names of every absolute import."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.lineno, node.module, {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name, set()) for alias in node.names)


def test_the_top_level_holds_the_rooms_and_conventional_files_only() -> None:
    entries = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")} - BUILT

    assert entries - CONVENTIONAL == ROOMS


def test_no_file_names_a_machine_or_a_network_host() -> None:
    found = []
    for file in files():
        for number, line in enumerate(file.read_text(encoding="utf-8", errors="ignore").splitlines(), 1):
            hosts = re.findall(r"https?://([^/\s\"'`)>]*)", line)
            paths = re.findall(r"(?<![\w.])/(?:home|root|work|Users)/\w+", line)
            options = re.findall(r"^--(?:extra-)?index-url|^--find-links|^-[if] ", line)
            if paths or options or any(not OWN_HOSTS.match(host) for host in hosts):
                found.append(f"{file.relative_to(ROOT)}:{number}: {line.strip()[:100]}")

    assert not found, "\n".join(found)


@pytest.mark.parametrize("lock", LOCKS)
def test_a_requirement_file_pins_what_pyproject_asks_for(lock: str) -> None:
    pinned = pins(lock)

    for requirement in asked_for(LOCKS[lock]):
        version = pinned.get(canonicalize_name(requirement.name))
        assert version, f"{lock} lacks {requirement}: run `make lock`"
        assert requirement.specifier.contains(version, prereleases=True), f"{lock} has {version}, not {requirement}"


@pytest.mark.parametrize("lock", [*LOCKS, ".ci/uv.txt"])
def test_every_line_of_a_requirement_file_is_pinned_with_hashes(lock: str) -> None:
    text = (ROOT / lock).read_text()

    assert not PIN.sub("", text).strip(), f"{lock}: run `make lock`"


def test_requirement_files_agree_on_every_version() -> None:
    chosen: dict[str, set[str]] = {}
    for lock in LOCKS:
        for name, version in pins(lock).items():
            chosen.setdefault(name, set()).add(version)

    assert not {name: versions for name, versions in chosen.items() if len(versions) > 1}


def test_the_architecture_page_lists_every_room() -> None:
    page = ROOT / "docs/explanation/architecture.md"
    as_it_should_be = runpy.run_path(str(page.with_name("rooms.py")))["page"]()

    assert page.read_text(encoding="utf-8") == as_it_should_be, "run `make format`"


def test_an_optional_package_is_imported_in_its_own_file_only() -> None:
    found = []
    for file in modules():
        place = file.relative_to(ROOT).as_posix()
        for line, module, _ in imports_of(file):
            if not place.startswith(OPTIONAL.get(module.partition(".")[0], "")):
                found.append(f"{place}:{line}: {module}")

    assert not found, "\n".join(found)


def test_a_module_has_at_most_300_lines() -> None:
    long = {str(file.relative_to(ROOT)): lines for file in modules() if (lines := file.read_text().count("\n")) > 300}

    assert not long


def test_the_stubs_describe_what_is_used_and_no_more() -> None:
    stubs = {file.parent.name: ast.parse(file.read_text()).body for file in (ROOT / "typings").rglob("__init__.pyi")}
    described = {
        f"{name}.{node.name}" for name, body in stubs.items() for node in body if isinstance(node, DEFINITIONS)
    }
    imports = [found for file in modules() for found in imports_of(file)]
    used = {f"{module}.{name}" for _, module, names in imports if module in stubs for name in names}

    assert described == used

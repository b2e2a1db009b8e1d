"""Uses the built wheel where only its own dependencies are installed: ``python -I installed_wheel.py WHEEL``."""

from __future__ import annotations

import sys
from pathlib import Path
from zipfile import ZipFile

import pipeline
import runners
from pipeline import Failure, Processor, ProcessorInput, Result, Success, step

OPTIONAL = {"dask", "distributed", "hypothesis", "psycopg", "pytest", "ray"}
repaired = False
read: list[str] = []


@step("reading")
def reading(text: str) -> int:
    read.append(text)
    return int(text)


@step("doubling")
def doubling(number: int) -> Result[int, str]:
    return Failure("cannot double 2 yet") if number == 2 and not repaired else Success(2 * number)


def the_wheel_holds_both_packages_and_the_pytest_plugin(wheel: Path) -> None:
    names = ZipFile(wheel).namelist()
    rooms = {name.partition("/")[0] for name in names if ".dist-info/" not in name}

    expected = {"pipeline", "runners", "stepslice_pytest.py"}
    assert rooms == expected, f"{wheel} holds {sorted(rooms)}; see [tool.hatch] in pyproject.toml"
    assert {"pipeline/py.typed", "runners/py.typed"} <= set(names), f"py.typed is missing in {wheel}"
    assert any(name.endswith("licenses/LICENSE") for name in names), f"the licence is missing in {wheel}"


def the_installed_packages_are_used() -> None:
    for package in (pipeline, runners):
        assert Path(str(package.__file__)).is_relative_to(sys.prefix), f"{package.__file__} is not in {sys.prefix}"


def importing_needs_no_optional_package() -> None:
    loaded = OPTIONAL & sys.modules.keys()

    assert not loaded, f"import pipeline loaded {sorted(loaded)}"


def a_failed_input_goes_on_from_its_failed_step() -> None:
    global repaired
    numbers = Processor(name="numbers", pipeline=reading >> doubling)
    first = numbers.execute([ProcessorInput(input_id=text, data=text) for text in ("1", "2", "3")])
    repaired = True
    again = numbers.retry(first)

    assert [outcome.input_id for outcome in first.failed] == ["2"], first
    assert again.success, again
    assert read == ["1", "2", "3"], f"a finished step ran again: {read}"


if __name__ == "__main__":
    the_wheel_holds_both_packages_and_the_pytest_plugin(Path(sys.argv[1]))
    the_installed_packages_are_used()
    importing_needs_no_optional_package()
    a_failed_input_goes_on_from_its_failed_step()
    print(f"{Path(sys.argv[1]).name}: installs, imports and resumes")

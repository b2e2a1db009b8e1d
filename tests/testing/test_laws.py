"""The kit is tested by mutants: it catches every planted defect and its step, and blames no correct pipeline."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st

from pipeline import InvalidSetting, Pipeline, Processor, ProcessorInput, UnknownStep, step, to_inputs
from pipeline.testing import LAWS, Law, LawBroken, check_resume, laws
from runners import AsyncRunner, ProcessRunner, Runner, SequentialRunner, ThreadRunner
from tests.testing import defective
from tests.testing.defective import CORRECT, DEFECTS, ELSEWHERE, Planted


@pytest.mark.parametrize("planted", DEFECTS, ids=lambda planted: planted.name)
def test_a_planted_defect_is_caught_and_its_step_is_blamed(planted: Planted) -> None:
    with pytest.raises(LawBroken) as caught:
        check_resume(planted.pipeline, st.integers(0, 100), idempotent=planted.idempotent)

    broken = caught.value
    assert broken.law.name == planted.law.name, broken
    assert broken.step in ((planted.step, "") if planted.race else (planted.step,)), broken


@pytest.mark.parametrize("name", CORRECT)
def test_a_correct_pipeline_is_not_blamed(name: str) -> None:
    check_resume(CORRECT[name])


@pytest.mark.parametrize("runner", [SequentialRunner(), AsyncRunner(), ProcessRunner(max_workers=2)], ids=repr)
def test_a_correct_pipeline_is_not_blamed_on_any_runner(runner: Runner) -> None:
    check_resume(CORRECT["rich types"], ["a word,is", "x", "long words"], runners=[runner], examples=10)


def test_every_law_has_a_defect_or_an_engine_mutant_that_it_alone_is_tested_with() -> None:
    from tests.testing.test_engine_mutants import KILLERS

    tested = {planted.law.name for planted in DEFECTS} | {law.name for law, _ in KILLERS}

    assert tested == {law.name for law in LAWS}


@pytest.mark.parametrize("law", LAWS, ids=str)
def test_a_law_can_be_checked_alone(law: Law) -> None:
    check_resume(CORRECT["dictionaries"], [1, 2], laws=[law], examples=3)


def broken_by(pipeline: Any, inputs: Any = None, **options: Any) -> LawBroken:
    with pytest.raises(LawBroken) as caught:
        check_resume(pipeline, inputs, **{"runners": [ThreadRunner(max_workers=2)], **options})
    return caught.value


@step("average")
def impure_from_ten(n: int) -> float:
    return n / 2 if n < 10 else float(next(defective.counted))


def test_the_breach_is_shrunk_to_the_smallest_input() -> None:
    broken = broken_by(impure_from_ten, st.integers(0, 10_000))

    assert (broken.value, broken.input_id) == (10, "input-1")


def test_the_message_says_what_was_seen_on_what_and_how_to_mend_it() -> None:
    message = str(broken_by(defective.load >> defective.consuming >> defective.pick, [7]))

    assert message == (
        "(load >> total >> pick) breaks the law 'the payload holds what entered the step'\n"
        "  step      'total'\n"
        "  input     input-1: 7\n"
        "  observed  {'net': 7.0, 'tax': 1.0} entered it, and it left that value as {'net': 7.0}\n"
        "  mend      return a changed copy instead: {**value, ...}, [*value, ...], copy.replace or deepcopy"
    )


@step("merge")
def merging_with_what_another_step_left(row: dict[str, float]) -> dict[str, float]:
    return {**row, "total": defective.current.get("net", 0.0)}


def test_the_message_names_runner_and_faults_where_a_run_showed_it() -> None:
    left_behind = defective.keeping_in_a_global >> merging_with_what_another_step_left >> defective.pick
    one = [ThreadRunner(max_workers=1)]  # two would share the global by chance, with no fault at all
    message = str(broken_by(left_behind, [7, 8], laws=[laws.resuming_equals_running_through], runners=one))

    assert re.search(r"runner +ThreadRunner\(max_workers=1\)\n", message)
    assert re.search(r"faults +(fail|raise_|mutate_then_raise) in '(merge|pick)' on input-[12]", message)
    assert "resumed from 'merge', its output was" in message


def test_the_law_and_what_it_saw_are_attributes_of_the_error() -> None:
    broken = broken_by(defective.load >> defective.counting >> defective.pick, [1])

    assert isinstance(broken, AssertionError)
    assert str(broken.law) == "same input gives same output"
    assert broken.step == "total"
    assert "called twice with" in broken.observed
    assert "as part of the input" in broken.mend


def test_inputs_keep_their_ids_and_lose_their_payloads() -> None:
    inputs = [ProcessorInput(input_id="doc_7", data=7, payload={"step": "total", "data": "no row"})]

    assert broken_by(defective.load >> defective.consuming >> defective.pick, inputs).input_id == "doc_7"


def test_values_of_the_first_steps_type_are_made_where_none_are_given() -> None:
    assert broken_by(defective.load >> defective.consuming >> defective.pick).value == 0


def test_settings_are_hypothesis_own() -> None:
    seen: list[int] = []

    def count(n: int) -> int:
        seen.append(n)
        return n

    check_resume(
        step("count")(count),
        st.integers(),
        laws=[laws.same_input_gives_same_output],
        settings=settings(max_examples=3, database=None),
        runners=[ThreadRunner()],
    )

    assert 3 <= len(seen) <= 2 * 4 * 3


def test_policies_are_left_out_so_that_no_check_waits_for_them() -> None:
    check_resume(CORRECT["a timeout"], [2, 4], runners=[SequentialRunner()], examples=3)


@pytest.mark.parametrize("name", ELSEWHERE)
def test_what_memory_hides_is_found_where_nothing_has_run(name: str) -> None:
    pipeline, step = ELSEWHERE[name]
    law = laws.resuming_equals_running_through

    broken = broken_by(pipeline, [7, 8], laws=[law], fresh=True)

    assert broken.step == step
    assert broken.observed.startswith("resumed in a process that has run nothing yet, it gave ")
    assert broken.mend.startswith(f"{step!r} may use only the value that enters it: no global or cache")


def test_what_an_earlier_step_left_in_memory_is_found_nowhere_else() -> None:
    needs, _ = ELSEWHERE["what a step loaded"]

    check_resume(needs, [7], runners=[SequentialRunner()], laws=[laws.resuming_equals_running_through], examples=5)
    broken = broken_by(needs, [7], laws=[laws.resuming_equals_running_through], fresh=True)

    assert broken.observed == (
        "resumed in a process that has run nothing yet, it gave KeyError: 'tax', and by hand {'net': 7.0, 'total': 8.0}"
    )


def test_a_date_is_told_as_what_it_is() -> None:
    broken = broken_by(defective.load >> defective.reading_a_date, [7])

    assert ", and then, as if it were another day, {" in broken.observed


@pytest.mark.parametrize("name", CORRECT)
def test_a_correct_pipeline_is_resumed_where_nothing_has_run(name: str) -> None:
    law = laws.resuming_equals_running_through
    check_resume(CORRECT[name], runners=[SequentialRunner()], laws=[law], examples=5, fresh=True)


def test_steps_that_a_new_process_cannot_import_are_refused_with_the_cure() -> None:
    with pytest.raises(InvalidSetting, match="cannot import the steps; define them at the top of a module"):
        check_resume(defective.load >> defective.unpicklable, [1], fresh=True)


def test_a_script_whose_workers_would_start_the_check_again_is_told_so_and_no_law_is_blamed(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from pipeline import step\n"
        "from pipeline.testing import check_resume\n"
        "from runners import ProcessRunner, ThreadRunner\n"
        "@step('double')\n"
        "def double(n: int) -> int:\n"
        "    return 2 * n\n"
        "check_resume(double, [1], runners=[ThreadRunner(2), ProcessRunner(1, start_method='spawn')])\n"
    )

    ended = subprocess.run([sys.executable, script], capture_output=True, text=True)

    told = ended.stderr.splitlines()
    assert told[-1].startswith("runners.errors.RunnerError: check_resume: a worker process imports the main script")
    assert told[-1].endswith("put what starts it under `if __name__ == '__main__':`")
    assert sum(line.startswith("Traceback") for line in told) == 1


@pytest.mark.parametrize(
    ("planted", "cure"),
    [
        ("an iterator", "pass a list or a tuple"),
        ("no number", "give None where there is no number"),
        ("a lost type", "declare the type it takes"),
        ("a lookalike", "give what is declared and nothing like it, as with dict(...)"),
        ("a field set later", "change no field that it sets"),
        ("a plain class", "a dataclass, a Struct or plain data"),
    ],
)
def test_the_cure_is_that_of_the_case(planted: str, cure: str) -> None:
    cases: dict[str, Any] = {case.name: case.pipeline for case in DEFECTS}
    cases["a plain class"] = step("price")(defective.Price)

    assert cure in broken_by(cases[planted], [1]).mend


@step("idle")
def undeclared(value):  # type: ignore[no-untyped-def]
    return value


class Unknowable:
    """Nobody can tell what it is made of."""

    def __init__(self, amount):  # type: ignore[no-untyped-def]
        self.amount = amount


@step("price")
def priced(given: Unknowable) -> int:
    return 1


@pytest.mark.parametrize(
    ("arguments", "options", "error", "problem"),
    [
        ((Pipeline(), [1]), {}, InvalidSetting, "the pipeline has no steps"),
        ((Processor(pipeline=undeclared), [1]), {}, InvalidSetting, "Processor is a processor; give its .pipeline"),
        ((undeclared, []), {}, InvalidSetting, "there are no inputs"),
        ((undeclared, "one text"), {}, InvalidSetting, "the inputs are 'one text'; give a list"),
        ((undeclared, 3), {}, InvalidSetting, "the inputs are 3; give a list"),
        ((undeclared, list(to_inputs([1])) * 2), {}, InvalidSetting, "'input-1' is used twice"),
        ((undeclared,), {}, InvalidSetting, "'idle' declares no input type"),
        ((priced,), {}, InvalidSetting, "step 'price' takes Unknowable, of which no values can be made"),
        ((defective.load, [1]), {"examples": 0}, InvalidSetting, "examples=0; give how many batches to draw, from 1"),
        ((undeclared, [1]), {"idempotent": {"idel": list}}, UnknownStep, "did you mean 'idle'"),
        ((undeclared, [1]), {"idempotent": ["idle"]}, InvalidSetting, "a function that reads the state"),
        ((undeclared, [1]), {"idempotent": {"idle": 3}}, InvalidSetting, "a function that reads the state"),
        ((undeclared, [1]), {"runners": []}, InvalidSetting, "there are no runners"),
        ((undeclared, [1]), {"runners": [ThreadRunner]}, InvalidSetting, r"make one: ThreadRunner\(\)"),
        ((undeclared, [1]), {"laws": []}, InvalidSetting, "there are no laws"),
        ((undeclared, [1]), {"laws": ["every_runner_agrees"]}, InvalidSetting, "they are in pipeline.testing.laws"),
    ],
)
def test_a_mistake_in_the_call_is_told_with_its_cure(
    arguments: tuple[Any, ...], options: dict[str, Any], error: type[Exception], problem: str
) -> None:
    with pytest.raises(error, match=problem):
        check_resume(*arguments, **options)


def test_without_hypothesis_the_error_names_the_extra_and_the_rest_of_the_kit_works() -> None:
    program = """
import sys
sys.modules["hypothesis"] = None
from pipeline import step
from pipeline.testing import FakeClock, RecordingRunner, check_resume, faults
try:
    check_resume(step("parse")(int), ["1"])
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)

    assert done.stdout == "check_resume needs hypothesis: pip install 'stepslice[testing]'\n", done.stderr

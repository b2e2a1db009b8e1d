"""The underwriting example: real PDF files fail, are repaired, and go on from the step that failed."""

from __future__ import annotations

from contextlib import redirect_stdout
from decimal import Decimal
from io import StringIO

import pytest
from msgspec import Struct

import story
import summary
from desk import Batch
from model import (
    ApplicationFactors,
)
from pipeline import Failed, NotRun, Skipped, Succeeded


class Told(Struct, frozen=True):
    """The same story on two runners, and what the demonstration printed of it."""

    threads: story.Story
    processes: story.Story
    printed: str


@pytest.fixture(scope="module")
def told() -> Told:
    """The demonstration, run once for all tests."""
    with redirect_stdout(StringIO()) as printed:
        threads, processes = story.main()
    return Told(threads, processes, printed.getvalue())


def failed(batches: list[Batch]) -> dict[str, tuple[str, str]]:
    """Step and exception of every failed input."""
    return {
        outcome.input_id: (outcome.step, outcome.exception)
        for batch in batches
        for outcome in batch.result.outcomes
        if isinstance(outcome, Failed)
    }


FAILS_AT_FIRST = {
    "acc_102/application_1": ("processing", "Inconsistent"),
    "acc_102/licence_1": ("processing", "RegistryDown"),
    "acc_102/statement_2026-07": ("validation", "TruncatedPdf"),
    "acc_103/licence_1": ("processing", "RegistryDown"),
    "acc_103/licence_2": ("processing", "RegistryDown"),
    "acc_103/statement_2026-06": ("validation", "LockedPdf"),
    "acc_103/statement_2026-09": ("validation", "LockedPdf"),
    "acc_104/licence_1": ("validation", "NotPdf"),
    "acc_104/statement_2026-08": ("validation", "EmptyFile"),
    "acc_105/licence_1": ("processing", "RegistryDown"),
    "acc_105/statement_2026-10": ("processing", "Inconsistent"),
    "acc_106/application_1": ("extraction", "UnknownIndustry"),
    "acc_106/statement_2026-05": ("validation", "ImageOnly"),
    "acc_107/statement_2026-09": ("validation", "WrongBusiness"),
    **{f"acc_108/statement_2026-{month:02}": ("extraction", "NoRate") for month in range(5, 11)},
}
FAILS_IN_THE_END = {
    "acc_106/statement_2026-05": ("validation", "ImageOnly"),
    "acc_107/statement_2026-09": ("validation", "WrongBusiness"),
}


@pytest.mark.parametrize("runner", ["threads", "processes"])
def test_each_broken_file_fails_at_its_own_step(told: Told, runner: str) -> None:
    first = failed(getattr(told, runner).first)

    stray = first.pop("acc_105/application_2")
    assert stray[0] == "prevalidation"
    assert first == FAILS_AT_FIRST


def test_a_stray_file_keeps_its_batch_from_running(told: Told) -> None:
    (batch,) = [b for b in told.threads.first if b.business.account_id == "acc_105" and b.kind == "application"]

    own, stray = batch.result.outcomes
    assert isinstance(own, NotRun)
    assert isinstance(stray, Failed)
    assert "acc_104" in stray.message


@pytest.mark.parametrize("runner", ["threads", "processes"])
def test_the_retry_leaves_only_what_nobody_repaired(told: Told, runner: str) -> None:
    assert failed(getattr(told, runner).again) == FAILS_IN_THE_END


@pytest.mark.parametrize("runner", ["threads", "processes"])
def test_finished_steps_do_not_run_again(told: Told, runner: str) -> None:
    lived: story.Story = getattr(told, runner)
    first = summary.steps_run(lived.first)
    again = summary.steps_run(story.retried(lived))

    # Of 68 files the stray and its batch's other one do not start; 7 stop at validation, 6 and 7 at the others.
    assert first == {"validation": 66, "processing": 59, "extraction": 53}
    # Validation: the 7 that failed there, 2 corrected files, the plumber's application that had not run.
    # Processing: those without the 2 that fail again, and 4 licences. Extraction: those, and the 7 that failed there.
    assert again == {"validation": 10, "processing": 12, "extraction": 19}


def test_the_plan_says_what_the_retry_then_does(told: Told) -> None:
    planned = {item.input_id: item.steps for _, plan in told.threads.plans for item in plan}
    did = {
        outcome.input_id: outcome.steps if isinstance(outcome, Succeeded | Failed) else ()
        for batch in story.retried(told.threads)
        for outcome in batch.result.outcomes
    }

    assert planned["acc_108/statement_2026-05"] == ("extraction",)
    assert planned["acc_102/licence_1"] == ("processing", "extraction")
    assert planned["acc_105/statement_2026-10"] == ("validation", "processing", "extraction")
    assert {input_id: steps[: len(did[input_id])] for input_id, steps in planned.items()} == did


@pytest.mark.parametrize("runner", ["threads", "processes"])
def test_a_licence_is_asked_for_once_more_only_where_the_registry_gave_no_answer(told: Told, runner: str) -> None:
    assert sorted(getattr(told, runner).calls.items()) == [
        ("CA-BT-90417", 1),
        ("FL-CF-51930", 2),
        ("FL-GC-51931", 1),
        ("MA-FE-20881", 1),
        ("ME-CB-12290", 1),
        ("ME-WH-12277", 1),
        ("OH-VL-30264", 1),
        ("TX-DN-10593", 2),
        ("TX-MV-44107", 2),
        ("TX-XR-77120", 2),
        ("WA-LC-66012", 1),
    ]


def test_every_runner_comes_to_the_same_outcomes(told: Told) -> None:
    assert story.all_of(told.threads.first) == story.all_of(told.processes.first)
    assert story.all_of(told.threads.again) == story.all_of(told.processes.again)


def test_six_of_eight_accounts_have_every_factor_in_the_end(told: Told) -> None:
    incomplete = {batch.business.account_id for batch in told.threads.again if not batch.result.success}

    assert incomplete == {"acc_106", "acc_107"}
    assert all(isinstance(o, Skipped | Succeeded | Failed) for b in told.threads.again for o in b.result.outcomes)


def test_an_expired_licence_is_a_finding_and_no_failure(told: Told) -> None:
    (batch,) = [b for b in told.threads.first if b.business.account_id == "acc_107" and b.kind == "licence"]

    assert batch.result.output is not None
    assert batch.result.output["WA-LC-66012"].state == "expired"
    assert batch.result.output["WA-LC-66012"].days_to_expiry == -17


def test_the_demonstration_prints_lines_of_at_most_a_hundred_columns(told: Told) -> None:
    assert max(map(len, told.printed.splitlines())) <= 100
    assert "equal on both runners" in told.printed
    assert "acc_107/statement_2026-09" in told.printed


def test_the_factors_of_an_application_are_those_worked_out_by_hand(told: Told) -> None:
    (batch,) = [b for b in told.threads.first if b.business.account_id == "acc_101" and b.kind == "application"]

    # 60,000 wanted and 18,500 owed on a revenue of 492,000, twelve times 41,000; 9 years 8 months since March 2017.
    assert batch.result.output == {
        "application": ApplicationFactors(
            requested_amount_usd=Decimal(60_000),
            annual_revenue_usd=Decimal(492_000),
            time_in_business_months=116,
            largest_ownership_share=Decimal("0.6"),
            owners=2,
            debt_to_revenue=Decimal("0.0376"),
            request_to_revenue=Decimal("0.1220"),
            industry="311811",
            industry_risk="moderate",
        )
    }

"""The underwriting desk: for each business three processors, run over its folder and run again after repairs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any, TypeAlias

from msgspec import Struct

import application
import licence
import statement
from businesses import BUSINESSES, Business
from inbox import KINDS, STRAY, Inbox
from model import ApplicationFactors, Document, Kind, LicenceFactors, MonthFactors
from pipeline import Pipeline, Plan, ProcessingResult, Processor, ProcessorInput, merge_factors
from problems import Problem
from runners import Runner

Inputs: TypeAlias = list[ProcessorInput[Document]]
Factors: TypeAlias = dict[str, ApplicationFactors] | dict[str, MonthFactors] | dict[str, LicenceFactors]
"""What one document gives; the documents of a batch give one dictionary together."""


class Desk(Struct, frozen=True):
    """What the steps are configured with; none of it is a secret, so it may stand in a log."""

    keyring: str
    registry: str
    as_of: date
    rates: Mapping[str, Decimal]
    risks: Mapping[str, str]


class Batch(Struct, frozen=True):
    """One run of one processor: a business's documents of one kind."""

    business: Business
    kind: Kind
    result: ProcessingResult[Factors, dict[str, Any]]


def processor(
    business: Business, kind: Kind, desk: Desk, runner: Runner
) -> Processor[Document, Factors, dict[str, Any]]:
    """The processor of a business's documents of one kind, with the document's three steps."""
    pipelines: dict[Kind, Pipeline[Document, Factors, Problem]] = {
        "application": application.pipeline(desk.keyring, desk.risks),
        "statement": statement.pipeline(desk.keyring, desk.rates),
        "licence": licence.pipeline(desk.keyring, desk.registry, desk.as_of),
    }
    return Processor(
        name=kind,
        account_id=business.account_id,
        underwriting_id=business.underwriting_id,
        pipeline=pipelines[kind],
        runner=runner,
        aggregate=merge_factors,
    )


def first_run(inbox: Inbox, desk: Desk, runner: Runner) -> list[Batch]:
    """Every folder as it came in."""
    return [
        run(business, kind, inbox.inputs(business, kind), desk, runner) for business in BUSINESSES for kind in KINDS
    ]


def run(business: Business, kind: Kind, inputs: Inputs, desk: Desk, runner: Runner) -> Batch:
    """One processor over its inputs."""
    return Batch(business, kind, processor(business, kind, desk, runner).execute(inputs))


def to_retry(batch: Batch) -> Inputs:
    """What goes into the retry: everything but the stray file, each with a reference to its file of today."""
    return Inbox.refer_again(item for item in batch.result.retry_inputs() if item.input_id != STRAY)


def plans(batches: Iterable[Batch], desk: Desk, runner: Runner) -> list[tuple[Batch, Plan]]:
    """What the retry is going to do; nothing runs."""
    return [
        (batch, processor(batch.business, batch.kind, desk, runner).plan(to_retry(batch)))
        for batch in batches
        if not batch.result.success
    ]


def retry(batches: Iterable[Batch], desk: Desk, runner: Runner) -> list[Batch]:
    """The batches that failed, from where each of their inputs stopped; the others as they are."""
    return [batch if batch.result.success else run_again(batch, desk, runner) for batch in batches]


def run_again(batch: Batch, desk: Desk, runner: Runner) -> Batch:
    """One batch's retry, in the lineage of its first run."""
    inputs = to_retry(batch)
    again = processor(batch.business, batch.kind, desk, runner)
    return Batch(batch.business, batch.kind, again.execute(inputs, context=batch.result.retry_context()))

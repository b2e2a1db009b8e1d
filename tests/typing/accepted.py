"""What must type-check in code that uses the packages, with the types that a checker must find by itself."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Sequence, Sized
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, Literal, Never, NoReturn, TypeVar, assert_never, assert_type

from pipeline import (
    Aggregate,
    BaseProcessor,
    Cache,
    CircuitBreaker,
    Completed,
    ConcurrencyLimit,
    Conflict,
    Event,
    ExecutionContext,
    Failed,
    Failure,
    Journal,
    MemoryJournal,
    MergeConflict,
    Merged,
    Metrics,
    NotRun,
    Observer,
    Outcome,
    Payload,
    Pipeline,
    Plan,
    PlannedInput,
    PostgresJournal,
    ProcessingResult,
    Processor,
    ProcessorInput,
    Progress,
    RateLimit,
    Result,
    Retry,
    RunHandle,
    Selection,
    Skipped,
    SqliteJournal,
    Step,
    StepContext,
    StepFailure,
    StepMetrics,
    Succeeded,
    Success,
    WorkerDied,
    batch_step,
    collect,
    configurable,
    is_failure,
    is_success,
    merge_factors,
    read_failures,
    step,
    to_inputs,
)
from pipeline.codec import Registry
from pipeline.testing import FakeClock, RecordingRunner, assert_outcome, check_resume, faults, laws, strategies
from runners import (
    AsyncRunner,
    Choice,
    Crash,
    DaskRunner,
    ExecutorRunner,
    ProcessRunner,
    RayRunner,
    Runner,
    SequentialRunner,
    ThreadRunner,
    choose_runner,
)
from runners.testing import check_runner

T = TypeVar("T")
R = TypeVar("R")


class Document:
    text: str = "12"


class Ledger:
    rows: tuple[int, ...] = (1, 2)


class Balances:
    total: float = 3.0


class Rejection(Exception):
    """What validation fails with."""


class ApiError(Exception):
    """What processing fails with."""


# ---- steps of every kind --------------------------------------------------------------------------


@step("result")
def result(document: Document) -> Result[Ledger, Rejection]:
    return Success(Ledger()) if document.text else Failure(Rejection())


@step("plain")
def plain(ledger: Ledger) -> Balances:
    return Balances()


@step("raising")
def raising(balances: Balances) -> dict[str, int]:
    raise ApiError


@step("async_result")
async def async_result(ledger: Ledger) -> Result[Balances, ApiError]:
    return Success(Balances())


@step("async_plain")
async def async_plain(balances: Balances) -> str:
    return str(balances.total)


@step("with_context")
def with_context(ledger: Ledger, context: StepContext) -> Balances:
    context.logger.info("attempt %d", context.attempt)
    return Balances()


@step("result_with_context")
def result_with_context(ledger: Ledger, context: StepContext) -> Result[Balances, str]:
    return Failure(context.idempotency_key)


@step("async_with_context")
async def async_with_context(ledger: Ledger, context: StepContext) -> int:
    return context.attempt


@step("async_result_with_context")
async def async_result_with_context(ledger: Ledger, context: StepContext) -> Result[int, str]:
    return Success(context.attempt)


@step("settled", retry=Retry(on=(TimeoutError, ApiError), attempts=4, wait=0.5), timeout=30.0, version="2")
def settled(text: str) -> Result[int, str]:
    return Success(len(text))


@step
def named_by_itself(text: str) -> int:
    return len(text)


@step
async def async_named_by_itself(text: str) -> Result[int, ApiError]:
    return Success(len(text))


@step
def context_named_by_itself(text: str, context: StepContext) -> Result[int, ApiError]:
    return Success(len(text) + context.attempt)


assert_type(result, Step[Document, Ledger, Rejection])
assert_type(plain, Step[Ledger, Balances, Never])
assert_type(raising, Step[Balances, dict[str, int], Never])
assert_type(async_result, Step[Ledger, Balances, ApiError])
assert_type(async_plain, Step[Balances, str, Never])
assert_type(with_context, Step[Ledger, Balances, Never])
assert_type(result_with_context, Step[Ledger, Balances, str])
assert_type(async_with_context, Step[Ledger, int, Never])
assert_type(async_result_with_context, Step[Ledger, int, str])
assert_type(settled, Step[str, int, str])
assert_type(named_by_itself, Step[str, int, Never])
assert_type(async_named_by_itself, Step[str, int, ApiError])
assert_type(context_named_by_itself, Step[str, int, ApiError])


# ---- steps that only succeed, only fail, or never return; None that is meant -----------------------


@step("only_fails")
def only_fails(text: str) -> Failure[Rejection]:
    return Failure(Rejection(text))


@step("only_succeeds")
def only_succeeds(text: str) -> Success[int]:
    return Success(len(text))


@step("never_returns")
def never_returns(text: str) -> NoReturn:
    raise Rejection(text)


@step("gives_none")
def gives_none(text: str) -> None:
    """Look at it."""


@step("may_give_none")
def may_give_none(text: str) -> int | None:
    return len(text) or None


@step("two_errors")
def two_errors(text: str) -> Result[int, Rejection | ApiError]:
    return Failure(ApiError(text))


assert_type(only_fails, Step[str, Any, Rejection])
assert_type(only_succeeds, Step[str, int, Any])
assert_type(gives_none, Step[str, None, Never])
assert_type(may_give_none, Step[str, int | None, Never])
assert_type(two_errors, Step[str, int, Rejection | ApiError])


# ---- Any inside of a type, which must not spread to the whole step ----------------------------------


@step("loose_result")
def loose_result(document: dict[str, Any]) -> Result[dict[str, Any], Rejection]:
    return Success(document)


@step("loose_plain")
def loose_plain(document: dict[str, Any]) -> list[Any]:
    return [document]


@step("loose_error")
async def loose_error(rows: list[Any]) -> Result[int, Any]:
    return Failure(rows)


@step
def loose_named_by_itself(document: dict[str, Any]) -> Result[int, str]:
    return Success(len(document))


@step("anything")
def anything(value: Any) -> int:
    return len(str(value))


@step("later")
def later(value: int) -> Coroutine[Any, Any, Result[int, str]]:
    return answered(value)


async def answered(value: int) -> Result[int, str]:
    return Success(value)


assert_type(later, Step[int, int, str])
assert_type(loose_result, Step[dict[str, Any], dict[str, Any], Rejection])
assert_type(loose_plain, Step[dict[str, Any], list[Any], Never])
assert_type(loose_error, Step[list[Any], int, Any])
assert_type(loose_named_by_itself, Step[dict[str, Any], int, str])
assert_type(anything, Step[Any, int, Never])
assert_type(loose_result >> loose_named_by_itself, Pipeline[dict[str, Any], int, Rejection | str])
assert_type(settled >> anything, Pipeline[str, int, str])


# ---- a step under every policy ---------------------------------------------------------------------


def is_busy(error: Exception | str) -> bool:
    return "busy" in str(error)


@step(
    "guarded",
    retry=Retry(
        on=(TimeoutError, WorkerDied, is_busy, "busy"),
        attempts=4,
        wait=0.5,
        max_wait=30.0,
        jitter="none",
        budget=0.2,
    ),
    timeout=30.0,
    breaker=CircuitBreaker(failures=5, reset_s=60.0, on=ApiError, name="bank", shared=False),
    rate=RateLimit(per_second=50, burst=2),
    limit=ConcurrencyLimit(8, name="bank"),
    cache=Cache(max_age_s=86_400),
    version="2",
    aliases=("old_name", "older_name"),
    checkpoint=True,
    input_type=Ledger,
)
def guarded(ledger: Ledger) -> Result[Balances, ApiError | str]:
    return Failure("busy")


assert_type(guarded, Step[Ledger, Balances, ApiError | str])


# ---- functions that come from elsewhere ------------------------------------------------------------


class Client:
    def fetch(self, document: Document) -> Result[Ledger, ApiError]:
        return Success(Ledger())

    async def afetch(self, document: Document) -> Ledger:
        return Ledger()

    def __call__(self, document: Document) -> Balances:
        return Balances()


@dataclass(frozen=True)
class Page:
    number: int
    text: str = ""

    @staticmethod
    def of(text: str) -> Page:
        return Page(1, text)

    @classmethod
    def checked(cls, text: str) -> Result[Page, str]:
        return Success(cls(1, text)) if text else Failure("empty")


def measured(text: str, unit: str = "cm") -> float:
    return float(len(text))


def first(values: Sequence[T]) -> T:
    return values[0]


def parts_of(text: str, *rest: int, **more: object) -> list[str]:
    return text.split()


assert_type(step("fetch")(Client().fetch), Step[Document, Ledger, ApiError])
assert_type(step(Client().afetch), Step[Document, Ledger, Never])
assert_type(step("client")(Client()), Step[Document, Balances, Never])
assert_type(step("measured")(measured), Step[str, float, Never])
assert_type(step(parts_of), Step[str, list[str], Never])
assert_type(step("page")(Page), Step[int, Page, Never])
assert_type(step(Page.of), Step[str, Page, Never])
assert_type(step("checked")(Page.checked), Step[str, Page, str])
assert_type(step("upper")(str.upper), Step[str, str, Never])
assert_type(step("length")(len), Step[Sized, int, Never])
assert_type(step("upper")(str.upper) >> step("length")(len), Pipeline[str, int, Never])
assert_type(step("upper")(str.upper) >> step("number")(int), Pipeline[str, int, Never])
assert_type(step("upper")(str.upper) >> step("amount")(Decimal), Pipeline[str, Decimal, Never])
parsed: Step[str, Any, Any] = step("parsed")(json.loads)
first_word: Step[list[str], str] = step("first_word")(first)  # a generic function, for the type it is used with
assert_type(step(parts_of) >> first_word, Pipeline[str, str, Never])


# ---- configurable steps ----------------------------------------------------------------------------


@configurable
def top(rows: list[int], *, n: int) -> list[int]:
    return sorted(rows)[-n:]


@configurable("checked", version="2")
def checked(rows: list[int], limit: int, *, strict: bool = False) -> Result[int, Rejection]:
    return Success(limit) if strict else Failure(Rejection())


@configurable
async def fetched(url: str, *, pause: float = 0.0) -> Result[bytes, ApiError]:
    return Success(url.encode())


@configurable("counted")
async def counted(text: str, least: int) -> int:
    return max(len(text), least)


@configurable(
    "selected",
    retry=Retry(attempts=2),
    timeout=1.0,
    version=None,
    aliases=("chosen",),
    checkpoint=False,
    input_type=dict,
)
def selected(factors: dict[str, Any], *names: str, default: Any = None) -> Result[dict[str, Any], str]:
    return Success({name: factors.get(name, default) for name in names})


assert_type(top(n=3), Step[list[int], list[int], Never])
assert_type(checked(5, strict=True), Step[list[int], int, Rejection])
assert_type(fetched(), Step[str, bytes, ApiError])
assert_type(counted(3), Step[str, int, Never])
assert_type(selected("a", "b", default=0), Step[dict[str, Any], dict[str, Any], str])
assert_type(top(n=3) >> checked(5), Pipeline[list[int], int, Rejection])


# ---- batch steps -----------------------------------------------------------------------------------


@batch_step("embedding", max_size=32, max_wait_s=0.05)
def embed(texts: list[str]) -> list[float]:
    return [float(len(text)) for text in texts]


@batch_step("scoring", retry=Retry(attempts=2), timeout=1.0, breaker=CircuitBreaker(), cache=Cache(), version="1")
async def scored(values: list[float]) -> list[Result[int, ApiError]]:
    return [Success(int(value)) for value in values]


@batch_step("marking", max_wait_s=None)
def marked(values: Sequence[int], contexts: list[StepContext]) -> list[Result[dict[str, Any], Rejection]]:
    return [Success({context.input_id: value}) for value, context in zip(values, contexts, strict=True)]


@batch_step("waiting")
async def waited(values: list[dict[str, Any]]) -> tuple[int, ...]:
    return tuple(map(len, values))


assert_type(embed, Step[str, float, Never])
assert_type(scored, Step[float, int, ApiError])
assert_type(marked, Step[int, dict[str, Any], Rejection])
assert_type(waited, Step[dict[str, Any], int, Never])
assert_type(embed >> scored >> marked >> waited, Pipeline[str, int, ApiError | Rejection])
assert_type(embed("text"), Result[float, Exception])


# ---- composition, of two to twelve -----------------------------------------------------------------


@step("one")
def one(value: Document) -> Result[Literal[1], Rejection]:
    return Success(1)


@step("two")
def two(value: Literal[1]) -> Literal[2]:
    return 2


@step("three")
def three(value: Literal[2]) -> Result[Literal[3], ApiError]:
    return Success(3)


@step("four")
async def four(value: Literal[3]) -> Literal[4]:
    return 4


@step("five")
def five(value: Literal[4]) -> Result[Literal[5], str]:
    return Success(5)


@step("six")
def six(value: Literal[5]) -> Literal[6]:
    return 6


@step("seven")
def seven(value: Literal[6]) -> Literal[7]:
    return 7


@step("eight")
def eight(value: Literal[7]) -> Literal[8]:
    return 8


@step("nine")
def nine(value: Literal[8]) -> Literal[9]:
    return 9


@step("ten")
def ten(value: Literal[9]) -> Literal[10]:
    return 10


@step("eleven")
def eleven(value: Literal[10]) -> Result[Literal[11], bytes]:
    return Success(11)


@step("twelve")
def twelve(value: Literal[11]) -> Ledger:
    return Ledger()


assert_type(one >> two, Pipeline[Document, Literal[2], Rejection])
assert_type(two >> three, Pipeline[Literal[1], Literal[3], ApiError])
assert_type(one >> two >> three, Pipeline[Document, Literal[3], Rejection | ApiError])
assert_type(one.then(two).then(three), Pipeline[Document, Literal[3], Rejection | ApiError])
assert_type(one >> (two >> three), Pipeline[Document, Literal[3], Rejection | ApiError])
assert_type((one >> two) >> (three >> four), Pipeline[Document, Literal[4], Rejection | ApiError])
assert_type(one >> two >> three >> four, Pipeline[Document, Literal[4], Rejection | ApiError])
assert_type(one >> two >> three >> four >> five, Pipeline[Document, Literal[5], Rejection | ApiError | str])
assert_type(one >> two >> three >> four >> five >> six, Pipeline[Document, Literal[6], Rejection | ApiError | str])

to_seven = one >> two >> three >> four >> five >> six >> seven
to_eight = one >> two >> three >> four >> five >> six >> seven >> eight
to_nine = one >> two >> three >> four >> five >> six >> seven >> eight >> nine
to_ten = one >> two >> three >> four >> five >> six >> seven >> eight >> nine >> ten
to_eleven = one >> two >> three >> four >> five >> six >> seven >> eight >> nine >> ten >> eleven
to_twelve = one >> two >> three >> four >> five >> six >> seven >> eight >> nine >> ten >> eleven >> twelve

assert_type(to_seven, Pipeline[Document, Literal[7], Rejection | ApiError | str])
assert_type(to_eight, Pipeline[Document, Literal[8], Rejection | ApiError | str])
assert_type(to_nine, Pipeline[Document, Literal[9], Rejection | ApiError | str])
assert_type(to_ten, Pipeline[Document, Literal[10], Rejection | ApiError | str])
assert_type(to_eleven, Pipeline[Document, Literal[11], Rejection | ApiError | str | bytes])
assert_type(to_twelve, Pipeline[Document, Ledger, Rejection | ApiError | str | bytes])

statement = result >> async_result >> raising

assert_type(statement, Pipeline[Document, dict[str, int], Rejection | ApiError])


# A step may take more than it is given: a base class, an optional, a protocol's method.
@step("any_object")
def any_object(value: object) -> str:
    return str(value)


assert_type(plain >> any_object, Pipeline[Ledger, str, Never])
assert_type(named_by_itself >> any_object >> named_by_itself, Pipeline[str, int, Never])


assert_type(Pipeline(settled), Pipeline[str, int, str])
assert_type(Pipeline(settled, settled), Pipeline[Any, Any, Any])
assert_type(Processor(pipeline=Pipeline(settled)), Processor[str, int, list[int]])

# ---- cutting ---------------------------------------------------------------------------------------

assert_type(statement[async_result:], Pipeline[Ledger, dict[str, int], Rejection | ApiError])
assert_type(statement[:async_result], Pipeline[Document, Ledger, Rejection | ApiError])
assert_type(statement[async_result:raising], Pipeline[Ledger, Balances, Rejection | ApiError])
assert_type(statement[:], Pipeline[Document, dict[str, int], Rejection | ApiError])
assert_type(statement["raising":], Pipeline[Any, dict[str, int], Rejection | ApiError])
assert_type(statement[1:], Pipeline[Any, dict[str, int], Rejection | ApiError])
assert_type(statement[:"raising"], Pipeline[Document, Any, Rejection | ApiError])
assert_type(statement[:2], Pipeline[Document, Any, Rejection | ApiError])
assert_type(statement[1:2], Pipeline[Any, Any, Rejection | ApiError])
assert_type(statement["result":"raising"], Pipeline[Any, Any, Rejection | ApiError])
assert_type(statement["raising"], Step[Any, Any, Any])
assert_type(statement[-1], Step[Any, Any, Any])
assert_type(statement[async_result:"raising"], Pipeline[Any, Any, Rejection | ApiError])
assert_type(statement["raising":raising], Pipeline[Any, Any, Rejection | ApiError])
assert_type(
    statement[:async_result] >> statement[async_result:], Pipeline[Document, dict[str, int], Rejection | ApiError]
)
assert_type(statement.names, tuple[str, ...])
assert_type(list(statement), list[Step[Any, Any, Any]])
assert_type(Pipeline.of([result, plain]), Pipeline[Any, Any, Any])
assert_type(statement.index("raising"), int)
assert_type(statement.index(raising), int)
assert_type(statement.replace("raising", plain), Pipeline[Document, dict[str, int], Any])
assert_type(plain.replace(name="again", version="2"), Step[Ledger, Balances, Never])
assert_type(plain.replace(retry=Retry(attempts=2), timeout=None, aliases=("old",)), Step[Ledger, Balances, Never])
assert_type("raising" in statement and raising in statement and len(statement) == 3, bool)


def cut_where_it_stopped(pipeline: Pipeline[Document, int, str], at: str | None) -> Pipeline[Any, int, str]:
    return pipeline[at:] if at is not None else pipeline


def cut_somewhere(pipeline: Pipeline[Document, int, str], start: str | None, end: int | None) -> int:
    return len(pipeline[start:end])


# ---- calling a step or a pipeline, and looking at what came back ------------------------------------

assert_type(result(Document()), Result[Ledger, Rejection | Exception])
assert_type(plain(Ledger()), Result[Balances, Exception])
assert_type(statement(Document()), Result[dict[str, int], StepFailure[Rejection | ApiError | Exception]])
assert_type(
    statement.resume("raising", Balances()), Result[dict[str, int], StepFailure[Rejection | ApiError | Exception]]
)

answer = settled("text")
if is_success(answer):
    assert_type(answer.unwrap(), int)
elif is_failure(answer):
    assert_type(answer.failure(), str | Exception)


def failing_step(document: Document) -> str | None:
    ended = statement(document)
    if is_failure(ended):
        assert_type(ended.failure(), StepFailure[Rejection | ApiError | Exception])
        assert_type(ended.failure().error, Rejection | ApiError | Exception)
        assert_type(ended.failure().payload, Payload)
        return ended.failure().step
    return None


async def on_an_event_loop() -> None:
    assert_type(await async_result.acall(Ledger()), Result[Balances, ApiError | Exception])
    assert_type(
        await statement.acall(Document()), Result[dict[str, int], StepFailure[Rejection | ApiError | Exception]]
    )


# ---- processors ------------------------------------------------------------------------------------


def greatest(outputs: Sequence[dict[str, int]]) -> int:
    return max(len(output) for output in outputs)


listed = Processor(pipeline=statement)
collected = Processor(pipeline=statement, aggregate=collect)
merged = Processor(name="statement", pipeline=statement, aggregate=merge_factors, runner=ThreadRunner(max_workers=2))
strictly = Processor(pipeline=statement, aggregate=merge_factors(conflict="error"))
reduced = Processor(pipeline=statement, aggregate=greatest, account_id="acc_1", runner=ProcessRunner(max_workers=2))
summed = Processor(pipeline=settled, aggregate=sum)
single = Processor(pipeline=settled)

assert_type(listed, Processor[Document, dict[str, int], list[dict[str, int]]])
assert_type(collected, Processor[Document, dict[str, int], list[dict[str, int]]])
assert_type(merged, Processor[Document, dict[str, int], dict[str, Any]])
assert_type(strictly, Processor[Document, dict[str, int], dict[str, Any]])
assert_type(reduced, Processor[Document, dict[str, int], int])
assert_type(summed, Processor[str, int, int])
assert_type(single, Processor[str, int, list[int]])

averaged = Processor(pipeline=settled, aggregate=lambda outputs: sum(outputs) / len(outputs))
loose = Processor(pipeline=loose_result, aggregate=merge_factors)
at_run_time = Processor(pipeline=Pipeline.of([result, plain]))

assert_type(averaged, Processor[str, int, float])
assert_type(Processor(pipeline=settled, aggregate=max), Processor[str, int, int])
assert_type(Processor(pipeline=settled, aggregate=len), Processor[str, int, int])
assert_type(Processor(pipeline=settled, aggregate=tuple), Processor[str, int, tuple[int, ...]])
assert_type(Processor(pipeline=settled, aggregate=set), Processor[str, int, set[int]])
assert_type(Processor(pipeline=settled, aggregate=Counter), Processor[str, int, Counter[int]])
assert_type(loose, Processor[dict[str, Any], dict[str, Any], dict[str, Any]])
assert_type(at_run_time, Processor[Any, Any, list[Any]])


class Median:
    """An aggregate that is told which input each output came from."""

    def __call__(self, outputs: Sequence[int], /) -> float:
        return sorted(outputs)[len(outputs) // 2]

    def merge(self, outputs: Sequence[tuple[str, Any]], /) -> Merged:
        return Merged(self([output for _, output in outputs]), (Conflict("$", (), ()),))


median: Aggregate[int, float] = Median()
assert_type(Processor(pipeline=settled, aggregate=Median()), Processor[str, int, float])
assert_type(Processor(pipeline=settled, aggregate=median), Processor[str, int, float])


def names_of(processors: Iterable[Processor[Any, Any, Any]]) -> list[str]:
    return [processor.name for processor in processors]


names_of([listed, merged, summed, averaged])

inputs = [ProcessorInput(input_id="doc_1", data=Document())]
assert_type(inputs, list[ProcessorInput[Document]])
assert_type(to_inputs([Document()]), Iterator[ProcessorInput[Document]])
assert_type(to_inputs(["a"], key=str.upper, account_id="acc_1"), Iterator[ProcessorInput[str]])

done = merged.execute(inputs, ExecutionContext(retry_count=1))
assert_type(done, ProcessingResult[dict[str, int], dict[str, Any]])
assert_type(done.output, dict[str, Any] | None)
assert_type(done.outcomes, tuple[Outcome[dict[str, int]], ...])
assert_type(done.failed, tuple[Failed, ...])
assert_type(done.not_run, tuple[NotRun, ...])
assert_type(done.succeeded, tuple[Succeeded[dict[str, int]] | Skipped[dict[str, int]], ...])
assert_type(done.retry_context(), ExecutionContext)
assert_type(done.error_responses(), list[dict[str, Any]])
assert_type(merged.retry(done), ProcessingResult[dict[str, int], dict[str, Any]])
assert_type(merged.execute(done.retry_inputs(), context=done.retry_context()).output, dict[str, Any] | None)
assert_type(reduced.reaggregate(done), ProcessingResult[dict[str, int], int])
assert_type(done.run_id, str)
assert_type(done.conflicts, tuple[Conflict, ...])
assert_type(done.aggregation, Failed | None)
assert_type(done.metrics, Metrics)
assert_type(done.metrics.steps["raising"], StepMetrics)
assert_type(done.retry_inputs(), list[ProcessorInput[Any]])
assert_type(done.failure_clusters(), dict[tuple[str, str, str], list[Failed]])
assert_type(done.write_failures("failures.jsonl"), int)
assert_type(merged.read_failures("failures.jsonl"), list[ProcessorInput[Document]])
assert_type(summed.execute([ProcessorInput(input_id="a", data="text")]).output, int | None)
assert_type(listed.execute(inputs).output, list[dict[str, int]] | None)
if done.output is not None:
    assert_type(done.output, dict[str, Any])
assert_type(merged.plan(inputs), Plan)
assert_type(merged.plan(to_inputs([Document()])), Plan)
assert_type(merged.stream(inputs), Iterator[Outcome[dict[str, int]]])
assert_type(merged.astream(inputs), AsyncIterator[Outcome[dict[str, int]]])


async def executed() -> dict[str, Any] | None:
    async for outcome in merged.astream(inputs):
        assert_type(outcome, Outcome[dict[str, int]])
    return (await merged.aexecute(inputs)).output


# ---- going on: all, a part, edited, in the background, from a journal ------------------------------

journal: Journal = SqliteJournal("runs.db", sync="power")
shared: Journal = PostgresJournal("postgresql://db.example.org/batches", "input", schema="statements", sync="process")
with SqliteJournal("runs.db") as opened:
    assert_type(opened, SqliteJournal)
remembered = Processor(
    pipeline=statement,
    aggregate=merge_factors,
    journal=journal,
    runner=AsyncRunner(max_concurrency=20),
    prevalidation="isolate",
    on_input_change="error",
    on_code_change="restart",
    on_bad_payload="restart",
    max_failures=0.1,
    max_attempts=3,
    fail_fast=False,
    early_stop=True,
    account_id=None,
    context=ExecutionContext(execution_metadata={"desk": "north"}),
)

own_types = Registry()
own_types.register(Fraction, wire=str, to_wire=str, from_wire=Fraction)
assert_type(Processor(pipeline=settled, registry=own_types), Processor[str, int, list[int]])
assert_type(remembered, Processor[Document, dict[str, int], dict[str, Any]])
assert_type(Processor(pipeline=settled, journal=MemoryJournal()), Processor[str, int, list[int]])
assert_type(remembered.resume(), ProcessingResult[dict[str, int], dict[str, Any]])
assert_type(remembered.resume(done.run_id, only=Selection(steps="raising"), lift=True).success, bool)
assert_type(remembered.plan(done.run_id), Plan)
assert_type(remembered.plan(done, only=lambda failed: failed.kind == "timeout"), Plan)
assert_type(remembered.retry(done, only=done.failed, lift=["doc_1"]), ProcessingResult[dict[str, int], dict[str, Any]])
assert_type(
    remembered.retry(
        done, only=Selection(exceptions=(TimeoutError, "ApiError"), where=lambda failed: failed.retryable)
    ),
    ProcessingResult[dict[str, int], dict[str, Any]],
)
assert_type(remembered.edit(done, "doc_1", Balances()), ProcessingResult[dict[str, int], dict[str, Any]])
assert_type(remembered.edit(done.run_id, "doc_1", Balances()), str)
assert_type(read_failures("failures.jsonl", statement), list[ProcessorInput[Document]])

with remembered.start(inputs) as run:
    assert_type(run, RunHandle[dict[str, int], dict[str, Any]])
    assert_type(run.progress(), Progress)
    assert_type(run.progress().done, int)
    assert_type(run.result(timeout=1.0), ProcessingResult[dict[str, int], dict[str, Any]])

by_hand = [
    ProcessorInput(input_id="1", data=Document(), payload={"step": "raising", "data": "stored"}),
    ProcessorInput(input_id="2", data=Document(), payload=Payload(step="raising", data=Balances())),
    ProcessorInput(input_id="3", data=Document(), payload=Completed(output={"n": 1})),
]
assert_type(by_hand, list[ProcessorInput[Document]])
assert_type(remembered.execute(by_hand).success, bool)


def told_of_a_plan(planned: PlannedInput) -> str:
    match planned.action:
        case "run":
            return " ".join(planned.steps)
        case "skip" | "keep" | "park" | "refuse":
            return planned.reason
        case _:
            assert_never(planned.action)


def told_of_a_failure(failed: Failed) -> str:
    match failed.kind:
        case "error" | "invalid":
            return failed.message
        case "timeout" | "crash" | "cancelled":
            return failed.step
        case _:
            assert_never(failed.kind)


class Printing:
    """An observer needs nothing but the method."""

    def on_event(self, event: Event, /) -> None:
        print(event.run_id)


observers: list[Observer] = [Printing()]
assert_type(Processor(pipeline=settled, observers=observers), Processor[str, int, list[int]])
assert_type(Processor(pipeline=settled, observers=[Printing()]), Processor[str, int, list[int]])

# ---- runners, on their own and one's own -----------------------------------------------------------

assert_type(ThreadRunner(4).run(len, ["one", "two"]), list[int])
assert_type(ThreadRunner(4).stream(len, ["one"]), Iterator[tuple[int, Result[int, Crash]]])
assert_type(ProcessRunner(timeout=30.0, crash_retries=1).run(str.upper, ["a"]), list[str])


class Reversed(Runner):
    """A runner of one's own needs one method."""

    def run(self, func: Callable[[T], R], inputs: Iterable[T]) -> list[R]:
        return [func(value) for value in reversed(list(inputs))][::-1]


assert_type(choose_runner(1_000, bound="io"), Choice)
assert_type(choose_runner(None, func=len, sample=["one"]).runner, Runner)
assert_type(ExecutorRunner(ThreadPoolExecutor(4)).run(len, ["one"]), list[int])
assert_type(ExecutorRunner(ProcessPoolExecutor).stream(len, ["one"]), Iterator[tuple[int, Result[int, Crash]]])
check_runner(Reversed)


class OwnCluster:
    """Anything that has a scheduler."""

    scheduler_address = "tcp://127.0.0.1:8786"


assert_type(DaskRunner("tcp://127.0.0.1:8786").run(len, ["one"]), list[int])
assert_type(DaskRunner(OwnCluster, deliver_each=True).stream(len, ["one"]), Iterator[tuple[int, Result[int, Crash]]])
assert_type(DaskRunner(OwnCluster(), wait_for_workers=60.0).workers, int)
assert_type(RayRunner().run(len, ["one"]), list[int])
assert_type(RayRunner("auto", crash_retries=1).stream(len, ["one"]), Iterator[tuple[int, Result[int, Crash]]])

with ThreadRunner(2) as warm:
    assert_type(Processor(pipeline=settled, runner=warm), Processor[str, int, list[int]])
assert_type(Processor(pipeline=settled, runner=Reversed()), Processor[str, int, list[int]])


# ---- outcomes, matched to the end ---------------------------------------------------------------------


def told(outcome: Outcome[dict[str, int]]) -> int | str | None:
    match outcome:
        case Succeeded():
            assert_type(outcome.output, dict[str, int])
            return len(outcome.output)
        case Skipped(output=output):
            assert_type(output, dict[str, int])
            return len(output)
        case Failed(step=at):
            assert_type(at, str)
            return at
        case NotRun():
            return outcome.step
        case _:
            assert_never(outcome)


def told_by_isinstance(outcome: Outcome[int]) -> int:
    if isinstance(outcome, Succeeded | Skipped):
        return outcome.output
    if isinstance(outcome, Failed):
        return outcome.payload.retry_count
    return len(outcome.reason)


for outcome in merged.stream(to_inputs([Document()])):
    told(outcome)


# ---- the document's class style --------------------------------------------------------------------


class Statements(BaseProcessor[Document, Ledger, Balances, dict[str, int]]):
    PROCESSOR_NAME = "statements"

    def _validate(self, data: Document) -> Result[Ledger, Rejection]:
        return Success(Ledger())

    def _process(self, data: Ledger) -> Balances:
        return Balances()

    def _extract(self, data: Balances) -> dict[str, int]:
        raise MergeConflict


class Waiting(BaseProcessor[Document, Ledger, Balances, dict[str, int]]):
    PROCESSOR_NAME = "waiting"

    async def _validate(self, data: Document) -> Ledger:
        return Ledger()

    async def _process(self, data: Ledger) -> Result[Balances, ApiError]:
        return Success(Balances())

    def _extract(self, data: Balances) -> dict[str, int]:
        return {}


class Untyped(BaseProcessor):
    PROCESSOR_NAME = "untyped"

    def _validate(self, data: Any) -> Any:
        return data

    def _process(self, data: Any) -> Any:
        return data

    def _extract(self, data: Any) -> Any:
        return data


statements = Statements("acc_1", "uw_1", SequentialRunner(), max_failures=3)
assert_type(statements.execute(inputs), ProcessingResult[dict[str, int], Any])
assert_type(statements.execute(inputs).succeeded[0].output, dict[str, int])
assert_type(statements.retry(statements.execute(inputs)), ProcessingResult[dict[str, int], Any])
assert_type(statements.pipeline, Pipeline[Document, dict[str, int], Any])
assert_type(statements.processor, Processor[Document, dict[str, int], Any])
assert_type(Waiting(runner=AsyncRunner()).execute(inputs), ProcessingResult[dict[str, int], Any])
assert_type(Untyped().execute([ProcessorInput(input_id="1", data=1)]).output, Any | None)


# ---- the kit for tests of one's own ----------------------------------------------------------------

check_resume(statement, [Document(), Document()])
check_resume(settled, strategies.values_for(settled), runners=[SequentialRunner()], examples=5)
check_resume(settled, to_inputs(["one"]), laws=[laws.the_payload_survives_the_codec], idempotent={"settled": dict})

check_resume(settled, ["one"], fresh=True)

assert_type(faults.fail("settled").into(settled), Pipeline[str, int, str])
broken = faults.fail("raising", ApiError(), on=["input-1"]).into(statement)
assert_type(broken, Pipeline[Document, dict[str, int], Rejection | ApiError])
assert_type(
    faults.inject(statement, faults.raise_("raising", ValueError), faults.hang("raising", seconds=2.0)),
    Pipeline[Document, dict[str, int], Rejection | ApiError],
)
assert_type(assert_outcome(done, "input-1", Failed, step="raising"), Failed)
assert_type(assert_outcome(done, "input-2", Succeeded).input_id, str)
assert_type(Processor(pipeline=settled, runner=RecordingRunner(ThreadRunner(2))), Processor[str, int, list[int]])
assert_type(FakeClock()(), float)

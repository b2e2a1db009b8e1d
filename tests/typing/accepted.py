"""What must type-check in code that uses the packages, with the types that a checker must find by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, Literal, Never, NoReturn, assert_never, assert_type

from pipeline import (
    BaseProcessor,
    ExecutionContext,
    Failed,
    Failure,
    MergeConflict,
    NotRun,
    Outcome,
    Pipeline,
    Plan,
    ProcessingResult,
    Processor,
    ProcessorInput,
    Result,
    Skipped,
    Step,
    StepContext,
    StepFailure,
    Succeeded,
    Success,
    collect,
    configurable,
    is_failure,
    is_success,
    merge_factors,
    step,
    to_inputs,
)
from runners import ProcessRunner, SequentialRunner, ThreadRunner


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


@step("settled", timeout=30.0, version="2", aliases=("old",))
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


# ---- functions that come from elsewhere ------------------------------------------------------------


class Client:
    def fetch(self, document: Document) -> Result[Ledger, ApiError]:
        return Success(Ledger())

    async def afetch(self, document: Document) -> Ledger:
        return Ledger()

    def __call__(self, document: Document) -> Balances:
        return Balances()


def measured(text: str, unit: str = "cm") -> float:
    return float(len(text))


assert_type(step("fetch")(Client().fetch), Step[Document, Ledger, ApiError])
assert_type(step(Client().afetch), Step[Document, Ledger, Never])
assert_type(step("client")(Client()), Step[Document, Balances, Never])
assert_type(step("measured")(measured), Step[str, float, Never])


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


assert_type(top(n=3), Step[list[int], list[int], Never])
assert_type(checked(5, strict=True), Step[list[int], int, Rejection])
assert_type(fetched(), Step[str, bytes, ApiError])
assert_type(counted(3), Step[str, int, Never])
assert_type(top(n=3) >> checked(5), Pipeline[list[int], int, Rejection])


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


# ---- cutting ---------------------------------------------------------------------------------------

assert_type(statement[async_result:], Pipeline[Ledger, dict[str, int], Rejection | ApiError])
assert_type(statement[:async_result], Pipeline[Document, Ledger, Rejection | ApiError])
assert_type(statement[async_result:raising], Pipeline[Ledger, Balances, Rejection | ApiError])
assert_type(statement["raising":], Pipeline[Any, dict[str, int], Rejection | ApiError])
assert_type(statement[1:], Pipeline[Any, dict[str, int], Rejection | ApiError])
assert_type(statement[:"raising"], Pipeline[Document, Any, Rejection | ApiError])
assert_type(statement["result":"raising"], Pipeline[Any, Any, Rejection | ApiError])
assert_type(statement["raising"], Step[Any, Any, Any])
assert_type(statement[-1], Step[Any, Any, Any])
assert_type(
    statement[:async_result] >> statement[async_result:], Pipeline[Document, dict[str, int], Rejection | ApiError]
)
assert_type(statement.names, tuple[str, ...])
assert_type(list(statement), list[Step[Any, Any, Any]])
assert_type(Pipeline.of([result, plain]), Pipeline[Any, Any, Any])


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
    return ended.failure().step if is_failure(ended) else None


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
assert_type(merged.plan(inputs), Plan)
assert_type(merged.plan(to_inputs([Document()])), Plan)
assert_type(merged.stream(inputs), Iterator[Outcome[dict[str, int]]])
assert_type(merged.astream(inputs), AsyncIterator[Outcome[dict[str, int]]])


async def executed() -> dict[str, Any] | None:
    return (await merged.aexecute(inputs)).output


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
assert_type(Untyped().execute([ProcessorInput(input_id="1", data=1)]).output, Any | None)

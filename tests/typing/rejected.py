"""What must not type-check: one mistake on a line, with the error that each checker must report there.

A missing error fails: mypy then calls its comment unused, and pyright and basedpyright theirs unnecessary.
So does an error that moves, or changes its code. What a user reads there is in ``docs/explanation/types.md``.
"""

# pyright: strict
# pyright: reportUnnecessaryTypeIgnoreComment=true
# pyright: reportUnusedExpression=false, reportUnusedVariable=false, reportUntypedFunctionDecorator=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any, assert_never

import pipeline
import runners
from pipeline import (
    BaseProcessor,
    Cache,
    CircuitBreaker,
    ConcurrencyLimit,
    ExecutionContext,
    Failed,
    Failure,
    MemoryJournal,
    NotRun,
    Outcome,
    Payload,
    Pipeline,
    PostgresJournal,
    ProcessingResult,
    Processor,
    ProcessorInput,
    RateLimit,
    Result,
    Retry,
    Selection,
    Skipped,
    SqliteJournal,
    Step,
    StepContext,
    Succeeded,
    Success,
    batch_step,
    configurable,
    is_failure,
    is_success,
    merge_factors,
    step,
    to_inputs,
)
from pipeline.codec import Registry
from pipeline.testing import assert_outcome, check_resume, faults
from runners import (
    AsyncRunner,
    DaskRunner,
    ExecutorRunner,
    ProcessRunner,
    RayRunner,
    Runner,
    SequentialRunner,
    ThreadRunner,
    choose_runner,
)


class Document:
    """What comes in."""


class Ledger:
    """What validation makes of it."""


class Balances:
    """What processing makes of that."""


class Rejection(Exception):
    """What validation fails with."""


class ApiError(Exception):
    """What extraction fails with."""


@step("validation")
def validate(document: Document) -> Result[Ledger, Rejection]:
    return Success(Ledger())


@step("processing")
def process(ledger: Ledger) -> Balances:
    return Balances()


@step("extraction")
async def extract(balances: Balances) -> Result[dict[str, int], ApiError]:
    return Success({"n": 1})


@step("length")
def length(text: str) -> int:
    return len(text)


@step("half")
def half(number: int) -> float:
    return number / 2


@step("first_digit")
def first_digit(text: str) -> int | None:
    return next((int(letter) for letter in text if letter.isdigit()), None)


@configurable
def top(rows: list[int], *, n: int) -> list[int]:
    return sorted(rows)[-n:]


def balance(balances: Balances) -> int:
    return 0


statement = validate >> process >> extract
lengths = Processor(pipeline=length)
merged = Processor(pipeline=statement, aggregate=merge_factors)
inputs = [ProcessorInput(input_id="doc_1", data=Document())]
texts = [ProcessorInput(input_id="doc_1", data="one")]


# ---- names that are not there ----------------------------------------------------------------------

pipeline.Procesor  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
pipeline.run_one  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
runners.ThreadRuner  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]

# ---- compositions in which one output is not the next input ----------------------------------------

validate >> extract  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue]
process >> validate  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue]
validate >> process >> validate  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue]
validate >> process >> extract >> length  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue]
validate >> (validate >> process)  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue]
(validate >> process) >> (validate >> process)  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue]
statement[process:] >> process  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue]
first_digit >> half  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue]
length >> top(n=3)  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue]
validate.then(extract)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
statement.then(validate)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

# ---- compositions of what is not a step ------------------------------------------------------------

validate >> process >> balance  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue]
balance >> validate  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue]
validate >> top  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue]
validate >> "processing"  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue]
validate >> None  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue]
validate >> [process, extract]  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue]
[validate, process] >> extract  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue]
validate | process  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue]
Pipeline(validate, balance)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
Pipeline([validate, process])  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
Pipeline.of([validate, balance])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
validate.then(balance)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

# ---- steps and pipelines that are not of the declared type -----------------------------------------

wrong_input: Step[str, float] = half  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
wrong_error: Step[Document, Ledger, ApiError] = validate  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
never_fails: Step[Document, Ledger] = validate  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
wrong_output: Pipeline[Document, str, Exception] = statement  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
one_error_missing: Pipeline[Document, dict[str, int], Rejection] = statement  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]

# ---- functions that are no step --------------------------------------------------------------------


@step("no_value")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
def no_value() -> int:
    return 1


@step("two_values")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
def two_values(first: int, second: int) -> int:
    return first + second


@step("by_keyword")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
def by_keyword(*, value: int) -> int:
    return value


@step("more_than_a_context")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
def more_than_a_context(value: int, context: StepContext, more: int) -> int:
    return value


@step  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
def no_value_named_by_itself() -> int:
    return 1


@configurable  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
def no_value_to_configure() -> int:
    return 1


step(3)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
step()  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
step("a")(3)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
step("a")("b")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
configurable(3)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]

# ---- what a step's function returns, and knows -----------------------------------------------------


@step("wrong_success")
def wrong_success(value: int) -> Result[int, str]:
    return Success("one")  # type: ignore[arg-type]  # pyright: ignore[reportReturnType]


@step("wrong_failure")
def wrong_failure(value: int) -> Result[int, Rejection]:
    return Failure(ApiError())  # type: ignore[arg-type]  # pyright: ignore[reportReturnType]


@step("not_lifted")
def not_lifted(value: int) -> Result[int, str]:
    return value  # type: ignore[return-value]  # pyright: ignore[reportReturnType]


@step("forgotten_return")
def forgotten_return(value: int) -> int:  # type: ignore[return]  # pyright: ignore[reportReturnType]
    if value:
        return value


@step("wrong_context")
def wrong_context(value: int, context: StepContext) -> str:
    return context.attempts  # type: ignore[attr-defined, no-any-return]  # pyright: ignore[reportAttributeAccessIssue]


# ---- settings of a step ----------------------------------------------------------------------------

step("a", "b")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
step(name="a")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
step(timeout=3.0)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
step("a", timout=3.0)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
step("a", timeout="30")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
step("a", version=2)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
step("a", aliases="old")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
step("a", aliases=["old"])  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
step("a", checkpoint="no")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
step("a", retry=3)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
step("a", retry=Retry)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
Retry(3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
Retry(attempts="3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Retry(tries=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
Retry(on=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Retry(jitter="half")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Retry().attempts = 3  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
step("a", breaker=CircuitBreaker)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
step("a", breaker=5)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
step("a", rate=50)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
step("a", limit=8)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
step("a", cache=True)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
CircuitBreaker(failures="5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
CircuitBreaker(reset=60.0)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
RateLimit()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
RateLimit(per_second="50")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
ConcurrencyLimit()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
ConcurrencyLimit("8")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Cache(max_age="1 d")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
configurable("a", timout=3.0)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
length.replace("b")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
length.replace(nam="b")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
length.replace(version=2)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
length.replace(aliases="old")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
length.replace(policies=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
length.nam  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]

# ---- settings of a configurable step ---------------------------------------------------------------

top()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
top(3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
top(m=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
top(n="3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
top([1, 2])  # type: ignore[arg-type, call-arg]  # pyright: ignore[reportCallIssue]
top(n=3)("text")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

# ---- batch steps -----------------------------------------------------------------------------------


@batch_step("embedding")
def embed(texts: list[str]) -> list[float]:
    return [float(len(text)) for text in texts]


@batch_step("single")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
def single(text: str) -> list[float]:
    return [float(text)]


@batch_step("one_result")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
def one_result(texts: list[str]) -> float:
    return float(len(texts))


embed(["text"])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
embed >> embed  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue]
batch_step("a", max_size="32")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
batch_step("a", size=32)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
batch_step()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]

# ---- calling a step or a pipeline, and looking at what came back ------------------------------------

validate(Ledger())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
validate("text")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
validate()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
validate(Document(), StepContext.current())  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
statement(Ledger())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
statement()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
statement.resume(1, Ledger())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
statement(Document()) + 1  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue]
statement(Document()).unwrap().upper()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
statement(Document()).failure().stage  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
validate(Document()).failure().code  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
is_success(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
is_failure("text")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

# ---- cutting ---------------------------------------------------------------------------------------

statement[1.5]  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
statement[None]  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
statement[::2]  # type: ignore[index]  # pyright: ignore[reportArgumentType, reportCallIssue]
statement["processing"::2]  # type: ignore[index]  # pyright: ignore[reportArgumentType, reportCallIssue]
statement[balance:]  # type: ignore[index]  # pyright: ignore[reportArgumentType, reportCallIssue]
statement[process:](Document())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
statement[:process](Document()).unwrap().total  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
statement.index(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
statement.replace("processing", balance)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
statement.steps = ()  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
statement.names.append("more")  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
statement["processing"] = process  # type: ignore[index]  # pyright: ignore[reportIndexIssue]

# ---- processors ------------------------------------------------------------------------------------

Processor()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
Processor(statement)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
Processor(pipeline=balance)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Processor(pipeline=[validate, process])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Processor(pipeline=statement, name=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Processor(pipeline=statement, aggregate=sum)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Processor(pipeline=length, aggregate=merge_factors)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Processor(pipeline=length, aggregate="sum")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Processor(pipeline=statement, aggregat=merge_factors)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
Processor(pipeline=statement, runner=ThreadRunner)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Processor(pipeline=statement, runner="threads")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Processor(pipeline=statement, runner=4)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Processor(pipeline=statement, journal="runs.db")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Processor(pipeline=statement, journal=MemoryJournal)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Processor(pipeline=statement, observers=[print])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
Processor(pipeline=statement, prevalidation="ignore")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Processor(pipeline=statement, on_input_change="restrat")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Processor(pipeline=statement, on_code_change="ignore")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Processor(pipeline=statement, on_bad_payload="resume")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Processor(pipeline=statement, max_failures="10%")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
CircuitBreaker(shared="yes")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Processor(pipeline=statement, early_stop="yes")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Processor(pipeline=statement, fail_fast="yes")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Processor(pipeline=statement, account_id=123)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Processor(pipeline=statement, context={"retry_count": 1})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
wrong_value: Processor[str, int] = merged  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
wrong_result: Processor[str, int, int] = lengths  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
merged.name = "other"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]

# ---- executing -------------------------------------------------------------------------------------

merged.execute()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
merged.execute([Document()])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
merged.execute(inputs[0])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
merged.execute(texts)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
merged.execute(to_inputs(["text"]))  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
merged.execute(inputs, {"retry_count": 1})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
merged.execute(inputs, contxt=None)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
merged.stream(["text"])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
merged.plan(texts)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
merged.plan([Document()])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
merged.retry(inputs)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
merged.retry(lengths.execute(texts))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
merged.reaggregate(lengths.execute(texts))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
merged.resume(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
merged.retry(merged.execute(inputs), only="extraction")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
merged.retry(merged.execute(inputs), only=Selection)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
merged.retry(merged.execute(inputs), lift=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
merged.edit(inputs, "doc_1", Balances())  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
merged.edit("run_1", "doc_1")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
merged.start(texts)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
merged.start(inputs).output  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
merged.start(inputs).progress().percent  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
merged.read_failures(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Selection("extraction")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
Selection(step="extraction")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
Selection(where=len)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

for _ in merged.astream(inputs):  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues]
    pass


async def on_an_event_loop() -> None:
    merged.aexecute(inputs)  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
    await merged.execute(inputs)  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues]
    await merged.aexecute(texts)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    async for _ in merged.stream(inputs):  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues]
        pass


# ---- inputs ----------------------------------------------------------------------------------------

ProcessorInput("doc_1", data=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
ProcessorInput(data=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
ProcessorInput(input_id="doc_1")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
ProcessorInput(input_id=1, data=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
ProcessorInput(input_id="doc_1", data=1, acount_id="acc_1")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
ProcessorInput(input_id="doc_1", data=1, payload="processing")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
inputs[0].data = Document()  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
inputs[0].payload = None  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
to_inputs(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
to_inputs([1], key=len)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
to_inputs(["a"], key=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
ExecutionContext(1)  # type: ignore[arg-type, call-arg]  # pyright: ignore[reportCallIssue]
ExecutionContext(retry_count="1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
ExecutionContext(retries=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
ExecutionContext(execution_metadata={"desk": 1})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]
ExecutionContext().retry_count = 3  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
Payload()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
Payload("processing")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]

# ---- results ---------------------------------------------------------------------------------------

result = merged.execute(inputs)
numbers = lengths.execute(texts)
result.succes  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
result.success = True  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
result.output["n"]  # type: ignore[index]  # pyright: ignore[reportOptionalSubscript]
numbers.output[0]  # type: ignore[index]  # pyright: ignore[reportOptionalSubscript]
sum(numbers.output)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
numbers.succeeded[0].output.upper()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
numbers.succeeded[0].step  # type: ignore[union-attr]  # pyright: ignore[reportAttributeAccessIssue]
numbers.outcomes[0].output  # type: ignore[union-attr]  # pyright: ignore[reportAttributeAccessIssue]
numbers.outcomes[0].message  # type: ignore[union-attr]  # pyright: ignore[reportAttributeAccessIssue]
numbers.outcomes.append(1)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
numbers.failed[0].output  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
numbers.failed[0].message = "another"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
numbers.failed[0].payload.step = "another"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
numbers.not_run[0].message  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
wrong_outputs: ProcessingResult[str, Any] = numbers  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]


def one_outcome_forgotten(outcome: Outcome[int]) -> int:
    match outcome:
        case Succeeded():
            return outcome.output
        case Failed():
            return outcome.payload.retry_count
        case NotRun():
            return 0
        case _:
            assert_never(outcome)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def one_outcome_forgotten_without_a_default(outcome: Outcome[int]) -> int:  # type: ignore[return]  # pyright: ignore[reportReturnType]
    match outcome:  # pyright: ignore[reportMatchNotExhaustive]
        case Succeeded() | Skipped():
            return outcome.output
        case Failed():
            return outcome.payload.retry_count


def wrong_attributes(outcome: Outcome[int]) -> str | None:
    match outcome:
        case Succeeded():
            return outcome.message  # type: ignore[attr-defined, no-any-return]  # pyright: ignore[reportAttributeAccessIssue]
        case Skipped():
            return outcome.output  # type: ignore[return-value]  # pyright: ignore[reportReturnType]
        case Failed():
            return outcome.output  # type: ignore[attr-defined, no-any-return]  # pyright: ignore[reportAttributeAccessIssue]
        case NotRun():
            return outcome.exception  # type: ignore[attr-defined, no-any-return]  # pyright: ignore[reportAttributeAccessIssue]


# ---- the document's class style --------------------------------------------------------------------


class Unfinished(BaseProcessor):
    PROCESSOR_NAME = "unfinished"

    def _validate(self, data: Any) -> Any:
        return data


class Mismatched(BaseProcessor[Document, Ledger, Balances, dict[str, int]]):
    PROCESSOR_NAME = 3  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]

    def _validate(self, data: Document) -> Balances:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        return Balances()

    def _process(self, data: Document) -> Result[Balances, ApiError]:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        return Success(Balances())

    def _extract(self, data: Balances) -> list[int]:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        return []


class Statements(BaseProcessor[Document, Ledger, Balances, dict[str, int]]):
    PROCESSOR_NAME = "statements"

    def _validate(self, data: Document) -> Result[Ledger, Rejection]:
        return Success(Ledger())

    def _process(self, data: Ledger) -> Balances:
        return Balances()

    def _extract(self, data: Balances) -> dict[str, int]:
        return {}


Unfinished()  # type: ignore[abstract]  # pyright: ignore[reportAbstractUsage]
Statements(123)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Statements("acc_1", "uw_1", "threads")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Statements("acc_1", "uw_1", ThreadRunner)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Statements("acc_1", "uw_1", SequentialRunner(), 3)  # type: ignore[arg-type, call-arg]  # pyright: ignore[reportCallIssue]
Statements("acc_1", max_failure=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
Statements().execute([Document()])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
Statements().execute(texts)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Statements().retry(numbers)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Statements().execute(inputs).succeeded[0].output.upper()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]

# ---- aggregates ------------------------------------------------------------------------------------

merge_factors(1)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
merge_factors([1])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
merge_factors(conflict="first")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
merge_factors([{"n": 1}], conflict="error")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]

# ---- runners and journals --------------------------------------------------------------------------

Runner()  # type: ignore[abstract]  # pyright: ignore[reportAbstractUsage]
SequentialRunner(4)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
ThreadRunner("4")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
ThreadRunner(workers=4)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
ProcessRunner(timeout="30")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
ProcessRunner(start_method="froK")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
AsyncRunner("100")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
ExecutorRunner(4)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
DaskRunner()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
DaskRunner(4)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
DaskRunner(len)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
RayRunner(4)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
RayRunner(num_cpus=4)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
ExecutorRunner()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
choose_runner("many")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
choose_runner(10, bound="gpu")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
choose_runner(10).run(len, ["one"])  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
ThreadRunner().run(len)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
ThreadRunner().run(len, [1])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
ThreadRunner().run(len, ["one"])[0].upper()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
SqliteJournal()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
SqliteJournal(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
SqliteJournal("runs.db", "always")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
PostgresJournal(5432)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
PostgresJournal("host=db", "input", "runs")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
PostgresJournal("host=db", sync="always")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Registry().register(Fraction, wire=str, to_wire=len, from_wire=Fraction)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Registry().register(Fraction, wire=str, to_wire=str)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
Processor(pipeline=statement, registry=Registry)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


class WithoutRun(Runner):
    """A runner must have ``run``."""


class OfIntegersOnly(Runner):
    def run(self, func: Callable[[int], int], inputs: Iterator[int]) -> list[int]:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        return []


WithoutRun()  # type: ignore[abstract]  # pyright: ignore[reportAbstractUsage]

# ---- the kit ---------------------------------------------------------------------------------------

check_resume(len, ["one"])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
check_resume(length, [1])  # type: ignore[misc]  # pyright: ignore[reportArgumentType]
check_resume(length, ["one"], runners=ThreadRunner(2))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
check_resume(length, ["one"], laws=["the_payload_survives_the_codec"])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
faults.fail(length)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
faults.raise_("length", "an error")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
faults.fail("length").into(balance)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
assert_outcome(result, "doc_1", "failed")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
assert_outcome(result, "doc_1", Failed).output  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]

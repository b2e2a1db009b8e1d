"""Pipelines with one planted defect each, and correct ones of every kind; at module level, so that they pickle."""

from __future__ import annotations

import asyncio
import itertools
import random
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, getcontext, localcontext
from enum import Enum
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from pipeline import (
    Cache,
    Failure,
    Pipeline,
    RateLimit,
    Result,
    Retry,
    StepContext,
    Success,
    configurable,
    step,
)
from pipeline.testing import Law, laws

Row = dict[str, float]


@step("load")
def load(net: int) -> Row:
    return {"net": float(net % 1_000), "tax": 1.0}


@step("total")
def total(row: Row) -> Row:
    return {**row, "total": row["net"] + row["tax"]}


@step("pick")
def pick(row: Row) -> float:
    return row["total"]


class Planted(NamedTuple):
    """A pipeline whose ``step`` breaks ``law``; of a ``race``, which may not come again, the step may stay unknown."""

    name: str
    pipeline: Pipeline[Any, Any, Any]
    step: str
    law: Law
    idempotent: dict[str, Any] = {}
    race: bool = False


# ---- steps with a defect


@step("total")
def mutating(row: Row) -> Row:
    row["total"] = row["net"] + row["tax"]
    return row


@step("total")
def mutating_deeply(row: Row) -> Row:
    pages: list[Row] = [row]
    pages[0].setdefault("total", 1.0)
    return dict(row)


@step("total")
def reading_a_clock(row: Row) -> Row:
    return {**row, "total": float(time.perf_counter_ns())}


@step("total")
def reading_a_date(row: Row) -> Row:
    return {**row, "total": float(datetime.now(UTC).date().toordinal())}


@step("total")
def drawing_at_random(row: Row) -> Row:
    return {**row, "total": random.random()}


counted = itertools.count()


@step("total")
def counting(row: Row) -> Row:
    return {**row, "total": float(next(counted))}


@step("total")
def failing_now_and_then(row: Row) -> Result[Row, str]:
    return Failure("busy") if next(counted) % 2 else Success({**row, "total": 1.0})


seen: set[float] = set()


@step("total")
def refusing_what_it_has_seen(row: Row) -> Result[Row, str]:
    if row["net"] in seen:
        return Failure("a duplicate")
    seen.add(row["net"])
    return Success({**row, "total": 1.0})


@step("total")
def consuming(row: Row) -> Row:
    row.pop("tax")
    return {**row, "total": 2.0}


balance = {"total": 0}


@step("add up")
async def adding_up_in_turns(n: int) -> int:
    before = balance["total"]
    await asyncio.sleep(0.002)
    balance["total"] = before + n
    await asyncio.sleep(0.002)
    added, balance["total"] = balance["total"] - before, before
    return added


current: dict[str, float] = {}


@step("load")
def keeping_in_a_global(net: int) -> Row:
    current["net"] = float(net % 1_000)
    return {"tax": 1.0}


@step("total")
def using_the_global(row: Row) -> Row:
    return {**row, "total": row["tax"] + current["net"]}


class Register:
    def __init__(self) -> None:
        self.latest = 0.0

    def load(self, net: int) -> Row:
        self.latest = float(net % 1_000)
        return {"net": 0.0, "tax": 1.0}

    def total(self, row: Row) -> Row:
        return {**row, "total": self.latest}


register = Register()
of_a_class = step("load")(register.load) >> step("total")(register.total) >> pick


@step("total")
def losing_the_type(row: Row) -> Any:
    return row["net"], row["tax"]


@step("pick")
def picking_undeclared(pair):  # type: ignore[no-untyped-def]
    return pair[0]


@step("total")
def returning_a_tuple_in_disguise(row: Row) -> dict[str, Any]:
    return {"when": date(2026, 1, 1), "net": row["net"]}


@step("pick")
def picking_from_any(row: dict[str, Any]) -> float:
    return float(row["net"])


class Celsius(float):
    pass


@step("total")
def returning_what_only_looks_like_it(row: Row) -> dict[str, list[float]]:
    grouped: defaultdict[str, list[float]] = defaultdict(list)
    grouped["net"].append(row["net"])
    return grouped


@step("pick")
def picking_from_lists(row: dict[str, list[float]]) -> float:
    return row["net"][0]


@dataclass
class Account:
    """An object that makes itself complete, also when it comes back from storage."""

    net: float
    total: float = field(init=False)

    def __post_init__(self) -> None:
        self.total = self.net


@step("total")
def changing_what_the_object_sets_itself(row: Row) -> Account:
    account = Account(row["net"])
    account.total = row["net"] + row["tax"]
    return account


@step("pick")
def picking_the_total(account: Account) -> float:
    return account.total


@step("pick")
def returning_a_subclass(row: Row) -> float:
    return Celsius(row["total"])


@step("total")
def returning_a_lock(row: Row) -> Any:
    return (row["net"], threading.Lock())


def inside_another() -> Any:
    def total_of(row: Row) -> Row:
        return {**row, "total": 1.0}

    return step("total")(total_of)


unpicklable = inside_another()


class Connection:
    def __init__(self) -> None:
        self.lock = threading.Lock()

    def total(self, row: Row) -> Row:
        with self.lock:
            return {**row, "total": 2.0}


database: list[float] = []


@step("pick")
def adding_to_a_database(row: Row) -> float:
    database.append(row["total"])
    return row["total"]


@step("total")
def returning_an_iterator(row: Row) -> Iterator[float]:
    return map(lambda value: value, row.values())  # noqa: C417 - a generator is refused as an answer before any law


@step("pick")
def summing(values: Iterable[float]) -> float:
    return sum(values)


@step("total")
def dividing_by_nothing(row: Row) -> float:
    return float("nan")


settings: dict[str, float] = {}


@step("load")
def loading_settings(net: int) -> Row:
    settings["tax"] = 1.0
    return {"net": float(net % 1_000)}


@step("total")
def using_the_settings(row: Row) -> Row:
    return {**row, "total": row["net"] + settings["tax"]}


rates: dict[str, float] = {}


@step("total")
def using_a_cache_with_one_key(row: Row) -> Row:
    rates.setdefault("rate", row["net"])
    return {**row, "total": rates["rate"]}


@step("total")
def setting_the_precision(row: Row) -> Decimal:
    getcontext().prec = 6
    return Decimal(row["tax"]) / 3


@step("pick")
def computing_with_it(third: Decimal) -> Decimal:
    return third + Decimal(1) / 7


@step("total")
def listing_a_set(row: Row) -> list[str]:
    return list({f"{name} of this account" for name in (*row, "total", "debt", "rate", "state", "licence")})


@step("pick")
def picking_the_first(names: list[str]) -> str:
    return names[0]


ELSEWHERE: dict[str, tuple[Pipeline[Any, Any, Any], str]] = {
    "what a step loaded": (loading_settings >> using_the_settings >> pick, "total"),
    "a cache with one key for all": (load >> using_a_cache_with_one_key >> pick, "total"),
    "a decimal context": (load >> setting_the_precision >> computing_with_it, "pick"),
    "the order of a set": (load >> listing_a_set >> picking_the_first, "total"),
}
"""Every call leaves or finds the same in memory, so that only a process that has run nothing shows it."""

DEFECTS = [
    Planted("mutating", load >> mutating >> pick, "total", laws.the_payload_holds_what_entered_the_step),
    Planted("mutating deeply", load >> mutating_deeply >> pick, "total", laws.the_payload_holds_what_entered_the_step),
    Planted("consuming", load >> consuming >> pick, "total", laws.the_payload_holds_what_entered_the_step),
    Planted("a clock", load >> reading_a_clock >> pick, "total", laws.same_input_gives_same_output),
    Planted("a date", load >> reading_a_date >> pick, "total", laws.same_input_gives_same_output),
    Planted("randomness", load >> drawing_at_random >> pick, "total", laws.same_input_gives_same_output),
    Planted("a counter", load >> counting >> pick, "total", laws.same_input_gives_same_output),
    Planted("failing at times", load >> failing_now_and_then >> pick, "total", laws.same_input_gives_same_output),
    Planted("stateful", load >> refusing_what_it_has_seen >> pick, "total", laws.same_input_gives_same_output),
    Planted("a global", keeping_in_a_global >> using_the_global >> pick, "total", laws.every_runner_agrees),
    Planted("turns", Pipeline(adding_up_in_turns), "add up", laws.every_runner_agrees, race=True),
    Planted("an attribute", of_a_class, "total", laws.every_runner_agrees),
    Planted("a lost type", load >> losing_the_type >> picking_undeclared, "pick", laws.the_payload_survives_the_codec),
    Planted(
        "an undeclared date",
        load >> returning_a_tuple_in_disguise >> picking_from_any,
        "pick",
        laws.the_payload_survives_the_codec,
    ),
    Planted("a subclass", load >> total >> returning_a_subclass, "pick", laws.the_payload_survives_the_codec),
    Planted(
        "a lookalike",
        load >> returning_what_only_looks_like_it >> picking_from_lists,
        "pick",
        laws.the_payload_survives_the_codec,
    ),
    Planted(
        "a field set later",
        load >> changing_what_the_object_sets_itself >> picking_the_total,
        "pick",
        laws.the_payload_survives_the_codec,
    ),
    Planted(
        "an iterator", load >> returning_an_iterator >> summing, "total", laws.the_payload_holds_what_entered_the_step
    ),
    Planted("no number", load >> dividing_by_nothing, "total", laws.the_payload_survives_the_codec),
    Planted("a local function", load >> unpicklable >> pick, "total", laws.every_runner_agrees),
    Planted("a connection", load >> step("total")(Connection().total) >> pick, "total", laws.every_runner_agrees),
    Planted(
        "not idempotent",
        load >> total >> adding_to_a_database,
        "pick",
        laws.steps_are_idempotent_where_declared,
        {"pick": lambda: list(database)},
    ),
]


# ---- steps without one


@dataclass
class Page:
    number: int
    words: list[str]


class Document(msgspec.Struct):
    pages: list[Page]
    on: date
    at: datetime
    amount: Decimal
    blob: bytes = b"%PDF"


@step("read")
def read(text: str) -> Document:
    pages = [Page(number, line.split(" ")) for number, line in enumerate(text.split(","))]
    return Document(pages, date(2026, 1, 31), datetime(2026, 1, 31, 12, tzinfo=UTC), Decimal("1.10"))


@step("words", version="3", aliases=("terms",))
async def words(document: Document) -> dict[str, int]:
    return {word: len(word) for page in document.pages for word in page.words}


@configurable("longest")
def longest(lengths: dict[str, int], *, least: int) -> Result[set[str], str]:
    found = {word for word, length in lengths.items() if length >= least}
    return Success(found) if found else Failure("no long word")


@step("label")
def label(found: set[str], context: StepContext) -> str:
    return f"{context.input_id}: {len(found)} {context.idempotency_key}"


@step("stored")
def stored_by_key(row: Row, context: StepContext) -> float:
    table[context.idempotency_key] = row["total"]
    return row["total"]


table: dict[str, float] = {}


@lru_cache
def squared(n: int) -> int:
    return n * n


@step("square")
def memoised(n: int) -> int:
    return squared(n % 1_000)


@step("halve")
def failing_on_odd(n: int) -> float:
    if n % 2:
        raise ValueError(f"{n} is odd")
    return n / 2


@step("not a number")
def not_a_number(n: int) -> float | None:
    return float(n) if n % 3 else None


@step("wrap")
def wrap(n: int) -> list[int]:
    return [n % 100] * 2


@step("add up")
def add_up(numbers: Iterable[int]) -> int:
    return sum(numbers)


@step("words of")
def words_of(text: str) -> frozenset[str]:
    return frozenset(text.split("a"))


@step("in order")
def in_order(found: frozenset[str]) -> tuple[str, ...]:
    return tuple(sorted(found))


class Refused(Exception):
    """An error with more than storage or pickle keeps."""

    def __init__(self, page: Page, lock: Any) -> None:
        super().__init__(f"page {page.number} of {object()}")
        self.lock = lock


@step("refuse")
def refusing(n: int) -> int:
    raise Refused(Page(n, []), threading.Lock())


@step("leave")
def leaving(n: int) -> int:
    raise SystemExit(n % 7)


class Price:
    """A callable object, with a setting."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def __call__(self, n: int) -> float:
        return (n % 1_000) * self.factor


class Plan(Enum):
    """Members that the whole program shares: a fault that changes what entered must not change them."""

    BASIC = "basic"
    LARGE = "large"


class Quote(NamedTuple):
    plan: Plan
    valid: timedelta


@step("quote")
def quote(n: int) -> Quote:
    return Quote(Plan.LARGE if n % 2 else Plan.BASIC, timedelta(days=n % 30))


@step("price of")
def price_of(quoted: Quote) -> Decimal:
    with localcontext() as context:
        context.prec = 6
        return (Decimal(2) if quoted.plan is Plan.LARGE else Decimal(1)) / 3


@step("timed")
def timed_for_a_log(n: int) -> float:
    began = time.time()
    line = f"{datetime.now(UTC):%H:%M} {isinstance(datetime.now(UTC), date)} {time.time() - began} s"
    return float(len(line) > n % 2)


@step("drawn")
def drawn_by_its_own_number(hits: float) -> list[float]:
    drawing = random.Random(hits)
    return [drawing.random() for _ in range(3)]


@step("guarded", retry=Retry(attempts=3, wait=9.0), rate=RateLimit(per_second=1), cache=Cache(max_age_s=9.0))
async def guarded(n: int) -> int:
    await asyncio.sleep(0)
    return n % 1_000


timed = memoised.replace(timeout=0.5)

CORRECT: dict[str, Pipeline[Any, Any, Any]] = {
    "dictionaries": load >> total >> pick,
    "rich types": read >> words >> longest(least=3) >> label,
    "a cache": memoised >> failing_on_odd,
    "a timeout": timed >> failing_on_odd,
    "an optional output": Pipeline(not_a_number),
    "one step": Pipeline(failing_on_odd),
    "a set in order": words_of >> in_order,
    "an error that does not pickle": Pipeline(refusing),
    "an exit": Pipeline(leaving),
    "a callable object": guarded >> step("price")(Price(0.5)),
    "policies": guarded >> memoised,
    "members of an enumeration": quote >> price_of,
    "a clock for a log": timed_for_a_log >> drawn_by_its_own_number,
    "a wide declaration": Pipeline(wrap) >> add_up,
}

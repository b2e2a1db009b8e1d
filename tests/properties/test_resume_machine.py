"""A processor and its journal against a simple model, through whatever may happen to a batch, in any order (R5).

Executed, failed, killed, edited, inputs added, changed and left out, steps renamed and rewritten, retried, resumed,
pruned: after each of these, the plan, the outcomes and the calls of steps are what the model says.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from pipeline import (
    ExecutionContext,
    Failed,
    MemoryJournal,
    Pipeline,
    Processor,
    ProcessorInput,
    Skipped,
    SqliteJournal,
    Succeeded,
    UnknownRun,
    configurable,
)
from pipeline.journal import pages
from pipeline.journal.owner import LIVE
from runners import Runner, SequentialRunner, ThreadRunner

KEYS = ("a", "b", "c")
IDS = ("doc_1", "doc_2", "doc_3", "doc_4")

broken: set[tuple[str, str]] = set()
ran: list[tuple[str, str]] = []


class Broken(Exception):
    """A planned fault."""


class Killed(BaseException):
    """The process is gone."""


@configurable("advance")
def advance(value: list[str], *, key: str, version: int) -> list[str]:
    """Append the step and its version; the value's first item is the input and its revision."""
    input_id = value[0].partition("@")[0]
    ran.append((input_id, key))
    if (input_id, key) in broken:
        value.append("spoilt")
        raise Broken(key)
    return [*value, f"{key}{version}"]


class Part(NamedTuple):
    """A step as it is now, under all names it ever had."""

    key: str
    names: tuple[str, ...]
    version: int = 1

    @property
    def name(self) -> str:
        return self.names[-1]

    def step(self) -> Any:
        made = advance(key=self.key, version=self.version)
        return made.replace(name=self.name, aliases=self.names[:-1], version=str(self.version))


class Remembered(NamedTuple):
    """What the model knows of an input: done with ``value``, or stopped before step ``stopped`` with it."""

    data: list[str]
    value: list[str]
    codes: dict[str, int]
    stopped: int | None = None


class Mortal:
    """A journal whose process dies at one of its writes, before or after it; then nothing reaches it any more."""

    def __init__(self, journal: Any) -> None:
        self.journal = journal
        self.writes_left: int | None = None
        self.after = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.journal, name)

    def begin(self, *rest: Any) -> Any:
        return self._while_alive(lambda: self.journal.begin(*rest))

    def write(self, *rest: Any) -> Any:
        return self._while_alive(lambda: self.journal.write(*rest))

    def end(self, *rest: Any) -> Any:
        return self._while_alive(lambda: self.journal.end(*rest))

    def _while_alive(self, call: Callable[[], Any]) -> Any:
        if self.writes_left is None:
            return call()
        self.writes_left -= 1
        if self.writes_left == 0 and self.after:
            call()
        if self.writes_left <= 0:
            raise Killed
        return call()


class ResumeMachine(RuleBasedStateMachine):
    """The journal lives in memory; a kill ends the run at one of its writes."""

    def open_journal(self) -> Any:
        return MemoryJournal()

    def reopen(self) -> None:
        """What a new process does first."""

    @initialize(
        runner=st.sampled_from([SequentialRunner(), ThreadRunner(max_workers=2)]),
        on_code_change=st.sampled_from(["resume", "restart"]),
        faults=st.sets(st.tuples(st.sampled_from(IDS), st.sampled_from(KEYS)), max_size=4),
    )
    def begin(self, runner: Runner, on_code_change: Any, faults: set[tuple[str, str]]) -> None:
        broken.clear()
        broken.update(faults)
        self.runner, self.on_code_change = runner, on_code_change
        self.journal = Mortal(self.open_journal())
        self.journal.journal.group_s = 0.0
        self.parts = [Part(key, (key,)) for key in KEYS]
        self.inputs: dict[str, list[str]] = {}
        self.memory: dict[str, Remembered] = {}
        self.run_id: str | None = None
        self.result: Any = None
        self.result_codes: dict[str, int] = {}
        self.count = 0
        self.execute_a_new_batch(list(IDS), None)

    # the model

    def codes(self) -> dict[str, int]:
        return {part.key: part.version for part in self.parts}

    def names(self) -> tuple[str, ...]:
        return tuple(part.name for part in self.parts)

    def start(self, data: list[str], known: Remembered | None) -> tuple[int, list[str]]:
        """Where an input starts, with what; behind the last step, with its output, when it is done."""
        if known is None or known.data != data:
            return 0, data
        place = len(self.parts) if known.stopped is None else known.stopped
        now = self.codes()
        changed = any(known.codes[part.key] != now[part.key] for part in self.parts[:place])
        return (0, data) if changed and self.on_code_change == "restart" else (place, known.value)

    def after_run(self, input_id: str, data: list[str], known: Remembered | None) -> tuple[Remembered, list[str]]:
        """What is known of an input after a run, and the keys of the steps that were called."""
        place, value = self.start(data, known)
        if known is not None and place == len(self.parts):
            return known, []
        called = list[str]()
        for index, part in enumerate(self.parts[place:], place):
            called.append(part.key)
            if (input_id, part.key) in broken:
                return Remembered(data, value, self.codes(), index), called
            value = [*value, f"{part.key}{part.version}"]
        return Remembered(data, value, self.codes()), called

    # what is done to the batch

    def processor(self, **other: Any) -> Processor[Any, Any, Any]:
        journal: Any = other.get("journal", self.journal)
        dying = self.journal.writes_left is not None
        return Processor(
            name="machine",
            pipeline=Pipeline.of(part.step() for part in self.parts),
            runner=SequentialRunner() if dying else self.runner,  # what is written before a kill must not be chance
            journal=journal,
            on_code_change=self.on_code_change,
        )

    def run(
        self, act: Callable[[], Any], inputs: dict[str, list[str]], memory: dict[str, Remembered], killed: bool = False
    ) -> None:
        """Act, and hold what happened against the model; ``memory`` is what the run can know."""
        expected = {input_id: self.after_run(input_id, data, memory.get(input_id)) for input_id, data in inputs.items()}
        ran.clear()
        try:
            result = act()
        except Killed:
            assert killed
            self.journal.writes_left = None
            LIVE.clear()  # the process that held the lease is gone
            self.reopen()
            self.take_what_is_there(inputs, memory, expected)
            return
        self.journal.writes_left = None
        self.check(result, expected)
        self.inputs, self.run_id = inputs, result.run_id
        self.memory = {**memory, **{input_id: known for input_id, (known, _) in expected.items()}}
        self.result, self.result_codes = result, self.codes()

    def check(self, result: Any, expected: dict[str, tuple[Remembered, list[str]]]) -> None:
        """Hold a result, and the calls that led to it, against the model."""
        for outcome in result.outcomes:
            known, called = expected[outcome.input_id]
            self.check_outcome(outcome, known, not called)
        assert [outcome.input_id for outcome in result.outcomes] == list(expected)
        assert result.success == all(known.stopped is None for known, _ in expected.values())
        assert not result.success or result.output == [known.value for known, _ in expected.values()]
        self.check_calls({input_id: called for input_id, (_, called) in expected.items()})

    def check_outcome(self, outcome: Any, known: Remembered, skipped: bool) -> None:
        if known.stopped is None:
            assert type(outcome) is (Skipped if skipped else Succeeded)
            assert outcome.output == known.value
        else:
            assert type(outcome) is Failed
            assert (outcome.step, outcome.payload.data) == (self.names()[known.stopped], known.value)

    def check_calls(self, expected: dict[str, list[str]]) -> None:
        for input_id, called in expected.items():
            assert [key for who, key in ran if who == input_id] == called

    def take_what_is_there(
        self,
        inputs: dict[str, list[str]],
        memory: dict[str, Remembered],
        expected: dict[str, tuple[Remembered, list[str]]],
    ) -> None:
        """After a kill: each input is as before the run or as after it, and at most those in flight run again."""
        self.result = None
        found = self.journal.find("machine")
        if found is None or found.run_id == self.run_id:
            assert ran == [], "steps ran in a run that the journal does not know"
            return
        self.run_id, self.inputs, self.memory = found.run_id, inputs, dict(memory)
        repeats = 0
        for planned in self.processor().plan(found.run_id):
            input_id, called = planned.input_id, expected[planned.input_id][1]
            after, before = expected[input_id][0], memory.get(input_id)
            assert [key for who, key in ran if who == input_id] in ([], called)
            is_recorded = (
                input_id in self.ids_ran() and "changed" not in planned.reason
            )  # the run's own code is no other
            if is_recorded and planned.steps == self.names()[self.start(inputs[input_id], after)[0] :]:
                self.memory[input_id] = after
            else:
                assert planned.steps == self.names()[self.start(inputs[input_id], before)[0] :]
                repeats += input_id in self.ids_ran()
        assert repeats <= 1, "more was repeated than what was in flight"

    def ids_ran(self) -> set[str]:
        return {input_id for input_id, _ in ran}

    def dies(self, writes: int, after: bool) -> None:
        self.journal.writes_left, self.journal.after = writes, after

    def next_inputs(self, ids: Iterable[str], changed: Iterable[str]) -> dict[str, list[str]]:
        """The batch with these inputs, of which some have other data than they had."""
        self.count += 1
        anew = {input_id: [f"{input_id}@{self.count}"] for input_id in ids}
        last = {input_id: known.data for input_id, known in self.memory.items()} | self.inputs
        return {
            input_id: anew[input_id] if input_id in changed else last.get(input_id, anew[input_id]) for input_id in anew
        }

    ids = st.lists(st.sampled_from(IDS), min_size=1, unique=True)
    some = st.sets(st.sampled_from(IDS), max_size=2)
    death = st.none() | st.tuples(st.integers(1, 6), st.booleans())

    @rule(ids=ids, death=death)
    def execute_a_new_batch(self, ids: list[str], death: tuple[int, bool] | None) -> None:
        inputs = self.next_inputs(ids, ids)
        self.do(lambda: self.processor().execute(_items(inputs)), inputs, {}, death)

    @precondition(lambda self: self.run_id)
    @rule(ids=ids, changed=some, death=death)
    def execute_again(self, ids: list[str], changed: set[str], death: tuple[int, bool] | None) -> None:
        inputs = self.next_inputs(ids, changed)
        context = ExecutionContext(previous_run_id=self.run_id)
        self.do(lambda: self.processor().execute(_items(inputs), context), inputs, self.memory, death)

    @precondition(lambda self: self.run_id)
    @rule(death=death)
    def resume(self, death: tuple[int, bool] | None) -> None:
        self.do(lambda: self.processor().resume(), self.inputs, self.memory, death)

    @precondition(lambda self: self.result is not None)
    @rule(death=death)
    def retry(self, death: tuple[int, bool] | None) -> None:
        self.retry_of(self.result, self.held(), death)

    @precondition(lambda self: self.result is not None and self.stopped())
    @rule(place=st.integers(0, len(IDS) - 1), death=death)
    def edit_the_result_and_retry(self, place: int, death: tuple[int, bool] | None) -> None:
        input_id, value = self.edited(place)
        held = self.held()
        result = self.processor().edit(self.result, input_id, [*value])
        self.retry_of(result, {**held, input_id: held[input_id]._replace(value=value)}, death)

    def held(self) -> dict[str, Remembered]:
        """What the payloads of the last result know."""
        known = {input_id: self.memory[input_id] for input_id in self.inputs}
        return {input_id: one._replace(codes=self.result_codes) for input_id, one in known.items()}

    def retry_of(self, result: Any, held: dict[str, Remembered], death: tuple[int, bool] | None) -> None:
        memory = {**(self.memory if self.run_id else {}), **held}
        self.do(lambda: self.processor().retry(result), self.inputs, memory, death)

    @precondition(lambda self: self.result is not None)
    @rule()
    def retry_without_a_journal(self) -> None:
        """By payload alone: the journal knows nothing of it, and nothing changes in it."""
        held, alone = self.held(), self.processor(journal=None)
        expected = {input_id: self.after_run(input_id, data, held[input_id]) for input_id, data in self.inputs.items()}
        ran.clear()
        self.check(alone.retry(self.result), expected)

    @precondition(lambda self: self.result is not None)
    @rule()
    def go_on_with_dead_letters(self) -> None:
        """The failures alone, through a file."""
        failed = {one.input_id for one in self.result.failed}
        held, alone = self.held(), self.processor(journal=None)
        expected = {i: self.after_run(i, data, held[i]) for i, data in self.inputs.items() if i in failed}
        with tempfile.TemporaryDirectory() as folder:
            self.result.write_failures(Path(folder, "dead.jsonl"))
            letters = alone.read_failures(Path(folder, "dead.jsonl"))
        ran.clear()
        self.check(alone.execute(letters), expected)

    def do(
        self,
        act: Callable[[], Any],
        inputs: dict[str, list[str]],
        memory: dict[str, Remembered],
        death: tuple[int, bool] | None,
    ) -> None:
        if death is not None:
            self.dies(*death)
        self.run(act, inputs, memory, killed=death is not None)

    def stopped(self) -> list[str]:
        known = {input_id: self.memory[input_id] for input_id in self.inputs if input_id in self.memory}
        return [i for i, k in known.items() if k.stopped is not None and k.data == self.inputs[i]]

    @precondition(lambda self: self.run_id and self.stopped())
    @rule(place=st.integers(0, len(IDS) - 1))
    def edit(self, place: int) -> None:
        input_id, value = self.edited(place)
        assert self.run_id
        self.run_id = self.processor().edit(self.run_id, input_id, [*value])
        self.memory[input_id] = self.memory[input_id]._replace(value=value)
        self.result = None

    def edited(self, place: int) -> tuple[str, list[str]]:
        """An input that stopped, and what it shall go on with."""
        input_id = self.stopped()[place % len(self.stopped())]
        self.count += 1
        return input_id, [self.memory[input_id].value[0], f"edited_{self.count}"]

    @rule(keep=st.booleans())
    def prune(self, keep: bool) -> None:
        self.journal.prune(keep_last=int(keep))
        if not keep:
            self.run_id = None

    @precondition(lambda self: not self.run_id)
    @rule()
    def resume_what_is_not_there(self) -> None:
        with pytest.raises(UnknownRun):
            self.processor().resume()

    # what is done to the steps

    @rule(input_id=st.sampled_from(IDS), key=st.sampled_from(KEYS))
    def break_a_step(self, input_id: str, key: str) -> None:
        broken.add((input_id, key))

    @rule(key=st.sampled_from(KEYS))
    def repair_a_step(self, key: str) -> None:
        broken.difference_update([(input_id, key) for input_id in IDS])

    @rule(place=st.integers(0, len(KEYS) - 1))
    def rename_a_step(self, place: int) -> None:
        part = self.parts[place]
        self.parts[place] = part._replace(names=(*part.names, f"{part.key}_{len(part.names)}"))

    @rule(place=st.integers(0, len(KEYS) - 1))
    def change_the_code_of_a_step(self, place: int) -> None:
        self.parts[place] = self.parts[place]._replace(version=self.parts[place].version + 1)

    # always

    @invariant()
    def the_plan_is_the_models(self) -> None:
        if not self.run_id:
            return
        plan = list(self.processor().plan(self.run_id))
        starts = [self.start(data, self.memory.get(input_id))[0] for input_id, data in self.inputs.items()]

        assert [planned.input_id for planned in plan] == list(self.inputs)
        assert [planned.steps for planned in plan] == [self.names()[place:] for place in starts]

    def teardown(self) -> None:
        self.journal.close()


class OnDisk(ResumeMachine):
    """The journal is a file; a kill leaves it as it is."""

    def open_journal(self) -> Any:
        self.folder = Path(tempfile.mkdtemp(prefix="resume_machine"))
        return SqliteJournal(self.folder / "runs.db")

    def reopen(self) -> None:
        self.journal.close()

    def teardown(self) -> None:
        super().teardown()
        shutil.rmtree(self.folder)


def _items(inputs: dict[str, list[str]]) -> list[ProcessorInput[list[str]]]:
    return [ProcessorInput(input_id=input_id, data=list(data)) for input_id, data in inputs.items()]


MACHINES = [
    pytest.param(ResumeMachine, 0.5, False, id="memory"),
    pytest.param(ResumeMachine, 0.5, True, id="memory-pages"),
    pytest.param(OnDisk, 0.05, False, id="sqlite"),
    pytest.param(OnDisk, 0.05, True, id="sqlite-pages"),
]
each_machine = pytest.mark.parametrize(("machine", "share", "paged"), MACHINES)


@pytest.fixture
def in_pages(paged: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a first run writes lies in pages, though it is less than would make one."""
    monkeypatch.setattr(pages, "FEWEST", 1 if paged else pages.FEWEST)


@each_machine
@pytest.mark.usefixtures("in_pages")
def test_whatever_happens_to_a_batch_the_model_agrees(machine: type[ResumeMachine], share: float) -> None:
    run_state_machine_as_test(machine, settings=settings(max_examples=int(200 * share), stateful_step_count=15))


@pytest.mark.campaign
@each_machine
@pytest.mark.usefixtures("in_pages")
def test_whatever_happens_for_long_the_model_agrees(machine: type[ResumeMachine], share: float) -> None:
    run_state_machine_as_test(machine, settings=settings(max_examples=int(5_000 * share), stateful_step_count=40))

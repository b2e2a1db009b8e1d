"""A program whose own handler raises at the nth place where Python looks for signals, for one n after the other.

Python looks where a function begins and after each call of one written in C; a profile function is told of both. What
is tried is a run on one runner, executed or streamed. Afterwards its journal has to serve: the inputs go on, from
another thread at every second place, and what was handed out does not run again. The program prints its figures.

    python interrupted.py execute|start|stream input|step RUNNER FOLDER|DSN FIRST EVERY

The handler raises a ``KeyboardInterrupt`` and a ``TimeoutError`` in turns, as Ctrl-C does and an alarm.
"""

from __future__ import annotations

import faulthandler
import gc
import json
import signal
import sys
import threading
from itertools import cycle
from pathlib import Path
from time import monotonic, sleep
from types import FrameType
from typing import Any
from uuid import uuid4

from pipeline import (
    ExecutionContext,
    InputsNeeded,
    PostgresJournal,
    Processor,
    RunFailed,
    RunInterrupted,
    RunOwned,
    SqliteJournal,
    Succeeded,
    step,
    to_inputs,
)
from runners import AsyncRunner, ProcessRunner, Runner, SequentialRunner, ThreadRunner
from tests.journal.roster import drop

RUNNERS: dict[str, type[Any]] = {
    each.__name__: each for each in (SequentialRunner, ThreadRunner, AsyncRunner, ProcessRunner)
}

SCHEMA = f"interrupted_{uuid4().hex}"

LIMIT_S = 30
"""Seconds after which a trial hangs: the program ends, with the stacks of its threads."""

Store = SqliteJournal | PostgresJournal

INPUTS = [*to_inputs([1, 2, 3, 4])]

began: list[int] = []
"""What the first step was called with; calls in worker processes are not seen."""


class Interrupted(KeyboardInterrupt):
    """What the program's handler raises."""


class Alarmed(TimeoutError):
    """What it raises every other time."""


KINDS = cycle((Interrupted, Alarmed))


@step("add")
def add(value: int) -> int:
    began.append(value)
    return value + 1


@step("add")
async def add_later(value: int) -> int:
    began.append(value)
    return value + 1


@step("double")
def double(value: int) -> int:
    return 2 * value


class Interruption:
    """A profile function: sends the signal at the ``nth`` place."""

    def __init__(self, nth: int) -> None:
        self.nth = nth
        self.seen = 0
        self.where = ""

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        self.seen += event in ("call", "c_return")
        if self.seen == self.nth:
            sys.setprofile(None)
            self.where = f"{frame.f_code.co_filename}:{frame.f_lineno}"
            signal.raise_signal(signal.SIGINT)


def is_ours(error: BaseException | None) -> bool:
    """Whether an exception is one of the handler's, or came of one."""
    while error is not None and not isinstance(error, Interrupted | Alarmed):
        error = error.__cause__ or error.__context__
    return error is not None


class Trial:
    """One run that is interrupted, and the one that goes on with it."""

    def __init__(self, how: str, pipeline: Any, runner: Runner, journal: Store, interruption: Interruption) -> None:
        self.how = how
        self.journal = journal
        self.processor: Processor[int, int, Any] = Processor(
            name="p", pipeline=pipeline, journal=journal, runner=runner
        )
        self.interruption = interruption
        self.handed_out: list[str] = []
        self.error: BaseException | None = None  # kept, as an interactive session keeps what was raised last
        self.problems: list[str] = []

    def interrupt(self) -> None:
        outcomes: Any = self.processor.stream(INPUTS) if self.how == "stream" else iter(())
        handle: Any = None
        sys.setprofile(self.interruption)
        try:
            if self.how == "execute":
                outcomes = iter(self.processor.execute(INPUTS).outcomes)
            elif self.how == "start":
                handle = self.processor.start(INPUTS)
            self.handed_out.extend(outcome.input_id for outcome in outcomes if isinstance(outcome, Succeeded))
        except (RunInterrupted, RunFailed) as stopped:
            self.error = stopped
            if isinstance(stopped, RunFailed) and not is_ours(stopped):
                self.problems.append(f"raised {stopped!r}")
            if stopped.result is not None:
                self.handed_out.extend(outcome.input_id for outcome in stopped.result.succeeded)
        except BaseException as error:
            self.error = error
            if not is_ours(error):
                self.problems.append(f"raised {error!r}")
        finally:
            sys.setprofile(None)
        if self.how == "stream":
            outcomes.close()
        if handle is not None:
            self.handed_out.extend(outcome.input_id for outcome in handle.result().succeeded)

    def resumed(self) -> Any:
        """The outputs; a run whose thread was started all the same ends soon."""
        until = monotonic() + (LIMIT_S / 2 if self.how == "start" else 0)
        while True:
            try:
                return self.processor.resume().output or []
            except RunOwned:
                if monotonic() > until:
                    raise
                sleep(0.01)
            except InputsNeeded:  # an alarm while an input was written: it is taken for one that cannot be
                latest = self.journal.runs()[-1].run_id
                return self.processor.execute(INPUTS, ExecutionContext(previous_run_id=latest)).output or []

    def go_on(self) -> None:
        before = len(began)
        try:
            output = self.resumed()
        except LookupError:  # it was interrupted before the run was recorded
            output = []
            if self.handed_out:
                self.problems.append(f"{self.handed_out} were handed out, and there is no run")
        except BaseException as error:
            self.problems.append(f"resume raised {error!r}")
            return
        handed_out = [int(input_id.removeprefix("input-")) for input_id in self.handed_out]
        again = sorted(set(began[before:]).intersection(handed_out))
        missing = sorted({2 * (value + 1) for value in handed_out}.difference(output))
        if again:
            self.problems.append(f"{again} were handed out, and ran again")
        if missing:
            self.problems.append(f"{missing} were handed out, and are missing from {output}")
        if self.how != "stream" and output not in ([], [4, 6, 8, 10]):
            self.problems.append(f"the whole batch became {output}")


def new_journal(place: str, durability: Any) -> Store:
    """A journal in which nothing is; its tables are made already."""
    if place.startswith("postgresql:"):
        drop(place, SCHEMA)
        journal: Store = PostgresJournal(place, durability, schema=SCHEMA)
    else:
        for file in Path(place).glob("runs.db*"):
            file.unlink()
        journal = SqliteJournal(Path(place) / "runs.db", durability)
    assert journal.runs() == []
    return journal


def tried(how: str, durability: str, runner: Runner, place: str, nth: int) -> Trial:
    journal = new_journal(place, durability)
    began.clear()
    faulthandler.dump_traceback_later(LIMIT_S, exit=True)
    first: Any = add_later if isinstance(runner, AsyncRunner) else add
    trial = Trial(how, first >> double, runner, journal, Interruption(nth))
    trial.interrupt()
    if nth % 2:
        thread = threading.Thread(target=trial.go_on)
        thread.start()
        thread.join()
    else:
        trial.go_on()
    journal.close()
    faulthandler.cancel_dump_traceback_later()
    return trial


def handler(number: int, frame: FrameType | None) -> None:
    raise next(KINDS)


def main(how: str, durability: str, runner: str, place: str, first: str, every: str) -> None:
    signal.signal(signal.SIGINT, handler)
    gc.disable()  # what it would collect makes the places move
    nth, trials, problems = int(first), 0, list[str]()
    while True:
        trial = tried(how, durability, RUNNERS[runner](), place, nth)
        if not trial.interruption.where:
            break
        trials += 1
        problems += [f"{nth}, {trial.interruption.where}: {problem}" for problem in trial.problems]
        nth += int(every)
    if place.startswith("postgresql:"):
        drop(place, SCHEMA)
    print(json.dumps({"trials": trials, "problems": problems}))


if __name__ == "__main__":
    main(*sys.argv[1:])

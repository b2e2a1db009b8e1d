"""What a law is: a sentence, a function that looks for a breach in a trial, and how a breach is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec

from pipeline.model import ProcessorInput
from pipeline.testing.faults import Fault
from pipeline.testing.sameness import shown
from pipeline.testing.trial import Trial


class Breach(msgspec.Struct, frozen=True, kw_only=True):
    """What was observed, on which input, which step is to blame (``""``: none), and how to mend it.

    Where it was observed in a run, and not by calling the steps by hand: on which runner, with which faults.
    """

    step: str
    item: ProcessorInput[Any]
    observed: str
    mend: str
    runner: str = ""
    faults: tuple[Fault, ...] = ()


class LawBroken(AssertionError):
    """A pipeline breaks a law; the attributes hold what the message says."""

    def __init__(self, law: Law, trial: Trial, breach: Breach) -> None:
        super().__init__(_message(law, trial, breach))
        self.law: Law = law
        self.step: str = breach.step
        self.input_id: str = breach.item.input_id
        self.value: Any = breach.item.data
        self.observed: str = breach.observed
        self.mend: str = breach.mend


Find: TypeAlias = Callable[[Trial], Breach | None]


class Law(msgspec.Struct, frozen=True, kw_only=True):
    """A law of resuming. ``name`` is a sentence; ``find`` gives the first breach in a trial, or ``None``."""

    name: str
    find: Find

    def __str__(self) -> str:
        return self.name.replace("_", " ")

    def hold(self, trial: Trial) -> None:
        """Raise ``LawBroken``, an ``AssertionError``, when the trial breaks this law."""
        breach = self.find(trial)
        if breach is not None:
            raise LawBroken(self, trial, breach)


def law(find: Find) -> Law:
    """The law that a function of a trial looks after, named as it is."""
    return Law(name=find.__name__, find=find)


def _message(law: Law, trial: Trial, breach: Breach) -> str:
    lines = {
        "step": repr(breach.step) if breach.step else "none in particular",
        "input": f"{breach.item.input_id}: {shown(breach.item.data)}",
        "faults": "; ".join(map(str, breach.faults)),
        "runner": breach.runner,
        "observed": breach.observed,
        "mend": breach.mend,
    }
    told = [f"  {name:<10}{text}" for name, text in lines.items() if text]
    return "\n".join([f"({trial.pipeline}) breaks the law '{law}'", *told])

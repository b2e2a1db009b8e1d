"""Looks for a trial that breaks a law, and for the smallest of those: hypothesis draws and shrinks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky

from pipeline.model import ProcessorInput
from pipeline.testing.law import Law, LawBroken
from pipeline.testing.strategies import batches, faults_in, values_for
from pipeline.testing.trial import Subject, Trial


def search(
    subject: Subject,
    inputs: st.SearchStrategy[Any] | Sequence[ProcessorInput[Any]] | None,
    laws: Sequence[Law],
    examples: int,
    chosen: settings | None,
) -> LawBroken | None:
    """The smallest breach found in ``examples`` trials, or ``None``."""
    held = _Held(laws)
    run: Callable[[], None] = given(trials(subject, inputs))(held.hold)
    try:
        (chosen or _quiet(examples))(run)()
    except LawBroken as broken:
        return _plain(broken)
    except Flaky:  # a pipeline that breaks a law by chance breaks it now and then
        if held.smallest is None:
            raise
        return _plain(held.smallest)
    return None


@st.composite
def trials(
    draw: st.DrawFn, subject: Subject, inputs: st.SearchStrategy[Any] | Sequence[ProcessorInput[Any]] | None
) -> Trial:
    """A batch, faults and one of the runners."""
    source = values_for(subject.pipeline) if inputs is None else inputs
    batch = draw(batches(source))
    faults = draw(faults_in(subject.pipeline, [item.input_id for item in batch]))
    return Trial(subject, batch, faults, draw(st.sampled_from(subject.runners)))


class _Held:
    """Holds trials against laws. Once a law is broken only that one is looked at, so that shrinking stays with it."""

    def __init__(self, laws: Sequence[Law]) -> None:
        self.laws: Sequence[Law] = laws
        self.smallest: LawBroken | None = None
        self.size: int = 0

    def hold(self, trial: Trial) -> None:
        for law in self.laws:
            try:
                law.hold(trial)
            except LawBroken as broken:
                self.laws = (law,)
                if self.smallest is None or trial.size() < self.size:
                    self.smallest, self.size = broken, trial.size()
                raise


def _quiet(examples: int) -> settings:
    return settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=_SLOW,
        verbosity=Verbosity.quiet,
        report_multiple_bugs=False,
        print_blob=False,
    )


_SLOW = (HealthCheck.data_too_large, HealthCheck.large_base_example, HealthCheck.too_slow)
"""What is no mistake here: a user's steps take their time."""


def _plain(broken: LawBroken) -> LawBroken:
    """Without hypothesis's own notes and frames: the message says it all."""
    broken.__notes__ = []
    return broken.with_traceback(None)

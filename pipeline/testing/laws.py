"""The laws of resuming, each a value that can be checked alone; in the order in which a breach is told.

A careless step breaks several: one that changes its input also fails to resume. The first law to be broken names it
best, so laws about one step come before laws about whole runs.
"""

from __future__ import annotations

from pipeline.testing.evidence import (
    OURS,
    another_answer,
    blamed,
    calls_of,
    differs,
    disagreement,
    does_not_cross,
    first_difference,
    forgotten,
    in_run,
    is_iterator,
    listed,
    lost,
    name_of,
    not_stopped,
    odd_one,
    only_its_own,
    only_the_value,
    read_once,
    storable,
    stored_of,
)
from pipeline.testing.law import Breach, Law, law
from pipeline.testing.passage import called, side_by_side, told
from pipeline.testing.sameness import copied, same, shown
from pipeline.testing.trial import Trial

# ---- laws about one step ------------------------------------------------------------------------


@law
def same_input_gives_same_output(trial: Trial) -> Breach | None:
    """A step that is called again with an equal value gives an equal answer: no clocks, randomness or globals.

    It is called again as if on another day: a date is the same in two calls that follow each other.
    """
    for passage, passed in calls_of(trial):
        if is_iterator(passed.entered):
            continue  # it has been read; the next law tells that
        when, again = another_answer(passage, passed)
        if again is not None:
            return Breach(
                step=passed.step.name,
                item=passage.item,
                observed=f"called twice with {shown(passed.entered)}, it gave {told(passed.answer)}, "
                f"and then{when} {told(again)}",
                mend="take what changes (a clock, a random number, a counter, a global) as part of the input",
            )
    return None


@law
def the_payload_holds_what_entered_the_step(trial: Trial) -> Breach | None:
    """No step changes the value it was given, and the payload of a failure is the value that entered the step."""
    iterator = read_once(trial)
    if iterator is not None:
        return iterator
    for passage, passed in calls_of(trial):
        if not same(passed.entered, passed.left):
            return Breach(
                step=passed.step.name,
                item=passage.item,
                observed=f"{shown(passed.entered)} entered it, and it left that value as {shown(passed.left)}",
                mend="return a changed copy instead: {**value, ...}, [*value, ...], copy.replace or deepcopy",
            )
    for failed in trial.first.result.failed:
        passage = trial.passages[failed.input_id]
        entered = next((passed.entered for passed in passage.calls if passed.step.name == failed.step), failed)
        if not same(failed.payload.data, entered):
            return in_run(
                trial,
                step=failed.step,
                item=passage.item,
                observed=f"{shown(entered)} entered it, and the payload holds {shown(failed.payload.data)}",
                mend=f"give the value a type that can be copied (pickled); otherwise {OURS}",
            )
    return None


@law
def the_payload_survives_the_codec(trial: Trial) -> Breach | None:
    """What enters each step, and what leaves the last, comes back from storage equal and of equal types."""
    for passage, place, value, declared in stored_of(trial):
        problem = lost(value, declared, trial.subject.registry)
        if problem is not None:
            steps = trial.pipeline.steps
            step = steps[min(place, len(steps) - 1)]
            returns, before = place == len(steps), "the input" if place == 0 else f"step {steps[place - 1].name!r}"
            return Breach(
                step=step.name,
                item=passage.item,
                observed=f"{'what it returned' if returns else f'what entered it from {before}'} is {shown(value)}, "
                f"which storage as {name_of(declared)} does not keep: {problem}",
                mend=storable("returns" if returns else "takes", problem),
            )
    return None


@law
def steps_are_idempotent_where_declared(trial: Trial) -> Breach | None:
    """A step named in ``idempotent`` leaves the same state when it is called again, as after a crash in the step."""
    for passage, passed in calls_of(trial):
        read = trial.subject.idempotent.get(passed.step.name)
        if read is None:
            continue
        called(passed.step, passage.item.input_id, copied(passed.entered))
        once = copied(read())
        called(passed.step, passage.item.input_id, copied(passed.entered))
        twice = read()
        if not same(once, twice):
            return Breach(
                step=passed.step.name,
                item=passage.item,
                observed=f"after one call the state was {shown(once)}, after another one it was {shown(twice)}",
                mend="write under a key that stays the same, such as StepContext.idempotency_key, instead of adding",
            )
    return None


# ---- laws about runs ----------------------------------------------------------------------------


@law
def every_runner_agrees(trial: Trial) -> Breach | None:
    """Every runner gives what the steps give by hand, also where inputs are worked on at the same time."""
    shared = first_difference(trial.passages, side_by_side(trial.pipeline, trial.inputs))
    if shared is not None:
        passage, alone, together = shared
        return Breach(
            step=alone.step.name,
            item=passage.item,
            observed=f"alone it gave {told(alone.answer)}, in turns with the other inputs {told(together.answer)}",
            mend="pass on through the value what steps keep in a global, a class or a file",
        )
    for runner in trial.subject.runners:
        breach = does_not_cross(trial) if runner.crosses_processes else None
        breach = breach or disagreement(trial, runner)
        if breach is not None:
            return breach
    return None


@law
def outcomes_are_conserved_and_in_order(trial: Trial) -> Breach | None:
    """Every input ends in exactly one outcome, in input order, and only those with a fault fail by it."""
    ids = [item.input_id for item in trial.inputs]
    for run in trial.runs():
        found = [outcome.input_id for outcome in run.result.outcomes]
        if found != ids:
            item = next((item for item in trial.inputs if found.count(item.input_id) != 1), trial.inputs[0])
            return in_run(trial, step="", item=item, observed=f"the inputs {ids} have the outcomes {found}", mend=OURS)
    for item, outcome in zip(trial.inputs, trial.first.result.outcomes, strict=True):
        entered, fault = trial.stop(item.input_id)
        problem = not_stopped(trial.pipeline.names[entered - 1], outcome) if fault else differs(trial, outcome)
        if problem is not None:
            return in_run(trial, step="", item=item, observed=problem, mend=OURS)
    return None


@law
def resuming_equals_running_through(trial: Trial) -> Breach | None:
    """After the faults are repaired, a retry ends as one run without faults would have."""
    for outcome in trial.again.result.outcomes:
        problem = differs(trial, outcome)
        if problem is not None:
            passage = trial.passages[outcome.input_id]
            entered, fault = trial.stop(outcome.input_id)
            step = trial.pipeline.names[entered - 1]
            return in_run(
                trial,
                step=step,
                item=passage.item,
                observed=f"resumed from {step!r}, {problem}" if fault else problem,
                mend=only_the_value(step),
            )
    return _resumed_where_nothing_has_run(trial)


def _resumed_where_nothing_has_run(trial: Trial) -> Breach | None:
    """With ``check_resume(fresh=True)``: in a process that imported the steps and called none."""
    found = forgotten(trial)
    if found is None:
        return None
    passage, passed, answer = found
    return Breach(
        step=passed.step.name,
        item=passage.item,
        observed=f"resumed in a process that has run nothing yet, it gave {answer}, and by hand {told(passed.answer)}",
        mend=only_its_own(passed.step.name),
    )


@law
def finished_steps_do_not_run_again(trial: Trial) -> Breach | None:
    """A run calls each step up to the one that fails once, and a retry only that one and those after it."""
    for item in trial.inputs:
        passage = trial.passages[item.input_id]
        names = tuple(passed.step.name for passed in passage.calls)
        entered, fault = trial.stop(item.input_id)
        done = fault is None and not passage.end
        expected = {"first": names[:entered], "again": () if done else names[entered - 1 :]}
        for when, run in (("first", trial.first), ("again", trial.again)):
            found = run.calls.get(item.input_id, ())
            if found != expected[when]:
                return in_run(
                    trial,
                    step=odd_one(found, expected[when]),
                    item=item,
                    observed=f"{'the run' if when == 'first' else 'the retry'} called {listed(found)} "
                    f"instead of {listed(expected[when])}",
                    mend="an input whose data looks changed starts over: give its type an __eq__ or a state that "
                    f"pickles alike each time; otherwise {OURS}",
                )
    return None


@law
def the_plan_is_what_runs(trial: Trial) -> Breach | None:
    """What ``plan`` says of a retry is what the retry then does."""
    plan = trial.processor(trial.pipeline, trial.runner).plan(trial.first.result.retry_inputs())
    for item, planned in zip(trial.inputs, plan, strict=True):
        ran = trial.again.calls.get(item.input_id, ())
        entered = len(trial.passages[item.input_id].calls)
        until = planned.steps[: max(0, entered - len(trial.pipeline) + len(planned.steps))]
        if ran != until:
            return in_run(
                trial,
                step=odd_one(ran, until),
                item=item,
                observed=f"the plan was to {planned.action} {listed(planned.steps)}, "
                f"and the retry called {listed(ran)}",
                mend=OURS,
            )
    return None


@law
def retry_until_success_equals_one_run(trial: Trial) -> Breach | None:
    """Repairing one fault after the other, with a retry each time, ends as one run, and so does the aggregate."""
    run = trial.run(trial.inputs, None, *trial.faults)
    for repaired in range(1, len(trial.faults) + 1):
        run = trial.retry(run.result, *trial.faults[repaired:])
    for outcome in run.result.outcomes:
        problem = differs(trial, outcome)
        if problem is not None:
            return in_run(
                trial,
                step=blamed(trial, outcome),
                item=trial.passages[outcome.input_id].item,
                observed=f"after {len(trial.faults)} retries, {problem}",
                mend="steps may use only the value that enters them, nothing that an earlier try left behind",
            )
    outputs = [passage.output for passage in trial.passages.values() if not passage.end]
    if run.result.success and not same(run.result.output, outputs):
        observed = f"the outputs {shown(outputs)} became the result {shown(run.result.output)}"
        return in_run(trial, step="", item=trial.inputs[0], observed=observed, mend=OURS)
    return None


LAWS: tuple[Law, ...] = (
    same_input_gives_same_output,
    the_payload_holds_what_entered_the_step,
    the_payload_survives_the_codec,
    every_runner_agrees,
    outcomes_are_conserved_and_in_order,
    resuming_equals_running_through,
    finished_steps_do_not_run_again,
    the_plan_is_what_runs,
    retry_until_success_equals_one_run,
    steps_are_idempotent_where_declared,
)
"""All laws, in the order in which they are checked."""

"""What a runner is given and what it gives back: the loop of a run, and its twin for event loops.

run.starts(inputs) ──▶ runner.stream ──▶ run.take ──▶ arrivals
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterable, Iterator
from contextlib import suppress
from typing import Any, TypeAlias, cast

from pipeline.codeof import whole
from pipeline.engine import Program, work_of
from pipeline.errors import StopNow
from pipeline.guard import Caching, Sharing
from pipeline.interrupts import asking_to_stop
from pipeline.journal import breakers_of, has_shared, results_of
from pipeline.leaving import TURN_S, Ended, held, leave, take_back
from pipeline.model import ProcessorInput
from pipeline.repeat import are_due, further, wait_s_of
from pipeline.run import RunInProgress
from pipeline.settle import Arrival
from pipeline.stages import Stages, has_batches
from pipeline.stepwise import Start
from runners import Runner
from runners.protocol import stepped_in_threads

Items: TypeAlias = Iterable[ProcessorInput[Any]]


def arrivals(run: RunInProgress, runner: Runner, inputs: Items) -> Generator[Arrival]:
    """Every input with its outcome, as they finish. Whatever happens, none is left out.

    A signal that asked a run to stop whose consumer then leaves, or has left, is the program's to handle after that.
    """
    with asking_to_stop(run.interrupt) as on_signal:
        try:
            yield from _taken(run, runner, inputs)
            yield from _rest(run)
        except GeneratorExit:
            on_signal.comes_again = True
            leave(run)
            raise


def _taken(run: RunInProgress, runner: Runner, inputs: Items) -> Iterator[Arrival]:
    program = _program(run, runner)
    stream: Iterator[Ended | None] | None = _results(run, runner, program, run.starts(inputs))
    ended: Ended | None = None
    try:
        while stream is not None:
            for ended in stream:
                yield from held(run) if ended is None else run.take(*ended)
            getattr(stream, "close", _nothing)()
            while (wait_s := wait_s_of(run)) > 0:
                yield from held(run)
                run.repeats.timing.sleep(wait_s)
            stream = _results(run, runner, program, further(run)) if are_due(run) else None
    except KeyboardInterrupt as signalled:  # the second signal, or Ctrl-C where the program handles it itself
        run.broken_into = True
        run.interrupt(str(signalled) or "interrupted")
        _end_now(stream, signalled)
    except Exception as error:  # noqa: BLE001 - a runner that raises must not cost the outcomes so far
        run.fail(error)
    except GeneratorExit:
        _take_back(run, runner, ended, stream)
        raise
    finally:
        getattr(stream, "close", _nothing)()


def _rest(run: RunInProgress) -> Iterator[Arrival]:
    """The rest, also where the journal fails while that is recorded, or a signal's handler raises."""
    try:
        yield from run.rest()
    except Exception as error:  # noqa: BLE001 - as above
        run.fail(error)
        yield from run.rest()


def _take_back(run: RunInProgress, runner: Runner, ended: Ended | None, stream: Iterator[Ended | None] | None) -> None:
    """``take_back`` of a stream, which a second signal ends without waiting for what is in flight."""
    try:
        take_back(run, runner, ended, () if stream is None else stream)
        getattr(stream, "close", _nothing)()
    except StopNow as signalled:
        run.broken_into = True
        _end_now(stream, signalled)


async def aarrivals(run: RunInProgress, runner: Runner, inputs: Items) -> AsyncGenerator[Arrival]:
    """``arrivals`` on an event loop."""
    program = _program(run, runner)
    stream: AsyncIterator[Ended] | None = _aresults(run, runner, program, run.starts(inputs))
    try:
        while stream is not None:
            async for position, result in stream:
                for arrival in run.take(position, result):
                    yield arrival
            await getattr(stream, "aclose", _nothing_async)()
            while (wait_s := wait_s_of(run)) > 0:
                await run.repeats.timing.asleep(wait_s)
            stream = _aresults(run, runner, program, further(run)) if are_due(run) else None
    except Exception as error:  # noqa: BLE001 - as above
        run.fail(error)
    finally:
        await getattr(stream, "aclose", _nothing_async)()
    for arrival in _rest(run):
        yield arrival


def _results(run: RunInProgress, runner: Runner, program: Program, starts: Iterator[Start]) -> Iterator[Ended | None]:
    """One stream of the runner; one for each stage, where inputs meet at batch steps."""
    if has_batches(run.pipeline):
        return Stages(runner, program, lambda: run.stopped).results(starts)
    work = cast("Any", work_of(program, on_loop=runner.awaits))
    if run.total is None and (runner.ends_calls or run.settings.journal is not None):
        return runner.ticking(work, starts, TURN_S)  # a consumer waits for no call in flight, to leave or for outcomes
    return runner.stream(work, starts)


def _aresults(run: RunInProgress, runner: Runner, program: Program, starts: Iterator[Start]) -> AsyncIterator[Ended]:
    if has_batches(run.pipeline):
        stages = Stages(runner.on_this_loop(), program, lambda: run.stopped)
        return stepped_in_threads(stages.results(starts))
    return runner.astream(work_of(program, on_loop=runner.awaits), starts)


def _program(run: RunInProgress, runner: Runner) -> Program:
    """How the steps are called on this runner."""
    run_id, pulse = run.context.run_id or "", type(runner).pulse
    program = Program(
        run.pipeline,
        run_id,
        run.settings.scope,
        pulse,
        stopping=lambda: run.stopped is not None,
        across_processes=runner.crosses_processes,
        caching=_caching(run, runner),
        sharing=_sharing(run, runner),
        checkpoints=run.recorder.steps,
    )
    run.on_stop, run.on_leave = program.stop, program.bar
    run.repeats.budgets = program.supplies.budgets
    return program


def _caching(run: RunInProgress, runner: Runner) -> Caching:
    """What the caches of the steps need, where there are any."""
    cached = [step for step in run.pipeline if step.policies.cache is not None]
    if not cached:
        return Caching()
    results = results_of(run.settings.journal, runner.crosses_processes)
    return Caching(results, run.settings.rules.registry, {step.name: whole(step) for step in cached})


def _sharing(run: RunInProgress, runner: Runner) -> Sharing:
    """What the shared breakers of the steps need, where there are any."""
    if not has_shared(run.pipeline):
        return Sharing()
    return Sharing(breakers_of(run.settings.journal, runner.crosses_processes), run.settings.name)


def _end_now(stream: Iterator[Ended | None] | None, signalled: KeyboardInterrupt) -> None:
    """Let the runner know why it ends, where the signal came while it was not running: then it waits for nobody."""
    with suppress(Exception, KeyboardInterrupt):
        cast("Any", stream).throw(signalled)


def _nothing() -> None:
    """Closes what has nothing to close."""


async def _nothing_async() -> None:
    """Closes what has nothing to close."""

"""Calls that are waited for only so long: made in a helper thread, which is left to itself when the time is up.

Nothing can end a thread that is in a function. So the call goes on, nobody takes its answer, and the thread serves
again when it is done; it is a daemon, which does not keep the process from ending.
"""

# pyright: basic
from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextvars import Context
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, NamedTuple

from pipeline.guard.effects import Late, Raised
from pipeline.stepcontext import carried

IDLE_S = 10.0
"""Seconds after which a helper thread without a call ends."""


class _Job(NamedTuple):
    fn: Callable[[Any], Any]
    value: Any
    context: Context
    deliver: Callable[[Any], None]


_idle: list[SimpleQueue[_Job]] = []
"""Helpers without a call, the latest last. Guard: appending, popping and removing are atomic."""

os.register_at_fork(after_in_child=_idle.clear)  # a forked child has none of these threads


def call_within(limit_s: float, fn: Callable[[Any], Any], value: Any) -> Any:
    """What ``fn`` returned, ``Raised``, or ``Late`` when it takes more than ``limit_s`` seconds."""
    answers: SimpleQueue[Any] = SimpleQueue()
    _hand_over(_Job(fn, value, carried(), answers.put))
    try:
        return answers.get(timeout=limit_s)
    except Empty:
        return Late(escaped=True)


async def acall_within(limit_s: float, fn: Callable[[Any], Any], value: Any) -> Any:
    """``call_within`` on an event loop, which is not blocked."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Any] = loop.create_future()

    def deliver(given: Any) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(_set, answer, given)

    _hand_over(_Job(fn, value, carried(), deliver))
    done, _ = await asyncio.wait({answer}, timeout=limit_s)
    return answer.result() if done else Late(escaped=True)


def _set(answer: asyncio.Future[Any], given: Any) -> None:
    if not answer.done():
        answer.set_result(given)


def _hand_over(job: _Job) -> None:
    try:
        jobs = _idle.pop()
    except IndexError:
        jobs = SimpleQueue[_Job]()
        Thread(target=_serve, args=(jobs,), name="step-with-timeout", daemon=True).start()
    jobs.put(job)


def _serve(jobs: SimpleQueue[_Job]) -> None:
    while True:
        try:
            job = jobs.get(timeout=IDLE_S)
        except Empty:
            try:
                _idle.remove(jobs)
            except ValueError:
                continue  # a call is on its way
            return
        answer, deliver = _attempt(job), job.deliver
        del job  # an idle helper keeps nothing alive
        _idle.append(jobs)  # first, so that the one who waits finds it for its next call
        deliver(answer)
        del answer, deliver


def _attempt(job: _Job) -> Any:
    try:
        return job.context.run(job.fn, job.value)
    except BaseException as error:  # noqa: BLE001 - it goes to the thread that waits
        return Raised(error)

"""One batch of coroutines in an event loop: the feeder's, the loop's and the consumer's part of it.

::

    feeder thread          event loop                              consumer: a thread, or a coroutine in the loop
    slots.get()
    next(inputs) ──call_soon_threadsafe──▶ waiting ─▶ task
                                                       │ deliver((position, result))
                                                       └──────────▶ its queue ─▶ taken(): slots.put()

The inputs are pulled in a thread of their own, so that a slow source never stops the loop.
At most ``max_concurrency`` tasks run, and twice that many inputs are pulled and not yet taken.
Everything but ``feed``, ``taken`` and ``close`` is called in the loop's thread only, and so needs no lock.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextvars import copy_context
from queue import SimpleQueue
from typing import Any, TypeAlias

from returns.result import Failure, Result, Success

from runners.crash import Crash, crash_of

Answer: TypeAlias = "tuple[int, Result[Any, Crash]]"


class Flight:
    """The tasks of one stream. ``deliver`` takes each answer, in the loop's thread, and None at the end."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        func: Callable[[Any], Any],
        inputs: Iterable[Any],
        max_concurrency: int,
        deliver: Callable[[Answer | None], None],
    ) -> None:
        self.loop = loop
        self.func = func
        self.inputs: enumerate[Any] = enumerate(inputs)
        self.max_concurrency = max_concurrency
        self.deliver = deliver
        self.error: BaseException | None = None  # what the inputs raised; set before None is delivered
        self.closed: bool = False
        # Room for inputs. A semaphore's lock stays taken where a signal's handler raises on the way into it.
        self.slots: SimpleQueue[None] = SimpleQueue()
        for _ in range(2 * max_concurrency):
            self.slots.put(None)
        self.arrived: deque[tuple[int, Any]] = deque()  # from the feeder to the loop
        self.called: bool = False  # the loop is about to look at `arrived`
        self.waiting: deque[tuple[int, Any]] = deque()
        self.tasks: set[asyncio.Task[None]] = set()
        self.all_pulled: bool = False
        self.landed: bool = False  # set before None is delivered
        self.feeder: threading.Thread = threading.Thread(
            target=copy_context().run, args=(self.feed,), name="AsyncRunner", daemon=True
        )

    # ---- the consumer's side ----

    def take_off(self) -> None:
        """Begin to pull; not where a signal's handler raises meanwhile, for then nobody takes what comes."""
        try:
            self.feeder.start()
        except BaseException:
            self.close()
            raise

    def taken(self) -> None:
        """Make room for one more input."""
        self.slots.put(None)

    def close(self) -> None:
        """Pull no more and cancel what is in flight; None is delivered when all of it has ended."""
        self.closed = True
        self.slots.put(None)
        self.loop.call_soon_threadsafe(self._cancel)

    # ---- the feeder's side ----

    def feed(self) -> None:
        """Pull inputs while there are slots for them."""
        try:
            while self.slots.get() is None and not self.closed:
                item = next(self.inputs, None)
                if item is None or self.closed:
                    break
                self.arrived.append(item)
                # The loop lowers the flag first and reads `arrived` then; here it is the other way round.
                if not self.called:
                    self.called = True
                    self._call_in_loop(self._admit)
        except BaseException as error:  # noqa: BLE001 - the consumer raises it, after the outcomes so far
            self.error = error
        self._call_in_loop(self._land)

    def _call_in_loop(self, callback: Callable[[], None]) -> None:
        try:
            self.loop.call_soon_threadsafe(callback)
        except RuntimeError:  # after a second Ctrl-C nobody waits for this thread, and the loop may be gone
            if not self.closed:
                raise

    # ---- the loop's side ----

    def _admit(self) -> None:
        self.called = False
        while self.arrived:
            self.waiting.append(self.arrived.popleft())
        self._start_tasks()

    def _start_tasks(self) -> None:
        while self.waiting and len(self.tasks) < self.max_concurrency and not self.closed:
            task = self.loop.create_task(self._work_on(*self.waiting.popleft()))
            self.tasks.add(task)
            task.add_done_callback(self._end)

    async def _work_on(self, position: int, value: Any) -> None:
        try:
            result: Result[Any, Crash] = Success(await self.func(value))
        except asyncio.CancelledError as error:
            result = Failure(crash_of(error, "cancelled"))
        except BaseException as error:  # noqa: BLE001 - SystemExit, too, is the end of one input only
            result = Failure(crash_of(error))
        self.deliver((position, result))

    def _end(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        self._start_tasks()
        self._end_if_complete()

    def _land(self) -> None:
        self._admit()
        self.all_pulled = True
        self._end_if_complete()

    def _end_if_complete(self) -> None:
        if self.all_pulled and not self.tasks and not self.waiting and not self.landed:
            self.landed = True
            self.deliver(None)

    def _cancel(self) -> None:
        self.waiting.clear()
        for task in self.tasks:
            task.cancel()
        self._end_if_complete()

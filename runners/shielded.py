"""A task that comes to its own end, also where all tasks of an event loop are cancelled, as at the end of a program.

Imports asyncio, which takes 100 ms: to be imported where a loop runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


class ShieldedTask(asyncio.Task[Any]):
    """A task whose cancellation only calls ``asked``, once; ``end`` cancels it.

    Whoever made it waits for it with ``asyncio.wait``, and so does who cancels all tasks to close their loop.
    """

    def __init__(self, work: Coroutine[Any, Any, Any], asked: Callable[[], None] | None = None) -> None:
        super().__init__(work, loop=asyncio.get_running_loop())
        self._asked = asked

    def cancel(self, msg: object = None) -> bool:
        """Ask it to come to its end; it is not cancelled, as ``False`` says."""
        asked, self._asked = self._asked, None
        if asked is not None and not self.done():
            asked()
        return False

    def end(self) -> None:
        """Cancel it."""
        super().cancel()

"""A process that has run nothing yet, like the one that resumes after a crash: it shows what a step finds in memory.

It imports the steps once, and then forks for each question, so that no question sees what another one left.

    parent   pipeline ──▶        (place, input id, value) ──▶                           closes
    process           imports ──▶ ready                    forks ──▶ steps, answers ──▶        ends
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, NoReturn, Self, TypeAlias

from pipeline.compose import Pipeline
from pipeline.errors import InvalidSetting
from pipeline.model import ProcessorInput
from pipeline.testing.passage import Stated, side_by_side, stated

Question: TypeAlias = tuple[int, str, Any]
"""The place of the first step to run, an input's id, and the value that enters."""

Answers: TypeAlias = Sequence[Stated] | None
"""What each step gave; ``None`` where that does not cross processes."""


class FreshProcess:
    """Runs the end of a pipeline where nothing has run before. ``InvalidSetting`` when steps cannot be imported."""

    def __init__(self, pipeline: Pipeline[Any, Any, Any]) -> None:
        if not hasattr(os, "fork"):
            raise InvalidSetting("check_resume(fresh=True) needs a system that can fork; leave it out on this one")
        self._connection, theirs = Pipe()
        with theirs:
            self._process = _started(theirs.fileno())
        try:
            self._connection.send_bytes(pickle.dumps(pipeline))
            problem = self._connection.recv()
        except Exception as error:  # noqa: BLE001 - pickling runs the user's code
            problem = f"{type(error).__name__}: {error}"
        if problem is not None:
            self.close()
            raise InvalidSetting(
                f"check_resume(fresh=True): a new process cannot import the steps; define them at the top of a "
                f"module that it finds ({problem})"
            )

    def resumed(self, place: int, input_id: str, value: Any) -> Answers:
        """What the steps from ``place`` on give there."""
        try:
            self._connection.send_bytes(pickle.dumps((place, input_id, value)))
            answers: Answers = self._connection.recv()
        except Exception:  # noqa: BLE001 - what does not pickle is the matter of another law
            return None
        return answers

    def close(self) -> None:
        """End the process."""
        self._connection.close()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _started(descriptor: int) -> subprocess.Popen[bytes]:
    program = f"from pipeline.testing.fresh import serve; serve({descriptor})"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    quiet = subprocess.DEVNULL  # what steps print there belongs to no test
    return subprocess.Popen(  # noqa: S603 - this Python, a program of ours
        [sys.executable, "-c", program], env=environment, pass_fds=[descriptor], stdout=quiet, stderr=quiet
    )


# ---- in that process ------------------------------------------------------------------------------


def serve(descriptor: int) -> None:
    """Import the pipeline, and answer questions until the parent closes."""
    connection = Connection(descriptor)
    try:
        pipeline: Pipeline[Any, Any, Any] = pickle.loads(connection.recv_bytes())
    except Exception as error:  # noqa: BLE001 - importing runs the user's code
        connection.send(f"{type(error).__name__}: {error}")
        return
    connection.send(None)
    while (question := _next(connection)) is not None:
        child = os.fork()
        if child == 0:
            _answer(connection, pipeline, question)
        if os.waitpid(child, 0)[1] != 0:
            connection.send(None)


def _next(connection: Connection) -> bytes | None:
    try:
        return connection.recv_bytes()
    except EOFError:
        return None


def _answer(connection: Connection, pipeline: Pipeline[Any, Any, Any], question: bytes) -> NoReturn:
    """Answer in a fork, and leave without what an exit of the parent's copy would do."""
    code = 1
    try:
        place, input_id, value = pickle.loads(question)
        passage = side_by_side(pipeline[place:], [ProcessorInput(input_id=input_id, data=value)])[0]
        connection.send([stated(passed.answer) for passed in passage.calls])
        code = 0
    finally:
        os._exit(code)

"""Ray as a runner: a local one that the runner starts, or the one that this process or this cluster has."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from time import monotonic
from typing import Any, ClassVar, Self, TypeAlias, TypeVar

from returns.result import Result

from runners.byvalue import dumped_by
from runners.errors import RunnerError
from runners.fleet import Future, Loss
from runners.lease import Lease
from runners.parcel import Pickled, Wire, work_on
from runners.pool.picklable import pickle_function
from runners.protocol import Crash
from runners.streaming import StreamRunner
from runners.supply import name_of
from runners.window import Window

T = TypeVar("T")
R = TypeVar("R")

CHUNK_S = 0.05
"""Seconds of work in a chunk: a task costs Ray about 2 ms."""
LOOK_S = 5.0
"""How often a stream asks, in seconds, how many processors there are now."""

Source: TypeAlias = "str | Callable[[], object] | None"


class RayRunner(StreamRunner):
    """Works on inputs in the worker processes of Ray, one processor for each.

    ``start``: where Ray runs, or how to start it. A process has at most one Ray:
    where it is initialized already, the runner uses that and leaves it running. Otherwise it is started by

    - ``None``: ``ray.init()``, which finds the cluster of ``RAY_ADDRESS`` or of this machine, or starts a local one;
    - an address, such as ``"auto"`` or ``"local"``: ``ray.init(address)``;
    - a function of yours, such as ``partial(ray.init, num_cpus=4)``;

    and shut down when the last stream, or the last ``with`` of a runner, ends. To start it takes seconds.
    ``crash_retries``: how often Ray runs a chunk again whose worker died (its ``max_retries``), before it is a loss.
    ``deliver_each``: let every input travel alone, so that a death repeats no finished one.

    Values travel in chunks of up to about 0.05 s of work, and functions and classes of a script cross as well;
    modules have to be where the workers can import them, this library included.

    When a worker dies, Ray knows the chunk that it was on, but not the input.
    The inputs of that chunk run again, each alone in a chunk of its own, and what dies then is the culprit:
    it ends as a ``crash``, after two tries (one, if it was alone from the beginning). No other chunk notices.

    Closing the stream ends what has begun, by ending its worker processes.

    Raises ``RunnerError`` where Ray is not installed: it comes with ``stepslice[ray]``.
    """

    crosses_processes = True
    ends_calls: ClassVar[bool] = True

    def __init__(self, start: Source = None, *, crash_retries: int = 0, deliver_each: bool = False) -> None:
        _ray()
        if not (start is None or isinstance(start, str) or callable(start)):
            raise RunnerError(f"RayRunner cannot use {start!r}; give an address, a function that starts Ray, or None")
        if type(crash_retries) is not int or crash_retries < 0:
            raise RunnerError(f"RayRunner cannot use crash_retries={crash_retries!r}; it takes a number from 0")
        self._start: Source = start
        self._crash_retries = crash_retries
        self._deliver_each = deliver_each

    @property
    def workers(self) -> int:
        """How many inputs are worked on at the same time, at most: the processors of Ray; 1 before it is started."""
        ray = _ray()
        return _count_processors(ray) if ray.is_initialized() else 1

    def stream(self, func: Callable[[T], R], inputs: Iterable[T]) -> Iterator[tuple[int, Result[R, Crash]]]:
        """Yield ``(position, result)`` for every input as it finishes; closing it ends what is in flight.

        Raises ``RunnerError`` at once if ``func`` cannot be pickled,
        and on the first result if Ray does not start or its workers cannot load the function.
        """
        wire = Pickled(_dumps)
        return self._stream(wire, pickle_function(func, wire.dumps), inputs)

    def ticking(
        self, func: Callable[[T], R], inputs: Iterable[T], every_s: float
    ) -> Iterator[tuple[int, Result[R, Crash]] | None]:
        """``stream`` with a turn for the consumer, as ``None``, when nothing has finished for ``every_s`` seconds."""
        wire = Pickled(_dumps)
        return self._stream(wire, pickle_function(func, wire.dumps), inputs, every_s)

    def _stream(
        self, wire: Wire, function: bytes, inputs: Iterable[Any], every_s: float | None = None
    ) -> Iterator[Any]:
        chunk_s = 0.0 if self._deliver_each else CHUNK_S
        with (
            _session.held(self._begin),
            Window(_Fleet(_ray(), wire, function, chunk_s, self._crash_retries), inputs) as window,
        ):
            yield from window.results(every_s)

    def dumps(self, value: object) -> bytes:
        """``value`` as it travels: what a script defines, by value."""
        return _dumps(value)

    def _begin(self) -> bool:
        return _begin(self._start)

    def __enter__(self) -> Self:
        """Keep Ray from here on until the outermost ``with`` ends."""
        _session.enter(self._begin)
        return self

    def __exit__(self, *exc_info: object) -> None:
        _session.leave()

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, self._settings()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RayRunner) and self._settings() == other._settings()

    def __hash__(self) -> int:
        return hash(self._settings())

    def __repr__(self) -> str:
        start = name_of(self._start) if callable(self._start) else repr(self._start)
        return f"RayRunner({start}, crash_retries={self._crash_retries}, deliver_each={self._deliver_each})"

    def _settings(self) -> tuple[Source, int, bool]:
        return self._start, self._crash_retries, self._deliver_each


def _rebuild(start: Source, crash_retries: int, deliver_each: bool) -> RayRunner:
    return RayRunner(start, crash_retries=crash_retries, deliver_each=deliver_each)


# ---- Ray itself -----------------------------------------------------------------------------------


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise RunnerError(f"RayRunner needs Ray ({error}); install stepslice[ray]") from error
    return ray


def _dumps(value: object) -> bytes:
    return dumped_by(_ray().cloudpickle.Pickler, value)


def _begin(start: Source) -> bool:
    """Start Ray if there is none in this process; whether it has been started here."""
    ray = _ray()
    if ray.is_initialized():
        return False
    try:
        if callable(start):
            start()
        else:
            ray.init(start, include_dashboard=False, logging_level=logging.WARNING)
    except Exception as error:
        ray.shutdown()  # what has started of it
        raise RunnerError(f"RayRunner cannot start Ray: {error}") from error
    return True


def _end(is_ours: bool) -> None:
    if is_ours:
        _ray().shutdown()


_session: Lease[bool] = Lease(_end)
"""Ray is one for the whole process, and so for all runners."""


def _count_processors(ray: Any) -> int:
    return max(1, int(ray.cluster_resources().get("CPU", 1)))


# ---- one stream -------------------------------------------------------------------------------------


class _Fleet:
    """One stream's part of Ray; ``Fleet`` in ``runners.fleet`` says what each method is for."""

    def __init__(self, ray: Any, wire: Wire, function: bytes, chunk_s: float, crash_retries: int) -> None:
        self.ray = ray
        self.wire = wire
        self.chunk_s = chunk_s
        self.task = ray.remote(max_retries=crash_retries, num_cpus=1)(work_on)
        self.function = ray.put(function)  # each node fetches it once
        self.refs: dict[Future, Any] = {}
        self.workers: int = 1
        self.look_at: float = 0.0

    def submit(self, values: list[Any], budget_s: float) -> Future:
        if not self.ray.is_initialized():  # a task would start another one
            raise self.gone("it was shut down")
        try:
            return self._submitted(values, budget_s)
        except Exception as error:  # a chunk is plain data: what may be wrong is Ray
            raise self.gone(error) from error

    def _submitted(self, values: list[Any], budget_s: float) -> Future:
        if monotonic() >= self.look_at:
            self.workers = _count_processors(self.ray)
            self.look_at = monotonic() + LOOK_S
        ref = self.task.remote(self.wire, self.function, values, budget_s)
        future: Future = ref.future()
        self.refs[future] = ref
        future.add_done_callback(self.refs.pop)
        return future

    def judge(self, error: BaseException) -> Loss:
        problem = self.ray.exceptions
        if isinstance(error, problem.TaskCancelledError):
            return "cancelled"
        if isinstance(error, problem.RayTaskError | problem.RuntimeEnvSetupError | problem.TaskUnschedulableError):
            raise RunnerError(f"a worker of Ray cannot load a chunk: {error}; is stepslice installed there?") from error
        return "final" if isinstance(error, problem.RaySystemError) else "own"

    def gone(self, error: BaseException | str) -> RunnerError:
        return RunnerError(f"Ray is gone: {error}; keep it up until the stream has ended, and run again")

    def runs_here(self) -> bool:
        return False

    def release(self, futures: list[Any], in_a_hurry: bool) -> None:
        for ref in [self.refs[future] for future in futures if future in self.refs]:
            with suppress(Exception):  # Ray may be what has gone
                self.ray.cancel(ref, force=True)

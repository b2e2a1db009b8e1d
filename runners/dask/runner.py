"""The runner itself: settings, one connection for all its streams, and a window over it for each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar, Self, TypeVar

from returns.result import Result

from runners.dask.connection import Connection, Source, address_of, checked, close, connect, count_threads
from runners.dask.fleet import DaskFleet, Options
from runners.errors import RunnerError, is_seconds
from runners.lease import Lease
from runners.parcel import Pickled, Wire
from runners.pool.picklable import pickle_function
from runners.protocol import Crash
from runners.streaming import StreamRunner
from runners.supply import dumps_by_value, name_of
from runners.window import Window

T = TypeVar("T")
R = TypeVar("R")


class DaskRunner(StreamRunner):
    """Works on inputs in the workers of a Dask cluster.

    ``cluster``: a ``distributed.Client`` or a cluster, which stay yours to close; the address of a scheduler;
    or a function that makes one of these, such as ``partial(LocalCluster, n_workers=4)``.
    What the function made is closed at the end of the stream, or of ``with runner:``; a cluster takes seconds to start.
    ``deliver_each``: let every input travel alone, so that a death repeats no finished one.

    Values travel in chunks of up to about 0.1 s of work, and functions and classes of a script cross as well;
    modules have to be where the workers can import them, this library included.

    When a worker dies, Dask knows which chunks it had, but not on which input it was, and lets other workers run them.
    A chunk that had begun does not run there again, but returns, and its inputs are suspects:
    the chunk runs with nothing else of its stream in flight, and if it is lost again, input by input. So:

    - **A worker that something else kills** costs a repetition of what it had, and no input.
    - **An input that kills its workers** ends as a ``crash`` when it has killed one with nothing else
      of its stream in flight, after three workers at most; two with ``deliver_each``, one if it is the only input.
    - Two streams on one cluster share its deaths.

    A cluster that is gone, or has had no worker for ``wait_for_workers`` seconds, ends the stream:
    what is in flight ends as a ``crash``, and ``RunnerError`` is raised after that.
    Closing the stream cancels what has not begun. What has begun cannot be ended; its results are dropped,
    and a worker begins no further input of its chunk after half a second.

    Raises ``RunnerError`` where Dask is not installed: it comes with ``stepslice[dask]``.

    >>> from functools import partial
    >>> from distributed import LocalCluster
    >>> threads = partial(LocalCluster, n_workers=1, processes=False, dashboard_address=":0")
    >>> with DaskRunner(threads) as runner:
    ...     print(runner.run(int, ["1", "2"]))
    ...     print(dict(runner.stream(int, ["1", "two"]))[1].failure().exception)
    [1, 2]
    ValueError
    """

    crosses_processes = True
    ends_calls: ClassVar[bool] = True

    def __init__(self, cluster: Source, *, deliver_each: bool = False, wait_for_workers: float = 300.0) -> None:
        if not is_seconds(wait_for_workers):
            raise RunnerError(f"DaskRunner cannot use wait_for_workers={wait_for_workers!r}; it takes seconds, above 0")
        self._source: Source = checked(cluster)
        self._options = Options(deliver_each, wait_for_workers)
        self._lease = Lease(close)

    @property
    def workers(self) -> int:
        """How many inputs are worked on at the same time, at most: the threads of all workers.

        1 as long as the runner has not connected to the cluster.
        """
        connection = self._lease.current
        return 1 if connection is None else count_threads(connection.client)

    def stream(self, func: Callable[[T], R], inputs: Iterable[T]) -> Iterator[tuple[int, Result[R, Crash]]]:
        """Yield ``(position, result)`` for every input as it finishes; closing it cancels what has not begun.

        Raises ``RunnerError`` at once if ``func`` cannot be pickled,
        and on the first result if there is no cluster or its workers cannot load the function.
        """
        wire = Pickled(dumps_by_value)
        return self._stream(wire, pickle_function(func, wire.dumps), inputs)

    def ticking(
        self, func: Callable[[T], R], inputs: Iterable[T], every_s: float
    ) -> Iterator[tuple[int, Result[R, Crash]] | None]:
        """``stream`` with a turn for the consumer, as ``None``, when nothing has finished for ``every_s`` seconds."""
        wire = Pickled(dumps_by_value)
        return self._stream(wire, pickle_function(func, wire.dumps), inputs, every_s)

    def _stream(
        self, wire: Wire, function: bytes, inputs: Iterable[Any], every_s: float | None = None
    ) -> Iterator[Any]:
        with (
            self._lease.held(self._connect) as connection,
            Window(DaskFleet(connection.client, wire, function, self._options), inputs) as window,
        ):
            yield from window.results(every_s)

    def dumps(self, value: object) -> bytes:
        """``value`` as it travels: what a script defines, by value."""
        return dumps_by_value(value)

    def _connect(self) -> Connection:
        return connect(self._source)

    def __enter__(self) -> Self:
        """Keep one connection, and what a function made, from here on until the outermost ``with`` ends."""
        self._lease.enter(self._connect)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._lease.leave()

    def __reduce__(self) -> tuple[Any, ...]:
        """A client or a cluster pickles as the address of its scheduler."""
        return _rebuild, (address_of(self._source) or self._source, self._options)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DaskRunner) and self._settings() == other._settings()

    def __hash__(self) -> int:
        return hash(self._settings())

    def __repr__(self) -> str:
        return f"DaskRunner({address_of(self._source) or name_of(self._source)})"

    def _settings(self) -> tuple[Source, Options]:
        return self._source, self._options


def _rebuild(source: Source, options: Options) -> DaskRunner:
    return DaskRunner(source, **options._asdict())

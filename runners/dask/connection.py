"""How a runner gets to a Dask cluster, and what it has to close afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeAlias

from runners.errors import RunnerError


class Client(Protocol):
    """What is asked of a ``distributed.Client``."""

    def nthreads(self, workers: Any = None) -> Any:
        """Threads by worker."""
        ...


class Cluster(Protocol):
    """What is asked of a cluster of Dask's, such as a ``distributed.LocalCluster``."""

    @property
    def scheduler_address(self) -> str:
        """Where its scheduler listens."""
        ...


Source: TypeAlias = "str | Client | Cluster | Callable[[], str | Client | Cluster]"


GREETINGS = 4
"""How often a connection is begun. What a scheduler tells all clients at that moment may come beside its greeting;
``distributed.Client`` takes that for an error, an ``AssertionError`` without a text. Nothing is submitted by then."""


class Connection(NamedTuple):
    """A client, and what has to be closed after use, in this order."""

    client: Any
    ours: tuple[Any, ...]


def dask_package() -> Any:
    """The package, or an error that names the extra."""
    try:
        import distributed
    except ImportError as error:
        raise RunnerError(f"DaskRunner needs Dask ({error}); install stepslice[dask]") from error
    return distributed


def checked(source: Any) -> Any:
    """``source`` if it leads to a cluster; raises ``RunnerError`` for anything else."""
    dask = dask_package()
    if getattr(source, "asynchronous", False) is True:
        raise RunnerError(f"DaskRunner cannot use {source!r}, which is asynchronous; give the address of its scheduler")
    if isinstance(source, str | dask.Client) or hasattr(source, "scheduler_address") or callable(source):
        return source
    raise RunnerError(
        f"DaskRunner cannot use {source!r}; give a distributed.Client, a cluster, the address of a scheduler, "
        "or a function that makes one"
    )


def connect(source: Any) -> Connection:
    """Connect, and make what a function makes."""
    dask = dask_package()
    is_ours = callable(source) and not isinstance(source, dask.Client) and not hasattr(source, "scheduler_address")
    found = checked(source()) if is_ours else source
    made = (found,) if is_ours and not isinstance(found, str) else ()
    client: Any = found
    if isinstance(found, dask.Client):
        if client.status in ("closing", "closed"):
            raise RunnerError(f"DaskRunner cannot use {found!r}, which is closed; give the address of its scheduler")
        return Connection(client, made)
    try:
        client = _greeted(dask, found)
    except Exception as error:
        close(Connection(None, made))
        problem = f"{type(error).__name__}: {error}".removesuffix(": ")
        raise RunnerError(f"DaskRunner cannot reach {found}: {problem}; is a scheduler running there?") from error
    return Connection(client, (client, *made))


def _greeted(dask: Any, found: Any) -> Any:
    for _ in range(GREETINGS - 1):
        try:
            return dask.Client(found, set_as_default=False)
        except AssertionError:
            continue
    return dask.Client(found, set_as_default=False)


def close(connection: Connection) -> None:
    """Close what was made for the runner, and nothing of its user's."""
    for one in connection.ours:
        one.close()


def address_of(source: Any) -> str | None:
    """Where the scheduler of a client, cluster or address listens; None for a function."""
    scheduler = getattr(source, "scheduler", None)
    address = source if isinstance(source, str) else getattr(source, "scheduler_address", None)
    return address if isinstance(address, str) else getattr(scheduler, "address", None)


def count_threads(client: Any) -> int:
    """How many inputs the workers take at a time, at least 1."""
    threads: dict[str, int] = client.nthreads()
    return max(1, sum(threads.values()))

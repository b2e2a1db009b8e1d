# What this project uses of toolz 1.x; `make stubs` compares it with the installed library.

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import TypeVar

_K = TypeVar("_K", bound=Hashable)
_T = TypeVar("_T")
_V = TypeVar("_V")
_W = TypeVar("_W")

# dictionaries
def merge_with(func: Callable[[list[_V]], _W], *dicts: Mapping[_K, _V]) -> dict[_K, _W]: ...
def valmap(func: Callable[[_V], _W], d: Mapping[_K, _V], factory: type[dict[_K, _W]] = ...) -> dict[_K, _W]: ...

# sequences
def groupby(key: Callable[[_T], _K], seq: Iterable[_T]) -> dict[_K, list[_T]]: ...
def partition_all(n: int, seq: Iterable[_T]) -> Iterator[tuple[_T, ...]]: ...

"""A call as if on another day: what the project's own code reads from the wall clock is ``SHIFT`` later.

A clock that is read to the second, or to the day, gives the same in two calls that follow each other. So the names
under which modules of the project know ``time``, ``datetime`` and what is in them stand for shifted ones meanwhile.
Nothing else sees another time: no library, and no clock that only measures (``monotonic``, ``perf_counter``).
"""

# pyright: basic
from __future__ import annotations

import datetime as dt
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any, TypeVar

import msgspec

from pipeline.fingerprint.origin import is_project_module

T = TypeVar("T")

SHIFT = dt.timedelta(days=400, hours=5, minutes=7, seconds=11)
"""Another year, month, day of the week, hour, minute and second."""


class Clock(msgspec.Struct):
    """Whether the wall clock ``was_read``."""

    was_read: bool = False

    def reading(self, now: Callable[[], T]) -> Callable[[], T]:
        """``now``, which tells that it was called."""

        def read() -> T:
            self.was_read = True
            return now()

        return read


@contextmanager
def another_day() -> Generator[Clock, None, None]:
    """Meanwhile the project's modules read a shifted wall clock; the one given tells whether they did.

    >>> with another_day() as clock:
    ...     pass
    >>> clock
    Clock(was_read=False)
    """
    clock = Clock()
    shifted = _shifted(clock)
    names = [
        (known, name, value)
        for known in _names_in_modules()
        for name, value in list(known.items())
        if id(value) in shifted
    ]
    for known, name, value in names:
        known[name] = shifted[id(value)]
    try:
        yield clock
    finally:
        for known, name, value in names:
            known[name] = value


def _names_in_modules() -> list[dict[str, Any]]:
    """The global names of each module of the project."""
    modules = list(sys.modules.items())
    return [vars(module) for name, module in modules if is_project_module(name) and hasattr(module, "__dict__")]


def _shifted(clock: Clock) -> dict[int, Any]:
    """What stands for what, by its id."""
    of_time = _of_time(clock.reading(lambda: time.time() + SHIFT.total_seconds()))
    dates = {"datetime": _moment(clock), "date": _day(clock)}
    modules = {id(time): _module(time, of_time), id(dt): _module(dt, dates)}
    within = [(time, of_time), (dt, dates)]
    return modules | {id(getattr(module, name)): new for module, news in within for name, new in news.items()}


def _module(real: ModuleType, shifted: dict[str, Any]) -> SimpleNamespace:
    return SimpleNamespace(**(vars(real) | shifted))


def _of_time(now: Callable[[], float]) -> dict[str, Any]:
    def at(real: Callable[[float], Any]) -> Callable[..., Any]:
        return lambda seconds=None: real(now() if seconds is None else seconds)

    local = at(time.localtime)
    return {
        "time": now,
        "time_ns": lambda: int(now() * 1e9),
        "localtime": local,
        "gmtime": at(time.gmtime),
        "ctime": at(time.ctime),
        "strftime": lambda form, moment=None: time.strftime(form, local() if moment is None else moment),
        "asctime": lambda moment=None: time.asctime(local() if moment is None else moment),
    }


class _StandsFor(type):
    """A class in the place of another: whoever asks is told of that one, and whoever calls it gets that one."""

    real: type

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, cls.real)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, cls.real)

    def __call__(cls, *args: Any, **options: Any) -> Any:
        return cls.real(*args, **options)


def _moment(clock: Clock) -> type:
    def now(zone: dt.tzinfo | None = None) -> dt.datetime:
        return clock.reading(lambda: dt.datetime.now(dt.UTC) + SHIFT)().astimezone(zone)

    def local(tz: dt.tzinfo | None = None) -> dt.datetime:
        return now(tz) if tz is not None else now().replace(tzinfo=None)

    news = {"now": local, "today": local, "utcnow": lambda: now(dt.UTC).replace(tzinfo=None)}
    return _standing_for(dt.datetime, news)


def _day(clock: Clock) -> type:
    return _standing_for(dt.date, {"today": clock.reading(lambda: dt.date.today() + SHIFT)})  # noqa: DTZ011


def _standing_for(real: type, news: dict[str, Callable[..., Any]]) -> type:
    makers = {name: getattr(real, name) for name in dir(real) if not name.startswith("__")}
    methods = {name: staticmethod(made) if callable(made) else made for name, made in (makers | news).items()}
    return _StandsFor(real.__name__, (real,), {**methods, "real": real})

"""What a function's annotations say: the type that goes in, the type that comes out, whether it is async."""

from __future__ import annotations

import functools
import inspect
import re
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from returns.result import Result
from typing_extensions import Format, TypeAliasType, TypeVar, get_annotations

UNREAD: Any = inspect.Parameter.empty
"""The type of a value whose annotation is missing or cannot be resolved."""

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def is_async(fn: Callable[..., Any]) -> bool:
    """Whether what ``fn`` gives is to be awaited: functions, partials, bound methods, callables, wrapped ones.

    A plain function is one too where it is declared to give a ``Coroutine``.
    """
    inner = innermost(fn)
    is_coroutine_function = inspect.iscoroutinefunction(inner) or inspect.iscoroutinefunction(type(inner).__call__)
    return is_coroutine_function or _is_a(Coroutine, _hints(fn).get("return", UNREAD))


def input_type(fn: Callable[..., Any]) -> Any:
    """The declared type of the first positional parameter, or ``UNREAD``."""
    parameters = positional(fn)
    declared = _hints(fn).get(parameters[0].name, UNREAD) if parameters else UNREAD
    return UNREAD if _is_open(declared) else declared


def output_type(fn: Callable[..., Any]) -> Any:
    """The declared type of a success: ``B`` of ``Result[B, E]`` or of a plain return, or ``UNREAD``."""
    return _success_of(_returned(fn))


def item_types(fn: Callable[..., Any]) -> tuple[Any, Any]:
    """The declared types of the items of the list that ``fn`` takes, and of the successes in the one that it gives.

    >>> def lengths(texts: list[str]) -> list[Result[int, str]]: ...
    >>> item_types(lengths)
    (<class 'str'>, <class 'int'>)
    """
    output = item_of(_success_of(_returned(fn)))
    may_be_result = any(get_origin(part) is Result for part in get_args(output))
    return item_of(input_type(fn)), UNREAD if may_be_result else _success_of(output)


def _returned(fn: Callable[..., Any]) -> Any:
    declared = _hints(fn).get("return", UNREAD)
    return get_args(declared)[-1] if _is_a(Awaitable, declared) else declared


def _is_a(kind: type, declared: Any) -> bool:
    origin = get_origin(declared)
    return isinstance(origin, type) and issubclass(origin, kind)


def item_of(declared: Any) -> Any:
    """The type of the items of a declared list, or ``UNREAD``."""
    origin = get_origin(declared)
    is_sequence = isinstance(origin, type) and issubclass(origin, Iterable) and not issubclass(origin, Mapping)
    return get_args(declared)[0] if is_sequence else UNREAD


def _success_of(declared: Any) -> Any:
    if get_origin(declared) is Result:
        declared = get_args(declared)[0]
    return UNREAD if _is_open(declared) else declared


def may_return_none(fn: Callable[..., Any]) -> bool:
    """Whether ``None`` is a declared output of ``fn``, and not a forgotten ``return``.

    >>> def find(text: str) -> Result[Annotated[int | None, "a place"], str]: ...
    >>> may_return_none(find), may_return_none(len)
    (True, False)
    """
    declared = _returned(fn)
    return bool(_NONE.search(_text_of_return(fn))) if declared is UNREAD else _may_be_none(declared)


_NONE = re.compile(r"\b(None|Optional|Any|object)\b")


def _text_of_return(fn: Callable[..., Any]) -> str:
    """The annotation as it is written: what is left where it cannot be resolved, as names under ``TYPE_CHECKING``."""
    try:
        return str(get_annotations(_annotated(fn), format=Format.STRING).get("return", ""))
    except Exception:  # noqa: BLE001 - annotations may be anything
        return ""


def _may_be_none(declared: Any) -> bool:
    origin, parts = get_origin(declared), get_args(declared)
    if origin in (Annotated, Result):
        return _may_be_none(parts[0])
    if origin is Literal:
        return None in parts
    if isinstance(declared, TypeAliasType):
        return _may_be_none(declared.__value__)
    return declared in (None, NoneType, Any, object) or (origin in (Union, UnionType) and any(map(_may_be_none, parts)))


def positional(fn: Callable[..., Any]) -> list[inspect.Parameter]:
    """The parameters that a value can be passed to by position; none where the signature cannot be read."""
    try:
        parameters = inspect.signature(fn).parameters.values()
    except (TypeError, ValueError):
        return []
    return [parameter for parameter in parameters if parameter.kind in _POSITIONAL]


def misfit(fn: Callable[..., Any], context_type: type) -> str | None:
    """Why ``fn`` cannot be a step's function, or ``None``: it takes one value, and a context second if it wants one.

    >>> misfit(lambda amount, currency: amount, int)
    "(amount, currency) cannot be called with one value: missing a required argument: 'currency'; several values ..."
    >>> misfit(len, int) is None
    True
    """
    inner = innermost(fn)
    if inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner):
        return " is a generator, which can be read only once, so that nothing could go on with it; return a list"
    try:
        signature = inspect.signature(fn, follow_wrapped=False)  # a wrapper may fill in what the wrapped one takes
    except (TypeError, ValueError):
        return None
    try:
        signature.bind(None)
    except TypeError as error:
        second = [parameter for parameter in positional(fn)[1:2] if parameter.annotation is not UNREAD]
        hints = _hints(fn)  # none where a name in them is defined only later
        wanted = second and (hints.get(second[0].name) is context_type or not hints)
        return None if wanted else f"{signature} cannot be called with one value: {error}; {_cure(fn)}"
    return None


def _cure(fn: Callable[..., Any]) -> str:
    parameters = positional(fn)
    if isinstance(fn, type) and "__call__" in vars(fn):
        return f"give one of its objects, not the class: {fn.__name__}()"
    if not parameters:
        return "it has to take the value"
    if parameters[0].name == "self":
        return "give the method of an object, not that of its class"
    return "several values travel as one tuple or dataclass, and settings with @configurable"


def hint_of(fn: Callable[..., Any], name: str) -> Any:
    """The declared type of one parameter, or ``UNREAD``."""
    return _hints(fn).get(name, UNREAD)


def innermost(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The function inside partials and ``functools.wraps`` decorators."""
    while True:
        inner: Callable[..., Any] = fn.func if isinstance(fn, functools.partial) else inspect.unwrap(fn)
        if inner is fn:
            return inner
        fn = inner


def name_of(fn: Callable[..., Any]) -> str:
    """What a step made of ``fn`` is called unless it is given a name.

    >>> name_of(functools.partial(round, ndigits=2))
    'round'
    """
    inner = innermost(fn)
    return str(getattr(inner, "__name__", type(inner).__name__))


def at_its_name(fn: Callable[..., Any]) -> object:
    """What the module holds under the function's own qualified name, as pickle would look it up."""
    found: object = sys.modules.get(getattr(fn, "__module__", None) or "")
    for part in getattr(fn, "__qualname__", "<none>").split("."):
        found = getattr(found, part, None)
    return found


def _hints(fn: Callable[..., Any]) -> dict[str, Any]:
    inner = innermost(fn)
    if isinstance(inner, type):
        return {"return": inner}
    try:
        return get_type_hints(_annotated(fn), include_extras=True)
    except Exception:  # noqa: BLE001 - names under TYPE_CHECKING, local classes and the like do not resolve
        return {}


def _annotated(fn: Callable[..., Any]) -> Any:
    """What the annotations of ``fn`` stand on: the function itself, or the ``__call__`` of an object."""
    inner = innermost(fn)
    return inner if hasattr(inner, "__annotations__") or inspect.ismethod(inner) else type(inner).__call__


def _is_open(declared: Any) -> bool:
    return isinstance(declared, TypeVar) or bool(getattr(declared, "__parameters__", ()))

"""Walks from one piece of code to all of the project that it uses."""
# pyright: basic

from __future__ import annotations

import builtins
import functools
import importlib
import importlib.util
import logging
import sys
import types
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pipeline.fingerprint.data import Canonical, frame
from pipeline.fingerprint.origin import is_project_file, is_project_module
from pipeline.fingerprint.references import Import, references
from pipeline.fingerprint.source import text_of_class, text_of_function

Link = tuple[dict[str, Any], str, Any]
"""A dictionary of names, one of them, and what it was bound to (``MISSING`` where it was not)."""

MISSING = object()


class Graph(Canonical):
    """Writes code as data: functions and classes of the project become numbers, described later in that order."""

    def __init__(self) -> None:
        self.numbers: dict[tuple[int, ...], int] = {}
        self.queue: deque[Callable[[], bytes]] = deque()
        self.alive: list[Any] = []  # an id means something only as long as its object lives
        self.unknown: dict[str, None] = {}
        self.links: list[Link] = []

    def described(self) -> Iterator[bytes]:
        """What was queued, in the order of its numbers; describing one may queue more."""
        while self.queue:
            yield self.queue.popleft()()

    def number(self, describe: Callable[..., bytes], *objects: Any) -> bytes:
        """The number of a piece of code, which is queued the first time it is met."""
        key = tuple(map(id, objects))
        if key not in self.numbers:
            self.numbers[key] = len(self.numbers)
            self.alive.extend(objects)
            self.queue.append(functools.partial(describe, *objects))
        return b"#%d" % self.numbers[key]

    # ---- what a value may be

    def other(self, value: Any, depth: int) -> bytes:
        """Code is written by what it refers to, everything else as data."""
        for kinds, write in CODE:
            if isinstance(value, kinds):
                return write(self, value, depth)
        self.note_compiled(value)
        wrapped = getattr(value, "__dict__", {}).get("__wrapped__")
        if wrapped is not None:  # a compiled or cached function
            return frame("wrapper", self.class_of(value), self.write(wrapped, depth))
        return super().other(value, depth)

    def note_compiled(self, value: Any) -> None:
        """A function of the project that another compiler made."""
        if callable(value) and not isinstance(value, type) and not is_project_module(type(value).__module__):
            module = getattr(value, "__module__", None)
            if isinstance(module, str) and is_project_module(module) and "__wrapped__" not in dir(value):
                self.unknown[f"{module}.{getattr(value, '__name__', '?')} (compiled code)"] = None

    def class_name(self, kind: type) -> bytes:
        """A class of the project is described; any other is a name."""
        if not is_project_module(kind.__module__):
            return frame("library", kind.__module__.encode(), kind.__qualname__.encode())
        return self.number(self.class_, kind)

    def callable_name(self, make: Any) -> bytes:
        """What makes an object again is code, too."""
        return self.write(make, 1)

    def unseen(self, value: Any, depth: int) -> bytes:
        """The class and what attributes there are; what stays unseen is noted, unless it is the standard library's."""
        kind = type(value)
        if is_project_module(kind.__module__) and hasattr(value, "__dict__"):
            return frame("instance", self.class_name(kind), self.state(vars(value), value, depth))
        top = kind.__module__.partition(".")[0]
        if top not in sys.stdlib_module_names:
            self.unknown[f"{kind.__module__}.{kind.__qualname__} (an object whose state cannot be seen)"] = None
        return frame("unseen", self.class_name(kind))

    def ordered(self, items: Iterable[Any]) -> Iterable[Any]:
        """Sets of code in an order that does not depend on addresses, since numbers are given as they are met."""
        return sorted(items, key=lambda item: (type(item).__name__, getattr(item, "__qualname__", "")))

    # ---- functions

    def function_name(self, fn: types.FunctionType, depth: int) -> bytes:
        """A function of the project is described; any other is a name."""
        if is_project_file(fn.__code__.co_filename):
            return self.number(self.function, fn)
        return frame("library", str(fn.__module__).encode(), fn.__qualname__.encode(), *self.carried(fn))

    def carried(self, fn: types.FunctionType) -> Iterator[bytes]:
        """The project's code in a wrapper that a library made (``contextmanager``, ``singledispatch``, ...)."""
        for cell in fn.__closure__ or ():
            inside = getattr(cell, "cell_contents", None)
            held = inside.values() if isinstance(inside, (dict, types.MappingProxyType)) else (inside,)
            yield from (self.write(one) for one in held if callable(one))

    def function(self, fn: types.FunctionType) -> bytes:
        """All that a function of the project consists of."""
        defaults = self.write([fn.__defaults__, fn.__kwdefaults__])
        wrapped = fn.__dict__.get("__wrapped__")
        return frame(
            "function",
            text_of_function(fn.__code__),
            defaults,
            frame("wraps", self.write(wrapped)),
            frame("closure", *self.closure(fn)),
            frame("globals", *self.globals(fn)),
        )

    def closure(self, fn: types.FunctionType) -> Iterator[bytes]:
        """What the free variables hold."""
        for name, cell in zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True):
            if name == "__class__":  # super() and __class__ in a method: its class is known from elsewhere
                continue
            try:
                yield self.write(cell.cell_contents)
            except ValueError:  # a name that is bound later
                yield b"empty"

    def globals(self, fn: types.FunctionType) -> Iterator[bytes]:
        """Every global name with what it stands for, then the imports."""
        found = references(fn.__code__)
        for chain in found.globals:
            if chain[0] in found.assigned or (chain[0].startswith("__") and chain[0].endswith("__")):
                continue
            yield ".".join(chain).encode()
            yield self.resolved(fn.__globals__, chain)
        for one in found.imports:
            yield from self.imported(one, fn.__globals__, found.attributes)

    def resolved(self, names: dict[str, Any], chain: tuple[str, ...]) -> bytes:
        """What a dotted name stands for: followed through modules of the project, a name in any other."""
        value = self.looked_up(names, chain[0], vars(builtins).get(chain[0], MISSING))
        for position, name in enumerate(chain[1:], start=1):
            if not isinstance(value, types.ModuleType):
                break
            if not is_project_module(value.__name__):
                return frame("library", value.__name__.encode(), *(part.encode() for part in chain[position:]))
            value = self.looked_up(vars(value), name)
        return b"missing" if value is MISSING else self.write(value)

    def looked_up(self, names: dict[str, Any], name: str, default: Any = MISSING) -> Any:
        """The value of a name, which is noted, so that a later binding is seen."""
        value = names.get(name, MISSING)
        self.links.append((names, name, value))
        return default if value is MISSING else value

    def imported(self, one: Import, names: dict[str, Any], attributes: tuple[str, ...]) -> Iterator[bytes]:
        """An import inside the function. The module is imported, if it is the project's, as the function would."""
        try:
            package = names.get("__package__") or ""
            name = importlib.util.resolve_name("." * one.level + one.module, package) if one.level else one.module
            importable = importlib.util.find_spec(name.partition(".")[0]) is not None
            module = importlib.import_module(name) if importable and is_project_module(name) else None
        except Exception:  # noqa: BLE001 - whatever an import may raise
            self.unknown[f"{one.module} (imported inside a function, and cannot be imported)"] = None
            return
        yield frame("import", one.module.encode(), *(part.encode() for part in one.names))
        if module is not None:
            used = [part for part in (one.names or attributes) if part in vars(module)]
            yield from (self.resolved(vars(module), (part,)) for part in used)

    # ---- methods and classes

    def method(self, fn: types.FunctionType, owner: Any) -> bytes:
        """A method with the members of its object that it names."""
        found = references(fn.__code__)
        parts = [self.function_name(fn, 0)]
        dynamic = ("getattr",) in found.globals or "__dict__" in found.attributes
        for name in found.attributes:
            parts.extend(self.member(owner, name, inherits=("super",) in found.globals))
        return frame("method", *parts, *([self.class_name(type(owner)), self.whole(owner)] if dynamic else ()))

    def member(self, owner: Any, name: str, *, inherits: bool) -> Iterator[bytes]:
        """What the name after ``self.`` means for this object; all of its definitions where ``super`` is used."""
        state = getattr(owner, "__dict__", {})
        if name in state:
            yield frame(name, self.write(state[name], 1))
        for kind in owner.__mro__ if isinstance(owner, type) else type(owner).__mro__:
            if name in vars(kind) and is_project_module(kind.__module__):
                yield frame(name, self.bound(vars(kind)[name], owner))
                if not inherits:
                    break

    def bound(self, value: Any, owner: Any) -> bytes:
        """A member of a class as its object sees it: functions go on with the same object."""
        value = value.__func__ if isinstance(value, (classmethod, staticmethod)) else value
        value = value.fget if isinstance(value, property) else value
        if isinstance(value, types.FunctionType):
            return self.number(self.method, value, owner)
        if isinstance(value, (types.MemberDescriptorType, types.GetSetDescriptorType)):
            return self.write(value.__get__(owner, type(owner)), 1)
        return self.write(value, 1)

    def whole(self, owner: Any) -> bytes:
        """The object with all of its state."""
        return self.write(owner, 1) if not isinstance(owner, type) else self.class_name(owner)

    def class_(self, kind: type) -> bytes:
        """A class of the project: its statement, its bases, and every member that the statement made."""
        filename = getattr(sys.modules.get(kind.__module__), "__file__", None) or ""
        text = text_of_class(kind, filename) or kind.__qualname__.encode()
        bases = [self.class_name(base) for base in kind.__bases__]
        return frame("class", text, *bases, *self.members(kind))

    def members(self, kind: type) -> Iterator[bytes]:
        """The members that the class statement made, by name."""
        yield self.write([getattr(kind, "__struct_defaults__", None)], 1)
        for name, value in sorted(vars(kind).items()):
            if _is_member(name, value):
                yield name.encode()
                yield self.write(value, 1)


def _is_member(name: str, value: Any) -> bool:
    """Leave out what Python, dataclasses, attrs and enum generate: it follows from the statement."""
    if isinstance(value, (types.MemberDescriptorType, types.GetSetDescriptorType)):
        return False
    code = getattr(getattr(value, "__func__", value), "__code__", None)
    if code is not None:
        return not code.co_filename.startswith(("<string>", "<attrs "))
    return not (name.startswith("_") and name.endswith("_"))


def _method(to: Graph, value: Any, depth: int) -> bytes:
    inner = value.__func__
    if isinstance(inner, types.FunctionType) and is_project_file(inner.__code__.co_filename):
        return to.number(to.method, inner, value.__self__)
    return frame("bound", to.write(inner, depth), to.write(value.__self__, depth))


def _partial(to: Graph, value: Any, depth: int) -> bytes:
    return frame("partial", to.write([value.func, value.args, value.keywords], depth))


def _descriptor(to: Graph, value: Any, depth: int) -> bytes:
    names = ("__func__", "fget", "fset", "fdel", "func")
    parts = [getattr(value, name, None) for name in names]
    return frame(type(value).__name__, to.write(parts, depth))


def _builtin(to: Graph, value: Any, depth: int) -> bytes:
    owner = getattr(value, "__self__", None)
    name = value.__qualname__.encode()
    if owner is None or isinstance(owner, types.ModuleType):
        module = str(getattr(owner, "__name__", None) or getattr(value, "__module__", None) or "builtins")
        if is_project_module(module):
            to.unknown[f"{module}.{value.__qualname__} (a function written in C)"] = None
        return frame("library", module.encode(), name)
    return frame("builtin", to.write(owner, depth), name)


def _slot(to: Graph, value: Any, depth: int) -> bytes:
    return frame("library", to.class_name(value.__objclass__), value.__name__.encode())


def _module(to: Graph, value: Any, depth: int) -> bytes:
    if is_project_module(value.__name__):
        to.unknown[f"{value.__name__} (a module used as a value)"] = None
    return frame("module", value.__name__.encode())


def _generic(to: Graph, value: Any, depth: int) -> bytes:
    return frame("generic", to.write([value.__origin__, value.__args__], depth))


CODE: list[tuple[Any, Callable[[Graph, Any, int], bytes]]] = [
    (types.FunctionType, Graph.function_name),
    (types.MethodType, _method),
    ((functools.partial, functools.partialmethod), _partial),
    ((classmethod, staticmethod, property, functools.cached_property), _descriptor),
    ((types.BuiltinFunctionType, types.BuiltinMethodType), _builtin),
    ((types.MethodDescriptorType, types.WrapperDescriptorType, types.ClassMethodDescriptorType), _slot),
    (types.ModuleType, _module),
    (types.GenericAlias, _generic),
    (logging.Logger, lambda to, value, depth: b"logger"),
]

"""The text of a function's or class's code without what does not count: comments, layout, docstrings, type hints.

It is taken from the syntax tree, which is the same for every Python that we run on.
Before it is believed, the tree is compiled and compared with the code that actually runs, since a file may have
been edited after it was imported.
Code without source, or that fails that comparison, counts by its bytecode, which is stable within a Python minor
version only.
"""
# pyright: basic

from __future__ import annotations
import __future__

import ast
import linecache
import sys
from collections.abc import Iterator
from functools import lru_cache
from types import CodeType
from typing import Any

from pipeline.fingerprint.data import Canonical, frame

_FUTURES = 0
for _name in __future__.all_feature_names:
    _FUTURES |= getattr(__future__, _name).compiler_flag

_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


@lru_cache(maxsize=4096)
def text_of_function(code: CodeType) -> bytes:
    """What counts of a function's code, without its own name, decorators and the hints in its signature.

    >>> def one(x): return x + 1
    >>> def two(x):
    ...     '''Not the same text.'''
    ...     return (x + 1)  # but the same code
    >>> def three(x): return x + 2
    >>> text_of_function(one.__code__) == text_of_function(two.__code__)
    True
    >>> text_of_function(one.__code__) == text_of_function(three.__code__)
    False
    """
    node = _definition(code)
    return frame("bytecode", *_bytecode(code)) if node is None else frame("source", _function(node))


def text_of_class(kind: type, filename: str) -> bytes | None:
    """What counts of a class statement, decorators included, or None where there is no source."""
    tree = _parsed(filename)
    if tree is None or "<locals>" in kind.__qualname__:
        return None
    return _class_statement(tree, kind.__qualname__)


@lru_cache(maxsize=1024)
def _class_statement(tree: ast.Module, qualname: str) -> bytes | None:
    found = [_shown(node) for node in _classes(tree, qualname.split("."))]
    return frame("class", *found) if found else None


def _classes(scope: ast.AST, names: list[str]) -> Iterator[ast.ClassDef]:
    for node in ast.walk(scope):
        if isinstance(node, ast.ClassDef) and node.name == names[0]:
            if len(names) == 1:
                yield node
            else:
                yield from _classes(node, names[1:])


_trees: dict[str, tuple[list[str], ast.Module | None]] = {}
"""By file name: the lines that linecache held, and their tree. Whole entries are replaced, so it needs no lock."""


def _parsed(filename: str) -> ast.Module | None:
    linecache.checkcache(filename)  # the file may have been edited, and its module loaded again
    lines = linecache.getlines(filename)
    known = _trees.get(filename)
    if known is None or known[0] is not lines:
        known = _trees[filename] = (lines, _tree(lines))
    return known[1]


def _tree(lines: list[str]) -> ast.Module | None:
    try:
        return ast.parse("".join(lines)) if lines else None
    except (SyntaxError, ValueError, RecursionError):
        return None


def _definition(code: CodeType) -> _Definition | None:
    """The definition that compiles to just this code."""
    tree = _parsed(code.co_filename)
    if tree is None:
        return None
    for statement in tree.body:
        if _first_line(statement) <= code.co_firstlineno <= (statement.end_lineno or 0):
            if _instructions(code) not in _compiled(tree, statement, code.co_filename, code.co_flags & _FUTURES):
                return None
            found = [node for node in ast.walk(statement) if isinstance(node, _Definition) and _is_of(node, code)]
            return found[0] if found else None
    return None


@lru_cache(maxsize=256)
def _compiled(tree: ast.Module, statement: ast.stmt, filename: str, flags: int) -> frozenset[bytes]:
    # Since 3.12 a call of module.name compiles in its own way, if the compiler sees the import.
    imports = [one for one in tree.body if isinstance(one, (ast.Import, ast.ImportFrom)) and one is not statement]
    module = ast.Module([*imports, statement], type_ignores=[])
    try:
        compiled = compile(module, filename, "exec", flags, dont_inherit=True)
        return frozenset(map(_instructions, _codes(compiled)))
    except (SyntaxError, ValueError, RecursionError):
        return frozenset()


def _instructions(code: CodeType) -> bytes:
    """Name, place and instructions; not equality of code objects, which also compares column numbers."""
    return frame("", code.co_name.encode(), b"%d" % code.co_firstlineno, *_bytecode(code))


def _codes(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes(constant)


def _is_of(node: _Definition, code: CodeType) -> bool:
    if _first_line(node) != code.co_firstlineno:
        return False
    if not isinstance(node, ast.Lambda):
        return node.name == code.co_name
    # Several lambdas may begin on one line: the right one is where its instructions come from.
    body = node.body
    place = (body.lineno, body.end_lineno, body.col_offset, body.end_col_offset)
    return code.co_name == "<lambda>" and place in set(code.co_positions())


def _first_line(node: Any) -> int:
    first: int = min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", ()))])
    return first


def _function(node: _Definition) -> bytes:
    body = node.body if isinstance(node.body, list) else [node.body]
    kind = "async" if isinstance(node, ast.AsyncFunctionDef) else "def"
    return frame(kind, _shown(node.args), *map(_shown, _without_docstring(body)))


def _shown(node: Any) -> bytes:
    """A syntax tree as bytes that are the same in every Python version: empty fields are left out."""
    if isinstance(node, ast.AST):
        return frame(type(node).__name__, *_fields(node))
    if isinstance(node, list):
        return frame("", *map(_shown, node))
    return Canonical().write(node) if node is not Ellipsis else b"..."


def _fields(node: ast.AST) -> Iterator[bytes]:
    skipped = _NOT_CODE | _HINTS if isinstance(node, _HINTED) else _NOT_CODE
    for name, value in ast.iter_fields(node):
        if name in skipped or value is None or value == []:
            continue
        yield name.encode()
        yield _shown(_without_docstring(value) if name == "body" and isinstance(value, list) else value)
    if isinstance(node, ast.ClassDef):  # the hints of a class are its fields
        yield from (_shown(part.annotation) for part in node.body if isinstance(part, ast.AnnAssign))
    if isinstance(node, ast.Constant):
        yield _shown(node.value) if node.value is None else b""


_NOT_CODE = frozenset({"ctx", "kind", "type_comment", "type_params", "type_ignores"})
_HINTS = frozenset({"annotation", "returns", "simple"})
_HINTED = (ast.arg, ast.FunctionDef, ast.AsyncFunctionDef, ast.AnnAssign)


def _without_docstring(body: list[Any]) -> list[Any]:
    first = body[0] if body else None
    is_text = (
        isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    )
    return body[1:] if is_text else body


def _bytecode(code: CodeType) -> Iterator[bytes]:
    yield repr((sys.version_info[:2], code.co_flags, code.co_argcount, code.co_kwonlyargcount)).encode()
    yield code.co_code
    yield Canonical().write([code.co_names, code.co_varnames, code.co_freevars])
    # The first constant of a function is its docstring.
    constants = code.co_consts[1:] if not code.co_name.startswith("<") else code.co_consts
    for constant in constants:
        yield frame("code", *_bytecode(constant)) if isinstance(constant, CodeType) else _shown(constant)

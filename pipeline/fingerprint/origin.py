"""Whose code something is: the user's project, or a library that is identified by name alone."""

from __future__ import annotations

import sys
import sysconfig
from functools import lru_cache
from os import sep
from pathlib import Path

_INSTALLED = (f"{sep}site-packages{sep}", f"{sep}dist-packages{sep}")
_STANDARD = tuple({sysconfig.get_path(name) + sep for name in ("stdlib", "platstdlib")})
_OWN = str(Path(__file__).resolve().parent.parent) + sep
_OWN_MODULES = ("pipeline", "runners")


@lru_cache(maxsize=4096)
def is_project_file(filename: str) -> bool:
    """Whether code in this file belongs to the project: not the standard library, not installed, not ours.

    Code without a file (typed at a prompt, made by ``exec``) belongs to the project too.

    >>> import json
    >>> is_project_file(json.__file__), is_project_file("/srv/app/steps.py"), is_project_file("<stdin>")
    (False, True, True)
    """
    if filename.startswith("<"):
        return not filename.startswith("<frozen ")
    if any(part in filename for part in _INSTALLED):
        return False
    return not filename.startswith((*_STANDARD, _OWN))


def is_project_module(name: str) -> bool:
    """Whether a module, by its name, belongs to the project.

    >>> is_project_module("json.decoder"), is_project_module("builtins"), is_project_module("my_steps")
    (False, False, True)
    """
    top = name.partition(".")[0]
    module = sys.modules.get(name) or sys.modules.get(top)
    filename = getattr(module, "__file__", None)
    if filename is not None:
        return top not in _OWN_MODULES and is_project_file(filename)
    return top not in sys.stdlib_module_names and top not in sys.builtin_module_names

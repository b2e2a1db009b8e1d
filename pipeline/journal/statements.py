"""The SQL beside the code: statements by name, and the steps of a schema by version."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
_NAMED = re.compile(r"^-- (\w+)\n((?:(?!-- ).+\n?)+)", re.MULTILINE)


@cache
def statements(
    *, prefix: str = "", now: str = "0", parameter: str = "?", lock: str = "", share: str = ""
) -> Mapping[str, str]:
    """The statements of ``queries.sql`` in a database's own words.

    >>> statements(prefix="our_", parameter="%s")["owner"]
    'SELECT owner_run, owner, heartbeat, 0 FROM our_batches WHERE batch = %s'
    """
    text = (HERE / "queries.sql").read_text(encoding="utf-8")
    found = {name: " ".join(sql.split()).rstrip(";") for name, sql in _NAMED.findall(text)}
    words = {"{prefix}": prefix, "{now}": now, "{lock}": lock, "{share}": share, "?": parameter}
    return {name: _in_words(sql, words).strip() for name, sql in found.items()}


def _in_words(sql: str, words: Mapping[str, str]) -> str:
    for placeholder, word in words.items():
        sql = sql.replace(placeholder, word)
    return sql


@cache
def schema(folder: str) -> tuple[tuple[str, ...], ...]:
    """The statements that lift a schema by one version each; the first make it."""
    files = sorted((HERE / folder).glob("*.sql"), key=lambda file: int(file.stem))
    return tuple(_statements_of(file.read_text(encoding="utf-8")) for file in files)


def _statements_of(text: str) -> tuple[str, ...]:
    lines = [line for line in text.splitlines() if not line.startswith("--")]
    return tuple(part.strip() for part in "\n".join(lines).split(";") if part.strip())

"""Text that others chose, as messages and tables show it: bounded, on one line, and nothing that a terminal obeys."""

from __future__ import annotations

LIMIT = 200
"""Characters of a name that a message repeats."""


def quoted(name: object, limit: int = LIMIT) -> str:
    """A name in quotes, or its beginning and its length. Never raises, whatever a value does in its ``__repr__``.

    >>> quoted("doc_1"), quoted("doc_1", limit=3)
    ("'doc_1'", "'do... (5 characters)")
    """
    try:
        text = repr(name)
    except Exception as broken:  # noqa: BLE001 - what cannot say what it is must not hide what is wrong with it
        return f"<{type(name).__name__} without a text: its __repr__ raised {type(broken).__name__}>"
    length = len(name) if isinstance(name, str) else len(text)
    return text if len(text) <= limit else f"{text[:limit]}... ({length} characters)"


def printable(text: str) -> str:
    r"""The text with escapes in the place of line ends, control characters and lone surrogates.

    >>> printable("crème brûlée"), printable("a\nb\x1b[2J")
    ('crème brûlée', 'a\\nb\\x1b[2J')
    """
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)

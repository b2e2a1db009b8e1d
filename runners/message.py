"""The text of an exception, whatever that does when it is asked. Imports nothing, so that a worker is up quickly."""

from __future__ import annotations

MAX_MESSAGE = 10_000
"""Characters of an exception's text that are kept."""


def message_of(error: BaseException) -> str:
    """Return the text of ``error``, bounded, or why there is none: an exception's own ``__str__`` may fail.

    >>> message_of(ValueError("no such page"))
    'no such page'
    >>> class Mute(Exception):
    ...     def __str__(self): raise SystemExit(3)
    >>> message_of(Mute())
    '<no message: Mute.__str__ raised SystemExit>'
    """
    try:
        return bounded(str.__str__(str(error)))  # exactly a text, where a subclass of it may not cross to a process
    except BaseException as broken:  # it is a user's code as well
        if getattr(broken, "ends_worker", False):  # the time of this input is up
            raise
        return f"<no message: {type(error).__name__}.__str__ raised {type(broken).__name__}>"


def bounded(message: str) -> str:
    """At most the first 10,000 characters, and how many there were."""
    if len(message) <= MAX_MESSAGE:
        return message
    return f"{message[:MAX_MESSAGE]}... (cut; {len(message):,} characters in all)"

"""What a policy is: data, with the unit of every field."""

from __future__ import annotations

import msgspec


class Policies(msgspec.Struct, frozen=True, kw_only=True):
    """The policies of one step; ``None`` costs nothing.

    ``timeout_s`` is how long one call may take, in seconds; it needs a runner that can end a hung call.
    """

    timeout_s: float | None = None

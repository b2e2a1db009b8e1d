"""What stands around one step's call."""

from __future__ import annotations

from typing import Any

import msgspec

from pipeline.policies.matching import check, is_number
from pipeline.policies.retry import Retry


class Policies(msgspec.Struct, frozen=True, kw_only=True):
    """The policies of one step; ``None`` costs nothing.

    ``timeout_s`` is how long one call may take, in seconds.
    """

    retry: Retry | None = None
    timeout_s: float | None = None

    @property
    def guarded(self) -> bool:
        """Whether a call under these policies may have to wait, or to be made again."""
        return self.retry is not None or self.timeout_s is not None

    def __post_init__(self) -> None:
        limit: Any = self.timeout_s
        check("a step", "timeout", limit, limit is None or (is_number(limit) and limit > 0), "seconds, more than 0")

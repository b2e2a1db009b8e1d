"""What stands around one step's call."""

from __future__ import annotations

import msgspec

from pipeline.policies.retry import Retry


class Policies(msgspec.Struct, frozen=True, kw_only=True):
    """The policies of one step; ``None`` costs nothing.

    ``timeout_s`` is how long one call may take, in seconds; it needs a runner that can end a hung call.
    """

    retry: Retry | None = None
    timeout_s: float | None = None

    @property
    def guarded(self) -> bool:
        """Whether a call under these policies may have to wait, or to be made again."""
        return self.retry is not None

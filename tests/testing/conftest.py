"""What a planted defect changes in this process does not reach the tests that follow."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import localcontext

import pytest


@pytest.fixture(autouse=True)
def own_decimal_context() -> Iterator[None]:
    with localcontext():
        yield

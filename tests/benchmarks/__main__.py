"""Runs every benchmark: ``python -m tests.benchmarks``."""

from __future__ import annotations

from tests.benchmarks import loop, retry

if __name__ == "__main__":
    loop.main()
    retry.main()

"""A Dask cluster as a runner: of this machine or of many, started by you or by the runner."""

from __future__ import annotations

from runners.dask.runner import DaskRunner as DaskRunner

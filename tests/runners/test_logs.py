"""What runners log: how a worker ended, for who debugs a run, and nothing of what it worked on."""

from __future__ import annotations

import logging
import os
import signal

import pytest

from runners import ProcessRunner


def killed_at(secret: str) -> str:
    if secret == "secret-271828":
        os.kill(os.getpid(), signal.SIGKILL)
    return secret


def test_a_worker_that_dies_is_told_to_who_debugs_and_its_input_never(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "runners")

    results = dict(ProcessRunner(1).stream(killed_at, ["a", "secret-271828", "b"]))

    told = [record for record in caplog.records if record.name == "runners"]
    assert results[1].failure().kind == "crash"
    assert "SIGKILL" in told[0].getMessage()
    assert told[0].worker_pid > 0  # type: ignore[attr-defined]
    assert all(record.levelno == logging.DEBUG for record in told)
    assert "271828" not in caplog.text

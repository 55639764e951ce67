"""A program that waits for the lab ends with the lab's host."""

import time
from pathlib import Path

import pytest

from lab import watched
from lab.config import SUITES, LabConfig
from lab.errors import HostLostError

LIMIT = 60


@pytest.fixture
def config(tmp_path: Path) -> LabConfig:
    return LabConfig(SUITES["bookworm"], tmp_path)


def test_a_program_waits_for_no_host_that_has_ended(config: LabConfig) -> None:
    begun = time.monotonic()
    with pytest.raises(HostLostError, match="the emulated host has ended"):
        watched.run(config, ["sleep", str(2 * LIMIT)], limit=2 * LIMIT)
    assert time.monotonic() - begun < LIMIT


def test_a_program_that_ends_first_has_its_input_output_and_status(config: LabConfig) -> None:
    done = watched.run(config, ["sh", "-c", "cat; echo no >&2; exit 3"], limit=LIMIT, stdin=b"yes")
    assert (done.returncode, done.stdout, done.stderr) == (3, b"yes", b"no\n")


def test_all_input_is_sent_once_to_a_program_that_outlasts_several_checks(
    config: LabConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks: list[LabConfig] = []
    monkeypatch.setattr(watched, "check_host", checks.append)
    monkeypatch.setattr(watched, "INTERVAL", 0.05)
    sent = b"more than fits into a pipe" * 10_000
    done = watched.run(config, ["sh", "-c", "sleep 1; cat"], limit=LIMIT, stdin=sent)
    assert (done.returncode, done.stdout) == (0, sent)
    assert len(checks) > 1

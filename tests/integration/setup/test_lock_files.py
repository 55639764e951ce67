from __future__ import annotations

import re
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
LOCKS = sorted(ROOT.glob("requirements*.lock"))
PIN = re.compile(r"(?P<name>[a-z0-9-]+)==(?P<version>[^ ]+)( ; [^\\]+)? \\")
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}( \\)?")
COMMENT = re.compile(r" *#[^/:]*(\(pyproject\.toml(:[a-z-]+)?\))?")


def pins(lock: Path) -> dict[str, str]:
    found = (PIN.fullmatch(line) for line in lock.read_text().splitlines())
    return {pin["name"]: pin["version"] for pin in found if pin}


def normalized(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[<>=!~; ]", requirement)[0]).lower()


@pytest.fixture(scope="module")
def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_holds_pins_hashes_and_comments_and_no_addresses(lock: Path) -> None:
    lines = lock.read_text().splitlines()
    other = [line for line in lines if not any(kind.fullmatch(line) for kind in (PIN, HASH, COMMENT))]
    assert other == []


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_pin_has_a_hash(lock: Path) -> None:
    lines = [line for line in lock.read_text().splitlines() if not line.lstrip().startswith("#")]
    without = [pin for pin, after in pairwise([*lines, ""]) if PIN.fullmatch(pin) and not HASH.fullmatch(after)]
    assert without == []


def test_every_requirement_is_locked(pyproject: dict[str, Any]) -> None:
    groups = pyproject["dependency-groups"]
    wanted = {
        "requirements.lock": [*pyproject["project"]["dependencies"], *groups["build"]],
        "requirements-libvirt.lock": pyproject["project"]["optional-dependencies"]["libvirt"],
        "requirements-test.lock": groups["test"],
        "requirements-engines.lock": [name for name in groups["engines"] if isinstance(name, str)],
        "requirements-fuzz.lock": [*pyproject["project"]["dependencies"], *groups["fuzz"]],
    }
    missing = [
        (lock, name) for lock, names in wanted.items() for name in names if normalized(name) not in pins(ROOT / lock)
    ]
    assert missing == []


def test_the_locks_agree_with_each_other() -> None:
    """But for the engines': Salt pins what it likes, in an environment of its own."""
    versions: dict[str, set[str]] = {}
    for lock in (lock for lock in LOCKS if lock.name != "requirements-engines.lock"):
        for name, version in pins(lock).items():
            versions.setdefault(name, set()).add(version)
    assert {name: found for name, found in versions.items() if len(found) > 1} == {}

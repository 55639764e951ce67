from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SET_UP = """#!/bin/sh
echo "set up $*" >>calls
mkdir -p .venv/bin
cat >.venv/bin/pytest <<'PYTEST'
#!/bin/sh
printf '<%s>' "$@" >arguments
PYTEST
chmod +x .venv/bin/pytest
pwd -P >.venv/ready
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with a space in its path, whose setup only counts its calls."""
    folder = tmp_path / "a checkout"
    (folder / "tools").mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "requirements.lock", "requirements-libvirt.lock", "tools/packages.sh"):
        shutil.copyfile(ROOT / name, folder / name)
    script = folder / "tools" / "setup.sh"
    script.write_text(SET_UP)
    script.chmod(0o755)
    age(folder)
    return folder


def age(folder: Path) -> None:
    """Move every file an hour into the past, so that what is made next is newer."""
    past = time.time() - 3600
    for file in folder.rglob("*"):
        os.utime(file, (past, past))


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
    return subprocess.run(
        ["make", *arguments], cwd=folder, env=kept, capture_output=True, text=True, timeout=300, check=False
    )


def set_ups(folder: Path) -> int:
    return len((folder / "calls").read_text().splitlines())


def arguments(folder: Path, *words: str) -> str:
    answer = make(folder, "audit", *words)
    assert answer.returncode == 0, answer.stderr
    return (folder / "arguments").read_text()


def test_make_alone_lists_the_targets() -> None:
    answer = make(ROOT)
    assert answer.returncode == 0
    assert "  audit " in answer.stdout
    assert "  test " in answer.stdout


def test_an_audit_without_words_is_of_this_machine(checkout: Path) -> None:
    assert arguments(checkout) == "<--inventory=inventories/local.yaml>"


def test_hosts_reach_pytest_as_they_were_written(checkout: Path) -> None:
    (checkout / "kvm-71").touch()
    written = arguments(checkout, "HOSTS=kvm-7*,ssh://b", "INVENTORY=my fleet.yaml", "ARGS=--gate -k 'a or b'")
    assert written == "<--hosts=kvm-7*,ssh://b><--inventory=my fleet.yaml><--gate><-k><a or b>"


def test_nothing_is_set_up_twice(checkout: Path) -> None:
    make(checkout, "audit")
    make(checkout, "audit")
    assert set_ups(checkout) == 1


def test_another_lock_is_installed(checkout: Path) -> None:
    make(checkout, "audit")
    age(checkout)
    (checkout / "requirements.lock").touch()
    make(checkout, "audit")
    assert set_ups(checkout) == 2


def test_a_checkout_that_was_moved_is_set_up_again(checkout: Path) -> None:
    make(checkout, "audit")
    moved = checkout.rename(checkout.with_name("elsewhere"))
    make(moved, "audit")
    make(moved, "audit")
    assert set_ups(moved) == 2


def test_an_interrupted_set_up_is_not_taken_for_one(checkout: Path) -> None:
    (checkout / ".venv" / "bin").mkdir(parents=True)
    make(checkout, "audit")
    assert set_ups(checkout) == 1

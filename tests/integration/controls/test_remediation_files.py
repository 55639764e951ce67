"""The scripts and the playbook that a run leaves behind: whole, in the safe order, and harmless by themselves."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nested_kvm.reporting.remediation_files import PLAYBOOK
from tests.support.scenario_fleet import FleetRun

LIMIT = 120


@pytest.fixture
def remediation(fleet_run: FleetRun) -> Path:
    return fleet_run.reports / "latest" / "remediation"


def script(remediation: Path, scenario: str) -> str:
    return (remediation / f"{scenario}.sh").read_text()


def test_there_is_one_script_for_each_target_with_a_finding_and_no_other(
    fleet_run: FleetRun, remediation: Path
) -> None:
    failed = {result["target"] for result in fleet_run.all() if result["outcome"] == "fail"}
    assert {path.stem for path in remediation.glob("*.sh")} == failed
    assert "amd-passes" not in failed


@pytest.mark.needs("shellcheck")
def test_every_script_is_sound_shell(remediation: Path) -> None:
    files = sorted(map(str, remediation.glob("*.sh")))
    for file in files:
        subprocess.run(["sh", "-n", file], check=True, timeout=LIMIT)
    done = subprocess.run(
        ["shellcheck", "--shell=sh", *files], capture_output=True, text=True, timeout=LIMIT, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_the_playbook_is_one_that_ansible_takes(remediation: Path, tmp_path: Path) -> None:
    ansible = Path(sys.executable).parent / "ansible-playbook"
    done = subprocess.run(
        [ansible, "--syntax-check", "--inventory=localhost,", remediation / PLAYBOOK],
        env={**os.environ, "HOME": str(tmp_path), "ANSIBLE_HOME": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    text = (remediation / PLAYBOOK).read_text()
    assert "amd-nested-off: amd-nested-off.sh" in text
    assert "amd-firmware-disabled" not in text, "only people can mend that"


@pytest.mark.parametrize(
    ("scenario", "steps"),
    [
        ("amd-nested-off", ["/nested=1/g", "next_load_is kvm_amd 1", "unload kvm_amd", "grep -qx"]),
        ("amd-nested-y", ["sed -i.bak", "next_load_is kvm_amd 1"]),
        ("amd-forbidden-fails", ["options kvm_amd nested=0", "next_load_is kvm_amd 0", "unload kvm_amd"]),
        ("amd-recorded", ["--edit --cpu host-model,require=svm"]),
    ],
)
def test_a_script_changes_what_was_found_in_the_safe_order(remediation: Path, scenario: str, steps: list[str]) -> None:
    changes = script(remediation, scenario).partition("run this as root")[2]
    places = [changes.index(step) for step in steps]
    assert places == sorted(places)


def test_only_the_reload_of_a_module_waits_for_the_guests(remediation: Path) -> None:
    for file in remediation.glob("*.sh"):
        text = file.read_text()
        guard, reload = text.find("guests are running here"), text.find("\nunload ")
        assert (guard == -1) is (reload == -1), file.name
        assert guard <= reload, file.name
        assert not 0 < guard < text.find("> /etc/modprobe.d"), file.name


@pytest.mark.parametrize("scenario", ["amd-firmware-disabled", "amd-dead-wrong-suffix"])
def test_what_people_have_to_decide_is_said_and_not_done(remediation: Path, scenario: str) -> None:
    done = subprocess.run(["sh", remediation / f"{scenario}.sh"], capture_output=True, timeout=LIMIT, check=False)
    assert done.returncode == 1
    commands = [line for line in script(remediation, scenario).splitlines() if not line.startswith("#")]
    assert commands == ["echo 'these fixes need a decision: read this file' >&2", "exit 1"]
    assert ", to be fixed manually: " in script(remediation, scenario)


@pytest.mark.needs("setpriv")
def test_a_script_changes_nothing_for_another_user_than_root(remediation: Path) -> None:
    text = script(remediation, "amd-nested-off")
    command = ["setpriv", "--reuid=65534", "--clear-groups", "sh", "-s"] if os.geteuid() == 0 else ["sh", "-s"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert (done.returncode, done.stderr) == (1, "refused: run this as root\n")

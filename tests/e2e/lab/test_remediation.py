"""The round trip: what was found, the script that the run wrote for it, and what is found after the script ran."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import guest_facts
from lab.config import HOST
from lab.session import Session
from lab.shell import Answer
from tests.e2e.lab import audit

LIMIT = 600
LINE = "/etc/modprobe.d/kvm-nested.conf"
OWN_FILE = "/etc/modprobe.d/zz-nested-kvm.conf"


@pytest.fixture
def emptied_lab(lab: Session) -> Iterator[Session]:
    """No guest runs; afterwards everything is as `lab up` made it."""
    lab.host.stop_all()
    yield lab
    lab.host.stop_all()
    lab.host.shell.run(f"rm -f {OWN_FILE} {LINE}.bak; echo 'options kvm_amd nested=1' >{LINE}")
    lab.host.set_nested(on=True)
    lab.host.define_all()


def found(lab: Session, directory: Path) -> audit.Report:
    return audit.run(lab, directory, lab.host.running(), nested="required")


def mend(lab: Session, directory: Path) -> Answer:
    script = (directory / "latest/remediation" / f"{HOST}.sh").read_bytes()
    return lab.host.shell.ask("sh -s", limit=LIMIT, stdin=script)


def test_what_a_script_mends_passes_afterwards(emptied_lab: Session, tmp_path: Path) -> None:
    lab = emptied_lab
    lab.host.shell.run(f"echo 'options kvm_amd nested=0' >{LINE}")
    lab.host.set_nested(on=False)
    before = found(lab, tmp_path / "before")
    assert {before.outcome(control, HOST) for control in ("L0-KVM-04", "L0-PER-01")} == {"fail"}
    assert before.result("DOM-CPU-02", "host-model")["cause"] == "host-model-drops-svm"
    mended = mend(lab, tmp_path / "before")
    assert mended.status == 0, mended.err
    after = found(lab, tmp_path / "after")
    assert {after.outcome(control, HOST) for control in ("L0-KVM-04", "L0-PER-01", "L0-PER-02")} == {"pass"}
    assert after.outcome("DOM-CPU-02", "host-model") == "pass"
    assert after.outcome("DOM-CPU-02", "named-model") == "pass"
    for name in ("host-model", "named-model"):
        lab.start_guest(name, as_defined=True)
        assert guest_facts.read(lab.host.guest(name)).flag


def test_an_invalid_value_is_mended_before_it_can_fail_a_load(emptied_lab: Session, tmp_path: Path) -> None:
    lab = emptied_lab
    lab.host.shell.run(f"echo 'options kvm_amd nested=y' >{LINE}")
    before = found(lab, tmp_path / "before")
    assert before.result("L0-PER-01", HOST)["cause"] == "persisted-value-invalid"
    mended = mend(lab, tmp_path / "before")
    assert mended.status == 0, mended.err
    assert found(lab, tmp_path / "after").outcome("L0-PER-01", HOST) == "pass"
    lab.host.shell.run("modprobe -r kvm_amd && modprobe kvm_amd")
    assert lab.host.nested()


def test_nothing_is_changed_while_a_guest_runs(emptied_lab: Session, tmp_path: Path) -> None:
    lab = emptied_lab
    lab.host.shell.run(f"echo 'options kvm_amd nested=0' >{LINE}")
    lab.start_guest("passthrough")
    found(lab, tmp_path / "before")
    refused = mend(lab, tmp_path / "before")
    assert (refused.status, refused.err.strip()) == (
        1,
        "refused: 1 virtual machines run here: shut them down first (virsh list --name)",
    )
    assert lab.host.shell.run(f"cat {LINE}; ls {OWN_FILE} 2>/dev/null || true").strip() == "options kvm_amd nested=0"

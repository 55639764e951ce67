"""Findings, the remediation script written for them, and the findings after it ran."""

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
PROBED = r"""
nohup timeout 20 qemu-system-x86_64 -S -no-user-config -nodefaults -nographic -machine none,accel=kvm \
    </dev/null >/dev/null 2>&1 &
timeout 20 sh -c "until ls -l /proc/[0-9]*/fd 2>/dev/null | grep -q 'anon_inode:kvm-vm$'; do sleep 1; done"
"""
"""What libvirt runs for some seconds to ask a QEMU what it can do: a VM without vCPUs."""


@pytest.fixture
def emptied_lab(lab: Session) -> Iterator[Session]:
    """The lab with every guest stopped; afterwards its files and definitions are restored."""
    lab.host.stop_all()
    yield lab
    lab.host.stop_all()
    lab.host.shell.run(f"rm -f {OWN_FILE} {LINE}.bak; echo 'options kvm_amd nested=1' >{LINE}")
    lab.host.set_nested(on=True)
    lab.host.define_all()


def audited(lab: Session, directory: Path) -> audit.Report:
    return audit.run(lab, directory, lab.host.running(), nested="required")


def remediate(lab: Session, directory: Path) -> Answer:
    script = (directory / "latest/remediation" / f"{HOST}.sh").read_bytes()
    return lab.host.shell.ask("sh -s", limit=LIMIT, stdin=script)


def test_what_a_script_fixes_passes_afterwards(emptied_lab: Session, tmp_path: Path) -> None:
    lab = emptied_lab
    lab.host.shell.run(f"echo 'options kvm_amd nested=0' >{LINE}")
    lab.host.set_nested(on=False)
    before = audited(lab, tmp_path / "before")
    assert {before.outcome(control, HOST) for control in ("L0-KVM-04", "L0-PER-01")} == {"fail"}
    assert before.result("DOM-CPU-02", "host-model")["cause"] == "host-model-drops-svm"
    lab.host.shell.run(PROBED)
    fixed = remediate(lab, tmp_path / "before")
    assert fixed.status == 0, fixed.err
    after = audited(lab, tmp_path / "after")
    assert {after.outcome(control, HOST) for control in ("L0-KVM-04", "L0-PER-01", "L0-PER-02")} == {"pass"}
    assert after.outcome("DOM-CPU-02", "host-model") == "pass"
    assert after.outcome("DOM-CPU-02", "named-model") == "pass"
    for name in ("host-model", "named-model"):
        lab.start_guest(name, as_defined=True)
        assert guest_facts.read(lab.host.guest(name)).flag


def test_an_invalid_value_is_fixed_before_it_can_fail_a_load(emptied_lab: Session, tmp_path: Path) -> None:
    lab = emptied_lab
    lab.host.shell.run(f"echo 'options kvm_amd nested=y' >{LINE}")
    before = audited(lab, tmp_path / "before")
    assert before.result("L0-PER-01", HOST)["cause"] == "persisted-value-invalid"
    fixed = remediate(lab, tmp_path / "before")
    assert fixed.status == 0, fixed.err
    assert audited(lab, tmp_path / "after").outcome("L0-PER-01", HOST) == "pass"
    lab.host.reload()
    assert lab.host.nested()


def test_the_module_is_not_reloaded_while_a_guest_runs(emptied_lab: Session, tmp_path: Path) -> None:
    """A line in modprobe.d can be corrected all the same: it takes effect at the next load."""
    lab = emptied_lab
    lab.host.shell.run(f"echo 'options kvm_amd nested=0' >{LINE}")
    lab.start_guest("passthrough")
    audited(lab, tmp_path / "before")
    refused = remediate(lab, tmp_path / "before")
    assert refused.status == 1
    assert "refused: guests are running here" in refused.err
    assert lab.host.shell.run(f"cat {LINE}").strip() == "options kvm_amd nested=1"
    assert lab.host.running() == ["passthrough"]

"""Hosts that have to be booted to be seen: an unfixed kernel with the fixed one installed, and kernel arguments."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from lab.config import HOST
from lab.session import Session
from tests.e2e.lab import audit

ARGUMENTS = "kvm_intel.nested=0 kvm_amd.nested=0"
"""As Talos' machine configuration and OpenShift's MachineConfig give them."""


@contextmanager
def booted(lab: Session, **changes: Any) -> Iterator[Session]:
    """The lab's host, booted otherwise and without guests; afterwards the lab is as it was."""
    lab.down()
    other = Session(replace(lab.config, **changes))
    try:
        other.up(guests=())
        yield other
    finally:
        other.down()
        lab.up()


def exposure(report: audit.Report) -> dict[str, Any]:
    found: list[dict[str, Any]] = [each for each in report.data["exposures"] if each["target"] == HOST]
    assert len(found) == 1
    return found[0]


def states(report: audit.Report) -> dict[str, str]:
    return {each["id"]: each["is_fixed"] for each in exposure(report)["cves"]}


def test_an_old_kernel_is_exposed_until_the_installed_one_is_booted(lab: Session, tmp_path: Path) -> None:
    with booted(lab, kernel="oldest") as old:
        running = old.host.shell.run("uname -r").strip()
        installed = set(old.host.shell.run("ls /lib/modules").split())
        assert {running} < installed, "a newer kernel is installed beside it"
        assert old.host.nested()
        guarded = audit.run(old, tmp_path / "old", [], nested="guarded")
        required = audit.judge(old, guarded, nested="required")
    assert guarded.outcome("L0-SEC-03", HOST) == required.outcome("L0-SEC-03", HOST) == "fail"
    assert guarded.outcome("L0-KVM-04", HOST) == "fail", "nesting is on where the kernel is not fixed"
    assert exposure(guarded)["state"] == "exposed"
    assert guarded.result("L0-SEC-03", HOST)["cause"] == "fixed-kernel-not-booted"
    assert running in exposure(guarded)["kernel"]

    new = audit.run(lab, tmp_path / "new", [], nested="guarded")
    assert lab.host.shell.run("uname -r").strip() in installed - {running}
    assert new.outcome("L0-SEC-03", HOST) == "pass"
    assert new.outcome("L0-KVM-04", HOST) == "pass"
    assert exposure(new)["state"] == "fixed"
    assert set(states(new).values()) == {"yes"}
    assert {"CVE-2026-53359", "CVE-2026-64561"} <= {name for name, state in states(guarded).items() if state == "no"}


def test_kernel_arguments_forbid_nesting_from_the_boot_on(lab: Session, tmp_path: Path) -> None:
    with booted(lab, arguments=ARGUMENTS) as forbidding:
        assert ARGUMENTS in forbidding.host.shell.run("cat /proc/cmdline")
        assert "nested=1" in forbidding.host.shell.run("cat /etc/modprobe.d/kvm-nested.conf"), "which loses"
        assert not forbidding.host.nested()
        forbidden = audit.run(forbidding, tmp_path / "forbidden", [], nested="forbidden")
        guarded = audit.judge(forbidding, forbidden, nested="guarded")
        required = audit.judge(forbidding, forbidden, nested="required")
    assert {control: forbidden.outcome(control, HOST) for control in ("L0-KVM-04", "L0-PER-01", "L0-SEC-03")} == {
        "L0-KVM-04": "pass",
        "L0-PER-01": "pass",
        "L0-SEC-03": "pass",
    }
    assert "kvm_amd.nested=0" in str(forbidden.result("L0-PER-01", HOST)["evidence"]), "the line that proves it"
    assert guarded.outcome("L0-SEC-03", HOST) == "pass"
    assert required.outcome("L0-KVM-04", HOST) == "fail"

"""Every scenario: first the lab is shown to be in that state, then the audit must report it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lab import guest_facts, scenario
from lab.config import HOST
from lab.errors import LabError
from lab.guests import named
from lab.host import UNLOAD
from lab.session import Session
from tests.e2e.lab import audit

RUNNING = ("passthrough", "changed")
WITHOUT_SVM = "host-model"
CAN_NEST = ("yes", None, None)
NOT_SWITCHED_ON = ("no", "l0-nested", "nested-off")
WAITS_FOR_POWER_CYCLE = ("no", "domain-running", "power-cycle-pending")
TO_COME: frozenset[str] = frozenset()
"""Controls that do not exist yet. A test fails as soon as one does: then remove its name here."""
NEXT_LOAD = "modprobe --show-depends kvm_amd | tail -1 | grep -o 'nested=[^ ]*' | tail -1 || true"


@dataclass(frozen=True)
class Auditor:
    """The lab, and a directory for its reports."""

    lab: Session
    directory: Path

    def report(self, *, nested: str = "required", persistence: str = "effective") -> audit.Report:
        running = self.lab.host.running()
        number = len(list(self.directory.iterdir()))
        return audit.run(self.lab, self.directory / str(number), running, nested=nested, persistence=persistence)

    def reports(self) -> tuple[audit.Report, audit.Report]:
        """What one audit found, under `required` and under `forbidden`."""
        required = self.report()
        return required, self.judge(required, nested="forbidden")

    def judge(self, report: audit.Report, *, nested: str) -> audit.Report:
        return audit.judge(self.lab, report, nested=nested)

    def reports_before_maintenance(self) -> tuple[audit.Report, audit.Report]:
        running, arguments = self.lab.host.running(), ["-m", "maintenance"]
        required = audit.run(self.lab, self.directory / "maintenance", running, nested="required", arguments=arguments)
        return required, audit.judge(self.lab, required, nested="forbidden", arguments=arguments)

    def report_with_l2(self) -> audit.Report:
        return audit.run(
            self.lab, self.directory / "active", self.lab.host.running(), nested="required", arguments=["--active"]
        )

    def ask(self, script: str) -> str:
        return self.lab.host.shell.run(script).strip()

    @contextmanager
    def entered(self, name: str) -> Iterator[None]:
        scenario.play(self.lab, name)
        try:
            yield
        finally:
            scenario.play(self.lab, name, undo=True)


@pytest.fixture(scope="module")
def nested_lab(lab: Session) -> Session:
    lab.reset()
    return lab


@pytest.fixture
def auditor(nested_lab: Session, tmp_path: Path) -> Auditor:
    nested_lab.restore(list(RUNNING))
    return Auditor(nested_lab, tmp_path)


@pytest.fixture
def auditor_without_guests(nested_lab: Session, tmp_path: Path) -> Auditor:
    nested_lab.host.stop_all()
    return Auditor(nested_lab, tmp_path)


def expect(report: audit.Report, subject: str, **expected: str) -> None:
    """Compare outcomes by control, written with `_` for `-`; controls in TO_COME must not exist yet."""
    wanted = {name.replace("_", "-"): word for name, word in expected.items()}
    assert not TO_COME & report.controls, "these exist now: remove them from TO_COME"
    judged = {control: word for control, word in wanted.items() if control not in TO_COME}
    assert {control: report.outcome(control, subject) for control in judged} == judged


def expect_diagnoses(*reports: audit.Report, **expected: tuple[str, str | None, str | None]) -> None:
    """Compare whether guests can nest, the broken link and the cause, which do not depend on the policy."""
    for report in reports:
        assert {name: report.diagnosis(name) for name in expected} == expected


def guests_of(report: audit.Report) -> set[str]:
    """All guests of the lab's host: where nesting is required, each of them must nest."""
    return {each["name"] for each in report.data["targets"] if each["host"] == HOST}


def consequences(problem: dict[str, Any]) -> set[tuple[str, str]]:
    """Target and control of each finding that follows from a problem's cause."""
    return {(each["target"], each["control"]) for each in problem["consequences"]}


def test_an_l2_started_by_the_audit_answers_and_leaves_nothing(auditor: Auditor) -> None:
    auditor.lab.restore([WITHOUT_SVM])
    guest = auditor.lab.host.guest("passthrough")
    files = "find /run /tmp /var/tmp /dev/shm /root -xdev 2>/dev/null | sort"
    before = guest.run(files)
    try:
        report = auditor.report_with_l2()
    finally:
        auditor.lab.host.stop(named(WITHOUT_SVM))
    expect(report, "passthrough", L1_NST_01="pass")
    expect(report, WITHOUT_SVM, L1_NST_01="fail", L1_CPU_01="fail")
    assert "/dev/kvm" in report.result("L1-NST-01", WITHOUT_SVM)["message"]
    diagnoses = {each["target"]: each for each in report.data["diagnoses"]}
    assert diagnoses["passthrough"]["can_nest"] == "yes"
    assert diagnoses["passthrough"]["links"][-1] == {"link": "l2-boot", "state": "holds", "text": ""}
    assert diagnoses[WITHOUT_SVM]["broken_link"] == "domain-definition"
    assert guest.run(files) == before
    assert guest.run("pgrep -c 'qemu-system|python3' || true").strip() == "0"


def test_the_lab_at_rest_is_compliant_but_for_what_it_shows(auditor: Auditor) -> None:
    report = auditor.report(persistence="explicit")
    expect(report, HOST, L0_KVM_04="pass", L0_PER_01="pass", L0_PER_02="pass", L0_PER_03="pass")
    expect(report, "passthrough", L1_CPU_01="pass", L1_KVM_01="pass", DOM_CPU_02="pass", DOM_CPU_03="pass")
    expect(report, "changed", L1_CPU_01="fail", L1_KVM_01="fail", DOM_CPU_02="pass", DOM_CPU_03="fail")
    assert report.result("DOM-CPU-03", "changed")["cause"] == "power-cycle-pending"
    expect_diagnoses(report, passthrough=CAN_NEST, changed=WAITS_FOR_POWER_CYCLE)


def test_nested_y_persisted(auditor: Auditor) -> None:
    with auditor.entered("nested-y-persisted"):
        assert auditor.ask(NEXT_LOAD) == "nested=y"
        assert auditor.lab.host.nested()
        required, forbidden = auditor.reports()
    expect(required, HOST, L0_KVM_04="pass", L0_PER_01="fail")
    expect(forbidden, HOST, L0_KVM_04="fail", L0_PER_01="fail")
    assert required.result("L0-PER-01", HOST)["cause"] == "persisted-value-invalid"
    expect_diagnoses(required, forbidden, passthrough=CAN_NEST, changed=WAITS_FOR_POWER_CYCLE)
    problem = required.problem("persisted-value-invalid")
    assert problem["boot_makes_worse"]
    assert (problem["holds_back_now"], set(problem["holds_back_after_boot"])) == ([], guests_of(required))
    assert required.answer(HOST) == ("yes", "no")
    assert required.answer("passthrough") == ("yes", "no")


def test_masked_file(auditor: Auditor) -> None:
    with auditor.entered("masked-file"):
        assert auditor.ask(NEXT_LOAD) == ""
        required = auditor.report(persistence="explicit")
        effective, forbidden = auditor.reports()
    expect(required, HOST, L0_PER_01="pass", L0_PER_03="fail", L0_PER_04="fail")
    expect(effective, HOST, L0_PER_01="pass", L0_PER_02="pass", L0_PER_03="notapplicable")
    expect(forbidden, HOST, L0_PER_01="fail")
    assert required.result("L0-PER-03", HOST)["cause"] == "not-explicit"
    expect_diagnoses(required, effective, forbidden, passthrough=CAN_NEST, changed=WAITS_FOR_POWER_CYCLE)


def test_pending_reload_held_by_guest(auditor: Auditor) -> None:
    with auditor.entered("pending-reload-held-by-guest"):
        assert auditor.ask(NEXT_LOAD) == "nested=0"
        assert auditor.lab.host.nested()
        assert "in use" in auditor.lab.host.shell.ask("modprobe -r kvm_amd").err
        required, forbidden = auditor.reports()
    expect(required, HOST, L0_KVM_04="pass", L0_PER_01="fail", L0_PER_02="fail")
    expect(forbidden, HOST, L0_KVM_04="fail", L0_PER_01="pass", L0_PER_02="fail")
    assert required.result("L0-PER-01", HOST)["cause"] == "persisted-off"
    pending = required.result("L0-PER-02", HOST)
    assert pending["cause"] == "reload-pending"
    assert "passthrough" in str(pending), "the guest that uses the module is not named"
    expect_diagnoses(required, forbidden, passthrough=CAN_NEST, changed=WAITS_FOR_POWER_CYCLE)


def test_managed_save_with_old_cpu(auditor: Auditor) -> None:
    with auditor.entered("managed-save-with-old-cpu"):
        saved = auditor.ask("virsh managedsave-dumpxml changed")
        assert re.search(r"<model [^>]*>kvm64(-v\d+)?</model>", saved), saved
        required, forbidden = auditor.reports()
        expect(required, "changed", DOM_CPU_02="pass", DOM_CPU_04="fail")
        expect_diagnoses(required, forbidden, passthrough=CAN_NEST, changed=("unknown", None, None))
    assert auditor.ask("virsh -q domstate changed") == "running"
    assert not guest_facts.read(auditor.lab.host.guest("changed")).flag, (
        "a restored guest has the CPU it was saved with"
    )


def on_shutdown(auditor: Auditor) -> str:
    """The setting of libvirt-guests: its script's default, overridden by /etc/default."""
    script = "sed -n '/^ON_SHUTDOWN=/p' /usr/lib/libvirt/libvirt-guests.sh /etc/default/libvirt-guests"
    return auditor.ask(f'eval "$({script})"; echo "$ON_SHUTDOWN"')


def test_libvirt_guests_default(auditor: Auditor) -> None:
    with auditor.entered("libvirt-guests-default"):
        assert auditor.ask("grep -c '^ON_SHUTDOWN' /etc/default/libvirt-guests || true") == "0"
        assert on_shutdown(auditor) == "shutdown", "Debian changed upstream's default"
        required, forbidden = auditor.reports()
    expect(required, HOST, L0_OPS_01="pass")
    expect(forbidden, HOST, L0_OPS_01="notapplicable")
    expect_diagnoses(required, forbidden, passthrough=CAN_NEST, changed=WAITS_FOR_POWER_CYCLE)


def test_libvirt_guests_suspend(auditor: Auditor) -> None:
    with auditor.entered("libvirt-guests-suspend"):
        assert on_shutdown(auditor) == "suspend"
        required, forbidden = auditor.reports()
    expect(required, HOST, L0_OPS_01="fail")
    expect(forbidden, HOST, L0_OPS_01="notapplicable")
    expect_diagnoses(required, forbidden, passthrough=CAN_NEST, changed=WAITS_FOR_POWER_CYCLE)


def test_l2_running(auditor: Auditor) -> None:
    guest, host = auditor.lab.host.guest("passthrough"), auditor.lab.host.shell
    held = "ls -l /proc/[0-9]*/fd 2>/dev/null | grep -c anon_inode:kvm-vm$ || true"
    assert guest.run(held).strip() == "0"
    with auditor.entered("l2-running"):
        assert guest.run(held).strip() == "1"
        before = guest_facts.nested_runs(host, "passthrough")
        required, forbidden = auditor.reports_before_maintenance()
        assert guest_facts.nested_runs(host, "passthrough") > before
        assert guest_facts.nested_runs(host, "changed") == 0
    for report in (required, forbidden):
        expect(report, "passthrough", DOM_OPS_01="fail", L1_OPS_01="fail")
        expect(report, "changed", DOM_OPS_01="pass", L1_OPS_01="pass")
        expect_diagnoses(report, passthrough=CAN_NEST, changed=WAITS_FOR_POWER_CYCLE)
    assert guest.run(f"sleep 1; {held}").strip() == "0"


def test_a_scenario_is_not_entered_twice(auditor: Auditor) -> None:
    with auditor.entered("masked-file"), pytest.raises(LabError, match="already active"):
        scenario.play(auditor.lab, "masked-file")


def test_a_reload_under_nested_y_leaves_no_kvm_at_all(auditor_without_guests: Auditor) -> None:
    auditor = auditor_without_guests
    with auditor.entered("nested-y-persisted"):
        answer = auditor.lab.host.shell.ask(f"module=kvm_amd\n{UNLOAD}\nunload; modprobe kvm_amd", limit=300)
        assert "Invalid argument" in answer.err
        assert auditor.ask("test -e /dev/kvm || echo none") == "none"
        report = auditor.report()
    auditor.ask("modprobe kvm_amd")
    expect(report, HOST, L0_KVM_01="fail", L0_KVM_03="fail", L0_PER_01="fail")
    lost = ("no", "l0-module", "module-load-failed")
    expect_diagnoses(report, passthrough=lost, changed=lost)
    problem = report.problem("persisted-value-invalid")
    assert consequences(problem) >= {(HOST, "L0-KVM-01"), (HOST, "L0-KVM-03")}
    assert set(problem["holds_back_now"]) == guests_of(report)
    assert report.answer(HOST) == ("no", "no")


def test_nested_off_by_reload(auditor_without_guests: Auditor) -> None:
    auditor = auditor_without_guests
    with auditor.entered("nested-off-by-reload"):
        auditor.lab.restore(list(RUNNING))
        assert not auditor.lab.host.nested()
        assert not guest_facts.read(auditor.lab.host.guest("passthrough")).flag
        required, forbidden = auditor.reports()
    expect(required, HOST, L0_KVM_04="fail", L0_PER_01="pass", L0_PER_02="fail")
    expect(forbidden, HOST, L0_KVM_04="pass", L0_PER_01="fail", L0_PER_02="fail")
    expect(required, "passthrough", L1_CPU_01="fail", L1_KVM_01="fail", DOM_CPU_02="pass")
    expect(forbidden, "passthrough", L1_CPU_01="pass", DOM_CPU_02="fail")
    assert required.result("L0-KVM-04", HOST)["cause"] == "nested-off"
    expect_diagnoses(required, forbidden, passthrough=NOT_SWITCHED_ON, changed=NOT_SWITCHED_ON)
    problem = required.problem("nested-off")
    assert set(problem["holds_back_now"]) == guests_of(required)
    assert consequences(problem) >= {(HOST, "L0-PER-02")} | {(guest, "L1-CPU-01") for guest in RUNNING}
    assert required.answer(HOST)[0] == "no"
    assert auditor.lab.host.nested()
    assert guest_facts.read(auditor.lab.host.guest("passthrough")).flag


@pytest.mark.parametrize(
    ("name", "running"),
    [
        ("forbidden-for-both-vendors", "pass"),
        ("forbidden-by-blocked-modules", "notapplicable"),
        ("forbidden-by-kernel-arguments", "pass"),
    ],
)
def test_what_forbids_nesting_in_the_field_passes_and_is_found_again_after_undo(
    auditor_without_guests: Auditor, name: str, running: str
) -> None:
    auditor = auditor_without_guests
    with auditor.entered(name):
        forbidden = auditor.report(nested="forbidden")
        guarded = auditor.judge(forbidden, nested="guarded")
    expect(forbidden, HOST, L0_KVM_04=running, L0_PER_01="pass", L0_SEC_02="pass", L0_SEC_03="pass")
    is_fixed = exposure_of(guarded)["state"] == "fixed"
    expect(guarded, HOST, L0_SEC_03="pass", **({} if is_fixed else {"L0_PER_01": "pass", "L0_KVM_04": running}))
    assert forbidden.result("L0-PER-01", HOST)["evidence"], "the line that proves it"
    assert auditor.lab.host.nested()
    again = auditor.report(nested="forbidden")
    expect(again, HOST, L0_KVM_04="fail", L0_PER_01="fail")


def test_the_hosts_own_kernel_is_judged_by_its_version(auditor: Auditor) -> None:
    """Compare with the package that the host itself names; its image holds no changelog."""
    version = auditor.ask("sed 's/.*Debian \\([0-9.]*\\).*/\\1/' /proc/sys/kernel/version")
    found = exposure_of(auditor.report())
    states = {each["id"]: each["is_fixed"] for each in found["cves"]}
    assert version in found["kernel"]
    numbers = [int(each) for each in version.split(".")]
    if numbers[:2] == [6, 1]:
        assert (states["CVE-2026-64561"] == "yes") is (numbers >= [6, 1, 183])
        assert (states["CVE-2026-53359"] == "yes") is (numbers >= [6, 1, 177])


def exposure_of(report: audit.Report) -> dict[str, Any]:
    found: list[dict[str, Any]] = [each for each in report.data["exposures"] if each["target"] == HOST]
    return found[0]

"""Of the kernel's log what may be about KVM is printed, and of one that cannot be read why."""

from pathlib import Path

import pytest

from nested_kvm.evidence import sources
from nested_kvm.evidence.reading import Reading, Status
from tests.integration.probe.probing import Probing, kmods_shells, stub

LINES = "[1.0] x86/cpu: SVM\n[2.0] usb 1-1: new\n[3.0] Kvm_amd: Nested Virtualization enabled\n"
KEPT = "[1.0] x86/cpu: SVM\n[3.0] Kvm_amd: Nested Virtualization enabled"
MANY = 1000
MOST = 400
DENIED = "dmesg: read kernel buffer failed: Operation not permitted"


def look(tmp_path: Path, shell: str, body: str, timeout: str | None = None) -> Reading:
    programs = stub(tmp_path / "bin", "dmesg", body)
    if timeout is not None:
        stub(programs, "timeout", timeout)
    probed = Probing(shell, ("2", "never"), first_on_path=programs).run()
    assert probed.answer.cut is None
    return probed.answer.readings[sources.KERNEL_LOG]


@kmods_shells
@pytest.mark.parametrize("timeout", [None, "exit 1"], ids=["together", "alone"])
@pytest.mark.parametrize(
    ("written", "text"),
    [
        (LINES, KEPT),
        ("", ""),
        ("[1.0] usb 1-1: new\n", ""),
        ("[1.0] kvm 0\n", "[1.0] kvm 0"),
        ("[1.0] the last line has no end", ""),
        ("[1.0] and this one, of kvm, neither", "[1.0] and this one, of kvm, neither"),
        (r"a NUL\0 stands in a line, then one of KVM\n[2.0] kvm: \\n and %%s\n", None),
    ],
)
def test_of_a_log_that_is_read_the_lines_about_kvm_are_kept(
    tmp_path: Path, shell: str, timeout: str | None, written: str, text: str | None
) -> None:
    escaped = written.replace("\n", "\\n")
    reading = look(tmp_path, shell, f"printf '{escaped}'", timeout)
    expected = "a NUL stands in a line, then one of KVM\n[2.0] kvm: \\n and %s" if text is None else text
    assert (reading.text, reading.status) == (expected, Status.OK)


@kmods_shells
@pytest.mark.parametrize("timeout", [None, "exit 1"], ids=["together", "alone"])
def test_of_many_lines_the_last_are_kept(tmp_path: Path, shell: str, timeout: str | None) -> None:
    body = f'number=0; while [ $number -lt {MANY} ]; do number=$((number + 1)); echo "$number kvm"; echo x; done'
    lines = look(tmp_path, shell, body, timeout).text.splitlines()
    assert (len(lines), lines[0], lines[-1]) == (MOST, f"{MANY - MOST + 1} kvm", f"{MANY} kvm")


@kmods_shells
@pytest.mark.parametrize("timeout", [None, "exit 1"], ids=["together", "alone"])
@pytest.mark.parametrize("before", ["", LINES * 3])
def test_of_a_log_that_may_not_be_read_its_end_is_kept(
    tmp_path: Path, shell: str, timeout: str | None, before: str
) -> None:
    reading = look(tmp_path, shell, f"printf '%s' '{before}'; echo '{DENIED}' >&2; exit 1", timeout)
    assert (reading.status, reading.exit_status) == (Status.FAILED, 1)
    assert reading.text == "\n".join([*before.splitlines(), DENIED][-5:])


@kmods_shells
def test_a_log_that_hangs_costs_its_own_section_only(tmp_path: Path, shell: str) -> None:
    programs = stub(tmp_path / "bin", "dmesg", "echo kvm; exec sleep 60")
    readings = Probing(shell, ("1", "never"), first_on_path=programs).run().answer.readings
    assert readings[sources.KERNEL_LOG].status is Status.TIMED_OUT
    assert readings["uname -m"].is_ok
    assert readings[sources.VMM_PROCESSES].is_ok

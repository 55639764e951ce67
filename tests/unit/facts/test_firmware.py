"""Whether the firmware disables virtualization, where the kernel log may not be read as well."""

import pytest

from nested_kvm.evidence import sources
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.facts.kvm.firmware import Firmware
from nested_kvm.fleet.machine import Machine
from tests.support.bundles import bundle_of, ok

DEVICE = ok(sources.DEV_KVM, "crw-rw---- 1 0 106 10, 232 Nov 21 00:11 /dev/kvm")
NO_DEVICE = Reading(sources.DEV_KVM, Status.ABSENT)
LIVE, BUILT_IN = "initstate=live\nrefcnt=0", ""


def firmware(module: str | None, device: Reading, log: Reading) -> Firmware:
    values = () if module is None else (ok("/sys/module/kvm_amd", module), ok("/sys/module/kvm_amd/parameters", ""))
    cpu = ok(sources.CPUINFO, "processor: 0\nvendor_id: AuthenticAMD\nflags: svm\n")
    modules = "kvm" if module is None else "kvm\nkvm_amd"
    bundle = bundle_of(ok(sources.ARCHITECTURE, "x86_64"), cpu, device, log, *values, modules=modules)
    return Machine(bundle).firmware


UNREADABLE = Reading(sources.KERNEL_LOG, Status.FAILED)


@pytest.mark.parametrize(
    ("module", "device", "reason"),
    [
        (None, NO_DEVICE, "kvm_amd is not loaded"),
        (None, DEVICE, "kvm_amd is not loaded"),
        (BUILT_IN, NO_DEVICE, "/dev/kvm does not exist"),
        (BUILT_IN, DEVICE, ""),
        (LIVE, NO_DEVICE, ""),
        (LIVE, DEVICE, ""),
    ],
)
def test_without_the_log_only_kvm_that_runs_shows_what_the_firmware_permits(
    module: str | None, device: Reading, reason: str
) -> None:
    found = firmware(module, device, UNREADABLE)
    assert found.disabled == ()
    assert (reason in found.unknown, bool(found.unknown)) == (True, bool(reason))
    assert found.evidence


def test_the_log_decides_where_it_can_be_read() -> None:
    assert firmware(None, NO_DEVICE, ok(sources.KERNEL_LOG, "[ 1.0] kvm: disabled by bios")).disabled
    silent = firmware(None, Reading(sources.DEV_KVM, Status.UNREADABLE), ok(sources.KERNEL_LOG, ""))
    assert (silent.disabled, silent.unknown) == ((), "")

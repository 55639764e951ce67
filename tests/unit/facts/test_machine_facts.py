"""/dev/kvm, the kernel log, and who the machine says it is."""

import pytest
from hypothesis import given

from nested_kvm.errors import ObservationError
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.facts.kernel.identity import Identity, identity_of
from nested_kvm.facts.kernel.log import KernelLog, kernel_log_of
from nested_kvm.facts.kvm.device import KvmDevice, kvm_device_of
from tests.support.bundles import any_status, any_text, bundle_of, ok

ROOT = ok("id", "uid=0(root) gid=0(root) groups=0(root)\n")
NAMELESS = "id: cannot find name for group ID 77\nuid=1000(ci) gid=77 groups=77\n"


def device(listing: str, status: Status = Status.OK) -> KvmDevice:
    return kvm_device_of(bundle_of(Reading("/dev/kvm", status, listing), modules="kvm"))


@pytest.mark.parametrize(
    "listing",
    [
        "crw-rw---- 1 0 106 10, 232 Nov 21 00:11 /dev/kvm",
        "crw-rw-rw-+ 1 0 106 10, 232 Nov 21 00:11 /dev/kvm",
        "crw-rw----. 1 0 36 10, 232 2026-11-21 00:11 /dev/kvm",
        "crw-rw----    1 0        106       10, 232 Nov 21 00:11 /dev/kvm",
    ],
)
def test_the_character_device_10_232_is_kvm(listing: str) -> None:
    assert device(listing).is_kvm


@pytest.mark.parametrize(
    "listing",
    [
        "crw-rw---- 1 0 106 10, 231 Nov 21 00:11 /dev/kvm",
        "crw-rw---- 1 0 106 1, 232 Nov 21 00:11 /dev/kvm",
        "brw-rw---- 1 0 106 10, 232 Nov 21 00:11 /dev/kvm",
        "-rw-r--r-- 1 0 0 10232 Nov 21 00:11 /dev/kvm",
        "drwxr-xr-x 2 0 0 40 Nov 21 00:11 /dev/kvm",
    ],
)
def test_nothing_else_is(listing: str) -> None:
    seen = device(listing)
    assert (seen.exists, seen.is_kvm) == (True, False)


@pytest.mark.parametrize("status", [Status.ABSENT, Status.DANGLING])
def test_what_is_not_there_does_not_exist(status: Status) -> None:
    assert not device("", status).exists


@given(any_text, any_status)
def test_any_listing_is_a_device_or_was_not_observed(text: str, status: Status) -> None:
    try:
        assert device(text, status).is_kvm in {True, False}
    except ObservationError:
        assert status not in {Status.ABSENT, Status.DANGLING}


def log(text: str, status: Status = Status.OK) -> KernelLog:
    return kernel_log_of(bundle_of(Reading("dmesg", status, text)))


@pytest.mark.parametrize(
    "line",
    [
        "x86/cpu: VMX (outside TXT) disabled by BIOS",
        "x86/cpu: VMX (inside TXT) disabled by BIOS",
        "SVM disabled (by BIOS) in MSR_VM_CR",
        "kvm: disabled by bios",
    ],
)
def test_the_kernels_words_for_a_firmware_that_withholds(line: str) -> None:
    assert log(f"[    0.1] {line}").firmware_disabled


@pytest.mark.parametrize(
    "line",
    [
        "DMAR: dmar0: SVM disabled, incompatible 1GB page capability",
        "DMAR: dmar1: SVM disabled, incompatible paging mode",
        "SVM: PMU virtualization is disabled",
        "kvm: Nested Virtualization enabled",
        "SGX virtualization disabled due to lack of VMX.",
    ],
)
def test_other_lines_do_not_speak_of_the_firmware(line: str) -> None:
    assert not log(line).firmware_disabled


@pytest.mark.parametrize(
    ("line", "refused"),
    [
        ("kvm_amd: `y' invalid for parameter `nested'", {"kvm_amd"}),
        ("kvm: no hardware support for 'kvm_intel'", {"kvm_intel"}),
        ("kvm: no hardware support", {"kvm_amd", "kvm_intel"}),
        ("kvm_intel: VMX not supported by CPU 0", {"kvm_intel"}),
        ("kvm: disabled by bios", {"kvm_amd", "kvm_intel"}),
        ("kvm: support for 'kvm_amd' disabled by bios", {"kvm_amd"}),
        ("kvm: failed to set up the CPUs", {"kvm_amd", "kvm_intel"}),
        ("SVM: kvm: Nested Paging enabled", set()),
        ("kvm: already loaded vendor module 'kvm_intel'", set()),
        ("kvm [421]: vcpu0, guest rIP: 0xffffffffbb273744 Unhandled WRMSR(0xc0010007) = 0xffff", set()),
    ],
)
def test_a_refused_load_is_told_from_chatter(line: str, refused: set[str]) -> None:
    modules = ("kvm_amd", "kvm_intel")
    assert {each for each in modules if log(line).refusals_of(each, flag_is_shown=False)} == refused


@pytest.mark.parametrize(("flag_is_shown", "refused"), [(True, False), (False, True)])
def test_no_hardware_support_without_a_name_is_not_said_of_a_cpu_with_the_flag(
    flag_is_shown: bool,  # noqa: FBT001
    refused: bool,  # noqa: FBT001
) -> None:
    seen = log("[    0.894716] kvm: no hardware support")
    assert bool(seen.refusals_of("kvm_amd", flag_is_shown=flag_is_shown)) is refused


def test_a_log_that_may_not_be_read_says_nothing() -> None:
    denied = log("dmesg: kvm: disabled by bios: Operation not permitted", Status.FAILED)
    assert (denied.firmware_disabled, denied.is_readable) == ((), False)


def identity(account: Reading = ROOT, **dmi: Reading) -> Identity:
    known = {name: Reading(f"/sys/class/dmi/id/{name}", Status.ABSENT) for name in _DMI} | dmi
    return identity_of(bundle_of(ok("/proc/sys/kernel/osrelease", "6.1.0\n"), account, *known.values()))


_DMI = ("sys_vendor", "product_name", "product_uuid")


def test_a_machine_without_dmi_has_a_kernel_all_the_same() -> None:
    assert identity() == Identity("6.1.0", None, None, None, is_root=True)
    assert identity().hardware == "a machine without DMI"


def test_the_uuid_is_shown_to_root_only() -> None:
    uuid = Reading("/sys/class/dmi/id/product_uuid", Status.UNREADABLE)
    vendor = ok("/sys/class/dmi/id/sys_vendor", "QEMU\n")
    seen = identity(product_uuid=uuid, sys_vendor=vendor)
    assert (seen.uuid, seen.hardware) == (None, "QEMU")


@pytest.mark.parametrize(
    ("account", "is_root"),
    [
        (ROOT, True),
        (ok("id", "uid=0 gid=0\n"), True),
        (ok("id", "uid=1000(ci) gid=0(root) groups=0(root)\n"), False),
        (Reading("id", Status.FAILED, NAMELESS, 1), False),
        (ok("id -u", "0\n"), True),
        (ok("id -u", "1000\n"), False),
    ],
)
def test_the_account_that_looked_is_root_by_its_number(account: Reading, *, is_root: bool) -> None:
    assert identity(account).is_root is is_root


@pytest.mark.parametrize(
    "account",
    [
        Reading("id", Status.MISSING),
        Reading("id", Status.TIMED_OUT, "uid=", 137),
        ok("id", "0\nuid"),
        ok("id", "uid=root"),
        ok("id -u", "0 1"),
    ],
)
def test_an_account_that_is_not_told_is_not_guessed(account: Reading) -> None:
    with pytest.raises(ObservationError, match="id"):
        identity(account)

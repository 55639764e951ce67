"""What the kernel logs is told from what a process can have it log, at a cost that a line's length bounds."""

import re
from collections.abc import Iterable, Iterator
from re import _constants, _parser  # type: ignore[attr-defined]
from typing import Any

import pytest

from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.facts.kernel import log as kernel_log
from nested_kvm.facts.kernel.log import KernelLog, kernel_log_of
from nested_kvm.facts.kernel.refusal import RefusalKind, refusal_kind
from tests.support.bundles import bundle_of

STAMPS = (
    "",
    "[    0.1] ",
    "kern  :warn  : [    0.1] ",
    "<4>[    0.1] ",
    "[Sat Nov 28 11:00:00 2026] ",
    "[    0.1][    T1] ",
)
SPOOFED = (
    "a.out[41]: segfault at 0 ip 0 sp 0 error 4 in kvm disabled by bios[400000+1000]",
    "kvm: disabled b[41]: segfault at 0 ip 0 sp 0 error 4 in a.out[400000+1000]",
    "kvm [41]: unhandled exception: level 0 translation fault, in kvm: disabled by bios[400000+1000]",
    'audit: type=1701 audit(1.1:2): auid=1000 exe="/tmp/kvm_amd: failed"',
    "traps: kvm_amd: error[41] general protection fault ip:0 in virtualization is disabled by the bios[400000+1000]",
    "vmmon[41]: segfault at 0 ip 0 sp 0 error 4 in vboxdrv: x[400000+1000]",
)
REFUSALS = {
    RefusalKind.FIRMWARE: (
        "kvm_amd: SVM disabled (by BIOS) in MSR_VM_CR on CPU 3",
        "kvm_intel: VMX not enabled (by BIOS) in MSR_IA32_FEAT_CTL on CPU 3",
        "kvm_intel: VMX not fully enabled on CPU 0. Check kernel logs and/or BIOS",
        "kvm: support for 'kvm_amd' disabled by bios",
    ),
    RefusalKind.ENCRYPTION: ("kvm_amd: KVM is unsupported when running as an SEV guest",),
    RefusalKind.NO_SUPPORT: (
        "kvm_intel: CPU doesn't support VMX",
        "kvm_amd: CPU 0 isn't AMD or Hygon",
        "kvm_intel: VMX not supported by CPU 7",
        "kvm_intel: Failed to setup VMCS config on CPU 0",
        "kvm: no hardware support for 'kvm_amd'",
    ),
    RefusalKind.SYMBOL: (
        "kvm: Unknown symbol irq_bypass_register_consumer (err 0)",
        "kvm_amd: Unknown symbol kvm_set_msr_common (err -2)",
        "kvm: disagrees about version of symbol module_layout",
    ),
    RefusalKind.FOREIGN: (
        "kvm_intel: version magic '5.4.0 SMP' should be '5.10.0 SMP mod_unload '",
        "module kvm_intel: .gnu.linkonce.this_module section size must match the kernel's built struct module size",
    ),
    RefusalKind.INCONSISTENT: (
        "kvm_intel: Inconsistent VMCS config on CPU 8",
        "kvm: CPU 8 feature inconsistency!",
        "kvm_intel: VMCS config on CPU 8 doesn't match reference config:",
    ),
    RefusalKind.OCCUPIED: (
        "kvm: enabling virtualization on CPU0 failed",
        "kvm: enabling virtualization on CPU 0 failed during kvm_online_cpu",
    ),
    RefusalKind.TURNED_OFF: ("kvm [1]: KVM disabled from command line",),
    RefusalKind.NO_EL2: ("kvm [1]: HYP mode not available",),
    RefusalKind.PARAMETER: ("kvm_amd: `y' invalid for parameter `nested'",),
    RefusalKind.OTHER: ("kvm_intel: words of a kernel that is not written yet", "SVM: the unexpected happened"),
}
HARMLESS = (
    "SVM: kvm: Nested Paging enabled",
    "kvm_amd: TSC scaling supported",
    "kvm: Nested Virtualization enabled",
    "SVM: Virtual VMLOAD VMSAVE supported",
    "SVM: LBR virtualization supported",
    "kvm_amd: SEV enabled (ASIDs 100 - 509)",
    "kvm_amd: x2AVIC enabled",
    "kvm_amd: Bus Lock Threshold supported",
    "kvm_intel: EPT is required for TDX",
    "kvm_intel: tdx: MOVDIR64B is required for TDX",
    "kvm_intel: VM_EXIT_LOAD_IA32_PERF_GLOBAL_CTRL does not work properly. Using workaround",
    "kvm_intel: Using Hyper-V Enlightened VMCS",
    "L1TF CPU bug present and SMT on, data leak possible.",
    "kvm: SMP vm created on host with unstable TSC; guest TSC will not be reliable",
    "kvm: zapping shadow pages for mmio generation wraparound",
    "kvm: exiting hardware virtualization",
    "kvm: module verification failed: signature and/or required key missing - tainting kernel",
    "kvm_intel: unknown parameter 'nest' ignored",
    "kvm: page allocation failure: order:4, mode:0x40cc0",
    "kvm-guest: stealtime: cpu 0, msr 7bc21080",
    "kvm-clock: using sched offset of 5010 cycles",
    "kvm [421]: vcpu0, guest rIP: 0xffff Unhandled WRMSR(0xc0010007) = 0xffff",
)
OF_ONE_CPU = (
    "kvm_intel: Inconsistent VMCS config on CPU 8",
    "kvm: enabling virtualization on CPU8 failed",
    "kvm_amd: SVM not supported by CPU 12",
    "kvm: CPU 8 feature inconsistency!",
    "kvm_intel: VMCS config on CPU 8 doesn't match reference config:",
)
LONGEST_REPETITION = 1024
PATTERNS = [each for each in vars(kernel_log).values() if isinstance(each, re.Pattern)]


def log(text: str) -> KernelLog:
    return kernel_log_of(bundle_of(Reading("dmesg", Status.OK, text)))


def repetitions(parsed: Iterable[Any], around: int = 1) -> Iterator[int]:
    """Yield how often each repetition of a pattern may run, times those that it is within."""
    for operation, argument in parsed:
        if operation in {_constants.MAX_REPEAT, _constants.MIN_REPEAT}:
            yield around * int(argument[1])
            yield from repetitions(argument[2], around * int(argument[1]))
        elif operation is _constants.SUBPATTERN:
            yield from repetitions(argument[-1], around)
        elif operation is _constants.BRANCH:
            for branch in argument[1]:
                yield from repetitions(branch, around)


@pytest.mark.parametrize("line", SPOOFED)
@pytest.mark.parametrize("stamp", STAMPS)
def test_a_process_cannot_have_the_kernel_say_anything(stamp: str, line: str) -> None:
    seen = log(f"{stamp}{line}")
    refused = [seen.refusals_of(each, flag_is_shown=False) for each in ("kvm_amd", "kvm_intel")]
    assert (seen.firmware_disabled, refused) == ((), [(), ()])


@pytest.mark.parametrize("end", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028"])
@pytest.mark.parametrize("stamp", STAMPS)
def test_only_a_newline_ends_a_line_as_a_name_may_have_what_else_does(stamp: str, end: str) -> None:
    segfault = f"{stamp}a[7]: segfault at 0 ip 0 sp 0 error 4 in b"
    assert not log(f"{segfault}{end}{stamp}kvm: disabled by bios").firmware_disabled
    assert log(f"{segfault}\n{stamp}kvm: disabled by bios").firmware_disabled


@pytest.mark.parametrize("stamp", STAMPS)
def test_the_kernels_own_words_are_found_behind_any_stamp(stamp: str) -> None:
    assert log(f"{stamp}kvm: disabled by bios").firmware_disabled
    assert log(f"{stamp}kvm_amd: SVM not supported by CPU 0").refusals_of("kvm_amd", flag_is_shown=True)


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda each: each.pattern[:20])
def test_the_repetitions_of_a_pattern_are_bounded(pattern: "re.Pattern[str]") -> None:
    assert all(count <= LONGEST_REPETITION for count in repetitions(_parser.parse(pattern.pattern, pattern.flags)))


def test_an_unbounded_repetition_would_be_seen() -> None:
    assert max(repetitions(_parser.parse("(?:a{0,40}b){0,40}|c*"))) > LONGEST_REPETITION


def test_a_line_is_cut_where_the_kernel_cuts_it() -> None:
    assert [len(line) for line in log("kvm: " + "virtualization disabled " * 4096).lines] == [1024]


def module_of(line: str) -> str:
    return "kvm_amd" if "amd" in line.lower() or "SVM" in line else "kvm_intel"


@pytest.mark.parametrize("stamp", STAMPS)
@pytest.mark.parametrize(("kind", "line"), [(kind, line) for kind, lines in REFUSALS.items() for line in lines])
def test_what_a_module_logs_of_its_own_and_is_not_harmless_is_a_refusal(
    stamp: str, kind: RefusalKind, line: str
) -> None:
    refusals = log(f"{stamp}{line}").refusals_of(module_of(line), flag_is_shown=True)
    assert [each.text for each in refusals] == [f"{stamp}{line}".strip()]
    assert refusal_kind(refusals) is kind


@pytest.mark.parametrize("module", ["kvm_amd", "kvm_intel", "kvm", "kvm_hv"])
@pytest.mark.parametrize("line", HARMLESS)
def test_what_kvm_logs_while_it_works_refuses_nothing(line: str, module: str) -> None:
    seen = log(f"[    4.1] {line}")
    assert (seen.refusals_of(module, flag_is_shown=True), seen.refusals_of_one_cpu(module)) == ((), ())


@pytest.mark.parametrize("line", OF_ONE_CPU)
def test_a_running_modules_refusal_of_one_cpu_is_distinguished(line: str) -> None:
    assert log(f"[ 8123.1] {line}").refusals_of_one_cpu(module_of(line))
    assert not log("[ 8123.1] kvm_amd: `y' invalid for parameter `nested'").refusals_of_one_cpu("kvm_amd")


def test_the_most_particular_kind_counts() -> None:
    lines = "kvm_intel: VMX not supported by CPU 0\nkvm_intel: VMX not enabled (by BIOS) in MSR_IA32_FEAT_CTL on CPU 0"
    assert refusal_kind(log(lines).refusals_of("kvm_intel", flag_is_shown=True)) is RefusalKind.FIRMWARE


def test_that_a_cpu_could_not_be_enabled_is_only_a_kind_of_its_own_where_nothing_else_is_logged() -> None:
    lines = "kvm_amd: SVM not supported by CPU 8\nkvm: enabling virtualization on CPU8 failed"
    assert refusal_kind(log(lines).refusals_of("kvm_amd", flag_is_shown=True)) is RefusalKind.NO_SUPPORT


@pytest.mark.parametrize(
    "line",
    [
        "Memory Encryption Features active: AMD SEV SEV-ES SEV-SNP",
        "AMD Memory Encryption Features active: SEV",
        "Memory Encryption Features active: Intel TDX",
        "tdx: Guest detected",
        "virt/tdx: Guest detected",
    ],
)
def test_a_guest_sees_that_its_memory_is_encrypted(line: str) -> None:
    assert log(f"[    0.1] {line}").memory_encryption


@pytest.mark.parametrize(
    "line", ["Memory Encryption Features active: AMD SME", "virt/tdx: BIOS enabled: private KeyID"]
)
def test_a_host_that_can_encrypt_is_no_encrypted_guest(line: str) -> None:
    assert not log(f"[    0.1] {line}").memory_encryption


@pytest.mark.parametrize(
    "line",
    [
        "[  259.7] KVM: accessing unsupported EVMCS field 2032",
        "[  259.7] WARNING: CPU: 31 PID: 4974 at /build/x/arch/x86/kvm/vmx/evmcs.h:85 evmcs_write64+0x65/0x70",
        "[  259.7] WARNING: CPU: 3 PID: 7 at arch/x86/kvm/svm/nested.c:9 f+0x1/0x2 [kvm_amd]",
        "[  259.7] WARNING: virt/kvm/kvm_main.c:9 at f+0x1/0x2 [kvm], CPU#3: qemu/7",
    ],
)
def test_kvms_warning_of_itself_is_a_fault(line: str) -> None:
    assert [item.text for item in KernelLog((line,), is_readable=True).faults] == [line]


@pytest.mark.parametrize(
    "line",
    [
        "[  259.7] WARNING: CPU: 3 PID: 7 at drivers/gpu/drm/x.c:9 f+0x1/0x2 [drm] arch/x86/kvm/",
        "[  259.7] WARNING: fs/x.c:9 at f+0x1/0x2, CPU#3: arch/x86/kvm/7",
        "[  259.7] a.out[41]: WARNING: arch/x86/kvm/x86.c:9",
        "[  259.7] kvm: Nested Virtualization enabled",
    ],
)
def test_another_part_of_the_kernel_or_a_process_has_no_fault_of_kvm(line: str) -> None:
    assert KernelLog((line,), is_readable=True).faults == ()

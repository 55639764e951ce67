"""The kernel log: what the kernel logged about KVM since it booted."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from nested_kvm.evidence import sources
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.evidence.reading import Status
from nested_kvm.model.verdict import Evidence

_LONGEST: Final = 1024
"""Characters: the kernel itself cuts a line there (LOG_LINE_MAX in kernel/printk/printk.c)."""
_STAMP: Final = re.compile(
    r"[ \t]{0,4}(?:[a-z]{2,8} {0,4}:[a-z]{2,8} {0,4}: ?)?(?:<\d{1,3}>)?(?:\[[^\]]{0,40}\] {0,4})?"
    r"(?:\[ {0,6}[TC]\d{1,10}\] )?"
)
"""What dmesg prints in front of a message: facility and level, the time, the caller."""
_SUBSYSTEM: Final = re.compile(
    r"(?:x86/cpu|x86/virt|virt/kvm|svm|vmx|(kvm(?:[-_]\w{1,20})?)(?: \[\d{1,10}\])?): ?|module (?=kvm)",
    re.IGNORECASE,
)
"""The prefixes of the kernel's own messages about virtualization; there may be several of them."""
# "SVM disabled" alone is the IOMMU's shared virtual memory (drivers/iommu/intel/svm.c).
_FIRMWARE: Final = re.compile(
    r"(?:vmx \((?:out|in)side txt\) |vmx |svm |support for '\w{1,20}' )?disabled by bios|svm disabled \(by bios\)"
    r"|vmx not enabled \(by bios\)|virtualization [^:\[]{0,40}disabled [^:\[]{0,40}(?:bios|firmware)",
    re.IGNORECASE,
)
_REFUSED: Final = re.compile(
    r"[^:\[]{0,400} invalid for parameter|no hardware support|cpu doesn't|failed|disabled by bios"
    r"|support for '\w{1,20}' disabled|sie is not available|a kvm host that supports nesting cannot"
    r"|parent hypervisor does not support nesting|hyp mode not available|nv support requires gicv3"
    r"|kvm disabled from command line",
    re.IGNORECASE,
)
"""What refuses a load whatever prefix it has."""
_PREFIXES: Final = {
    "kvm_intel": frozenset({"kvm", "kvm_intel", "vmx", "module"}),
    "kvm_amd": frozenset({"kvm", "kvm_amd", "svm", "module"}),
    "kvm_hv": frozenset({"kvm", "kvm_hv", "kvm-hv", "module"}),
}
"""The prefixes of a module's own messages. arm64's and s390x's kvm is left out: it logs what it has found at length."""
_HARMLESS: Final = re.compile(
    r"nested (?:virtualization|paging)|virtual (?:vmload|gif|nmi)|lbr virt|tsc scaling|x?2?avic\b|pmu virtualization"
    r"|sev(?:-es|-snp)?\b|tdx\b|(?:using )?hyper-v|posted.interrupt|already loaded|unknown parameter"
    r"|module verification failed|loading out-of-tree|module license|disabling lock debugging"
    r"|exiting hardware virt|zapping|smp vm|v?cpu ?\d{0,4} ?[,:]|vcpu|guest|emulating|user requested|limiting|unhandled"
    r"|ignored|kvm_set_|msr|pio|haltpoll|deprecated|bus lock threshold|vm_exit_load_ia32_perf_global_ctrl does"
    r"|.{1,60} required for tdx|(?:l1tf|mds|mmio stale data|taa|srbds|rfds|its) cpu bug"
    r"|\[firmware bug\]|(?:nx )?huge pages|loaded|registered"
    # What begins with the name of a process, which may be kvm.
    r"|.{0,20}\[\d{1,10}\][: ]|.{0,20}page allocation failure|.{0,20}invoked oom|.{0,20}\(\d{1,10}\): drop_caches"
    r"|potentially unexpected fatal|.{0,20}uses (?:deprecated|obsolete)|corrupted page table",
    re.IGNORECASE,
)
"""What KVM logs of itself, of its guests or of a process by that name while it works, or is loaded."""
_OF_ONE_CPU: Final = re.compile(
    r".{0,80}?(?:inconsisten|not |failed|disabled|unable).{0,80}?\bcpu ?\d|.{0,80}?\bcpu ?\d{1,4}\b.{0,80}?"
    r"(?:inconsisten|failed|disabled|unable|doesn't match)",
    re.IGNORECASE,
)
_ENCRYPTED: Final = re.compile(
    r"(?:.{0,40}memory encryption features active: .{0,20}(?:sev|tdx))|(?:virt/)?tdx: guest detected", re.IGNORECASE
)
_FAULT: Final = re.compile(
    r"WARNING: (?:CPU: \d{1,5} PID: \d{1,10} at )?[^\s:]{0,300}?(?:arch/\w{1,12}|virt)/kvm/"
    r"|(?:KVM: )?accessing unsupported EVMCS field \d"
)
"""Where KVM finds itself in a state that its authors ruled out (WARN in the kernel), and what comes before one."""
_NAMELESS: Final = re.compile(r"no hardware support\s{0,10}\Z", re.IGNORECASE)
_VENDOR_MODULES: Final = frozenset({"kvm_intel", "kvm_amd"})
_WORD: Final = re.compile(r"\w{1,1024}")


@dataclass(frozen=True, slots=True)
class _Message:
    """A line of the log: its text behind the stamp, and behind the kernel's own prefixes, which may name a module."""

    text: str
    body: str
    module: str | None
    prefixes: frozenset[str] = frozenset()
    """In lower case, without the thread that some name."""

    @classmethod
    def of(cls, line: str) -> "_Message":
        text = line[_end(_STAMP, line) :]
        body, module, prefixes = text, None, set()
        for _ in range(3):
            found = _SUBSYSTEM.match(body)
            if found is not None:
                body, module = body[found.end() :], found[1] or module
                prefixes.add(found[0].rstrip(": ").lower())
        return cls(text, body, module, frozenset(prefixes))

    @property
    def is_prefixed(self) -> bool:
        return self.body != self.text


def _end(pattern: re.Pattern[str], text: str) -> int:
    found = pattern.match(text)
    return 0 if found is None else found.end()


def _is_firmware(message: _Message) -> bool:
    return _FIRMWARE.match(message.body) is not None


def _is_refusal(message: _Message, module: str) -> bool:
    """Whether the kernel refuses the module: all its own messages that are not known to be harmless do."""
    if not message.is_prefixed:
        return False
    if _REFUSED.match(message.body) is not None:
        return True
    own = _PREFIXES.get(module, frozenset())
    return bool(own & message.prefixes) and message.prefixes <= own and _HARMLESS.match(message.body) is None


def _is_of_one_cpu(message: _Message, module: str) -> bool:
    return _is_refusal(message, module) and _OF_ONE_CPU.match(message.body) is not None


@dataclass(frozen=True, slots=True)
class KernelLog:
    """The log lines about KVM. A log that may not be read has none, and `is_readable` is False.

    Only a message that begins with the kernel's own words counts: a process can have its name, and that of its
    program's file, logged.

    Source: `dmesg`, its lines that name KVM, svm, vmx or another hypervisor.
    """

    lines: tuple[str, ...]
    is_readable: bool

    @property
    def firmware_disabled(self) -> tuple[Evidence, ...]:
        """Lines which report that the firmware disables virtualization."""
        return self._matching(_is_firmware)

    def refusals_of(self, module: str, *, flag_is_shown: bool) -> tuple[Evidence, ...]:
        """Lines in which the kernel refuses to load that KVM module, where it is not loaded.

        Its words differ from version to version: each of the module's lines that is not known to be harmless counts.
        A line that names the other vendor's module is about that one only. Before 5.16 "no hardware support" names
        none: where every CPU shows the flag, it is about the module for another CPU.
        """
        others = _VENDOR_MODULES - {module}
        found = self._matching(lambda message: _is_refusal(message, module))
        refusals = (item for item in found if not others & set(_WORD.findall(item.text)))
        return tuple(item for item in refusals if not (flag_is_shown and _NAMELESS.search(item.text)))

    def refusals_of_one_cpu(self, module: str) -> tuple[Evidence, ...]:
        """Lines in which the running module refuses a CPU, one that was added or came with a migration."""
        return self._matching(lambda message: _is_of_one_cpu(message, module))

    @property
    def faults(self) -> tuple[Evidence, ...]:
        """Lines in which KVM warns of a fault in itself, or in what the hypervisor below gives it."""
        return tuple(Evidence(sources.KERNEL_LOG, line.strip()) for line, text in self.messages if _FAULT.match(text))

    @property
    def memory_encryption(self) -> tuple[Evidence, ...]:
        """Lines in which a guest's kernel finds its memory encrypted (SEV, TDX)."""
        lines = ((line, _Message.of(line).text) for line in self.lines)
        return tuple(Evidence(sources.KERNEL_LOG, line.strip()) for line, text in lines if _ENCRYPTED.match(text))

    @property
    def messages(self) -> tuple[tuple[str, str], ...]:
        """Each line, with its text behind the time stamp: a message that begins so is the kernel's own."""
        return tuple((line, _Message.of(line).text) for line in self.lines)

    def _matching(self, says: Callable[[_Message], bool]) -> tuple[Evidence, ...]:
        return tuple(Evidence(sources.KERNEL_LOG, line.strip()) for line in self.lines if says(_Message.of(line)))


def kernel_log_of(bundle: Bundle) -> KernelLog:
    """The log lines that `dmesg` prints; it may be denied (kernel.dmesg_restrict), or have rotated.

    Sample: `[   11.774291] kvm: Nested Virtualization enabled`

    Raises:
        ObservationError: the target was not observed, or the answer ended before.
    """
    reading = bundle.reading(sources.KERNEL_LOG)
    lines = tuple(line[:_LONGEST] for line in reading.text.split("\n")) if reading.status is Status.OK else ()
    return KernelLog(lines, reading.status is Status.OK)

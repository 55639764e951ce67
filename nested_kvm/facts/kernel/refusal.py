"""What the kernel's words for refusing KVM mean: each kind has its own fix."""

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from nested_kvm.model.verdict import Evidence


class RefusalKind(StrEnum):
    """Why the kernel refused to load KVM, where its words allow to distinguish that."""

    PARAMETER = "an option that it does not take"
    ENCRYPTION = "memory encryption"
    FIRMWARE = "the firmware"
    SYMBOL = "a module that it needs"
    FOREIGN = "a module of another kernel, or one that is not signed"
    INCONSISTENT = "CPUs that differ"
    OCCUPIED = "another hypervisor that uses the CPU"
    TURNED_OFF = "the kernel's command line, which turns it off"
    NO_EL2 = "its start without EL2, which the firmware or a hypervisor below keeps"
    NO_SUPPORT = "missing support of the CPU"
    OTHER = "another reason"


_WORDS: Final = {
    RefusalKind.PARAMETER: r"invalid for parameter",
    RefusalKind.ENCRYPTION: r"\b(?:sev|tdx|tdx.guest|snp)\b.{0,40}guest|running as an? (?:sev|tdx)|memory encryption",
    RefusalKind.FIRMWARE: r"by bios|by firmware|by the bios|and/or bios|feat(?:ure)?_ctl|msr_vm_cr",
    RefusalKind.SYMBOL: r"unknown symbol|disagrees about version of symbol|no symbol version",
    RefusalKind.FOREIGN: r"version magic|this_module|exec format|signature|unsigned|module loading is restricted",
    RefusalKind.INCONSISTENT: r"inconsisten|vmcs config on cpu ?\d{1,4} doesn't match",
    RefusalKind.OCCUPIED: r"already (?:in use|enabled)|is being used|in vmx (?:root )?(?:mode|operation)",
    RefusalKind.TURNED_OFF: r"disabled from command line",
    RefusalKind.NO_EL2: r"hyp mode not available",
    RefusalKind.NO_SUPPORT: r"no hardware support|doesn't support|not supported by|(?:isn't|is not|not) (?:intel|amd)"
    r"|lacks|not available|not support|vmcs config|unsupported|requires",
}
_LAST: Final = re.compile(r"enabling virtualization on cpu ?\d", re.IGNORECASE)
"""Where nothing else is logged, KVM found CR4.VMXE or EFER.SVME set already: it only says so about its own reasons."""
_PATTERNS: Final = {kind: re.compile(words, re.IGNORECASE) for kind, words in _WORDS.items()}


def refusal_kind(lines: Iterable[Evidence]) -> RefusalKind:
    """The kind of a refusal by all of its lines: the most particular one that any of them names."""
    texts = [line.text for line in lines]
    if texts and all(_LAST.search(text) for text in texts):
        return RefusalKind.OCCUPIED
    return next(
        (kind for kind, words in _PATTERNS.items() if any(words.search(text) for text in texts)), RefusalKind.OTHER
    )

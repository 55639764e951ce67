"""Which finding explains which: the chain as causes, on one machine and from a host to its guests.

What no rule here explains is a problem by itself; so is any cause that this module does not name.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from nested_kvm.model.cause import Cause

WITHOUT_CPU: Final = (Cause.FIRMWARE_DISABLED, Cause.L0_IS_A_GUEST, Cause.CPU_LACKS_FLAG)
WITHOUT_MODULE: Final = (
    Cause.MEMORY_ENCRYPTION,
    Cause.OTHER_HYPERVISOR_OWNS_CPU,
    Cause.KERNEL_LACKS_KVM,
    Cause.GUEST_KERNEL_LACKS_KVM,
    Cause.MODULES_GONE,
    Cause.NO_MODULES,
    Cause.MODULE_LOAD_FAILED,
    Cause.MODULE_NOT_LOADED,
)
ESCAPES: Final = (Cause.ESCAPE_OPEN, Cause.FIXED_KERNEL_NOT_BOOTED, Cause.ESCAPE_OPEN_AFTER_BOOT)
DEFINITION: Final = (
    Cause.MEMORY_ENCRYPTION,
    Cause.FEATURE_DISABLED,
    Cause.HOST_MODEL_DROPS_SVM,
    Cause.NAMED_MODEL_LACKS_FLAG,
    Cause.WRONG_VENDOR_FEATURE,
    Cause.DOMAIN_GIVES_FLAG,
)
AS_STARTED: Final = (Cause.POWER_CYCLE_PENDING, Cause.PROCESS_CONTRADICTS_DEFINITION)
DOMAIN: Final = (Cause.DOMAIN_EMULATED, *DEFINITION, *AS_STARTED)
"""What breaks a guest's chain in its domain, in the order of the chain."""
NEXT_LOAD: Final = (
    Cause.PERSISTED_VALUE_INVALID,
    Cause.CMDLINE_OVERRIDES,
    Cause.PERSISTED_OFF,
    Cause.PERSISTED_ON,
)
RUNNING_VALUE: Final = (Cause.NESTED_OFF, Cause.NESTED_ON)
ON_HOST: Final = (*WITHOUT_CPU, *WITHOUT_MODULE, Cause.DEV_KVM_MISSING, Cause.NESTED_OFF)
"""What breaks the chain of every guest of a host now, in the order of the chain."""
HOLDS_BACK: Final = frozenset({*ON_HOST, Cause.KERNEL_FAULT})
"""What keeps every guest of a host from nesting now: a kernel's fault does so while they see the flag."""
BREAKS_A_GUEST: Final = frozenset(
    {
        *WITHOUT_MODULE,
        *DOMAIN,
        Cause.WRONG_GUEST,
        Cause.FLAG_MISSING,
        Cause.UNDIAGNOSED,
        Cause.DEV_KVM_MISSING,
        Cause.L2_DOES_NOT_BOOT,
    }
)
"""What breaks the chain of one guest, in its domain or inside it."""
AFTER_BOOT: Final = frozenset({*NEXT_LOAD, Cause.LOAD_BLOCKED, Cause.LOADED_MANUALLY, Cause.VOLATILE_CONFIGURATION})
"""What every guest of a host meets after its next boot."""
TAKES_EFFECT_AT_BOOT: Final = AFTER_BOOT | {Cause.DEVICE_MODE_REVERTS, Cause.ESCAPE_OPEN_AFTER_BOOT}
KEEPS_FROM_LOADING: Final = frozenset({Cause.PERSISTED_VALUE_INVALID, Cause.LOAD_BLOCKED})
"""What leaves a host without KVM after its next boot, which is worse than a wrong value of nested now."""
WITH_GUESTS_OFF: Final = frozenset(
    {*WITHOUT_CPU, Cause.MODULES_GONE, Cause.KERNEL_LACKS_KVM, *ESCAPES, Cause.MITIGATION_MISSING}
)
"""What is fixed by switching the host off, or by another boot."""

ON_ONE_MACHINE: Final[Mapping[Cause, Sequence[Cause]]] = {
    **dict.fromkeys(
        (Cause.MODULE_NOT_LOADED, Cause.MODULE_LOAD_FAILED),
        (
            Cause.WRONG_GUEST,
            *WITHOUT_CPU,
            Cause.FLAG_MISSING,
            Cause.PERSISTED_VALUE_INVALID,
            Cause.LOAD_BLOCKED,
        ),
    ),
    Cause.DEV_KVM_MISSING: (Cause.WRONG_GUEST, *WITHOUT_CPU, *WITHOUT_MODULE),
    Cause.NESTED_OFF: NEXT_LOAD,
    Cause.NESTED_ON: (*ESCAPES, *NEXT_LOAD),
    Cause.PERSISTED_ON: ESCAPES,
    Cause.RELOAD_PENDING: (*NEXT_LOAD, *RUNNING_VALUE),
    Cause.NOT_EXPLICIT: (Cause.PERSISTED_VALUE_INVALID, Cause.PERSISTED_OFF, Cause.PERSISTED_ON),
    Cause.CONTRADICTED_LINE: (Cause.PERSISTED_VALUE_INVALID, Cause.PERSISTED_OFF, Cause.PERSISTED_ON),
    Cause.FLAG_MISSING: (Cause.WRONG_GUEST,),
    Cause.FLAG_PRESENT: (Cause.WRONG_GUEST,),
    Cause.L2_DOES_NOT_BOOT: (Cause.FLAG_MISSING, *WITHOUT_MODULE, Cause.DEV_KVM_MISSING),
    Cause.POWER_CYCLE_PENDING: DEFINITION,
    Cause.PROCESS_CONTRADICTS_DEFINITION: DEFINITION,
}
"""What may explain a finding of the same subject on the same machine: the first that is there does."""
WHERE_SHARED: Final = frozenset({Cause.CONTRADICTED_LINE})
"""Explained only by a finding that quotes one of the same lines."""
WHERE_GUARDED: Final = frozenset(ESCAPES)
"""Explains only where the policy is guarded: there the kernel is the reason for which nesting must be off."""

_OF_ANOTHER_KIND: Final = re.compile(
    r"unknown symbol|version of symbol|no symbol version|version magic|exec format|signature|module verification"
    r"|required key|module loading is restricted",
    re.IGNORECASE,
)
_OF_A_VALUE: Final = re.compile(r"invalid for parameter", re.IGNORECASE)


def fits_the_refusal(cause: Cause, words: str) -> bool:
    """Whether the kernel's words for refusing a module are of the kind that this cause brings about."""
    if _OF_ANOTHER_KIND.search(words):
        return False
    return bool(_OF_A_VALUE.search(words)) is (cause is Cause.PERSISTED_VALUE_INVALID)

"""Why the KVM module is not loaded: by the kernel's own words, by what is on disk, or only that it is not."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from nested_kvm.errors import ObservationError
from nested_kvm.facts.kernel.kvm_module import KvmModule
from nested_kvm.facts.kernel.log import KernelLog
from nested_kvm.facts.kernel.modules import KernelModules, ModuleTree
from nested_kvm.facts.kernel.refusal import RefusalKind, refusal_kind
from nested_kvm.facts.kvm.device import KvmDevice
from nested_kvm.model.cause import Cause
from nested_kvm.model.verdict import Evidence


@dataclass(frozen=True, slots=True)
class KvmAbsence:
    """Why KVM's module is not loaded. Read it only where that is so: of a module that is loaded it says nothing.

    Source: `dmesg`, `modprobe --show-depends`, the folders of `/lib/modules` and `/sys/module`.
    """

    cause: Cause
    reason: str
    evidence: tuple[Evidence, ...]
    refusal: RefusalKind | None = None
    """What the kernel's words name, where it refused the module."""

    doubt: str = ""
    """Why a load may fail although kmod would do it, in words for the end of a sentence; empty: nothing says so."""


def kvm_absence_of(
    module: KvmModule, log: KernelLog, modules: KernelModules, *, is_guest: bool, shows_flag: bool
) -> KvmAbsence:
    """Decide by the most certain source: the kernel's log, then what is on disk for the running kernel.

    `shows_flag`: every CPU is known to show the virtualization flag.
    """
    refusals = log.refusals_of(module.name, flag_is_shown=shows_flag)
    kind = refusal_kind(refusals)
    # A CPU without the flag keeps the module from loading by itself: then words of no known kind are no reason.
    if refusals and (shows_flag or kind is not RefusalKind.OTHER):
        cause = Cause.MEMORY_ENCRYPTION if kind is RefusalKind.ENCRYPTION else Cause.MODULE_LOAD_FAILED
        # An option may have been corrected since, and kmod's answer shows what it is now.
        doubt = "" if kind is RefusalKind.PARAMETER else f"the last load failed because of {kind.value}"
        return KvmAbsence(cause, f"the kernel refused to load it because of {kind.value}", refusals, kind, doubt)
    found = _by_tree(module, modules, is_guest=is_guest)
    if log.is_readable:
        return found
    return replace(found, doubt="the kernel's log could not be read, which would show why it is not loaded")


def _by_tree(module: KvmModule, modules: KernelModules, *, is_guest: bool) -> KvmAbsence:
    release, evidence = modules.release, modules.evidence
    if modules.tree is ModuleTree.LACKS_KVM:
        cause = Cause.GUEST_KERNEL_LACKS_KVM if is_guest else Cause.KERNEL_LACKS_KVM
        return KvmAbsence(cause, f"the kernel {release} has no {module.name}", evidence)
    if modules.tree is ModuleTree.GONE:
        reason = f"the modules of the running kernel, {release}, are no longer on disk"
        return KvmAbsence(Cause.MODULES_GONE, reason, evidence)
    if modules.tree is ModuleTree.NONE:
        reason = f"it is not part of the kernel {release}, and there are no kernel modules here"
        return KvmAbsence(Cause.NO_MODULES, reason, evidence)
    others = f"loaded instead: {', '.join(module.others)}" if module.others else ""
    return KvmAbsence(Cause.MODULE_NOT_LOADED, others or modules.doubt.removeprefix("; "), module.evidence)


def as_it_started(
    module: KvmModule, device: Callable[[], KvmDevice], refusals: Callable[[], Sequence[Evidence]]
) -> KvmModule:
    """Return the module as it runs: sysfs shows one that is built in, with its parameters, also where it gave up.

    A device shows that it started, and the kernel's log that it did not; without either it stays open. Words of no
    known kind are no refusal here: a container shows the log of a kernel whose KVM runs, and no device.

    Args:
        module: the module as sysfs shows it.
        device: reads `/dev/kvm`; asked of a module that is built in only.
        refusals: the lines of the kernel's log that refuse the module; asked for where there is no device.

    Raises:
        ObservationError: the kernel's log is needed, and not in the evidence.
    """
    if not module.is_built_in or _exists(device):
        return module
    found = tuple(refusals())
    gave_up = bool(found) and refusal_kind(found) is not RefusalKind.OTHER
    return module.not_started() if gave_up else replace(module, start_is_open=True)


def _exists(device: Callable[[], KvmDevice]) -> bool:
    try:
        return device().exists
    except ObservationError:
        return False

"""Whether a target looks like a container: there kernel, modules and devices are another machine's."""

from dataclasses import dataclass

from nested_kvm.facts.kernel.kvm_module import KvmModule
from nested_kvm.facts.kernel.modules import KernelModules, ModuleTree
from nested_kvm.facts.kernel.platform import Platform
from nested_kvm.model.verdict import Evidence


@dataclass(frozen=True, slots=True)
class Confinement:
    """Why the target looks like a container; `reason` is empty where nothing says so.

    Source: `/sys/module`, `modprobe --show-depends`, `/lib/modules`, DMI and the `hypervisor` flag.
    """

    reason: str
    evidence: tuple[Evidence, ...] = ()


def confinement_of(module: KvmModule, modules: KernelModules, platform: Platform, *, is_guest: bool) -> Confinement:
    """A module that runs, and that this target has not on its disk, was loaded by another machine's hand.

    With an upgraded kernel that is so on a whole machine as well: only where no module of any kernel is there, or a
    guest shows no hypervisor, it is a container's sign.
    """
    is_foreign = module.is_loaded and not module.is_built_in and modules.tree is not ModuleTree.HAS_KVM
    if not is_foreign:
        return Confinement("")
    if modules.tree is ModuleTree.NONE or (is_guest and platform.hypervisor_bit is False and platform.layer is None):
        reason = f"it looks like a container: {module.name} runs, and its file is not here"
        return Confinement(reason, (*module.evidence, *modules.evidence, *platform.evidence))
    return Confinement("")

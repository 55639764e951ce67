"""Audits nested virtualization under KVM: can an L1 run an L2, now and after the next reboot?

These names are what a check may import, and `observe` what a program may. Each is imported when it is first used: a
pytest of another suite, which loads this package for its entry point, must not notice it.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nested_kvm.controls.chain import Pair, first_break
    from nested_kvm.facts.kernel.cpu import Cpu, Vendor
    from nested_kvm.facts.kernel.encryption import EncryptedMemory
    from nested_kvm.facts.kernel.faults import KernelFaults
    from nested_kvm.facts.kernel.identity import Identity
    from nested_kvm.facts.kernel.kvm_module import KvmModule, WithoutFlag
    from nested_kvm.facts.kernel.log import KernelLog
    from nested_kvm.facts.kernel.mitigations import Mitigations
    from nested_kvm.facts.kernel.modules import KernelModules
    from nested_kvm.facts.kernel.platform import Platform
    from nested_kvm.facts.kvm.absence import KvmAbsence
    from nested_kvm.facts.kvm.assists import Assists
    from nested_kvm.facts.kvm.confinement import Confinement
    from nested_kvm.facts.kvm.device import KvmDevice
    from nested_kvm.facts.kvm.device_access import KvmAccess
    from nested_kvm.facts.kvm.device_rule import DeviceRule
    from nested_kvm.facts.kvm.exposure import Exposure, KnownExposure
    from nested_kvm.facts.kvm.firmware import Firmware
    from nested_kvm.facts.kvm.hypervisors import Hypervisors
    from nested_kvm.facts.kvm.l2_boot import L2Boot
    from nested_kvm.facts.kvm.module_users import Holders
    from nested_kvm.facts.kvm.neighbours import Neighbours
    from nested_kvm.facts.kvm.nested_activity import NestedActivity
    from nested_kvm.facts.kvm.nesting import Nesting
    from nested_kvm.facts.kvm.page_tables import PageTables
    from nested_kvm.facts.kvm.vmm_guest import FlagHolders, VmmGuests
    from nested_kvm.facts.libvirt.capabilities import LibvirtCapabilities
    from nested_kvm.facts.libvirt.daemon import Libvirt
    from nested_kvm.facts.libvirt.domain import Domain
    from nested_kvm.facts.libvirt.host_shutdown import HostShutdown
    from nested_kvm.facts.libvirt.saved_states import SavedStates
    from nested_kvm.facts.modprobe.boot_cmdline import NextCmdline
    from nested_kvm.facts.modprobe.boot_load import BootLoad
    from nested_kvm.facts.modprobe.lasting import LastingSettings
    from nested_kvm.facts.modprobe.load_outcome import Authority, NextLoad
    from nested_kvm.facts.modprobe.nested_lines import NestedLines
    from nested_kvm.fleet.host_group import GroupComparison
    from nested_kvm.inspection import Inspection, observe
    from nested_kvm.inventory.target import Target
    from nested_kvm.model.answer import Answer
    from nested_kvm.model.architecture import ARM64, KNOWN, POWER, S390X, X86, architecture_of
    from nested_kvm.model.cause import Cause
    from nested_kvm.model.control import Level, Severity, control
    from nested_kvm.model.policy import Nested, Persistence, Policy
    from nested_kvm.model.verdict import (
        Evidence,
        Finding,
        Informed,
        NotApplicable,
        NotChecked,
        Undecided,
        require,
    )

__all__ = [
    "ARM64",
    "KNOWN",
    "POWER",
    "S390X",
    "X86",
    "Answer",
    "Assists",
    "Authority",
    "BootLoad",
    "Cause",
    "Confinement",
    "Cpu",
    "DeviceRule",
    "Domain",
    "EncryptedMemory",
    "Evidence",
    "Exposure",
    "Finding",
    "Firmware",
    "FlagHolders",
    "GroupComparison",
    "Holders",
    "HostShutdown",
    "Hypervisors",
    "Identity",
    "Informed",
    "Inspection",
    "KernelFaults",
    "KernelLog",
    "KernelModules",
    "KnownExposure",
    "KvmAbsence",
    "KvmAccess",
    "KvmDevice",
    "KvmModule",
    "L2Boot",
    "LastingSettings",
    "Level",
    "Libvirt",
    "LibvirtCapabilities",
    "Mitigations",
    "Neighbours",
    "Nested",
    "NestedActivity",
    "NestedLines",
    "Nesting",
    "NextCmdline",
    "NextLoad",
    "NotApplicable",
    "NotChecked",
    "PageTables",
    "Pair",
    "Persistence",
    "Platform",
    "Policy",
    "SavedStates",
    "Severity",
    "Target",
    "Undecided",
    "Vendor",
    "VmmGuests",
    "WithoutFlag",
    "architecture_of",
    "control",
    "first_break",
    "observe",
    "require",
]


_MODULES = {
    "Pair": "nested_kvm.controls.chain",
    "first_break": "nested_kvm.controls.chain",
    "Cpu": "nested_kvm.facts.kernel.cpu",
    "Vendor": "nested_kvm.facts.kernel.cpu",
    "EncryptedMemory": "nested_kvm.facts.kernel.encryption",
    "Identity": "nested_kvm.facts.kernel.identity",
    "KvmModule": "nested_kvm.facts.kernel.kvm_module",
    "KernelFaults": "nested_kvm.facts.kernel.faults",
    "KernelLog": "nested_kvm.facts.kernel.log",
    "Mitigations": "nested_kvm.facts.kernel.mitigations",
    "KernelModules": "nested_kvm.facts.kernel.modules",
    "Platform": "nested_kvm.facts.kernel.platform",
    "KvmAbsence": "nested_kvm.facts.kvm.absence",
    "Assists": "nested_kvm.facts.kvm.assists",
    "Confinement": "nested_kvm.facts.kvm.confinement",
    "KvmDevice": "nested_kvm.facts.kvm.device",
    "KvmAccess": "nested_kvm.facts.kvm.device_access",
    "DeviceRule": "nested_kvm.facts.kvm.device_rule",
    "Exposure": "nested_kvm.facts.kvm.exposure",
    "KnownExposure": "nested_kvm.facts.kvm.exposure",
    "Firmware": "nested_kvm.facts.kvm.firmware",
    "Hypervisors": "nested_kvm.facts.kvm.hypervisors",
    "L2Boot": "nested_kvm.facts.kvm.l2_boot",
    "Holders": "nested_kvm.facts.kvm.module_users",
    "Neighbours": "nested_kvm.facts.kvm.neighbours",
    "NestedActivity": "nested_kvm.facts.kvm.nested_activity",
    "Nesting": "nested_kvm.facts.kvm.nesting",
    "PageTables": "nested_kvm.facts.kvm.page_tables",
    "FlagHolders": "nested_kvm.facts.kvm.vmm_guest",
    "VmmGuests": "nested_kvm.facts.kvm.vmm_guest",
    "WithoutFlag": "nested_kvm.facts.kernel.kvm_module",
    "LibvirtCapabilities": "nested_kvm.facts.libvirt.capabilities",
    "Libvirt": "nested_kvm.facts.libvirt.daemon",
    "Domain": "nested_kvm.facts.libvirt.domain",
    "HostShutdown": "nested_kvm.facts.libvirt.host_shutdown",
    "SavedStates": "nested_kvm.facts.libvirt.saved_states",
    "NextCmdline": "nested_kvm.facts.modprobe.boot_cmdline",
    "LastingSettings": "nested_kvm.facts.modprobe.lasting",
    "Authority": "nested_kvm.facts.modprobe.load_outcome",
    "NextLoad": "nested_kvm.facts.modprobe.load_outcome",
    "NestedLines": "nested_kvm.facts.modprobe.nested_lines",
    "GroupComparison": "nested_kvm.fleet.host_group",
    "Inspection": "nested_kvm.inspection",
    "observe": "nested_kvm.inspection",
    "Target": "nested_kvm.inventory.target",
    "Answer": "nested_kvm.model.answer",
    "ARM64": "nested_kvm.model.architecture",
    "KNOWN": "nested_kvm.model.architecture",
    "POWER": "nested_kvm.model.architecture",
    "S390X": "nested_kvm.model.architecture",
    "X86": "nested_kvm.model.architecture",
    "architecture_of": "nested_kvm.model.architecture",
    "BootLoad": "nested_kvm.facts.modprobe.boot_load",
    "Cause": "nested_kvm.model.cause",
    "Level": "nested_kvm.model.control",
    "Severity": "nested_kvm.model.control",
    "control": "nested_kvm.model.control",
    "Nested": "nested_kvm.model.policy",
    "Persistence": "nested_kvm.model.policy",
    "Policy": "nested_kvm.model.policy",
    "Evidence": "nested_kvm.model.verdict",
    "Finding": "nested_kvm.model.verdict",
    "Informed": "nested_kvm.model.verdict",
    "NotApplicable": "nested_kvm.model.verdict",
    "NotChecked": "nested_kvm.model.verdict",
    "Undecided": "nested_kvm.model.verdict",
    "require": "nested_kvm.model.verdict",
}
"""Where each name is defined."""


if not TYPE_CHECKING:  # for a type checker the names above are all there are

    def __getattr__(name: str) -> object:
        """Import a name where it is first used."""
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = globals()[name] = getattr(import_module(_MODULES[name]), name)
        return found


def __dir__() -> list[str]:
    """List the public names, whether or not they were imported."""
    return sorted({*globals(), *__all__})

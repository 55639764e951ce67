"""Audits nested virtualization under KVM: can an L1 run an L2, now and after the next reboot?

These names are what a check may import.
"""

from nested_kvm.controls.chain import Pair, first_break
from nested_kvm.facts.kernel.cpu import Cpu, Vendor
from nested_kvm.facts.kernel.encryption import EncryptedMemory
from nested_kvm.facts.kernel.identity import Identity
from nested_kvm.facts.kernel.kvm_module import KvmModule
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
from nested_kvm.facts.modprobe.lasting import LastingSettings
from nested_kvm.facts.modprobe.load_outcome import Authority, NextLoad
from nested_kvm.facts.modprobe.nested_lines import NestedLines
from nested_kvm.fleet.host_group import GroupComparison
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
    "architecture_of",
    "control",
    "first_break",
    "require",
]

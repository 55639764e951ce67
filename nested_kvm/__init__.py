"""Audits nested virtualization under KVM: can an L1 run an L2, now and after the next reboot?

These names are what a check may import.
"""

from nested_kvm.architecture import ARM64, KNOWN, POWER, S390X, X86
from nested_kvm.cause import Cause
from nested_kvm.chain import Pair, first_break
from nested_kvm.control import Level, Severity, control
from nested_kvm.facts.assists import Assists
from nested_kvm.facts.cpu import Cpu, Vendor
from nested_kvm.facts.cpu_definition import Answer
from nested_kvm.facts.domain import Domain
from nested_kvm.facts.holders import Holders
from nested_kvm.facts.host_group import GroupComparison
from nested_kvm.facts.host_shutdown import HostShutdown
from nested_kvm.facts.hypervisors import Hypervisors
from nested_kvm.facts.identity import Identity
from nested_kvm.facts.kernel_log import KernelLog
from nested_kvm.facts.kernel_modules import KernelModules
from nested_kvm.facts.kvm_access import KvmAccess
from nested_kvm.facts.kvm_device import KvmDevice
from nested_kvm.facts.kvm_module import KvmModule
from nested_kvm.facts.l2_boot import L2Boot
from nested_kvm.facts.libvirt import Libvirt
from nested_kvm.facts.libvirt_capabilities import LibvirtCapabilities
from nested_kvm.facts.load_outcome import Authority, NextLoad
from nested_kvm.facts.mitigations import Mitigations
from nested_kvm.facts.nested_activity import NestedActivity
from nested_kvm.facts.nested_lines import NestedLines
from nested_kvm.facts.nesting import Nesting
from nested_kvm.facts.next_cmdline import NextCmdline
from nested_kvm.facts.saved_states import SavedStates
from nested_kvm.facts.vmm_guest import VmmGuests
from nested_kvm.inventory.target import Target
from nested_kvm.policy import Nested, Persistence, Policy
from nested_kvm.verdict import (
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
    "Cpu",
    "Domain",
    "Evidence",
    "Finding",
    "GroupComparison",
    "Holders",
    "HostShutdown",
    "Hypervisors",
    "Identity",
    "Informed",
    "KernelLog",
    "KernelModules",
    "KvmAccess",
    "KvmDevice",
    "KvmModule",
    "L2Boot",
    "Level",
    "Libvirt",
    "LibvirtCapabilities",
    "Mitigations",
    "Nested",
    "NestedActivity",
    "NestedLines",
    "Nesting",
    "NextCmdline",
    "NextLoad",
    "NotApplicable",
    "NotChecked",
    "Pair",
    "Persistence",
    "Policy",
    "SavedStates",
    "Severity",
    "Target",
    "Undecided",
    "Vendor",
    "VmmGuests",
    "control",
    "first_break",
    "require",
]

"""What a check may take: one fact of its subject each. Facts observe, and never judge.

A fact that could not be read raises `ObservationError` here, which is an error, never a finding.
"""

from collections.abc import Callable
from typing import Any, Final, cast

import pytest

from nested_kvm.connection import Host
from nested_kvm.controls.chain import Pair
from nested_kvm.controls.judge import check_applies
from nested_kvm.errors import NestedKvmError
from nested_kvm.facts.kernel.cpu import Cpu
from nested_kvm.facts.kernel.identity import Identity
from nested_kvm.facts.kernel.kvm_module import KvmModule
from nested_kvm.facts.kernel.log import KernelLog
from nested_kvm.facts.kernel.mitigations import Mitigations
from nested_kvm.facts.kernel.modules import KernelModules
from nested_kvm.facts.kvm.assists import Assists
from nested_kvm.facts.kvm.device import KvmDevice
from nested_kvm.facts.kvm.device_access import KvmAccess
from nested_kvm.facts.kvm.hypervisors import Hypervisors
from nested_kvm.facts.kvm.l2_boot import L2Boot
from nested_kvm.facts.kvm.module_users import Holders
from nested_kvm.facts.kvm.nested_activity import NestedActivity
from nested_kvm.facts.kvm.nesting import Nesting
from nested_kvm.facts.kvm.vmm_guest import VmmGuests
from nested_kvm.facts.libvirt.capabilities import LibvirtCapabilities
from nested_kvm.facts.libvirt.daemon import Libvirt
from nested_kvm.facts.libvirt.domain import Domain
from nested_kvm.facts.libvirt.host_shutdown import HostShutdown
from nested_kvm.facts.libvirt.saved_states import SavedStates
from nested_kvm.facts.modprobe.boot_cmdline import NextCmdline
from nested_kvm.facts.modprobe.load_outcome import NextLoad
from nested_kvm.facts.modprobe.nested_lines import NestedLines
from nested_kvm.fleet.host_group import GroupComparison
from nested_kvm.fleet.subject import Subject
from nested_kvm.inventory.target import Target
from nested_kvm.model.control import control_of
from nested_kvm.model.policy import Policy
from nested_kvm.plugin.audit_session import SESSION

FACTS: Final[dict[str, Callable[[Subject], object]]] = {}
"""How each is observed, by the name of the parameter that asks for it."""


def fact(observe: Callable[[Subject], object]) -> Any:
    """Offer a fact to every check: to a control as it is, to any other test as a fixture of pytest's."""
    FACTS[observe.__name__] = observe
    return pytest.fixture(observe)


@pytest.fixture(autouse=True)
def subject(request: pytest.FixtureRequest) -> Subject:
    """What the check speaks of; the plugin chooses them for each control."""
    chosen = cast("Subject", request.param)
    declared = control_of(request.function)
    if declared is not None:
        check_applies(declared, chosen)
    return chosen


@fact
def target(subject: Subject) -> Target:
    """The target as the inventory declares it."""
    return subject.machine.target


@pytest.fixture
def host(request: pytest.FixtureRequest, subject: Subject) -> Host:
    """Testinfra's view of the target, over the connection that carried the probe."""
    return request.config.stash[SESSION].audit.host(subject.machine.target)


@fact
def policy(subject: Subject) -> Policy:
    """The subject's effective policy."""
    return subject.policy


@fact
def cpu(subject: Subject) -> Cpu:
    """The target's CPUs; for a domain, its host's."""
    return subject.machine.cpu


@fact
def kernel_log(subject: Subject) -> KernelLog:
    """What the target's kernel said of KVM."""
    return subject.machine.kernel_log


@fact
def identity(subject: Subject) -> Identity:
    """Who the target says it is."""
    return subject.machine.identity


@fact
def kvm_module(subject: Subject) -> KvmModule:
    """The target's KVM module."""
    return subject.machine.kvm_module


@fact
def nesting(subject: Subject) -> Nesting:
    """Whether the target's KVM offers nesting."""
    return subject.machine.nesting


@fact
def kvm_device(subject: Subject) -> KvmDevice:
    """The target's `/dev/kvm`."""
    return subject.machine.kvm_device


@fact
def kvm_access(subject: Subject) -> KvmAccess:
    """Whether the account that will run VMs on the target may open its `/dev/kvm`."""
    return subject.machine.kvm_access


@fact
def next_load(subject: Subject) -> NextLoad:
    """What the next load of the target's KVM module will do."""
    return subject.machine.next_load


@fact
def kernel_modules(subject: Subject) -> KernelModules:
    """Whether the target's kernel brings its KVM module along."""
    return subject.machine.kernel_modules


@fact
def holders(subject: Subject) -> Holders:
    """What keeps the target's KVM module from being reloaded."""
    return subject.machine.module_users


@fact
def assists(subject: Subject) -> Assists:
    """The hardware assists that the target's KVM module uses."""
    return subject.machine.assists


@fact
def mitigations(subject: Subject) -> Mitigations:
    """What the target's kernel says of attacks from guests."""
    return subject.machine.mitigations


@fact
def nested_lines(subject: Subject) -> NestedLines:
    """The lines of the target's modprobe.d that name nested, or keep the module from loading."""
    return subject.machine.nested_lines


@fact
def next_cmdline(subject: Subject) -> NextCmdline:
    """What the next boot's command line says of the target's KVM module."""
    return subject.machine.next_cmdline


@fact
def host_shutdown(subject: Subject) -> HostShutdown:
    """What the target's shutdown does with its guests."""
    return subject.machine.host_shutdown


@fact
def group_comparison(subject: Subject) -> GroupComparison:
    """How the target differs from the hosts of its group."""
    group = subject.group
    return GroupComparison(None) if group is None else group.comparison(subject.machine.target.name)


@fact
def hypervisors(subject: Subject) -> Hypervisors:
    """The programs on the target that can run a VM."""
    return subject.machine.hypervisors


@fact
def l2_boot(subject: Subject) -> L2Boot:
    """What became of the L2 that was started in the target."""
    return subject.machine.l2_boot


@fact
def pair(subject: Subject) -> Pair:
    """The guest together with its host."""
    return Pair(subject.host, subject.machine)


@fact
def libvirt(subject: Subject) -> Libvirt:
    """The target's libvirt."""
    return subject.machine.libvirt


@fact
def libvirt_capabilities(subject: Subject) -> LibvirtCapabilities:
    """Whether the target's libvirt knows that KVM guests can be given the flag."""
    return subject.machine.libvirt_capabilities


@fact
def domain(subject: Subject) -> Domain:
    """The domain that the check speaks of."""
    if subject.domain is None:
        raise NestedKvmError("only a DOM control speaks of a domain")
    return subject.machine.domain(subject.domain)


@fact
def saved_states(subject: Subject) -> SavedStates:
    """What is saved, with its memory, of the domain that the check speaks of."""
    if subject.domain is None:
        raise NestedKvmError("only a DOM control speaks of a domain")
    return subject.machine.saved_states(subject.domain)


@fact
def nested_activity(subject: Subject) -> NestedActivity:
    """Whether an L2 runs in the domain, or in the guest, that the check speaks of."""
    return subject.machine.nested_activity(subject.domain)


@fact
def vmm_guests(subject: Subject) -> VmmGuests:
    """What the guests of the target's VMM processes are given."""
    return subject.machine.vmm_guests

"""What a check may take: one fact of its subject each. Fixtures observe, and never judge.

A fact that could not be read raises `ObservationError` here, which is an error, never a finding.
"""

from typing import cast

import pytest

from nested_kvm.chain import Pair
from nested_kvm.connection import Host
from nested_kvm.control import control_of
from nested_kvm.errors import NestedKvmError
from nested_kvm.facts.assists import Assists
from nested_kvm.facts.cpu import Cpu
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
from nested_kvm.facts.load_outcome import NextLoad
from nested_kvm.facts.mitigations import Mitigations
from nested_kvm.facts.nested_activity import NestedActivity
from nested_kvm.facts.nested_lines import NestedLines
from nested_kvm.facts.nesting import Nesting
from nested_kvm.facts.next_cmdline import NextCmdline
from nested_kvm.facts.saved_states import SavedStates
from nested_kvm.facts.vmm_guest import VmmGuests
from nested_kvm.inventory.target import Target
from nested_kvm.judgement import check_applies
from nested_kvm.policy import Policy
from nested_kvm.session import SESSION
from nested_kvm.subject import Subject


@pytest.fixture(autouse=True)
def subject(request: pytest.FixtureRequest) -> Subject:
    """What the check speaks of; the plugin chooses them for each control."""
    chosen = cast("Subject", request.param)
    declared = control_of(request.function)
    if declared is not None:
        check_applies(declared, chosen)
    return chosen


@pytest.fixture
def target(subject: Subject) -> Target:
    """The target as the inventory declares it."""
    return subject.machine.target


@pytest.fixture
def host(request: pytest.FixtureRequest, subject: Subject) -> Host:
    """Testinfra's view of the target, over the connection that carried the probe."""
    return request.config.stash[SESSION].audit.host(subject.machine.target)


@pytest.fixture
def policy(subject: Subject) -> Policy:
    """The subject's effective policy."""
    return subject.policy


@pytest.fixture
def cpu(subject: Subject) -> Cpu:
    """The target's CPUs; for a domain, its host's."""
    return subject.machine.cpu


@pytest.fixture
def kernel_log(subject: Subject) -> KernelLog:
    """What the target's kernel said of KVM."""
    return subject.machine.kernel_log


@pytest.fixture
def identity(subject: Subject) -> Identity:
    """Who the target says it is."""
    return subject.machine.identity


@pytest.fixture
def kvm_module(subject: Subject) -> KvmModule:
    """The target's KVM module."""
    return subject.machine.kvm_module


@pytest.fixture
def nesting(subject: Subject) -> Nesting:
    """Whether the target's KVM offers nesting."""
    return subject.machine.nesting


@pytest.fixture
def kvm_device(subject: Subject) -> KvmDevice:
    """The target's `/dev/kvm`."""
    return subject.machine.kvm_device


@pytest.fixture
def kvm_access(subject: Subject) -> KvmAccess:
    """Whether the account that will run VMs on the target may open its `/dev/kvm`."""
    return subject.machine.kvm_access


@pytest.fixture
def next_load(subject: Subject) -> NextLoad:
    """What the next load of the target's KVM module will do."""
    return subject.machine.next_load


@pytest.fixture
def kernel_modules(subject: Subject) -> KernelModules:
    """Whether the target's kernel brings its KVM module along."""
    return subject.machine.kernel_modules


@pytest.fixture
def holders(subject: Subject) -> Holders:
    """What keeps the target's KVM module from being reloaded."""
    return subject.machine.holders


@pytest.fixture
def assists(subject: Subject) -> Assists:
    """The hardware assists that the target's KVM module uses."""
    return subject.machine.assists


@pytest.fixture
def mitigations(subject: Subject) -> Mitigations:
    """What the target's kernel says of attacks from guests."""
    return subject.machine.mitigations


@pytest.fixture
def nested_lines(subject: Subject) -> NestedLines:
    """The lines of the target's modprobe.d that name nested, or keep the module from loading."""
    return subject.machine.nested_lines


@pytest.fixture
def next_cmdline(subject: Subject) -> NextCmdline:
    """What the next boot's command line says of the target's KVM module."""
    return subject.machine.next_cmdline


@pytest.fixture
def host_shutdown(subject: Subject) -> HostShutdown:
    """What the target's shutdown does with its guests."""
    return subject.machine.host_shutdown


@pytest.fixture
def group_comparison(request: pytest.FixtureRequest, subject: Subject) -> GroupComparison:
    """How the target differs from the hosts of its group."""
    group = request.config.stash[SESSION].audit.fleet.group_of(subject.machine.target)
    return GroupComparison(None) if group is None else group.comparison(subject.machine.target.name)


@pytest.fixture
def hypervisors(subject: Subject) -> Hypervisors:
    """The programs on the target that can run a VM."""
    return subject.machine.hypervisors


@pytest.fixture
def l2_boot(subject: Subject) -> L2Boot:
    """What became of the L2 that was started in the target."""
    return subject.machine.l2_boot


@pytest.fixture
def pair(request: pytest.FixtureRequest, subject: Subject) -> Pair:
    """The guest together with its host."""
    machines = request.config.stash[SESSION].audit.fleet.machines
    return Pair(machines.get(subject.machine.target.host or ""), subject.machine)


@pytest.fixture
def libvirt(subject: Subject) -> Libvirt:
    """The target's libvirt."""
    return subject.machine.libvirt


@pytest.fixture
def libvirt_capabilities(subject: Subject) -> LibvirtCapabilities:
    """Whether the target's libvirt knows that KVM guests can be given the flag."""
    return subject.machine.libvirt_capabilities


@pytest.fixture
def domain(subject: Subject) -> Domain:
    """The domain that the check speaks of."""
    if subject.domain is None:
        raise NestedKvmError("only a DOM control speaks of a domain")
    return subject.machine.domain(subject.domain)


@pytest.fixture
def saved_states(subject: Subject) -> SavedStates:
    """What is saved, with its memory, of the domain that the check speaks of."""
    if subject.domain is None:
        raise NestedKvmError("only a DOM control speaks of a domain")
    return subject.machine.saved_states(subject.domain)


@pytest.fixture
def nested_activity(subject: Subject) -> NestedActivity:
    """Whether an L2 runs in the domain, or in the guest, that the check speaks of."""
    return subject.machine.nested_activity(subject.domain)


@pytest.fixture
def vmm_guests(subject: Subject) -> VmmGuests:
    """What the guests of the target's VMM processes are given."""
    return subject.machine.vmm_guests

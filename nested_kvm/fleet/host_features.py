"""The CPU features that only some hosts of a group have, and whether a guest of the group would miss them.

A guest with host-model or host-passthrough is started with what its host has, and cannot move to a host that lacks it.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from nested_kvm.errors import ObservationError
from nested_kvm.facts.kernel.cpu import Cpu, Vendor
from nested_kvm.facts.libvirt.domain import Domain, domain_of
from nested_kvm.fleet.machine import Machine

_COPYING: Final = frozenset({"host-model", "host-passthrough", "maximum"})
_OF_THE_KERNEL: Final = frozenset(
    [
        "constant_tsc",
        "nonstop_tsc",
        "rep_good",
        "nopl",
        "xtopology",
        "cpuid",
        "aperfmperf",
        "tsc_known_freq",
        "pni",
        "pti",
        "ibrs",
        "ibpb",
        "stibp",
        "ssbd",
        "retpoline",
        "rsb_ctxsw",
        "arch_perfmon",
        "acc_power",
        "cpuid_fault",
        "epb",
        "pebs",
        "bts",
        "dts",
        "ida",
        "arat",
        "pln",
        "pts",
        "hwp",
        "hwp_notify",
        "hwp_act_window",
        "hwp_epp",
        "hwp_pkg_req",
        "dtherm",
        "tm",
        "tm2",
        "est",
        "acpi",
        "ht",
        "pbe",
        "monitor",
        "hypervisor",
        "vnmi",
        "flexpriority",
        "tpr_shadow",
        "ibrs_enhanced",
        "user_shstk",
        "split_lock_detect",
        "bus_lock_detect",
    ]
)
"""Words that the kernel itself makes, or that no guest is given: they differ by kernel and firmware settings."""
_SHOWN: Final = 24
"""How many words a message names."""


@dataclass(frozen=True, slots=True)
class HostFeatures:
    """What one host lacks that another host of its group has. `needed` is what its running guests show as required.

    Source: `flags` and `vmx flags` in `/proc/cpuinfo`, libvirt's cached capabilities of QEMU, which have the features
    of VMX that no word in `/proc/cpuinfo` stands for, and libvirt's definitions of the guests.
    """

    lacking: Mapping[str, tuple[str, ...]]
    """By the kind of line: the words that others have."""
    unproven: tuple[str, ...]
    """Features that a guest of the group requires, and that no reading of this host shows."""
    copying: tuple[str, ...]
    """The guests of the group that are started with what their host has."""
    unlisted: str = ""
    """Why the guests of the group are not known."""

    @property
    def text(self) -> str:
        """What is lacking, for messages."""
        return "; ".join(f"lacks {kind} that another host has: {_shown(words)}" for kind, words in self.lacking.items())


def features_of_group(machines: Sequence[Machine]) -> Mapping[str, HostFeatures]:
    """What each host lacks, by its name. A host whose CPUs could not be read is left out, and is `unseen` elsewhere."""
    cpus: dict[str, Cpu] = {}
    offered: dict[str, frozenset[str]] = {}
    for machine in machines:
        with suppress(ObservationError):
            cpus[machine.target.name] = machine.cpu
            offered[machine.target.name] = machine.offered_vmx or frozenset()
    offered = {name: words for name, words in offered.items() if words}
    copying, unlisted, needed = _guests(machines)
    every = set().union(*needed.values()) if needed else set()
    lines = {
        "CPU flags": {name: _flags(cpu) for name, cpu in cpus.items()},
        "vmx flags": {name: cpu.vmx_flags for name, cpu in cpus.items() if cpu.vmx_flags},
        # What a guest runs with on one host is what another host has to offer, also where it shows no capabilities.
        "features of VMX under KVM": {
            name: (words | needed.get(name, set())) for name, words in {**offered, "": frozenset(every)}.items()
        },
    }
    return {
        name: HostFeatures(
            {kind: missing for kind, words in lines.items() if (missing := _missing(name, words))},
            tuple(sorted(every - needed.get(name, set())))
            if cpu.vendor is Vendor.INTEL and name not in offered
            else (),
            tuple(copying),
            unlisted,
        )
        for name, cpu in cpus.items()
    }


def _flags(cpu: Cpu) -> frozenset[str]:
    """The words that every CPU of the host shows, without those that are the kernel's own."""
    common = frozenset.intersection(*cpu.flags) if cpu.flags else frozenset()
    return frozenset(word for word in common - _OF_THE_KERNEL if not word.startswith(("vmx_", "mba_", "cqm", "cat_")))


def _missing(name: str, words: Mapping[str, frozenset[str]]) -> tuple[str, ...]:
    if name not in words:
        return ()
    return tuple(sorted(frozenset().union(*words.values()) - words[name]))


def _guests(machines: Sequence[Machine]) -> tuple[list[str], str, dict[str, set[str]]]:
    copying: list[str] = []
    needed: dict[str, set[str]] = {}
    unlisted = ""
    for machine in machines:
        try:
            domains = list(_domains(machine))
        except ObservationError as reason:
            unlisted = unlisted or f"{machine.target.name}: {reason}"
            continue
        for domain in domains:
            if domain.cpu.mode in _COPYING and domain.runs_under_kvm:
                copying.append(domain.name)
                live = domain.live_cpu
                features = live.features if live is not None else {}
                needed.setdefault(machine.target.name, set()).update(
                    name
                    for name, policy in features.items()
                    if name.startswith("vmx-") and policy in {"require", "force"}
                )
    return copying, unlisted, needed


def _domains(machine: Machine) -> list[Domain]:
    if machine.target.libvirt is None:
        keys = [process.key for process in machine.vmm_processes.processes]
        return [machine.domain(key) for key in keys]
    return [domain_of(record) for record in machine.libvirt.records]


def _shown(words: Sequence[str]) -> str:
    more = f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
    return f"{' '.join(words[:_SHOWN])}{more}"

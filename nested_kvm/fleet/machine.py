"""The facts of one machine, each computed once, on first use."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from typing import Final

from nested_kvm.errors import NotCollected, NotObserved, ObservationError
from nested_kvm.evidence import sources
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.evidence.expansion import translated
from nested_kvm.evidence.expansion.question import Question
from nested_kvm.evidence.reading import Status
from nested_kvm.facts.advisories.advisory_file import packaged_advisories
from nested_kvm.facts.kernel.build import KernelBuild, kernel_build_of, pinned_kernel_of
from nested_kvm.facts.kernel.containment import Containment, containment_of
from nested_kvm.facts.kernel.cpu import Cpu, cpu_of
from nested_kvm.facts.kernel.encryption import EncryptedMemory, encrypted_memory_of
from nested_kvm.facts.kernel.faults import KernelFaults, kernel_faults_of
from nested_kvm.facts.kernel.identity import Identity, identity_of
from nested_kvm.facts.kernel.kvm_module import KvmModule, WithoutFlag, kvm_module_of, without_flag_of
from nested_kvm.facts.kernel.log import KernelLog, kernel_log_of
from nested_kvm.facts.kernel.mitigations import Mitigations, mitigations_of
from nested_kvm.facts.kernel.modules import KernelModules, kernel_modules_of
from nested_kvm.facts.kernel.platform import Platform, platform_of
from nested_kvm.facts.kvm.absence import KvmAbsence, as_it_started, kvm_absence_of
from nested_kvm.facts.kvm.assists import Assists, assists_of
from nested_kvm.facts.kvm.confinement import Confinement, confinement_of
from nested_kvm.facts.kvm.device import KvmDevice, kvm_device_of
from nested_kvm.facts.kvm.device_access import KvmAccess, kvm_access_of
from nested_kvm.facts.kvm.device_rule import DeviceRule, device_rule_of
from nested_kvm.facts.kvm.exposure import Exposure, KnownExposure, exposure_of
from nested_kvm.facts.kvm.firmware import Firmware, firmware_by_device, firmware_by_log, firmware_by_module
from nested_kvm.facts.kvm.hypervisors import Hypervisors, hypervisors_of
from nested_kvm.facts.kvm.l2_boot import L2Boot, l2_boot_of
from nested_kvm.facts.kvm.module_users import ModuleUsers
from nested_kvm.facts.kvm.neighbours import Neighbours, neighbours_of
from nested_kvm.facts.kvm.nested_activity import (
    NestedActivity,
    activity_in_domain,
    activity_in_guest,
    activity_in_host,
    activity_in_process,
)
from nested_kvm.facts.kvm.nesting import Nesting, nesting_of
from nested_kvm.facts.kvm.other_vmm import cloud_hypervisor_version
from nested_kvm.facts.kvm.page_tables import PageTables, page_tables_of
from nested_kvm.facts.kvm.process_check import with_process
from nested_kvm.facts.kvm.reach import reach_of
from nested_kvm.facts.kvm.vm_holders import VmHolders, vm_holders_of
from nested_kvm.facts.kvm.vmm_guest import FlagHolders, VmmGuests, domain_of_process, vmm_guests_of
from nested_kvm.facts.kvm.vmm_process import PROCESS_KEY, VmmProcesses, vmm_processes_of
from nested_kvm.facts.libvirt.asked_definition import asked_definition_of, why_unanswered
from nested_kvm.facts.libvirt.capabilities import LibvirtCapabilities, libvirt_capabilities_of
from nested_kvm.facts.libvirt.capabilities_cache import offered_vmx_of
from nested_kvm.facts.libvirt.daemon import Libvirt, libvirt_of
from nested_kvm.facts.libvirt.domain import Domain, ProcessCheck, domain_of
from nested_kvm.facts.libvirt.host_shutdown import HostShutdown, host_shutdown_of
from nested_kvm.facts.libvirt.saved_states import SavedStates, saved_states_of
from nested_kvm.facts.modprobe.boot_cmdline import NextCmdline, next_cmdline_of
from nested_kvm.facts.modprobe.boot_load import BootLoad, boot_load_of
from nested_kvm.facts.modprobe.config import ModprobeConfiguration, modprobe_configuration_of
from nested_kvm.facts.modprobe.lasting import LastingSettings, lasting_settings_of
from nested_kvm.facts.modprobe.load_outcome import LoadOutcome, NextLoad
from nested_kvm.facts.modprobe.nested_lines import NestedLines, nested_lines_of
from nested_kvm.facts.modprobe.next_load import next_load_of
from nested_kvm.fleet.defined_guest import DefinedGuest
from nested_kvm.fleet.shared_fact import SharedFact
from nested_kvm.inventory.target import TargetLevel
from nested_kvm.model.advisory import Advisories
from nested_kvm.model.answer import Answer
from nested_kvm.model.architecture import ARM64, X86, architecture_of
from nested_kvm.model.policy import Guard
from nested_kvm.model.verdict import Evidence

_DEVICE_RULE: Final = SharedFact(device_rule_of)
_MODPROBE_CONFIGURATION: Final = SharedFact(modprobe_configuration_of)
_NEXT_CMDLINE: Final = SharedFact(next_cmdline_of)
_NEXT_LOAD: Final = SharedFact(next_load_of)
_PLATFORM: Final = SharedFact(platform_of)


class Machine:
    """One target and the facts in its bundle. Each property may raise `ObservationError`.

    Every public `cached_property` is a fact: a check may take it by its name.
    """

    def __init__(
        self,
        bundle: Bundle,
        candidates: Mapping[str, Domain] | None = None,
        advisories: Advisories | None = None,
        defined: Mapping[str, DefinedGuest] | None = None,
    ) -> None:
        self.bundle = bundle
        self._defined = defined or {}
        self._advisories = advisories or packaged_advisories()
        self._candidates = candidates
        self.target = bundle.target

    @property
    def is_observed(self) -> bool:
        """Whether anything was read from the target."""
        return self.bundle.is_observed

    @property
    def is_for_candidate(self) -> bool:
        """Whether only candidates are checked on the machine."""
        return self._candidates is not None

    @property
    def is_l0(self) -> bool:
        """Whether the L0 controls apply; also where the level is not known."""
        return self.target.level is not TargetLevel.L1

    @cached_property
    def identity(self) -> Identity:
        """The target's kernel and its names."""
        return identity_of(self.bundle)

    @cached_property
    def architecture(self) -> str:
        """The architecture of the target's kernel, as `uname -m` prints it."""
        return self.bundle.text(sources.ARCHITECTURE).strip()

    @cached_property
    def containment(self) -> Containment:
        """Whether the target is a container, whose files do not configure its kernel."""
        return containment_of(self.bundle)

    @cached_property
    def cpu(self) -> Cpu:
        """The target's CPUs; for a domain, its host's."""
        return cpu_of(self.bundle)

    @cached_property
    def kernel_log(self) -> KernelLog:
        """The messages of the target's kernel about KVM."""
        return kernel_log_of(self.bundle)

    @cached_property
    def platform(self) -> Platform:
        """The hypervisor that the target runs on, as far as it is named."""
        return _PLATFORM.of(self.bundle, self.cpu)

    @cached_property
    def encrypted_memory(self) -> EncryptedMemory:
        """Whether the target sees its own memory encrypted."""
        return encrypted_memory_of(self.bundle, self.cpu)

    @cached_property
    def without_flag(self) -> WithoutFlag:
        """What lets the target run VMs although its CPUs show no flag."""
        return without_flag_of(self.bundle)

    @cached_property
    def firmware(self) -> Firmware:
        """Whether the target's firmware disables virtualization."""
        if self.kernel_log.is_readable or not self.cpu.is_x86:
            return firmware_by_log(self.kernel_log)
        if self._kvm_in_sysfs.is_built_in:
            return firmware_by_device(self.kvm_device)
        return firmware_by_module(self._kvm_in_sysfs)

    @cached_property
    def kvm_module(self) -> KvmModule:
        """The target's KVM module, for its CPU's vendor."""
        return as_it_started(self._kvm_in_sysfs, lambda: self.kvm_device, self._refusals)

    def _refusals(self) -> tuple[Evidence, ...]:
        """The lines in which the target's kernel refuses to load its KVM module."""
        shows_flag = self.cpu.is_known_to_show_flag
        return self.kernel_log.refusals_of(self.kvm_module_name, flag_is_shown=shows_flag)

    @cached_property
    def _kvm_in_sysfs(self) -> KvmModule:
        """The module as sysfs shows it, where one that is built in looks as if it had started."""
        return kvm_module_of(self.bundle, self.kvm_module_name)

    @property
    def kvm_module_name(self) -> str:
        """The name of the KVM module for the target's CPU."""
        known = architecture_of(self.architecture)
        return known.module if known is not None and known.module is not None else self.cpu.require_vendor().module

    @cached_property
    def nesting(self) -> Nesting:
        """Whether the target's KVM offers nesting."""
        return nesting_of(self.bundle, architecture_of(self.architecture), self.kvm_module)

    @cached_property
    def kvm_device(self) -> KvmDevice:
        """The target's `/dev/kvm`."""
        return kvm_device_of(self.bundle)

    @cached_property
    def confinement(self) -> Confinement:
        """Whether the target looks like a container."""
        return confinement_of(self.kvm_module, self.kernel_modules, self.platform, is_guest=not self.is_l0)

    @cached_property
    def kvm_access(self) -> KvmAccess:
        """Whether the account that will run VMs on the target may open its `/dev/kvm`."""
        return kvm_access_of(self.bundle, self.kvm_device)

    @cached_property
    def next_load(self) -> NextLoad:
        """What the next load of the target's KVM module will do."""
        if architecture_of(self.architecture) is ARM64:
            raise NotObserved(f"on {ARM64.name} no module carries the parameter: {ARM64.way}")
        return _NEXT_LOAD.of(self.bundle, self.kvm_module_name, self._modprobe_configuration)

    @cached_property
    def _modprobe_configuration(self) -> ModprobeConfiguration:
        return _MODPROBE_CONFIGURATION.of(self.bundle)

    @cached_property
    def kernel_modules(self) -> KernelModules:
        """Whether the target's kernel ships its KVM module."""
        return kernel_modules_of(self.bundle, self.kvm_module_name)

    @cached_property
    def kvm_absence(self) -> KvmAbsence:
        """Why the target's KVM module is not loaded, where it is not."""
        return kvm_absence_of(
            self.kvm_module,
            self._log_or_none_read,
            self.kernel_modules,
            is_guest=not self.is_l0,
            shows_flag=self.cpu.is_known_to_show_flag,
        )

    @property
    def _log_or_none_read(self) -> KernelLog:
        """The kernel's log; one that is not in the evidence shows no more than one that may not be read."""
        try:
            return self.kernel_log
        except NotObserved:
            return KernelLog((), is_readable=False)

    @cached_property
    def module_users(self) -> ModuleUsers:
        """What keeps the target's KVM module from being reloaded, as far as it is visible."""
        try:
            running = self.libvirt.running
        except ObservationError:
            running = ()
        return ModuleUsers(running, self._kvm_in_sysfs.use_count)

    @cached_property
    def assists(self) -> Assists:
        """The hardware assists that the target's KVM module uses."""
        return assists_of(self.cpu, self.kvm_module)

    @cached_property
    def neighbours(self) -> Neighbours:
        """The drivers of other hypervisors beside the target's KVM."""
        return neighbours_of(self.bundle, self.kvm_module)

    @cached_property
    def page_tables(self) -> PageTables:
        """Whether programs on the target get page tables for guests, on s390x."""
        return page_tables_of(self.bundle)

    @cached_property
    def mitigations(self) -> Mitigations:
        """How the target's kernel mitigates attacks from guests."""
        return mitigations_of(self.bundle)

    @cached_property
    def kernel_build(self) -> KernelBuild:
        """The target's running kernel, its package and its live patches."""
        return kernel_build_of(self.bundle)

    @cached_property
    def kernel_faults(self) -> KernelFaults:
        """The published faults of the target's running kernel because of which nesting fails."""
        here, vendor = architecture_of(self.architecture), self.cpu.vendor if self.cpu.is_x86 else None
        flag = vendor.flag if vendor is not None else None
        return kernel_faults_of(self.kernel_build, here, flag, is_guest=not self.is_l0)

    @cached_property
    def exposure(self) -> Exposure:
        """Which published vulnerabilities of KVM the target's kernel has, and whether guests reach them."""
        if architecture_of(self.architecture) is not X86:
            raise NotObserved(f"the advisories are about x86; this machine is {self.architecture}")
        reach = reach_of(self.bundle, self.kvm_module, lambda: self.next_load, lambda: self.next_cmdline)
        pinned = pinned_kernel_of(self.bundle, self.kernel_build.release, self.kernel_build.installed)
        return exposure_of(self.kernel_build, self.cpu.require_vendor(), self._advisories, reach, pinned)

    @cached_property
    def known_exposure(self) -> KnownExposure:
        """What is open to the target's guests now, as far as it is known."""
        try:
            found = self.exposure
        except ObservationError:
            return KnownExposure(())
        return KnownExposure(tuple(each.advisory.id for each in found.open) if found.is_exposed else ())

    @cached_property
    def flag_holders(self) -> FlagHolders:
        """The guests of the target that hold the flag now, by their processes, as far as they are known."""
        try:
            module, guests = self.kvm_module, self.vmm_guests
            if not module.is_loaded or not module.nested:
                return FlagHolders((), ())
        except ObservationError as reason:
            return FlagHolders((), (str(reason),))
        return FlagHolders(guests.with_flag, guests.undecided)

    @property
    def guard(self) -> Guard:
        """What decides a guarded policy on this host."""
        if architecture_of(self.architecture) not in {X86, None}:
            return Guard(Answer.YES, f"no advisory is about {self.architecture}")
        exposure = self.exposure
        named = ", ".join(each.advisory.id for each in exposure.open or exposure.undecided)
        words = {
            Answer.YES: f"{exposure.build.release} has the fix of every advisory",
            Answer.NO: f"{exposure.build.release} lacks the fix of {named}",
            Answer.UNKNOWN: f"whether {exposure.build.release} has the fix of {named} is not known",
        }
        fixed = exposure.kernel_is_fixed
        return Guard(fixed, words[fixed], withholds=exposure.reach.now is Answer.NO)

    @cached_property
    def lasting_settings(self) -> LastingSettings:
        """Whether the files that decide the next load of the target's KVM module outlive the next boot."""
        if self.bundle.origin is not None and self.next_load.outcome is LoadOutcome.UNKNOWN:
            raise NotCollected(f"what decides the next load is not known: {self.next_load.reason}")
        return lasting_settings_of(self.bundle, self.next_load, is_loaded=self.kvm_module.is_loaded)

    @cached_property
    def device_rule(self) -> DeviceRule:
        """The mode and group that udev gives the target's `/dev/kvm`."""
        return _DEVICE_RULE.of(self.bundle)

    @cached_property
    def nested_lines(self) -> NestedLines:
        """The lines of the target's modprobe.d that set nested, or keep the module from loading."""
        return nested_lines_of(self._modprobe_configuration, self.next_load, self.bundle)

    @cached_property
    def boot_load(self) -> BootLoad:
        """Whether the next boot loads the target's KVM module again."""
        try:
            if not self.kvm_module.is_loaded:
                return BootLoad(None, f"{self.kvm_module.name} is not loaded", self.kvm_module.evidence)
            return boot_load_of(self.bundle, self.next_load, self.nested_lines)
        except ObservationError as reason:
            return BootLoad(Answer.UNKNOWN, str(reason))

    @cached_property
    def next_cmdline(self) -> NextCmdline:
        """What the next boot's command line sets for the target's KVM module."""
        is_arm64 = architecture_of(self.architecture) is ARM64
        return _NEXT_CMDLINE.of(self.bundle, self.kvm_module_name, is_arm64=is_arm64)

    @cached_property
    def host_shutdown(self) -> HostShutdown:
        """What the target's shutdown does with its guests."""
        return host_shutdown_of(self.bundle)

    @cached_property
    def hypervisors(self) -> Hypervisors:
        """The programs on the target that can run a VM."""
        return hypervisors_of(self.bundle, architecture_of(self.architecture))

    @cached_property
    def l2_boot(self) -> L2Boot:
        """The outcome of the test VM (L2) that was started in the target."""
        return l2_boot_of(self.bundle)

    @cached_property
    def libvirt(self) -> Libvirt:
        """The target's libvirt."""
        return libvirt_of(self.bundle)

    @cached_property
    def libvirt_capabilities(self) -> LibvirtCapabilities:
        """Whether the target's libvirt knows that KVM guests can have the flag."""
        return libvirt_capabilities_of(self.bundle, self.libvirt, self.cpu)

    @property
    def offered_vmx(self) -> frozenset[str] | None:
        """The features of VMX that the target's QEMU can give a guest, by libvirt's cache; None: it shows none."""
        if self.target.libvirt is None:
            return None
        return offered_vmx_of(self.bundle, self.libvirt.version, self.cpu.architecture)

    @cached_property
    def vmm_processes(self) -> VmmProcesses:
        """The VMM processes of the target."""
        return vmm_processes_of(self.bundle)

    @cached_property
    def vmm_guests(self) -> VmmGuests:
        """What the guests of the target's VMM processes are given."""
        vendor = self.cpu.require_vendor()
        version = cloud_hypervisor_version(self.bundle)
        return vmm_guests_of(self.vmm_processes, self.vm_holders, vendor, tuple(self._running_domains()), version)

    def _running_domains(self) -> Iterator[Domain]:
        """The domains that libvirt runs, as far as it answers and describes them."""
        try:
            records = () if self.target.libvirt is None else self.libvirt.records
        except ObservationError:
            return
        for record in records:
            with suppress(ObservationError):
                domain = self._with_process(domain_of(record))
                if domain.is_running:
                    yield domain

    def _with_process(self, domain: Domain) -> Domain:
        """The domain, compared with its process; of one that does not run, no process may claim to be it."""
        try:
            processes, holders = self.vmm_processes, vm_holders_of(self.bundle)
        except ObservationError as reason:
            if not domain.is_running:
                return domain
            doubt = f"whether its process is the one that libvirt describes is not known: {reason}"
            return replace(domain, process_check=ProcessCheck(doubt=doubt))
        try:
            return with_process(domain, processes, holders, self.cpu.require_vendor())
        except ObservationError:
            return domain

    @property
    def vm_holders(self) -> VmHolders | None:
        """The processes that hold a VM; None where that was not read."""
        try:
            return vm_holders_of(self.bundle)
        except NotObserved:
            return None

    def domain(self, name: str) -> Domain:
        """The domain of that name or uuid: a candidate, an estate's, libvirt's, or without libvirt a QEMU process's."""
        if self._candidates is not None:
            return self._candidate_as_asked(self._candidates[name])
        if name in self._defined:
            version = cloud_hypervisor_version(self.bundle)
            records = () if self.bundle.libvirt is None else self.bundle.libvirt.domains
            return self._defined[name].on_its_host(lambda: self.vmm_processes, self.vm_holders, version, records)
        if self._is_process(name):
            version = cloud_hypervisor_version(self.bundle)
            return domain_of_process(self.vmm_processes.named(name), self.vm_holders, version)
        return self._as_asked(self._with_process(domain_of(self.libvirt.record(name))))

    def _as_asked(self, domain: Domain) -> Domain:
        """The domain with what the host's own libvirt and QEMU make of its definition, where they were asked."""
        with suppress(ObservationError):
            if self.nesting.offered is Answer.YES:
                return self._answered(domain, domain.uuid)
        return domain

    def _candidate_as_asked(self, domain: Domain) -> Domain:
        """The candidate with the answer to the question about it; else with why there is none, where one was wanted."""
        question = domain.question
        if not isinstance(question, Question) or translated(question.id) not in self.bundle.readings:
            return domain
        if self.bundle.readings[translated(question.id)].status is Status.NOT_COLLECTED:
            return replace(domain, unasked=why_unanswered(self.bundle, question.id))
        try:
            if self.nesting.offered is not Answer.YES:
                return replace(domain, unasked="KVM there does not offer nesting now, without which it shows nothing")
            answered = self._answered(domain, question.id)
        except ObservationError as reason:
            return replace(domain, unasked=str(reason))
        return answered if answered.asked else replace(domain, unasked=why_unanswered(self.bundle, question.id))

    def _answered(self, domain: Domain, asked_as: str) -> Domain:
        vendor = self.cpu.require_vendor()
        asked = asked_definition_of(self.bundle, asked_as, vendor, is_cpu_alone=domain.question is not None)
        rule = domain.promise_by_rule(vendor)
        return replace(domain, asked=None if asked is None else asked.beside(rule, domain.inactive_source))

    def saved_states(self, domain: str) -> SavedStates:
        """The saved states of that domain; none without libvirt, or for a candidate."""
        if domain in self._defined:
            return SavedStates(self._defined[domain].saved, self._defined[domain].unread_states)
        if self._is_process(domain) or self._candidates is not None:
            return SavedStates(())
        return saved_states_of(self.libvirt.record(domain))

    def nested_activity(self, domain: str | None) -> NestedActivity:
        """Whether an L2 runs in that domain; with None, in this machine itself."""
        if domain is None:
            within = activity_in_host if self.is_l0 else activity_in_guest
            return within(self.bundle, self._kvm_in_sysfs)
        found = self.domain(domain)
        is_of_file = found.file is not None and found.process is None
        if (is_of_file or not found.is_running) and found.process_check.doubt is not None:
            return NestedActivity(Answer.UNKNOWN, found.process_check.doubt, found.evidence)
        if found.is_contradictory:
            message = f"the domain is {found.state}, and libvirt gave no live XML of it"
            return NestedActivity(Answer.UNKNOWN, message, found.evidence)
        if not found.is_running:
            return NestedActivity(Answer.NO, f"the domain is {found.state}", found.evidence, is_stopped=True)
        if self._is_process(domain):
            name = self._defined[domain].process_name if domain in self._defined else domain
            return activity_in_process(self.bundle, self.vmm_processes.named(name))
        return activity_in_domain(self.bundle, self.libvirt.record(domain))

    def _is_process(self, domain: str) -> bool:
        """Whether that domain is known by its process only: without libvirt, or beside it."""
        return self.target.libvirt is None or domain.startswith(PROCESS_KEY)

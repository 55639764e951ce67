"""The subject of a control: a machine, or a domain on one."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from nested_kvm.errors import ObservationError
from nested_kvm.fleet.candidate import Candidates
from nested_kvm.fleet.domain_list import domains_on
from nested_kvm.fleet.host_group import HostGroup, host_groups
from nested_kvm.fleet.machine import Machine
from nested_kvm.inventory.target import Target
from nested_kvm.model.answer import Answer
from nested_kvm.model.control import Control, Level
from nested_kvm.model.policy import Guard, Nested, Policy, guarded
from nested_kvm.model.verdict import Undecided
from nested_kvm.util.uuid import is_uuid


@dataclass(frozen=True, slots=True)
class Subject:
    """One subject of a control. `machine` is where it was observed."""

    machine: Machine
    name: str
    policy: Policy
    domain: str | None = None
    """libvirt's name or uuid, for a domain; without libvirt the key of its process."""
    host: Machine | None = None
    """The L0 that a guest runs on, where the fleet has it."""
    group: HostGroup | None = None
    """The hosts that the inventory puts in the same group."""
    unlisted: str | None = None
    """Why the domains of the machine could not be listed: the subject stands for those that are not known."""
    unidentified: str | None = None
    """Why a VM that was seen cannot be evaluated."""

    @property
    def effective_policy(self) -> Policy:
        """The policy with what decides it where it is guarded: the kernel of the host that the subject is on.

        Raises:
            ObservationError: it is guarded, and the host's kernel could not be inspected.
        """
        if not self.policy.is_guarded:
            return self.policy
        host = self.machine if self.machine.is_l0 else self.host
        if host is None:
            reason = f"the host of {self.name} was not inspected, whose kernel decides"
            return guarded(self.policy, Guard(Answer.UNKNOWN, reason))
        return guarded(self.policy, host.guard)

    @property
    def settled(self) -> "Subject":
        """The subject with a policy that requires or forbids: until a kernel is known to be fixed, it forbids."""
        if not self.policy.is_guarded:
            return self
        until_known = guarded(self.policy, Guard(Answer.NO, "whether the kernel is fixed is not known"))
        try:
            policy = self.effective_policy
            has_polarity = policy.polarity in {Nested.REQUIRED, Nested.FORBIDDEN}
            return replace(self, policy=policy if has_polarity else until_known)
        except (ObservationError, Undecided):
            return replace(self, policy=until_known)

    @property
    def id(self) -> str:
        """Target and name of the subject, for people and for test ids."""
        target = self.machine.target.name
        return f"{target}/{self.name}" if self.domain is not None else target


class Fleet:
    """The machines of a run, and the subjects of the controls of each level.

    `declared` is the whole inventory, of which a run may cover a part. With `candidates` only
    those domains are checked.
    """

    def __init__(
        self, machines: Iterable[Machine], declared: Iterable[Target] = (), candidates: Candidates | None = None
    ) -> None:
        self.machines: Mapping[str, Machine] = {machine.target.name: machine for machine in machines}
        self._groups = host_groups(self.machines.values(), declared)
        self._guests: dict[str, list[Target]] = {}
        for machine in self.machines.values():
            self._guests.setdefault(machine.target.host or "", []).append(machine.target)
        self._subjects = self._all() if candidates is None else self._of(candidates)

    def _all(self) -> dict[Level, list[Subject]]:
        return {
            Level.L0: [self._itself(machine) for machine in self.machines.values() if machine.is_l0],
            Level.L1: [self._itself(machine) for machine in self.machines.values() if not machine.is_l0],
            Level.PAIR: [self._itself(each) for each in self.machines.values() if _is_half_of_a_pair(each.target)],
            Level.SITE: [self._itself(machine) for machine in self.machines.values() if machine.target.address],
            Level.DOMAIN: [subject for machine in self.machines.values() for subject in self._domains(machine)],
        }

    def _of(self, candidates: Candidates) -> dict[Level, list[Subject]]:
        """The candidates on each host; and each host that must give one the flag, whatever the host's own policy."""
        machines = self.machines.values()
        on_hosts = [
            Subject(machine, name, candidates.policy(machine.target.name, name), name)
            for machine in machines
            for name in candidates.names
        ]
        hosts = [
            Subject(machine, machine.target.name, candidates.policy_of_host(machine.target.name))
            for machine in machines
        ]
        return {Level.L0: [each for each in hosts if each.policy.may_be_required], Level.DOMAIN: on_hosts}

    def subjects(self, level: Level) -> list[Subject]:
        """The subjects of the controls of that level."""
        return self._subjects.get(level, [])

    def subjects_of(self, control: Control) -> list[Subject]:
        """The subjects of a control: those of its level; of one about operations on domains also each host without any.

        That nothing runs on such a host is an answer as well: without it the host would have no result.
        """
        found = self.subjects(control.level)
        if not control.is_about_operations or control.level is not Level.DOMAIN:
            return found
        with_domains = {each.machine.target.name for each in found}
        hosts = (each for each in self.machines.values() if each.is_l0 and each.is_observed)
        return [*found, *(self._itself(each) for each in hosts if each.target.name not in with_domains)]

    def guests_of(self, host: str) -> list[Target]:
        """The guests that the inventory names on that host."""
        return self._guests.get(host, [])

    def _itself(self, machine: Machine) -> Subject:
        target = machine.target
        host, group = self.machines.get(target.host or ""), self._groups.get(target.group or "")
        return Subject(machine, target.name, target.policy, host=host, group=group)

    def _domains(self, machine: Machine) -> Iterator[Subject]:
        """Each domain that is declared or found: the declared ones first, with their own policy."""
        target = machine.target
        if not machine.is_l0:
            return
        declared = self.guests_of(target.name)
        for guest in declared:
            yield Subject(machine, guest.name, guest.policy, guest.domain or guest.name)
        known = {guest.domain or guest.name for guest in declared}
        policy = target.policy.of_undeclared_domain()
        try:
            for domain in domains_on(machine):
                is_declared = domain.uuid in known or (domain.name in known and not is_uuid(domain.name))
                if domain.is_beside_libvirt or not is_declared:
                    yield Subject(machine, domain.name, policy, domain.key, unidentified=domain.unidentified)
        except ObservationError as error:
            if machine.is_observed:
                reason = f"its domains could not be listed: {error}"
                yield Subject(machine, target.name, target.policy, unlisted=reason)


def _is_half_of_a_pair(target: Target) -> bool:
    return target.host is not None and target.address is not None

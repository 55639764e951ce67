"""Targets and inventories: the machines of a fleet, as the inventory declares them."""

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass, replace
from enum import StrEnum
from fnmatch import fnmatchcase

from nested_kvm.errors import UsageError
from nested_kvm.inventory.address import AGENT, Address
from nested_kvm.model.policy import Policy
from nested_kvm.util.text import first_of

_NAMED = 10
"""Targets that an error lists."""


class TargetLevel(StrEnum):
    """The level of a target. `AUTO`: an L1 where its CPUs have the `hypervisor` flag, else an L0."""

    AUTO = "auto"
    L0 = "L0"
    L1 = "L1"


@dataclass(frozen=True, slots=True)
class Target:
    """An L0, or an L1 with the name of its L0 in `host` where the inventory knows it."""

    name: str
    level: TargetLevel
    address: Address | None
    """None: this guest cannot be logged in to, and is evaluated from its L0 alone."""
    policy: Policy
    _: KW_ONLY
    host: str | None = None
    domain: str | None = None
    """libvirt's name, or uuid, of this guest on its host."""
    via_host: bool = False
    """Reached through the L0's own connection."""
    libvirt: str | None = None
    """The libvirt URI to query on an L0; None: there is no libvirt."""
    account: str | None = None
    """The account that will run L2s in this guest; None: libvirt's account, or the login."""
    group: str | None = None
    """The group of hosts that must agree, because guests may migrate between them."""

    @property
    def by_agent(self) -> bool:
        """Whether the target is reached through libvirt's guest agent."""
        return self.address is not None and self.address.scheme == AGENT

    @property
    def needs_host(self) -> bool:
        """Whether the target is reached through its host."""
        return self.via_host or self.by_agent


@dataclass(frozen=True, slots=True)
class Inventory:
    """The fleet. `targets` keeps the file's order, each host before its guests."""

    source: str
    targets: tuple[Target, ...]
    left_out: tuple[str, ...] = ()
    """A sentence for everything in its estate that is not audited."""

    def __iter__(self) -> Iterator[Target]:
        return iter(self.targets)

    def named(self, name: str) -> Target | None:
        """Return the target of that name; None: there is no such target."""
        return next((target for target in self.targets if target.name == name), None)

    def guests_of(self, host: str) -> tuple[Target, ...]:
        """Return the guests that the inventory declares on that host."""
        return tuple(target for target in self.targets if target.host == host)

    def select(self, patterns: list[str]) -> "Inventory":
        """Keep the targets whose names match one of the glob patterns, as `only` does.

        Raises:
            UsageError: a pattern matches nothing; the message lists the first targets.
        """
        for pattern in patterns:
            if not any(fnmatchcase(target.name, pattern) for target in self.targets):
                known = ", ".join(first_of([target.name for target in self.targets], _NAMED))
                raise UsageError(f"--hosts: {pattern!r} matches no target of {self.source} (it has {known})")
        return self.only(
            {target.name for target in self.targets if any(fnmatchcase(target.name, each) for each in patterns)}
        )

    def only(self, chosen: set[str]) -> "Inventory":
        """Keep the targets of those names.

        A guest that is not among them stays, without its address, where its host does: its domain is found there, and
        is evaluated by the guest's own policy.
        """
        guests = (replace(target, address=None) for target in self.targets if target.host in chosen - {target.name})
        seen_from_outside = {guest.name: guest for guest in guests if guest.name not in chosen}
        kept = (seen_from_outside.get(target.name, target) for target in self.targets)
        return replace(self, targets=tuple(each for each in kept if each.name in chosen | set(seen_from_outside)))

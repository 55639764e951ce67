"""An estate as an inventory: the hosts and guests that a cluster's own client or its folder lists.

What an estate is read from stands in `fleet/estates/`; here its hosts become targets, with the addresses and policies
that the inventory file gives them.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from nested_kvm.errors import InventoryError
from nested_kvm.inventory.address import Address
from nested_kvm.inventory.target import Target, TargetLevel
from nested_kvm.model.policy import Policy
from nested_kvm.util.text import first_of, plural

NAME: Final = "{name}"
IP: Final = "{ip}"
DEFAULT_ADDRESS: Final = f"ssh://{NAME}"
ESTATE_FILE: Final = "estate-kubernetes.json"
"""What a run that read a cluster keeps of it, beside its evidence."""
_NAMED: Final = 10
"""Guests that a sentence lists."""
_HOST_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}")
"""What may stand in a URL: anything else could add a login or an option to it."""


@dataclass(frozen=True, slots=True)
class EstateHost:
    """One host of an estate."""

    name: str
    ip: str | None = None
    """The address that the estate itself knows for it."""
    libvirt: str | None = None
    """The libvirt URI to query there; None: its guests are QEMU processes without one."""


@dataclass(frozen=True, slots=True)
class EstateGuest:
    """One guest of an estate, on the host that runs it or may start it."""

    name: str
    host: str
    domain: str
    """What its domain, or its QEMU process, is called on that host; or its uuid there."""


@dataclass(frozen=True, slots=True)
class Estate:
    """What an estate lists. `left_out` has a sentence for everything in it that is not audited."""

    kind: str
    hosts: tuple[EstateHost, ...]
    guests: tuple[EstateGuest, ...]
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class KubernetesCluster:
    """A cluster that is read live, with the kubeconfig of who runs the audit."""

    context: str | None = None
    """None: the current context, or the cluster in whose pod the audit runs."""
    namespaces: tuple[str, ...] = ()
    """Those whose guests are read; none: all."""

    def __str__(self) -> str:
        return "kubernetes" if self.context is None else f"kubernetes context {self.context}"


EstateSource = Path | KubernetesCluster
ReadEstate = Callable[[EstateSource, Sequence[str]], Estate]
"""Reads an estate; it is given the hosts that the inventory names, for an estate that names none."""


def refuse_estates(source: EstateSource, _hosts: Sequence[str]) -> Estate:
    """Stand in for a reader where estates are not read.

    Raises:
        InventoryError: always.
    """
    raise InventoryError(f"{source}: an inventory with an estate is read by `nested-kvm audit` and `gate` only")


@dataclass(frozen=True, slots=True)
class GivenHost:
    """What the inventory file gives a host of the estate."""

    target: Target
    has_address: bool
    has_libvirt: bool


def targets_of_estate(
    estate: Estate,
    address: str,
    policy: Policy,
    policies: Mapping[str, Callable[[Policy], Policy]],
    given: Mapping[str, GivenHost],
) -> Iterator[Target]:
    """The targets of an estate, each host before its guests; `given` are the hosts that the file describes as well.

    A guest has the policy of the last pattern that matches its name; one that none matches has the policy of domains
    that an inventory does not name.

    Raises:
        InventoryError: an address cannot be made, or a pattern matches no guest.
    """
    _require_matches(estate, policies)
    guests: dict[str, list[EstateGuest]] = {}
    for guest in estate.guests:
        guests.setdefault(guest.host, []).append(guest)
    for host in estate.hosts:
        target = _host(host, address, policy, given.get(host.name))
        yield target
        for guest in guests.get(host.name, []):
            own = _policy(guest.name, target.policy, policies)
            yield Target(guest.name, TargetLevel.L1, None, own, host=host.name, domain=guest.domain)


def _host(host: EstateHost, address: str, policy: Policy, own: GivenHost | None) -> Target:
    if own is None:
        return Target(host.name, TargetLevel.L0, address_of(host, address), policy, libvirt=host.libvirt)
    target = own.target if own.has_libvirt else replace(own.target, libvirt=host.libvirt)
    return target if own.has_address else replace(target, address=address_of(host, address))


def address_of(host: EstateHost, template: str) -> Address:
    """The address of a host.

    Raises:
        InventoryError: the template is not an address for it; the message names the host.
    """
    if IP in template and host.ip is None:
        raise InventoryError(f"address: the estate shows no address of {host.name}: use {NAME}, or give it one")
    if NAME in template and not _HOST_NAME.fullmatch(host.name):
        raise InventoryError(
            f"address: {host.name[:80]!r} is not a host name: give this host its address under `hosts`"
        )
    text = template.replace(NAME, host.name)
    try:
        text = text.replace(IP, _in_url(host.ip)) if host.ip is not None else text
        return Address.parse(text)
    except (InventoryError, ValueError) as error:
        raise InventoryError(f"address: {host.name}: {error}") from None


def only_reported(targets: Sequence[Target]) -> tuple[str, ...]:
    """A sentence for the guests that no policy is about."""
    names = [each.name for each in targets if each.host is not None and not each.policy.binding]
    if not names:
        return ()
    shown = ", ".join(first_of(names, _NAMED))
    return (f"{plural(len(names), 'guest')} only reported, as no pattern and no `undeclared` gives a policy: {shown}",)


def with_declared(found: Sequence[Target], declared: Sequence[Target]) -> tuple[Target, ...]:
    """The targets of an estate with those of the file: guests of the same name in their place, all others beside them.

    Raises:
        InventoryError: a guest is on another host in the estate.
    """
    own = {each.name: each for each in declared}
    hosts = {each.name for each in found if each.host is None}
    names = {each.name for each in found}
    added: dict[str | None, list[Target]] = {}
    for each in declared:
        if each.name not in names:
            added.setdefault(each.host if each.host in hosts else None, []).append(each)
    merged: list[Target] = []
    for each in found:
        if each.host is None:
            merged += [each, *added.pop(each.name, [])]
        else:
            merged.append(_merged(each, own.get(each.name)))
    return (*merged, *added.pop(None, []))


def refuse_duplicates(targets: Sequence[Target]) -> None:
    """Check that no two targets have the same name, as a guest that is called as a host would.

    Raises:
        InventoryError: two have.
    """
    names = Counter(each.name for each in targets)
    twice = next((name for name, count in names.items() if count > 1), None)
    if twice is not None:
        raise InventoryError(f"{twice}: duplicate name: another host or guest is called so")


def _merged(found: Target, own: Target | None) -> Target:
    if own is None:
        return found
    if own.host != found.host:
        raise InventoryError(f"{own.name}: the estate has it on {found.host}, the inventory on {own.host}")
    return replace(own, domain=found.domain)


def _policy(name: str, host: Policy, policies: Mapping[str, Callable[[Policy], Policy]]) -> Policy:
    found = [override for pattern, override in policies.items() if fnmatchcase(name, pattern)]
    return found[-1](host) if found else host.of_undeclared_domain()


def _require_matches(estate: Estate, policies: Mapping[str, object]) -> None:
    names = [guest.name for guest in estate.guests]
    for pattern in policies:
        if not any(fnmatchcase(name, pattern) for name in names):
            shown = ", ".join(names[:5]) or "none"
            raise InventoryError(f"guests: {pattern!r} matches no guest of the estate (it has {shown})")


def _in_url(address: str) -> str:
    """An address as a URL has it.

    Raises:
        ValueError: it is neither of IPv4 nor of IPv6.
    """
    found = ip_address(address[:80])
    return str(found) if found.version == 4 else f"[{found}]"  # noqa: PLR2004 - IPv4

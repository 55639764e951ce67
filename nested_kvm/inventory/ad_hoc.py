"""Makes an inventory from the host specs of `--hosts`, without a file."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from nested_kvm.errors import InventoryError, UsageError
from nested_kvm.inventory.address import AGENT, Address
from nested_kvm.inventory.schema import NO_LIBVIRT, libvirt_uri
from nested_kvm.inventory.target import Inventory, Target, TargetLevel
from nested_kvm.model.policy import Policy

DEFAULT_LIBVIRT: Final = "qemu:///system"


def libvirt_of_option(given: str | None) -> str | None:
    """Return the libvirt URI that `--libvirt` gives; None: there is no libvirt.

    Raises:
        UsageError: it is neither a URI nor `none`.
    """
    if given is None:
        return DEFAULT_LIBVIRT
    if given == NO_LIBVIRT:
        return None
    try:
        return libvirt_uri(given)
    except ValueError as error:
        raise UsageError(f"--libvirt: {error}") from None


def ad_hoc_inventory(
    specs: Sequence[str],
    level: TargetLevel,
    policy: Policy,
    default_scheme: str = "ssh",
    *,
    libvirt: str | None = DEFAULT_LIBVIRT,
) -> Inventory:
    """Make an inventory of host specs; a spec given twice is one target. `libvirt` None: the hosts have none.

    Raises:
        UsageError: one of them is not a host spec.
    """
    try:
        addresses = [Address.parse(spec, default_scheme) for spec in dict.fromkeys(specs)]
    except InventoryError as error:
        pattern = next((spec for spec in specs if "*" in spec), None)
        reason = error if pattern is None else f"{pattern!r} is a pattern; patterns need --inventory=FILE"
        raise UsageError(f"--hosts: {reason}") from None
    if any(address.scheme == AGENT for address in addresses):
        raise UsageError(
            "--hosts: `agent` reaches a guest through its host, which only an inventory names: --inventory=FILE"
        )
    short = [_short_name(address) for address in addresses]
    count = Counter(short)
    names = [name if count[name] == 1 else address.spec for name, address in zip(short, addresses, strict=True)]
    pairs = zip(names, addresses, strict=True)
    targets = (Target(name, level, address, policy, libvirt=libvirt) for name, address in pairs)
    return Inventory("--hosts", tuple(targets))


def _short_name(address: Address) -> str:
    if address.is_local:
        return "localhost"
    return address.spec.rpartition("://")[2].partition("?")[0].rstrip("/") or address.spec

"""Whether the account that will run VMs may open `/dev/kvm`: by its mode, or by its access control list.

`getfacl -cnp /dev/kvm` prints such a list:

    user::rw-
    user:1000:rw-
    group::rw-
    mask::rw-
    other::---

Source: acl(5), "access check algorithm". KVM wants the device open for reading and writing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from nested_kvm.evidence import sources
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.facts.kvm.account import Account, account_of
from nested_kvm.facts.kvm.device import KvmDevice
from nested_kvm.model.answer import Answer
from nested_kvm.model.verdict import Evidence, Undecided
from nested_kvm.util.text import decimal

_NEEDED: Final = frozenset("rw")


@dataclass(frozen=True, slots=True)
class KvmAccess:
    """Whether the account `may_open` the device. `account` is None where any account may, or where it is not known.

    Source: `getfacl` of `/dev/kvm`, `id` of the account, and `qemu.conf` where the guest has libvirt.
    """

    may_open: Answer
    reason: str
    evidence: tuple[Evidence, ...]
    account: Account | None = None


@dataclass(frozen=True, slots=True)
class _Entry:
    """One entry of an access control list: `kind` user, group, mask or other; `id` is None for the owner's entry."""

    kind: str
    id: int | None
    permits: bool


def kvm_access_of(bundle: Bundle, device: KvmDevice) -> KvmAccess:
    """Compare the device, from `ls` and `getfacl`, with the account, from `id`.

    Raises:
        ObservationError: one of them was not inspected.
    """
    try:
        entries = tuple(_entries(bundle, device))
        if not device.has_acl and all(entry.permits for entry in entries):
            return KvmAccess(Answer.YES, "any account may open it", device.evidence)
        account = account_of(bundle)
    except Undecided as reason:
        return KvmAccess(Answer.UNKNOWN, reason.message, (*device.evidence, *reason.evidence))
    listed = (
        (Evidence(sources.GETFACL, bundle.text(sources.GETFACL).strip().replace("\n", ", ")),) if device.has_acl else ()
    )
    evidence = (*device.evidence, *listed, account.evidence)
    may = account.uid == 0 or _permits(entries, account, device)
    verb = "may" if may else "may not"
    return KvmAccess(Answer.YES if may else Answer.NO, f"{account.text} {verb} open it", evidence, account)


def _entries(bundle: Bundle, device: KvmDevice) -> Iterator[_Entry]:
    if not device.has_acl:
        for kind, start in (("user", 1), ("group", 4), ("other", 7)):
            yield _Entry(kind, None, set(device.mode[start : start + 2]) >= _NEEDED)
        return
    answer = bundle.reading(sources.GETFACL)
    if not answer.is_ok:
        raise Undecided("/dev/kvm has an access control list, and getfacl, which prints it, is not available there")
    for line in answer.text.splitlines():
        kind, _, rest = line.partition("#")[0].strip().partition(":")
        name, _, permissions = rest.partition(":")
        if kind in {"user", "group", "mask", "other"} and (not name or decimal(name) is not None):
            yield _Entry(kind, decimal(name), set(permissions) >= _NEEDED)


def _permits(entries: tuple[_Entry, ...], account: Account, device: KvmDevice) -> bool:
    """The first match decides: owner, named user, any group, others; named users and groups are limited by the mask."""
    mask = all(entry.permits for entry in entries if entry.kind == "mask")
    if account.uid == device.owner:
        return any(entry.permits for entry in entries if (entry.kind, entry.id) == ("user", None))
    as_user = [entry.permits for entry in entries if (entry.kind, entry.id) == ("user", account.uid)]
    if as_user:
        return mask and any(as_user)
    groups = [entry for entry in entries if entry.kind == "group"]
    as_group = [each.permits for each in groups if (device.group if each.id is None else each.id) in account.gids]
    if as_group:
        return mask and any(as_group)
    return any(entry.permits for entry in entries if entry.kind == "other")

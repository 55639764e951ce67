"""The account of a guest that will run its VMs: the inventory's, else libvirt's, else the one that logged in.

`id` prints an account and its groups, and `/etc/libvirt/qemu.conf` may name another one:

    uid=1000(dev) gid=1000(dev) groups=1000(dev),106(kvm)
    user = "libvirt-qemu"
"""

import re
from dataclasses import dataclass
from typing import Final

from nested_kvm.errors import NotObserved
from nested_kvm.evidence import sources
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.evidence.reading import Status
from nested_kvm.model.verdict import Evidence, Undecided
from nested_kvm.util.text import decimal

LIBVIRTS: Final = ("libvirt-qemu", "qemu")
"""Distributions' names of the account that libvirt's QEMU runs as."""
_IDS: Final = re.compile(r"uid=(\d{1,10})(?:\((.*?)\))? gid=(\d{1,10})(.*)", re.ASCII)
"""A line of id(1); within one line each part of it is found at once."""
_GID: Final = re.compile(r"(?:^|,)(\d{1,10})", re.ASCII)
_SETTING: Final = re.compile(r"^[ \t]*(user|group)[ \t]*=[ \t]*[\"']?\+?([A-Za-z0-9_.-]*)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Account:
    """An account with the ids of its groups. `origin` is why this account was chosen."""

    name: str
    uid: int
    gids: frozenset[int]
    origin: str
    source: str

    @property
    def evidence(self) -> Evidence:
        """The ids that `id` prints for the account."""
        return Evidence(self.source, f"uid={self.uid} groups={','.join(map(str, sorted(self.gids)))}")

    @property
    def text(self) -> str:
        """The account's name and origin, for messages."""
        return f"{self.name} ({self.origin})"


def account_of(bundle: Bundle) -> Account:
    """The account that will run VMs.

    Raises:
        ObservationError: the readings that name it were not taken.
        Undecided: none of them names it.
    """
    named = bundle.target.account
    if named is not None:
        return _account(bundle, named, "the inventory's account")
    conf = bundle.reading(sources.QEMU_CONF)
    if conf.status is not Status.ABSENT:
        return _libvirts(bundle)
    own = _parsed(bundle, "id", None, "the account that logged in, as no other is configured")
    if own.uid == 0:
        raise Undecided(
            "which account will run VMs is not known: there is no libvirt here, `account` is not in the inventory, and "
            "root, which logged in, may always open /dev/kvm"
        )
    return own


def _libvirts(bundle: Bundle) -> Account:
    conf = bundle.reading(sources.QEMU_CONF)
    if not conf.is_ok:
        raise Undecided(f"which account libvirt's QEMU runs as is in {sources.QEMU_CONF}, which only root may read")
    settings = dict(_SETTING.findall(conf.text))
    user = settings.get("user")
    if user:
        account = _account(bundle, user, f"libvirt's, from {sources.QEMU_CONF}")
    else:
        known = [name for name in LIBVIRTS if bundle.reading(sources.account(name)).is_ok]
        if len(known) != 1:
            raise Undecided(f"which account libvirt's QEMU runs as is not known: {sources.QEMU_CONF} names none")
        account = _account(bundle, known[0], "libvirt's")
    return _with_group(bundle, account, settings.get("group"))


def _with_group(bundle: Bundle, account: Account, group: str | None) -> Account:
    """The account with the group that libvirt adds; a group with an unknown number may be the one that matters."""
    if not group:
        return account
    gid = decimal(group)
    if gid is None:
        answer = bundle.reading(sources.group(group))
        gid = decimal(answer.text.split(":")[2]) if answer.is_ok and answer.text.count(":") > 2 else None  # noqa: PLR2004 - name:password:gid:
    if gid is None:
        raise Undecided(f"{sources.QEMU_CONF} adds the group {group}, whose number is not known")
    return Account(account.name, account.uid, account.gids | {gid}, account.origin, account.source)


def _account(bundle: Bundle, name: str, origin: str) -> Account:
    answer = bundle.reading(sources.account(name))
    if answer.status is Status.FAILED:
        raise Undecided(f"{name} ({origin}) does not exist there: {answer.text.strip()[:100]}", answer.as_evidence())
    return _parsed(bundle, sources.account(name), name, origin)


def _parsed(bundle: Bundle, source: str, name: str | None, origin: str) -> Account:
    text = bundle.text(source)
    line = text.strip()
    found = None if "\n" in line else _IDS.fullmatch(line)
    if found is None:
        raise NotObserved(f"{source} prints {text[:80]!r}")
    uid, own_name, gid, rest = found.groups()
    groups = rest.partition(" groups=")[2].partition(" context=")[0]
    gids = {int(gid), *map(int, _GID.findall(groups))}
    return Account(name or own_name or uid, int(uid), frozenset(gids), origin, source)

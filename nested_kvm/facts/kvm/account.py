"""Which account of a guest will run its VMs: the inventory's, else libvirt's, else the one that was logged in."""

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
"""What distributions call the account that libvirt's QEMU runs as."""
_IDS: Final = re.compile(r"uid=(\d{1,10})(?:\((.*?)\))? gid=(\d{1,10})(.*)", re.ASCII)
"""A line of id(1); within one line each part of it is found at once."""
_GID: Final = re.compile(r"(?:^|,)(\d{1,10})", re.ASCII)
_SETTING: Final = re.compile(r"^[ \t]*(user|group)[ \t]*=[ \t]*[\"']?\+?([A-Za-z0-9_.-]*)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Account:
    """An account with the ids of its groups. `origin` says in words why it is the one."""

    name: str
    uid: int
    gids: frozenset[int]
    origin: str
    source: str

    @property
    def evidence(self) -> Evidence:
        """What `id` says of it."""
        return Evidence(self.source, f"uid={self.uid} groups={','.join(map(str, sorted(self.gids)))}")

    @property
    def text(self) -> str:
        """It, in words."""
        return f"{self.name} ({self.origin})"


def account_of(bundle: Bundle) -> Account:
    """The account that will run VMs.

    Raises:
        ObservationError: what says so was not looked at.
        Undecided: nothing says so.
    """
    named = bundle.target.account
    if named is not None:
        return _account(bundle, named, "the inventory's account")
    conf = bundle.reading(sources.QEMU_CONF)
    if conf.status is not Status.ABSENT:
        return _libvirts(bundle)
    own = _parsed(bundle, "id", None, "the account that was logged in, for want of another")
    if own.uid == 0:
        raise Undecided(
            "which account will run VMs is not said: there is no libvirt here, `account` is not in the inventory, and "
            "root, which was logged in, may always open /dev/kvm"
        )
    return own


def _libvirts(bundle: Bundle) -> Account:
    conf = bundle.reading(sources.QEMU_CONF)
    if not conf.is_ok:
        raise Undecided(f"which account libvirt's QEMU runs as is in {sources.QEMU_CONF}, which only root may read")
    said = dict(_SETTING.findall(conf.text))
    user = said.get("user")
    if user:
        account = _account(bundle, user, f"libvirt's, by {sources.QEMU_CONF}")
    else:
        known = [name for name in LIBVIRTS if bundle.reading(sources.account(name)).is_ok]
        if len(known) != 1:
            raise Undecided(f"which account libvirt's QEMU runs as is not said: {sources.QEMU_CONF} names none")
        account = _account(bundle, known[0], "libvirt's")
    return _with_group(bundle, account, said.get("group"))


def _with_group(bundle: Bundle, account: Account, group: str | None) -> Account:
    """The account with the group that libvirt adds to its own; one that is not known may be the one that counts."""
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
        raise Undecided(f"{name} ({origin}) is not known there: {answer.text.strip()[:100]}", answer.as_evidence())
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

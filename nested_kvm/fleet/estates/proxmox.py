"""A cluster of Proxmox VE as an estate, of a copy of /etc/pve.

Each folder `nodes/NAME` is a host, and each `qemu-server/NNN.conf` in it a guest there. Its QEMU process is called as
the guest is, or vmNNN where the guest has no name.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from nested_kvm.errors import InventoryError, NotObserved
from nested_kvm.facts.definition import proxmox
from nested_kvm.facts.libvirt.saved_states import SavedCpu
from nested_kvm.fleet.defined_guest import DefinedGuest
from nested_kvm.fleet.estates.reading import (
    CONF_LIMIT,
    FILE_LIMIT,
    DefinedEstate,
    PlacedGuest,
    defined_estate,
    left_out,
    read_text,
)
from nested_kvm.inventory.estate import EstateHost

KIND: Final = "a cluster of Proxmox VE"
_NODE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,252}")
_CONF: Final = re.compile(r"\d{1,9}\.conf")
_TRUE: Final = frozenset({"1", "on", "yes", "true"})
_MODELS: Final = "virtual-guest/cpu-models.conf"
_MEMBERS: Final = ".members"


def is_it(folder: Path) -> bool:
    """Whether a folder is a copy of /etc/pve."""
    return (folder / "nodes").is_dir()


def proxmox_estate(folder: Path) -> DefinedEstate:
    """The estate of a copy of /etc/pve.

    Raises:
        InventoryError: a file cannot be read or evaluated; the message names it.
    """
    cluster = _Cluster(folder)
    placed = list(cluster.guests())
    addresses = _addresses(folder)
    hosts = [EstateHost(node, addresses.get(node)) for node in cluster.nodes]
    return defined_estate(KIND, hosts, placed, list(cluster.left_out()))


class _Cluster:
    """The folder of each node."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = 0
        self._templates: list[str] = []
        self._others: list[str] = []
        self._containers: list[str] = []
        self._links: list[str] = []
        self.nodes = list(self._node_names())
        self._models = self._custom_models()

    def _node_names(self) -> Iterator[str]:
        for entry in _entries(self._folder / "nodes"):
            if entry.is_symlink() or not entry.is_dir():
                self._others.append(f"nodes/{entry.name}")
            elif not _NODE.fullmatch(entry.name):
                raise InventoryError(f"{entry.parent}: {entry.name[:80]!r} is not the name of a node")
            else:
                yield entry.name

    def _custom_models(self) -> Mapping[str, proxmox.CustomModel]:
        path = self._folder / _MODELS
        if not path.exists():
            return {}
        try:
            return proxmox.parse_models(read_text(path, CONF_LIMIT))
        except NotObserved as error:
            raise InventoryError(f"{path}: {error}") from None

    def guests(self) -> Iterator[PlacedGuest]:
        """Each guest on its node."""
        for node in self.nodes:
            self._containers += [f"{node}/{each.stem}" for each in _entries(self._folder / "nodes" / node / "lxc")]
            for path in _entries(self._folder / "nodes" / node / "qemu-server"):
                self._files += 1
                if self._files > FILE_LIMIT:
                    raise InventoryError(f"{self._folder}: has more than {FILE_LIMIT} files of guests")
                if not _CONF.fullmatch(path.name):
                    self._others.append(f"nodes/{node}/qemu-server/{path.name}")
                    continue
                yield from self._guest(node, path)

    def _guest(self, node: str, path: Path) -> Iterator[PlacedGuest]:
        try:
            conf = proxmox.parse_conf(read_text(path, CONF_LIMIT), path.stem)
            found = next(iter(proxmox.proxmox_domains([conf], self._models)), None)
        except NotObserved as error:
            raise InventoryError(f"{path}: {error}") from None
        if found is None:
            self._others.append(f"nodes/{node}/qemu-server/{path.name}")
            return
        if conf.sections[""].get("template", proxmox.Setting("", 0)).value in _TRUE:
            self._templates.append(found.name)
            return
        running = conf.sections[""].get("name")
        process = f"vm{conf.number}" if running is None else running.value
        domain = replace(found, file=str(path))
        states = list(proxmox.saved_cpus(conf, str(path)))
        known = tuple(each for each in states if isinstance(each, SavedCpu))
        unread = tuple(each for each in states if isinstance(each, str))
        yield PlacedGuest(
            node, found.name, conf.number, DefinedGuest(domain, process, saved=known, unread_states=unread)
        )

    def left_out(self) -> Iterator[str]:
        """A sentence for everything that is not audited."""
        yield from left_out("container", self._containers, "as they have the CPU of their host")
        yield from left_out("template", self._templates, "which are not started")
        yield from left_out("file", self._others, "as it is not the conf of a guest")


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir()) if folder.is_dir() else []
    except OSError as error:
        raise InventoryError(f"{folder}: {error.strerror}") from None


def _addresses(folder: Path) -> dict[str, str]:
    """The address of each node, as `.members` of pmxcfs lists them; a copy may lack it."""
    path = folder / _MEMBERS
    if not path.is_file():
        return {}
    try:
        nodes = json.loads(read_text(path, CONF_LIMIT)).get("nodelist", {})
        return {name: each["ip"] for name, each in nodes.items() if isinstance(each.get("ip"), str)}
    except (ValueError, AttributeError, RecursionError):
        raise InventoryError(f"{path}: is not the list of nodes that Proxmox VE writes") from None

"""An OpenShift must-gather with KubeVirt: each node is a machine, and each running virtual machine a domain on it.

Facts about what is collected: kubevirt/must-gather's collection-scripts `gather_nodes` (dmesg and /proc/cmdline of a
node), `gather_vms_details` (`virsh dumpxml` in the pod of a virtual machine), and `oc adm inspect`, which writes each
object of the cluster as YAML. It holds no CPU flags, no modprobe.d and no parameters of KVM.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from nested_kvm.errors import ArchiveUnusable
from nested_kvm.evidence import sources
from nested_kvm.evidence.archive import texts
from nested_kvm.evidence.archive.copied_files import decoded
from nested_kvm.evidence.archive.libvirt_files import LibvirtFiles
from nested_kvm.evidence.archive.machine import LIBVIRT_URI, ArchivedMachine
from nested_kvm.evidence.archive.tree import ArchiveTree
from nested_kvm.evidence.bundle import DomainRecord, LibvirtAnswer
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.util.text import printable

KIND: Final = "must-gather"
SCHEME: Final = "must-gather"
TOOL: Final = "must-gather"
_OBJECT_LIMIT: Final = 1024 * 1024
"""Bytes of one object of the cluster. A node has 60 kB."""
_NODE_FILE: Final = re.compile(r"(?:^|/)nodes/(?P<node>[^/]+)/(?P<file>dmesg|proc_cmdline)$")
_NODE: Final = re.compile(r"(?:^|/)cluster-scoped-resources/core/nodes/(?P<node>[^/]+)\.yaml$")
_DUMP: Final = re.compile(r"(?:^|/)namespaces/(?P<space>[^/]+)/vms/(?P<vm>[^/]+)/[^/]+\.dumpxml\.xml$")
_INSTANCE: Final = re.compile(
    r"(?:^|/)namespaces/(?P<space>[^/]+)/kubevirt\.io/virtualmachineinstances/(?P<vm>[^/]+)\.yaml$"
)
_TIMESTAMP: Final = re.compile(r"(?:^|/)timestamp$")
WANTED: Final = re.compile("|".join(
    re.sub(r"\?P<\w+>", "?:", each.pattern) for each in (_NODE_FILE, _NODE, _DUMP, _INSTANCE, _TIMESTAMP)
), re.DOTALL)  # fmt: skip
_MADE: Final = re.compile(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)(?:\.\d{1,9})? ([+-])(\d\d)(\d\d)\b", re.ASCII)
_MACHINES: Final = {"amd64": "x86_64", "arm64": "aarch64", "s390x": "s390x", "ppc64le": "ppc64le"}


def is_it(tree: ArchiveTree) -> bool:
    """Whether the archive is a must-gather: it has nodes of a cluster."""
    return any(_NODE.search(path) or _NODE_FILE.search(path) for path in tree.files)


def machines_of(tree: ArchiveTree) -> Iterator[ArchivedMachine]:
    """The nodes of a must-gather.

    Raises:
        ArchiveUnusable: an object in it is not YAML, or it does not show when it was made.
    """
    made, domains = _time(tree), _domains(tree)
    for node in sorted(_named(tree, _NODE, "node") | _named(tree, _NODE_FILE, "node")):
        if not re.fullmatch(r"[A-Za-z0-9.-]{1,253}", node):
            raise ArchiveUnusable(f"it names a node {printable(node, 80)}, which no cluster has")
        yield ArchivedMachine(node, made, KIND, TOOL, list(_readings(tree, node)), domains.of(node), scheme=SCHEME)


def _named(tree: ArchiveTree, pattern: re.Pattern[str], group: str) -> set[str]:
    return {found[group] for path in tree.files if (found := pattern.search(path))}


def _readings(tree: ArchiveTree, node: str) -> Iterator[Reading]:
    for path, data in tree.files.items():
        own = _NODE_FILE.search(path)
        if own is not None and own["node"] == node and own["file"] == "proc_cmdline":
            yield Reading(sources.CMDLINE, Status.OK, decoded(data).replace("\r", ""))
        elif own is not None and own["node"] == node:
            yield from texts.of_dmesg(decoded(data).replace("\r", ""))
        found = _NODE.search(path)
        if found is not None and found["node"] == node:
            yield from _of_object(_object(path, data))


def _of_object(node: Mapping[str, Any]) -> Iterator[Reading]:
    info = _part(node, "status", "nodeInfo")
    release, machine = str(info.get("kernelVersion", "")), _MACHINES.get(str(info.get("architecture")))
    if release:
        yield Reading(sources.KERNEL_RELEASE, Status.OK, printable(release, 100))
    if machine:
        yield Reading(sources.ARCHITECTURE, Status.OK, machine, 0)


class _Domains:
    """The virtual machines of the cluster, by the node on which each runs."""

    def __init__(self, nodes: Mapping[tuple[str, str], str], dumps: Mapping[tuple[str, str], bytes]) -> None:
        self.nodes, self.dumps = nodes, dumps

    def of(self, node: str) -> LibvirtAnswer:
        """What libvirt in the pods of a node would have answered."""
        lost = [f"{space}/{vm}" for space, vm in self.dumps if (space, vm) not in self.nodes]
        if lost:
            reason = f"{TOOL} does not show on which node {printable(lost[0], 100)} runs"
            return LibvirtAnswer(LIBVIRT_URI, "files", not_asked=reason)
        here = {key for key, name in self.nodes.items() if name == node}
        dumps = {f"{space}_{vm}": self.dumps[space, vm] for space, vm in here if (space, vm) in self.dumps}
        found = LibvirtFiles(TOOL, LIBVIRT_URI, definitions={}, statuses={}, dumps=dumps).answer()
        reason = f"{TOOL} shows no `virsh dumpxml` of it"
        unseen = [
            DomainRecord(printable(f"{space}_{vm}", 250), "", "running", not_collected=reason)
            for space, vm in sorted(here - self.dumps.keys())
        ]
        domains = (*found.domains, *unseen)
        return LibvirtAnswer(LIBVIRT_URI, "files", domains=domains, incomplete=f"{TOOL} shows no CPU of a stopped one")


def _domains(tree: ArchiveTree) -> _Domains:
    nodes: dict[tuple[str, str], str] = {}
    dumps: dict[tuple[str, str], bytes] = {}
    for path, data in tree.files.items():
        dump, instance = _DUMP.search(path), _INSTANCE.search(path)
        if dump is not None:
            dumps[dump["space"], dump["vm"]] = data
        elif instance is not None:
            name = _part(_object(path, data), "status").get("nodeName")
            if isinstance(name, str):
                nodes[instance["space"], instance["vm"]] = name
    return _Domains(nodes, dumps)


def _object(path: str, data: bytes) -> Mapping[str, Any]:
    """An object of the cluster.

    Raises:
        ArchiveUnusable: it is not YAML, or far larger than any.
    """
    if len(data) > _OBJECT_LIMIT:
        raise ArchiveUnusable(f"{printable(path)} has more than 1 MiB, which no object of a cluster has")
    try:
        found = YAML(typ="safe", pure=True).load(decoded(data))
    except (YAMLError, ValueError, RecursionError, TypeError) as error:
        raise ArchiveUnusable(f"{printable(path)} is not YAML: {type(error).__name__}") from None
    return found if isinstance(found, dict) else {}


def _part(found: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    for key in keys:
        inner = found.get(key)
        found = inner if isinstance(inner, dict) else {}
    return found


def _time(tree: ArchiveTree) -> datetime:
    """The last time that the archive shows; without a `timestamp` that of its files."""
    shown = [
        found for path, data in tree.files.items() if _TIMESTAMP.search(path) for found in _MADE.finditer(decoded(data))
    ]
    try:
        times = [_parsed(found) for found in shown] or list(tree.times.values())
    except ValueError:
        raise ArchiveUnusable("its timestamp is not a valid one") from None
    if not times:
        raise ArchiveUnusable("it does not show when it was made: there is no timestamp in it")
    return max(times)


def _parsed(found: re.Match[str]) -> datetime:
    offset = timedelta(hours=int(found[4]), minutes=int(found[5])) * (1 if found[3] == "+" else -1)
    return datetime.fromisoformat(f"{found[1]}T{found[2]}").replace(tzinfo=timezone(offset))

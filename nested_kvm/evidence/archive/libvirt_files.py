"""libvirt's domains by its files: `/etc/libvirt/qemu/*.xml` are the definitions, `/run/libvirt/qemu/*.xml` what runs.

The second are `<domstatus state='running' pid='421'>` with the domain as it was started inside (libvirt's
src/conf/domain_conf.c). `virsh` outputs of the archive add what they show beside them.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final
from xml.etree.ElementTree import ParseError, tostring

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from nested_kvm.errors import NotObserved
from nested_kvm.evidence.archive.copied_files import decoded
from nested_kvm.evidence.bundle import DomainRecord, LibvirtAnswer, SavedState
from nested_kvm.evidence.libvirt.capabilities import domain_types_of
from nested_kvm.evidence.libvirt.domain_xml import parse_domain_xml, reduce_domain_xml
from nested_kvm.util.text import printable
from nested_kvm.util.uuid import is_uuid

_ROW: Final = re.compile(r"^ *(?:-|\d+) +(?P<name>.+?) {2,}(?P<state>\S.*?) *$", re.MULTILINE)
"""A row of `virsh list --all`; a name may have blanks, of which two end it."""
_LIMIT: Final = 2000
"""Domains of one host."""


@dataclass(frozen=True, slots=True)
class LibvirtFiles:
    """What an archive holds of one libvirt; each text as it was copied, None where it was not collected."""

    tool: str
    uri: str
    definitions: Mapping[str, bytes] | None
    """The files of `/etc/libvirt/qemu`, by path; None: the archive does not show which there are."""
    statuses: Mapping[str, bytes] | None
    """The files of `/run/libvirt/qemu`, by path; None: the archive does not show which there are."""
    dumps: Mapping[str, bytes] = field(default_factory=dict)
    """The outputs of `virsh dumpxml`, by path."""
    infos: Iterable[str] = ()
    """The outputs of `virsh dominfo`."""
    listing: str | None = None
    """The output of `virsh list --all`."""
    state_listing: str | None = None
    """The output of `ls -lR /var/lib/libvirt/qemu`."""
    capabilities: str = ""

    def answer(self) -> LibvirtAnswer:
        """What libvirt would have answered, as far as the files show it."""
        refusal = None if self.listing is None else _refusal(self.listing)
        if refusal is not None:
            return LibvirtAnswer(self.uri, "virsh", refusal=refusal)
        if not self.definitions and self.statuses is None and self.listing is None:
            reason = f"{self.tool} shows neither libvirt's files nor virsh's output: which guests it has is not known"
            return LibvirtAnswer(self.uri, "files", not_asked=reason)
        records = _Records(self).all()
        if len(records) > _LIMIT:
            reason = f"the archive shows {len(records)} domains: more than {_LIMIT} are not evaluated"
            return LibvirtAnswer(self.uri, "files", not_asked=reason)
        types = domain_types_of(self.capabilities)
        is_all = self.listing is not None or (self.definitions is not None and self.statuses is not None)
        incomplete = None if is_all else f"{self.tool} does not list the domains that run"
        means = "files" if self.listing is None else "virsh"
        return LibvirtAnswer(self.uri, means, domains=tuple(records), domain_types=types, incomplete=incomplete)


class _Records:
    """The domains by uuid, put together of all files that show them."""

    def __init__(self, files: LibvirtFiles) -> None:
        self.files = files
        self.inactive: dict[str, str] = {}
        self.live: dict[str, str] = {}
        self.states: dict[str, str] = {}
        self.names: dict[str, str] = {}
        self.problems: list[DomainRecord] = []

    def all(self) -> list[DomainRecord]:
        """Every domain that any file shows."""
        for path, data in sorted((self.files.definitions or {}).items()):
            self._read(path, data, self.inactive)
        for path, data in sorted((self.files.statuses or {}).items()):
            self._read_status(path, data)
        for path, data in sorted(self.files.dumps.items()):
            self._read_dump(path, data)
        infos = dict(_infos(self.files.infos))
        listed = (
            {}
            if self.files.listing is None
            else {row["name"]: row["state"] for row in _ROW.finditer(self.files.listing)}
        )
        records = [self._record(uuid, infos.get(uuid, {}), listed) for uuid in self.names]
        known = {*self.names.values(), *(record.name for record in self.problems)}
        return [*records, *self.problems, *(self._unseen(name, listed[name]) for name in listed if name not in known)]

    def _read(self, path: str, data: bytes, into: dict[str, str]) -> str | None:
        try:
            return self._keep(reduce_domain_xml(decoded(data)), into)
        except NotObserved as error:
            name = printable(path.rpartition("/")[2].removesuffix(".xml"), 100)
            self.problems.append(DomainRecord(name, "", "unknown", problem=f"{printable(path)}: {error}"))
            return None

    def _keep(self, xml: str, into: dict[str, str]) -> str:
        root = parse_domain_xml(xml)
        name, uuid = (root.findtext("name") or "").strip(), (root.findtext("uuid") or "").strip().lower()
        if not name or not is_uuid(uuid):
            raise NotObserved("it names no domain with a uuid")
        into.setdefault(uuid, xml)
        self.names.setdefault(uuid, name)
        return uuid

    def _read_status(self, path: str, data: bytes) -> None:
        try:
            root = fromstring(data, forbid_dtd=True)
            domain = root.find("domain") if root.tag == "domstatus" else None
        except (ParseError, DefusedXmlException, ValueError, RecursionError) as error:
            text = f"{printable(path)}: it is not well-formed: {type(error).__name__}"
            self.problems.append(DomainRecord(printable(path.rpartition("/")[2], 100), "", "unknown", problem=text))
            return
        if domain is None:
            return
        uuid = self._read(path, tostring(domain), self.live)
        if uuid is not None:
            self.states[uuid] = printable(root.get("state", "running"), 20)

    def _read_dump(self, path: str, data: bytes) -> None:
        """A dump of a running domain has its id; of another it is the definition."""
        try:
            is_live = parse_domain_xml(decoded(data)).get("id") is not None
        except NotObserved:
            is_live = False
        self._read(path, data, self.live if is_live else self.inactive)

    def _record(self, uuid: str, info: Mapping[str, str], listed: Mapping[str, str]) -> DomainRecord:
        name = self.names[uuid]
        has_files = self.files.statuses is not None
        state = (
            info.get("State") or listed.get(name) or self.states.get(uuid) or ("shut off" if has_files else "unknown")
        )
        inactive, live = self.inactive.get(uuid), self.live.get(uuid)
        saved, problem = self._saved(name, info)
        record = DomainRecord(
            name, uuid, state,
            is_persistent=inactive is not None if self.files.definitions is not None else _yes(info.get("Persistent")),
            has_managed_save=None if saved is None else any(each.snapshot is None for each in saved),
            inactive_xml=inactive, live_xml=live, saved_states=saved, saved_problem=problem,
        )  # fmt: skip
        if inactive is None and live is not None and record.is_persistent is False:
            return replace(record, inactive_xml=live)  # A transient domain has no other definition.
        if inactive is None:
            return replace(record, not_collected=f"{self.files.tool} does not show its persistent definition")
        is_running = state not in {"shut off", "crashed", "unknown", "shutoff"}
        if is_running and live is None:
            return replace(record, not_collected=f"it runs, and {self.files.tool} does not show its live XML")
        return record

    def _unseen(self, name: str, state: str) -> DomainRecord:
        reason = f"{self.files.tool} lists it, and shows no XML of it"
        return DomainRecord(printable(name, 250), "", printable(state, 20), not_collected=reason)

    def _saved(self, name: str, info: Mapping[str, str]) -> tuple[tuple[SavedState, ...] | None, str | None]:
        """The saved states, of which an archive shows the existence; None: not even that."""
        why = f"{self.files.tool} does not collect its XML"
        listing = self.files.state_listing
        by_info = _yes(info.get("Managed save"))
        if listing is None:
            return None, None
        saves, snapshots = _section(listing, "save"), _section(listing, f"snapshot/{name}")
        has_save = by_info if by_info is not None else any(line.endswith(f" {name}.save") for line in saves)
        states = [SavedState(None, problem=why)] if has_save else []
        names = [line.rsplit(" ", 1)[-1] for line in snapshots if line.endswith(".xml")]
        states += [SavedState(printable(each.removesuffix(".xml"), 250), problem=why) for each in names]
        return tuple(states), None


def _section(listing: str, folder: str) -> list[str]:
    """The lines of the files of one folder in `ls -lR`."""
    found = re.search(rf"^/var/lib/libvirt/qemu/{re.escape(folder)}:\n((?:.+\n?)*)", listing, re.MULTILINE)
    lines = found[1].split("\n") if found is not None else []
    return [line for line in lines if line.startswith("-")]


def _refusal(listing: str) -> str | None:
    """Why virsh did not list the domains; None: it did."""
    if re.search(r"^ *Id +Name", listing, re.MULTILINE):
        return None
    lines = [line for line in listing.split("\n") if line.strip()]
    return lines[-1].removeprefix("error: ")[:500] if lines else "virsh printed nothing"


def _infos(texts: Iterable[str]) -> Iterator[tuple[str, dict[str, str]]]:
    for text in texts:
        info = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in text.split("\n"))}
        if "UUID" in info:
            yield info["UUID"].lower(), info


def _yes(word: str | None) -> bool | None:
    return {"yes": True, "no": False}.get(word or "")

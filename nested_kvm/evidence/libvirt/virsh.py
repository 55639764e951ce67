"""The second source: the output of the probe's `virsh -r`, where libvirt's RPC cannot be reached.

`virsh dominfo` prints lines such as

    Name:           ci-1
    State:          running
    Persistent:     yes
    Managed save:   no
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Final

from nested_kvm.errors import NotObserved
from nested_kvm.evidence.bundle import DomainRecord, LibvirtAnswer, SavedState
from nested_kvm.evidence.libvirt.capabilities import domain_types_of, version_of_virsh
from nested_kvm.evidence.libvirt.domain_xml import parse_domain_xml, reduce_domain_xml
from nested_kvm.evidence.libvirt.saved_states import managed_save, snapshots
from nested_kvm.evidence.libvirt.vcpu_statistics import Statistics, statistics_of_virsh
from nested_kvm.evidence.reading import Reading, Status

_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
"""virsh's warnings on standard error may stand between the uuids."""


def answer_of_virsh(readings: Mapping[str, Reading], uri: str) -> LibvirtAnswer | None:
    """Convert virsh's readings to what libvirt itself would have answered; None where virsh was not queried."""
    virsh = f"virsh -r -c {uri}"
    listing = readings.get(f"{virsh} list --all --uuid")
    if listing is None:
        return None
    if not listing.is_ok:
        return LibvirtAnswer(uri, "virsh", refusal=_refusal(listing))
    uuids = [word for word in listing.text.split() if _UUID.fullmatch(word)]
    records = [_record(readings, virsh, uuid) for uuid in uuids]
    counters = _vcpu_statistics(readings, f"{virsh} domstats --vcpu --list-active --nowait")
    return LibvirtAnswer(
        uri,
        "virsh",
        domains=tuple(_with_counters(record, counters) for record in records),
        domain_types=domain_types_of(_text(readings, f"{virsh} capabilities")),
        version=version_of_virsh(_text(readings, f"{virsh} version --daemon")),
    )


def without_virsh(readings: Mapping[str, Reading]) -> dict[str, Reading]:
    """The readings that are kept: virsh's XML, which may contain secrets, is not."""
    return {source: reading for source, reading in readings.items() if not source.startswith("virsh ")}


def _text(readings: Mapping[str, Reading], source: str) -> str:
    reading = readings.get(source)
    return reading.text if reading is not None and reading.is_ok else ""


def _refusal(listing: Reading) -> str:
    if listing.status is Status.MISSING:
        return "neither libvirt's RPC nor virsh is available"
    lines = [line for line in listing.text.splitlines() if line.strip()]
    return lines[-1].removeprefix("error: ")[:500] if lines else f"virsh: {listing.status.value}"


def _record(readings: Mapping[str, Reading], virsh: str, uuid: str) -> DomainRecord:
    problems: list[str] = []

    def xml(source: str) -> str | None:
        command = f"{virsh} {source} {uuid}"
        reading = readings.get(command, Reading(command, Status.MISSING))
        try:
            return reduce_domain_xml(reading.require().text)
        except NotObserved as error:
            problems.append(str(error))
            return None

    info = _dominfo(readings.get(f"{virsh} dominfo {uuid}"))
    if not info:
        problems.append(f"virsh dominfo {uuid} did not answer")
    inactive, live = xml("dumpxml --inactive"), xml("dumpxml")
    listed = _text(readings, f"{virsh} list --all --uuid --with-managed-save").split()
    has_managed_save = True if uuid in listed else _yes(info.get("Managed save"))
    saved, saved_problem = _saved_states(readings, virsh, uuid, has_managed_save=bool(has_managed_save))
    return DomainRecord(
        name=_name(inactive or live) or info.get("Name") or uuid,
        uuid=uuid,
        state=info.get("State", "unknown"),
        is_persistent=_yes(info.get("Persistent")),
        has_managed_save=has_managed_save,
        inactive_xml=inactive,
        live_xml=live if live is not None and parse_domain_xml(live).get("id") else None,
        problem="; ".join(dict.fromkeys(problems)) or None,
        saved_states=saved,
        saved_problem=saved_problem,
    )


def _saved_states(
    readings: Mapping[str, Reading], virsh: str, uuid: str, *, has_managed_save: bool
) -> tuple[tuple[SavedState, ...], str | None]:
    def text(source: str) -> str:
        return readings.get(source, Reading(source, Status.MISSING)).require().text

    saved = [managed_save(lambda: text(f"{virsh} managedsave-dumpxml {uuid}"))] if has_managed_save else []
    try:
        if uuid not in text(f"{virsh} list --all --uuid --with-snapshot").split():
            return tuple(saved), None
        names = [line for line in text(f"{virsh} snapshot-list --active --name {uuid}").split("\n") if line]
    except NotObserved as error:
        return tuple(saved), str(error)
    source = f"{virsh} snapshot-dumpxml {uuid} --snapshotname="
    found, more = snapshots([(name, partial(text, f"{source}{name}")) for name in names])
    return (*saved, *found), more


def _vcpu_statistics(readings: Mapping[str, Reading], command: str) -> list[dict[str, Statistics]]:
    found = [readings.get(source) for source in (command, f"{command}  # again")]
    return [statistics_of_virsh(reading.text) for reading in found if reading is not None and reading.is_ok]


def _with_counters(record: DomainRecord, counters: list[dict[str, Statistics]]) -> DomainRecord:
    return replace(record, vcpu_statistics=tuple(each[record.name] for each in counters if record.name in each))


def _dominfo(reading: Reading | None) -> dict[str, str]:
    lines = reading.text.split("\n") if reading is not None and reading.is_ok else []
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}


def _yes(word: str | None) -> bool | None:
    return {"yes": True, "no": False}.get(word or "")


def _name(xml: str | None) -> str | None:
    return None if xml is None else parse_domain_xml(xml).findtext("name")

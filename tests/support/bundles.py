"""Bundles of a few readings, for the facts that are made of them."""

from collections.abc import Mapping
from datetime import UTC, datetime

from hypothesis import strategies as st

from nested_kvm.evidence.bundle import Bundle, LibvirtAnswer
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.evidence.redaction import without_secrets
from nested_kvm.inventory.address import Address
from nested_kvm.inventory.target import Target, TargetLevel
from nested_kvm.model.policy import Policy

TARGET = Target("kvm-a", TargetLevel.L0, Address.parse("local://"), Policy(), libvirt="qemu:///system")

any_text = st.text(max_size=200)
any_status = st.sampled_from(Status)


def bundle_of(*readings: Reading, libvirt: LibvirtAnswer | None = None, **texts: str) -> Bundle:
    """Make a bundle of readings, without secrets as in evidence; `cpuinfo=…` and the like are texts read whole."""
    sources = {"uname": "uname -m", "cpuinfo": "/proc/cpuinfo", "modules": "/sys/module"}
    whole = [Reading(sources[name], Status.OK, text) for name, text in texts.items()]
    by_source = {reading.source: reading for reading in (*whole, *readings)}
    kept = without_secrets(without_unlisted_modules(by_source))
    return Bundle(TARGET, datetime(2026, 1, 1, tzinfo=UTC), "0", kept, libvirt=libvirt)


def without_unlisted_modules(readings: Mapping[str, Reading]) -> dict[str, Reading]:
    """The readings without the directories of modules that `/sys/module` does not list: the probe reads no others."""
    modules = readings.get("/sys/module")
    if modules is None or not modules.is_ok:
        return dict(readings)
    listed = modules.text.split()
    return {
        source: reading
        for source, reading in readings.items()
        if not source.startswith("/sys/module/") or source.split("/")[3] in listed
    }


def ok(source: str, text: str) -> Reading:
    return Reading(source, Status.OK, text)

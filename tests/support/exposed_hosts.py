"""The recorded hosts of tests/data/exposure: their evidence, an inventory, and advisories with their streams."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML

from nested_kvm.evidence.bundle import Bundle
from nested_kvm.evidence.bundle_file import write_bundle
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.facts.advisories.advisory_file import PACKAGED, packaged_advisories
from nested_kvm.inventory.load import load_inventory
from tests.support.scenario import Scenario, base, read_yaml

HERE: Final = Path(__file__).parents[1] / "data" / "exposure"
OBSERVED: Final = datetime(2026, 11, 28, tzinfo=UTC)
_BASES: Final = "gzip -dc /usr/share/doc/linux-image-6.1.0-56-amd64/changelog.gz"


@cache
def recorded_hosts() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = read_yaml(HERE / "hosts.yaml")
    return found


def write_advisories(folder: Path) -> Path:
    """Write the packaged advisories with the streams that the hosts' `vendor` names."""
    document = YAML(typ="safe").load(PACKAGED)
    for host in recorded_hosts().values():
        vendor: dict[str, Any] = host.get("vendor", {})
        for entry in document["advisories"] if vendor else ():
            if vendor.get("of") == "all" or entry["id"] == "CVE-2026-53359":
                fix = {"distributions": [host["id"]], "stream": vendor["stream"], "fixed": vendor["fixed"]}
                entry["vendors"] = [{**fix, "source": "https://example.net/advisory"}, *entry.get("vendors", [])]
    file = folder / "advisories.yaml"
    file.write_text(json.dumps(document, default=str))
    return file


def write_fleet(folder: Path, nested: str, *, is_on: bool) -> tuple[Path, Path]:
    """Write the inventory and the evidence of all hosts, with nesting on or off, and return both."""
    inventory = folder / "inventory.yaml"
    hosts = {name: {"address": f"ssh://{name}", "libvirt": "none"} for name in recorded_hosts()}
    inventory.write_text(json.dumps({"policy": {"nested": nested}, "hosts": hosts}))
    evidence = folder / "evidence"
    evidence.mkdir()
    for target in load_inventory(inventory).targets:
        readings = {each.source: each for each in _readings(recorded_hosts()[target.name], is_on=is_on)}
        write_bundle(evidence, Bundle(target, OBSERVED, "0", readings))
    return inventory, evidence


def _readings(host: dict[str, Any], *, is_on: bool) -> Iterator[Reading]:
    whole = Scenario(about="", source="constructed", base="intel-l0", **({} if is_on else _OFF)).all_readings()
    own = {
        "/proc/sys/kernel/osrelease": host["release"],
        "/proc/sys/kernel/version": host["version"],
        "/etc/os-release": f"ID={host['id']}",
        "/lib/modules": host["release"],
    }
    if "changelog" in host or host["id"] != "debian" or host["state"] != "fixed":
        del whole[_BASES]
    for source, reading in whole.items():
        yield replace(reading, text=own[source]) if source in own else reading
    if "changelog" in host:
        yield Reading(host["changelog"], Status.OK, "\n".join([host["newest"], *_items(host)]))


def _items(host: dict[str, Any]) -> Iterator[str]:
    for advisory in packaged_advisories().entries:
        if host["names"] != "all" and advisory.id not in host["names"]:
            continue
        if host["id"] == "ubuntu":
            yield f"  * {advisory.id}     - {advisory.title}"
        elif "rpm" in host["changelog"]:
            yield f"  - {advisory.title} {{{advisory.id}}}"
        else:
            yield f"  * New upstream stable update:     - [x86] {advisory.title}      ({advisory.id})"


_OFF: Final[dict[str, Any]] = {
    "modprobe.d": {"/etc/modprobe.d/kvm.conf": "options kvm_intel nested=0\noptions kvm_amd nested=0"},
    "kmod gives": "nested=0",
    "readings": {"/sys/module/kvm_intel/parameters": "enable_shadow_vmcs=N\nept=Y\nnested=N"},
}
assert base("intel-l0").readings[_BASES]

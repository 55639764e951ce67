"""Machines of a few readings, in which an L2 runs or does not."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from nested_kvm.evidence.bundle import Bundle, DomainRecord, LibvirtAnswer
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.inventory.address import Address
from nested_kvm.inventory.target import Target, TargetLevel
from nested_kvm.model.policy import Policy
from tests.support.bundles import without_unlisted_modules

UUID = "5b2e4bd7-2b0a-4a3c-9d55-1f0f6d5d7a11"
DEBUGFS = "/sys/kernel/debug/kvm"
CMDLINES = "/proc/[0-9]*/cmdline"
HOLDERS = "ls -lq /proc/[0-9]*/fd"
RECORDED = Path(__file__).parents[1] / "data" / "scenarios" / "recorded"

IDLE = {"vcpu.current": "1", "vcpu.0.guest_mode.cur": "no", "vcpu.0.nested_run.sum": "8264"}
BUSY = {"vcpu.current": "1", "vcpu.0.guest_mode.cur": "no", "vcpu.0.nested_run.sum": "8301"}
NEVER = {"vcpu.current": "1", "vcpu.0.guest_mode.cur": "no", "vcpu.0.nested_run.sum": "0"}
INSIDE = {"vcpu.current": "1", "vcpu.0.guest_mode.cur": "yes", "vcpu.0.nested_run.sum": "8264"}

AMD = "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC\nflags\t\t: fpu svm\n"
OBSERVED = datetime.now(UTC).replace(microsecond=0)
"""Once for all: the same machine is equal to itself."""


def record(*looks: Mapping[str, str], name: str = "l1-svm", uuid: str = UUID, is_running: bool = True) -> DomainRecord:
    xml = (RECORDED / "host-passthrough.live.nested1.xml").read_text()
    state = "running" if is_running else "shut off"
    live = xml if is_running else None
    return DomainRecord(name, uuid, state, inactive_xml=xml, live_xml=live, vcpu_statistics=tuple(looks))


def texts(**more: str) -> dict[str, str]:
    return {
        "uname -m": "x86_64",
        "id -u": "0",
        "/proc/cpuinfo": AMD,
        "/sys/module": "kvm\nkvm_amd\n",
        "/sys/module/kvm_amd": "initstate=live\nrefcnt=4\n",
        "/sys/module/kvm_amd/parameters": "nested=1\n",
        **more,
    }


def machine(
    name: str,
    *readings: Reading,
    level: TargetLevel = TargetLevel.L0,
    domains: tuple[DomainRecord, ...] | None = None,
    policy: Policy | None = None,
    **more: str,
) -> Bundle:
    """Make the bundle of a target; the readings replace those of the texts."""
    uri = None if domains is None else "qemu:///system"
    target = Target(name, level, Address.parse(f"ssh://root@{name}"), policy or Policy(), libvirt=uri)
    whole = [Reading(source, Status.OK, text) for source, text in texts(**more).items()]
    answer = None if domains is None else LibvirtAnswer("qemu:///system", "libvirt", domains=domains)
    by_source = {reading.source: reading for reading in (*whole, *readings)}
    return Bundle(target, OBSERVED, "0", without_unlisted_modules(by_source), libvirt=answer)


def without(bundle: Bundle, source: str) -> Bundle:
    return replace(bundle, readings={key: each for key, each in bundle.readings.items() if key != source})


def ok(source: str, text: str) -> Reading:
    return Reading(source, Status.OK, text)

"""The QEMU processes of running domains, as the probe prints them: a machine that runs a domain has its process."""

from collections.abc import Iterator, Mapping
from typing import Final
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from nested_kvm.evidence.sources import VM_HOLDERS, VMM_PROCESSES

_MODES: Final = {"host-passthrough": "host", "maximum": "max"}
_ON: Final = {"require": "on", "force": "on", "optional": "on", "disable": "off", "forbid": "off"}
_FIRST: Final = 1001


def processes_of(live: Mapping[str, str], architecture: str) -> dict[str, str]:
    """The readings of processes and of holders of a VM, for the live XML of each running domain by its uuid.

    A domain whose XML is not well-formed, or leaves its CPU to libvirt, has none here.
    """
    lines, holders = [], []
    for pid, (uuid, text) in enumerate(live.items(), _FIRST):
        found = list(_arguments(text, uuid, architecture))
        lines += [f"{pid} {line}" for line in found]
        if "accel=kvm" in found:
            holders.append(str(pid))
    return {VMM_PROCESSES: "\n".join(lines), VM_HOLDERS: "\n".join(holders)} if lines else {}


def _arguments(text: str, uuid: str, architecture: str) -> Iterator[str]:
    try:
        domain = fromstring(text)
    except (ParseError, DefusedXmlException, ValueError):
        return
    cpu = _cpu(domain.find("cpu"))
    if cpu is None:
        return
    yield f"program=qemu-system-{architecture}"
    yield f"uuid={uuid}"
    yield f"accel={'kvm' if domain.get('type') == 'kvm' else 'tcg'}"
    if cpu:
        yield f"cpu={cpu}"


def _cpu(cpu: Element | None) -> str | None:
    """The value of `-cpu`; empty: it is not given; None: libvirt decides."""
    if cpu is None:
        return ""
    mode = cpu.get("mode", "custom")
    model = _MODES.get(mode) or (cpu.findtext("model") if mode == "custom" else None)
    if model is None:
        return None if mode != "custom" else ""
    given = (f"{each.get('name')}={_ON[each.get('policy', 'require')]}" for each in cpu.iter("feature"))
    return ",".join([model.strip(), *given])

"""The capabilities of a QEMU that libvirt cached: files below /var/cache, which only root may read.

The lines of such a file that matter here:

    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <qemuctime>1763700000</qemuctime>
    <selfvers>9000000</selfvers>
    <kernelVersion>6.1.0-41-amd64 #1 SMP</kernelVersion>
    <arch>x86_64</arch>
    <hostCPU type='kvm' model='base' migratability='yes'>
      <property name='svm' type='boolean' value='true'/>
      <property name='vmx-ept' type='boolean' value='true'/>
    </hostCPU>
    <kvmSupportsNesting/>

Sources: `virQEMUCapsFormatCache` and `virQEMUCapsIsValid` in libvirt's src/qemu/qemu_capabilities.c. libvirt discards a
file when libvirt, QEMU or the kernel has changed, and since 4.10 when nested was switched; distributions backported
that to older versions.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from nested_kvm.errors import NotObserved
from nested_kvm.evidence import sources
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.evidence.reading import Reading
from nested_kvm.model.verdict import Evidence
from nested_kvm.util.text import decimal

DIRECTORY: Final = sources.LIBVIRT_CACHE
_VALUE: Final = re.compile(r"<(emulator|qemuctime|selfvers|kernelVersion|arch)>(.*)</\1>")
_PROPERTY: Final = re.compile(r"<property name='(svm|vmx|vmx-[a-z0-9-]{1,60})' .*value='(true|false)'")


@dataclass(frozen=True, slots=True)
class CachedCapabilities:
    """One cache file. `outdated` is why libvirt discards it at its next use, or why that is not known."""

    path: str
    emulator: str
    architecture: str
    flags: dict[str, bool]
    """Whether a guest under KVM can have vmx and svm; empty where the file has no section on KVM."""
    outdated: str | None
    vmx: frozenset[str] = frozenset()
    """The features of VMX that a guest under KVM can have, by QEMU's names (`vmx-ept`)."""

    def evidence(self, flag: str) -> Evidence:
        """The file's value of the flag."""
        value = {True: "true", False: "false", None: "not named"}[self.flags.get(flag)]
        return Evidence(self.path, f"{self.emulator} under KVM: {flag}={value}")


def cached_capabilities_of(bundle: Bundle, version: int | None) -> tuple[CachedCapabilities, ...]:
    """What a libvirt of that version has cached for each QEMU.

    Raises:
        ObservationError: the cache could not be read.
    """
    names = bundle.text_if_present(DIRECTORY) or ""
    paths = [f"{DIRECTORY}/{name}" for name in names.split("\n") if name.endswith(".xml") and not name.startswith(".")]
    return tuple(_parsed(bundle, bundle.reading(path).require(), version) for path in paths)


def _parsed(bundle: Bundle, file: Reading, version: int | None) -> CachedCapabilities:
    lines = [line.strip() for line in file.text.splitlines()]
    values = {match[1]: match[2] for line in lines if (match := _VALUE.fullmatch(line))}
    emulator, properties = values.get("emulator", ""), dict(_properties(lines))
    return CachedCapabilities(
        path=file.source,
        emulator=emulator,
        architecture=values.get("arch", ""),
        flags={name: offered for name, offered in properties.items() if name in {"svm", "vmx"}},
        vmx=frozenset(name for name, offered in properties.items() if name.startswith("vmx-") and offered),
        outdated=_outdated(bundle, values, version, noticed_nested="<kvmSupportsNesting/>" in lines),
    )


def _properties(lines: list[str]) -> Iterator[tuple[str, bool]]:
    """The properties of the CPU under KVM; TCG's CPU has its own section."""
    is_kvm = False
    for line in lines:
        if line.startswith("<hostCPU "):
            is_kvm = "type='kvm'" in line
        elif line.startswith("</hostCPU>"):
            is_kvm = False
        found = _PROPERTY.match(line) if is_kvm else None
        if found:
            yield found[1], found[2] == "true"


def _outdated(bundle: Bundle, values: dict[str, str], version: int | None, *, noticed_nested: bool) -> str | None:
    own = values.get("selfvers", "")
    if version is None or decimal(own) is None:
        return "the version of libvirt is not known"
    if decimal(own) != version:
        return "it was written by another version of libvirt"
    if values.get("kernelVersion") != _kernel(bundle):
        return "it was written under another kernel"
    if values.get("qemuctime") != _changed(bundle, values.get("emulator", "")):
        return "QEMU was changed since, or when it was changed is not known"
    return None if noticed_nested else "it was written while nested was off, which an old libvirt does not notice"


def _kernel(bundle: Bundle) -> str:
    release, build = (bundle.text(each).strip() for each in (sources.KERNEL_RELEASE, sources.KERNEL_VERSION))
    return f"{release} {build}"


def _changed(bundle: Bundle, emulator: str) -> str | None:
    """When the emulator's file was changed, in seconds since 1970; None where that was not observed."""
    try:
        return bundle.text(sources.changed_at(emulator)).strip()
    except NotObserved:
        return None


def offered_vmx_of(bundle: Bundle, version: int | None, architecture: str) -> frozenset[str] | None:
    """The features of VMX that each QEMU of the host can give a guest; None: no current file shows them."""
    try:
        cached = cached_capabilities_of(bundle, version)
    except NotObserved:
        return None
    files = [each for each in cached if each.architecture == architecture and each.outdated is None and each.vmx]
    return frozenset.intersection(*(each.vmx for each in files)) if files else None

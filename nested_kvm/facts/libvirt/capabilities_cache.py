"""What libvirt remembers of a QEMU: its files below /var/cache, which only root may read.

Sources: `virQEMUCapsFormatCache` and `virQEMUCapsIsValid` in libvirt's src/qemu/qemu_capabilities.c. libvirt forgets a
file once libvirt, QEMU or the kernel is another one, and since 4.10 once nested was switched; distributions took that
into older versions as well.
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
_PROPERTY: Final = re.compile(r"<property name='(svm|vmx)' .*value='(true|false)'")


@dataclass(frozen=True, slots=True)
class RememberedQemu:
    """One file. `outdated` says why libvirt forgets it at its next use, or why that cannot be told."""

    path: str
    emulator: str
    architecture: str
    flags: dict[str, bool]
    """Whether a guest under KVM can have vmx and svm; empty where it says nothing of KVM."""
    outdated: str | None

    def evidence(self, flag: str) -> Evidence:
        """What it says of the flag."""
        said = {True: "true", False: "false", None: "not named"}[self.flags.get(flag)]
        return Evidence(self.path, f"{self.emulator} under KVM: {flag}={said}")


def libvirts_memory_of(bundle: Bundle, version: int | None) -> tuple[RememberedQemu, ...]:
    """What libvirt, of that version, remembers of each QEMU.

    Raises:
        ObservationError: it could not be read.
    """
    names = bundle.text_if_present(DIRECTORY) or ""
    paths = [f"{DIRECTORY}/{name}" for name in names.split("\n") if name.endswith(".xml") and not name.startswith(".")]
    return tuple(_remembered(bundle, bundle.reading(path).require(), version) for path in paths)


def _remembered(bundle: Bundle, file: Reading, version: int | None) -> RememberedQemu:
    lines = [line.strip() for line in file.text.splitlines()]
    values = {match[1]: match[2] for line in lines if (match := _VALUE.fullmatch(line))}
    return RememberedQemu(
        path=file.source,
        emulator=values.get("emulator", ""),
        architecture=values.get("arch", ""),
        flags=dict(_flags(lines)),
        outdated=_outdated(bundle, values, version, noticed_nested="<kvmSupportsNesting/>" in lines),
    )


def _flags(lines: list[str]) -> Iterator[tuple[str, bool]]:
    """The properties of the CPU that KVM gives; TCG's stands beside it."""
    is_kvms = False
    for line in lines:
        if line.startswith("<hostCPU "):
            is_kvms = "type='kvm'" in line
        elif line.startswith("</hostCPU>"):
            is_kvms = False
        found = _PROPERTY.match(line) if is_kvms else None
        if found:
            yield found[1], found[2] == "true"


def _outdated(bundle: Bundle, values: dict[str, str], version: int | None, *, noticed_nested: bool) -> str | None:
    own = values.get("selfvers", "")
    if version is None or decimal(own) is None:
        return "the version of libvirt is not known"
    if decimal(own) != version:
        return "another version of libvirt wrote it"
    if values.get("kernelVersion") != _kernel(bundle):
        return "it was written under another kernel"
    if values.get("qemuctime") != _changed(bundle, values.get("emulator", "")):
        return "QEMU was changed since, or when is not known"
    return None if noticed_nested else "it was written while nested was off, which only an old libvirt does not notice"


def _kernel(bundle: Bundle) -> str:
    release, build = (bundle.text(each).strip() for each in (sources.KERNEL_RELEASE, sources.KERNEL_VERSION))
    return f"{release} {build}"


def _changed(bundle: Bundle, emulator: str) -> str | None:
    """When the file was changed, in seconds; None where that was not seen."""
    try:
        return bundle.text(sources.changed_at(emulator)).strip()
    except NotObserved:
        return None

"""Whether libvirt knows that KVM guests can be given the virtualization flag.

A read-only connection shows which types of domain libvirt offers, and the host's own CPU, whatever KVM makes of it. The
flags that KVM gives are in libvirt's memory of QEMU alone.
"""

from dataclasses import dataclass

from nested_kvm.errors import NotObserved
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.facts.kernel.cpu import Cpu
from nested_kvm.facts.libvirt.capabilities_cache import DIRECTORY, RememberedQemu, libvirts_memory_of
from nested_kvm.facts.libvirt.daemon import Libvirt
from nested_kvm.model.answer import Answer
from nested_kvm.model.verdict import Evidence

_NAMES = {"amd64": "x86_64", "i386": "i686", "i486": "i686", "i586": "i686"}
"""What libvirt calls an architecture that `uname -m` calls otherwise."""


@dataclass(frozen=True, slots=True)
class LibvirtCapabilities:
    """Whether they have the flag; `reason` is a sentence.

    Source: `virsh -r capabilities`; as root, what libvirt remembers of QEMU in `/var/cache/libvirt/qemu/capabilities`.
    """

    give_flag: Answer
    reason: str
    evidence: tuple[Evidence, ...]


def libvirt_capabilities_of(bundle: Bundle, libvirt: Libvirt, cpu: Cpu) -> LibvirtCapabilities:
    """Judge libvirt's capabilities, and what it remembers of QEMU."""
    if libvirt.refusal is not None:
        return LibvirtCapabilities(Answer.UNKNOWN, f"libvirt does not answer: {libvirt.refusal}", ())
    architecture = _NAMES.get(cpu.architecture, cpu.architecture)
    offered = None if libvirt.domain_types is None else libvirt.domain_types.get(architecture, ())
    shown = "not shown" if offered is None else ", ".join(offered) or "no emulator"
    evidence = (Evidence("virsh -r capabilities", f"{architecture}: {shown}"),)
    if offered is None:
        return LibvirtCapabilities(Answer.UNKNOWN, "libvirt did not show its capabilities", evidence)
    if not offered:
        return LibvirtCapabilities(Answer.UNKNOWN, f"libvirt knows no emulator for {architecture}", evidence)
    if "kvm" not in offered:
        return LibvirtCapabilities(Answer.NO, f"libvirt offers no domain of type kvm for {architecture}", evidence)
    return _remembered(bundle, libvirt, architecture, cpu.flag, evidence)


def _remembered(
    bundle: Bundle, libvirt: Libvirt, architecture: str, flag: str, evidence: tuple[Evidence, ...]
) -> LibvirtCapabilities:
    try:
        memory = libvirts_memory_of(bundle, libvirt.version)
    except NotObserved as reason:
        missing = f"libvirt offers kvm; whether with {flag} is in {DIRECTORY}, which root may read: {reason}"
        return LibvirtCapabilities(Answer.UNKNOWN, missing, evidence)
    files = [each for each in memory if each.architecture == architecture]
    evidence = (*evidence, *(each.evidence(flag) for each in files))
    if any(each.flags.get(flag) for each in files):
        return LibvirtCapabilities(Answer.YES, f"libvirt offers kvm with {flag}", evidence)
    stale = [each for each in files if each.flags.get(flag) is False and each.outdated is None]
    if stale:
        told = ", ".join(each.path for each in stale)
        return LibvirtCapabilities(Answer.NO, f"libvirt takes KVM to have no {flag}, by {told}", evidence)
    return LibvirtCapabilities(Answer.UNKNOWN, _open(files, flag), evidence)


def _open(files: list[RememberedQemu], flag: str) -> str:
    if not files:
        return f"libvirt offers kvm; whether with {flag} is not told: {DIRECTORY} remembers no QEMU yet"
    whys = (f"{each.path}: {each.outdated or f'it says nothing of {flag}'}" for each in files)
    return f"libvirt offers kvm; whether with {flag} is not told, as it may ask QEMU anew: {'; '.join(whys)}"

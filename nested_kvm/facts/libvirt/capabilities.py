"""Whether libvirt knows that KVM guests can be given the virtualization flag.

A read-only connection shows which domain types libvirt offers, and the host's own CPU, not what KVM makes of it. The
flags that KVM can give a guest are only in libvirt's cached capabilities of QEMU, of which one line reads

    <property name='svm' type='boolean' value='true'/>
"""

from dataclasses import dataclass

from nested_kvm.errors import NotObserved
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.facts.kernel.cpu import Cpu
from nested_kvm.facts.libvirt.capabilities_cache import DIRECTORY, CachedCapabilities, cached_capabilities_of
from nested_kvm.facts.libvirt.daemon import Libvirt
from nested_kvm.model.answer import Answer
from nested_kvm.model.verdict import Evidence

_NAMES = {"amd64": "x86_64", "i386": "i686", "i486": "i686", "i586": "i686"}
"""libvirt's name of an architecture, where `uname -m` prints another one."""


@dataclass(frozen=True, slots=True)
class LibvirtCapabilities:
    """Whether libvirt's capabilities have the flag; `reason` is a sentence.

    Source: `virsh -r capabilities`; as root, libvirt's cached QEMU capabilities in
    `/var/cache/libvirt/qemu/capabilities`.
    """

    give_flag: Answer
    reason: str
    evidence: tuple[Evidence, ...]


def libvirt_capabilities_of(bundle: Bundle, libvirt: Libvirt, cpu: Cpu) -> LibvirtCapabilities:
    """Read the flag out of libvirt's capabilities, and out of those that it cached for QEMU."""
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
        return LibvirtCapabilities(Answer.NO, f"libvirt offers no domain type kvm for {architecture}", evidence)
    return _by_cache(bundle, libvirt, architecture, cpu.flag, evidence)


def _by_cache(
    bundle: Bundle, libvirt: Libvirt, architecture: str, flag: str, evidence: tuple[Evidence, ...]
) -> LibvirtCapabilities:
    try:
        cached = cached_capabilities_of(bundle, libvirt.version)
    except NotObserved as reason:
        missing = f"libvirt offers kvm; whether with {flag} is in {DIRECTORY}, which only root may read: {reason}"
        return LibvirtCapabilities(Answer.UNKNOWN, missing, evidence)
    files = [each for each in cached if each.architecture == architecture]
    evidence = (*evidence, *(each.evidence(flag) for each in files))
    if any(each.flags.get(flag) and each.outdated is None for each in files):
        return LibvirtCapabilities(Answer.YES, f"libvirt offers kvm with {flag}", evidence)
    stale = [each for each in files if each.flags.get(flag) is False and each.outdated is None]
    if stale:
        paths = ", ".join(each.path for each in stale)
        return LibvirtCapabilities(
            Answer.NO, f"libvirt's cached capabilities have no {flag} under KVM: {paths}", evidence
        )
    return LibvirtCapabilities(Answer.UNKNOWN, _open(files, flag), evidence)


def _open(files: list[CachedCapabilities], flag: str) -> str:
    if not files:
        return f"libvirt offers kvm; whether with {flag} is not known: {DIRECTORY} holds no QEMU yet"
    whys = (f"{each.path} of {each.emulator}: {each.outdated or f'does not name {flag}'}" for each in files)
    return f"libvirt offers kvm; whether with {flag} is not known, as it may query QEMU again: {'; '.join(whys)}"

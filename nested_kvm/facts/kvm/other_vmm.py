"""What a VMM that is not QEMU gives its guest, as far as its arguments show: Cloud Hypervisor's do.

4242 program=cloud-hypervisor
4242 cpus=boot=4,topology=1:2:2:1,nested=off
"""

import re
from typing import Final

from nested_kvm.evidence import sources
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.facts.kvm.vmm_process import VmmProcess
from nested_kvm.facts.libvirt.cpu_definition import UNDECIDED, CpuDefinition
from nested_kvm.model.layer import Layer

_OFF_WORKS_ON_AMD: Final = 52
"""The first Cloud Hypervisor whose `nested=off` takes svm away (its pull request 7783)."""
_KEEPS_SVM: Final = 38
"""The first that keeps svm where a topology is given (its pull request 6106)."""
_WHY: Final = {
    Layer.FIRECRACKER: "its CPU template decides, which its arguments do not show",
    Layer.LIBKRUN: "it withholds the flag unless the program that starts it asks for nesting, which is not shown",
    Layer.CROSVM: "its arguments do not show the CPU",
    Layer.STRATOVIRT: "its arguments do not show the CPU",
    Layer.OPENVMM: "its arguments do not show the CPU",
    Layer.KVMTOOL: "it hands on what KVM offers, which no argument shows",
}


def other_vmm_definition(process: VmmProcess, version: int | None) -> CpuDefinition:
    """The CPU that the VMM gives its guest. `version` is Cloud Hypervisor's; None: it is not known."""
    if process.layer is not Layer.CLOUD_HYPERVISOR:
        why = _WHY.get(process.layer, "its arguments do not show the CPU")
        return CpuDefinition("custom", written=process.program, undecided=f"{process.program}: {why}")
    return _of_cloud_hypervisor(process, version)


def cloud_hypervisor_version(bundle: Bundle) -> int | None:
    """The first number of the version that is installed; None where it is not known.

    Sample: `cloud-hypervisor v48.0.0`
    """
    answer = bundle.readings.get(sources.CLOUD_HYPERVISOR)
    found = None if answer is None or not answer.is_ok else re.search(r"\bv?(\d{1,4})\.\d", answer.text)
    return int(found[1]) if found else None


def _of_cloud_hypervisor(process: VmmProcess, version: int | None) -> CpuDefinition:
    written = "no --cpus" if process.cpus is None else f"--cpus {process.cpus}"
    encrypted = re.search(r"(?:^|,)(sev_snp|tdx)=on\b", process.platform or "")
    encryption = encrypted[1] if encrypted else None
    if process.cpus is None:
        reason = "cloud-hypervisor was not given --cpus as an argument: its API may have set the CPU"
        return CpuDefinition("custom", written=written, memory_encryption=encryption, undecided=reason)
    options = dict(each.partition("=")[::2] for each in re.split(r",(?![^\[]*\])", process.cpus))
    features: dict[str, str] = {}
    if options.get("topology"):
        features |= _since("svm", _KEEPS_SVM, version, before="disable", after=None)
    if options.get("nested") == "off":
        features |= {"vmx": "disable", **_since("svm", _OFF_WORKS_ON_AMD, version, before=None, after="disable")}
    return CpuDefinition("host-passthrough", features=features, written=written, memory_encryption=encryption)


def _since(flag: str, since: int, version: int | None, *, before: str | None, after: str | None) -> dict[str, str]:
    """The flag's policy by the version; where that is not known, it is undecided."""
    policy = UNDECIDED if version is None else before if version < since else after
    return {} if policy is None else {flag: policy}

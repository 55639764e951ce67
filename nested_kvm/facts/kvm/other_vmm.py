"""What a VMM that is not QEMU gives its guest, by its arguments, or by what it does whatever they are.

4242 program=cloud-hypervisor
4242 cpus=boot=4,topology=1:2:2:1,nested=off

Sources: `setup_cpuid` in crosvm's x86_64/src/cpuid.rs, in StratoVirt's cpu/src/x86_64/mod.rs and in kvmtool's
x86/cpuid.c, which hand on what KVM_GET_SUPPORTED_CPUID lists and filter neither vmx nor svm; the templates in
Firecracker's src/vmm/src/cpu_config/x86_64/static_cpu_templates, of which those for Intel clear vmx and none clears
svm; `nested_enabled` in libkrun's src/cpuid, without which it clears both; `HypervisorConfig.nested_virt` of OpenVMM.
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
_OFF: Final = frozenset({"off", "false"})
"""How its `Toggle` reads off, in any case; without a value the default stays (option_parser/src/lib.rs)."""
_HANDS_ON: Final = frozenset({Layer.CROSVM, Layer.STRATOVIRT, Layer.KVMTOOL})
"""Those without an option that withholds the flag: their guests get what KVM offers."""
_WHY: Final = {
    Layer.FIRECRACKER: "its CPU template decides, which comes by its API or its configuration file: T2, C3, T2S and"
    " T2CL withhold vmx, and none that comes with it withholds svm",
    Layer.LIBKRUN: "it withholds the flag unless the program that starts it asks for nesting, which is not shown",
    Layer.OPENVMM: "it withholds the flag unless it is asked for nesting, which the kept arguments do not show",
}


def other_vmm_definition(process: VmmProcess, version: int | None) -> CpuDefinition:
    """The CPU that the VMM gives its guest. `version` is Cloud Hypervisor's; None: it is not known."""
    if process.layer in _HANDS_ON:
        return CpuDefinition("host-passthrough", written=f"{process.program}, which hands on what KVM offers")
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
    encrypted = re.search(r"(?:^|,)(sev_snp|tdx)=\s*(?:on|true)\b", (process.platform or "").replace('"', "").lower())
    encryption = encrypted[1] if encrypted else None
    if process.cpus is None:
        reason = "cloud-hypervisor was not given --cpus as an argument: its API may have set the CPU"
        return CpuDefinition("custom", written=written, memory_encryption=encryption, undecided=reason)
    options = dict(each.partition("=")[::2] for each in re.split(r",(?![^\[]*\])", process.cpus.replace('"', "")))
    features: dict[str, str] = {}
    if options.get("topology"):
        features |= _since("svm", _KEEPS_SVM, version, before="disable", after=None)
    if options.get("nested", "").strip().lower() in _OFF:
        features |= {"vmx": "disable", **_since("svm", _OFF_WORKS_ON_AMD, version, before=None, after="disable")}
    return CpuDefinition("host-passthrough", features=features, written=written, memory_encryption=encryption)


def _since(flag: str, since: int, version: int | None, *, before: str | None, after: str | None) -> dict[str, str]:
    """The flag's policy by the version; where that is not known, it is undecided."""
    policy = UNDECIDED if version is None else before if version < since else after
    return {} if policy is None else {flag: policy}

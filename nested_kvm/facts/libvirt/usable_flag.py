"""Whether KVM in a guest can use the flag that its CPU shows.

Two definitions show a flag with which no module loads in the guest:

    <model vendor_id='GenuineIntel'>EPYC</model><feature policy='require' name='svm'/>
    <model>qemu64</model><feature policy='require' name='vmx'/>

kvm_amd and kvm_intel check the vendor before the flag (`kvm_is_svm_supported` of arch/x86/kvm/svm/svm.c, and the
x86_match_cpu of both). kvm_intel needs controls of VMX, which since QEMU 4.2 come with a model or not at all: of the
models below `query-cpu-model-expansion` with `vmx: true` shows none in QEMU 7.2, and the guest's module fails with EIO.
"""

import re
from typing import Final

from nested_kvm.facts.kernel.cpu import VENDORS, Vendor
from nested_kvm.facts.libvirt.cpu_definition import CpuDefinition

_WITHOUT_CONTROLS: Final = re.compile(
    r"(486|Dhyana|EPYC(-[A-Z][A-Za-z]+)?|KnightsMill|Opteron_G[1-5]|athlon|base|n270|pentium[23]?|phenom|qemu(32|64))(-v\d+)?"
    r"|x86-64-v\d[\w-]*"
)
"""Models of QEMU's, and those of Proxmox VE that report themselves as qemu64."""
_DEFAULT_MODEL: Final = "qemu64"


def why_not_usable(cpu: CpuDefinition, vendor: Vendor) -> str | None:
    """Why KVM in the guest may not use the flag of the host's `vendor`, if its CPU shows that; None: it can."""
    shown = cpu.shown_vendor
    if shown is not None and vendor is not Vendor.IBM_Z and VENDORS.get(shown.strip()) is not vendor:
        return f"its CPU shows the vendor {shown[:40]!r}, with which {vendor.module} does not load in it"
    is_model = cpu.mode in {"custom", "none"} and not cpu.is_minimum and cpu.unknown_mode is None
    if vendor is not Vendor.INTEL or not is_model or cpu.has_vmx_controls:
        return None
    model = cpu.model or _DEFAULT_MODEL
    if _WITHOUT_CONTROLS.fullmatch(model) is None:
        return None
    return f"since QEMU 4.2 the model {model} has no control of VMX, without which kvm_intel does not load in it"

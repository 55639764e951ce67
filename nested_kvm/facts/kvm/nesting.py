"""Whether the running KVM offers nested virtualization, by what shows it on each architecture.

x86 and s390x: the module's parameter. ppc64: that, and the `cpu`, `platform` and `MMU` lines of /proc/cpuinfo.
arm64: `kvm-arm.mode=nested` in /proc/cmdline, and a line of the kernel log:

    kvm [1]: VHE+NV2 mode initialized successfully
"""

import re
from dataclasses import dataclass
from typing import Final

from nested_kvm.evidence import sources
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.facts.kernel.kvm_module import KvmModule
from nested_kvm.facts.kernel.log import kernel_log_of
from nested_kvm.facts.kernel.parameter import words
from nested_kvm.facts.kernel.release import KernelRelease
from nested_kvm.model.answer import Answer
from nested_kvm.model.architecture import ARM64, POWER, Architecture
from nested_kvm.model.verdict import Evidence

_MODE: Final = "kvm-arm.mode"
_FIRST_POWER: Final = 9
"""`kvmhv_enable_nested` asks for ISA 3.00 and the radix MMU."""
_OFFERED_SINCE: Final = (6, 16)
"""The first Linux that lets a guest of arm64 have EL2 (KVM_CAP_ARM_EL2)."""
_STARTED: Final = re.compile(r"kvm \[\d{1,10}\]: VHE(\+NV\w*)? mode initialized successfully")
_NOT_STARTED: Final = re.compile(
    r"kvm \[\d{1,10}\]: (?:HYP mode not available|NV support requires GICv3|KVM disabled from command line)"
)


@dataclass(frozen=True, slots=True)
class Nesting:
    """Whether KVM offers nesting; `reason` is what was observed, or what is missing.

    Source: the KVM module's parameter `nested`; on ppc64 `/proc/cpuinfo` too; on arm64 `/proc/cmdline` and `dmesg`.
    """

    offered: Answer
    reason: str
    evidence: tuple[Evidence, ...]


def nesting_of(bundle: Bundle, architecture: Architecture | None, module: KvmModule) -> Nesting:
    """Whether nesting is offered, from the sources that count on the machine's architecture.

    Raises:
        ObservationError: one of the sources could not be read.
    """
    if not module.is_loaded:
        return Nesting(Answer.UNKNOWN, f"{module.name} {module.lack}", module.evidence)
    if architecture is ARM64:
        return _on_arm64(bundle)
    by_parameter = _by_parameter(module)
    if architecture is POWER and by_parameter.offered is Answer.YES:
        return _on_power(by_parameter, bundle.text(sources.CPUINFO))
    return by_parameter


def _by_parameter(module: KvmModule) -> Nesting:
    offered = Answer.YES if module.nested else Answer.NO
    return Nesting(offered, f"{module.name} runs with nested={module.nested_text}", module.evidence)


def _on_power(by_parameter: Nesting, cpuinfo: str) -> Nesting:
    """The parameter is on by default, also on CPUs that cannot nest."""
    seen = {key: _value(cpuinfo, key) for key in ("cpu", "platform", "MMU")}
    found = tuple(Evidence(sources.CPUINFO, f"{key}: {value}") for key, value in seen.items() if value)
    offered, why = _power_can_nest(seen["cpu"], seen["platform"], seen["MMU"])
    return Nesting(offered, f"{by_parameter.reason}{why}", (*by_parameter.evidence, *found))


def _power_can_nest(cpu: str, platform: str, mmu: str) -> tuple[Answer, str]:
    generation = re.match(r"POWER([0-9]{1,4})", cpu)
    if generation is not None and int(generation[1]) < _FIRST_POWER:
        return Answer.NO, f", and {generation[0]} cannot nest: POWER{_FIRST_POWER} is the first that can"
    if mmu == "Hash":
        return Answer.NO, ", and only guests with the radix MMU can nest"
    if generation is None or platform != "PowerNV" or mmu != "Radix":
        return (
            Answer.UNKNOWN,
            ", and whether this machine can nest is not known: that needs a bare-metal POWER9 with radix MMU",
        )
    return Answer.YES, ""


def _value(cpuinfo: str, key: str) -> str:
    found = re.search(rf"^{key}[ \t]*:[ \t]*(.*)$", cpuinfo, re.MULTILINE)
    return found[1].strip() if found else ""


def _on_arm64(bundle: Bundle) -> Nesting:
    """The command line asks for nesting, and the kernel's log shows whether the CPU supports it."""
    modes = [word for word in words(bundle.text(sources.CMDLINE)) if word.name.replace("_", "-") == _MODE]
    asked = tuple(Evidence(sources.CMDLINE, word.text) for word in modes) or (
        Evidence(sources.CMDLINE, f"does not set {_MODE}"),
    )
    if not modes or (modes[-1].value or "").partition(",")[0] != "nested":
        return Nesting(Answer.NO, f"the kernel was not booted with {_MODE}=nested", asked)
    offered, reason, line = _as_the_kernel_said(bundle)
    return Nesting(offered, reason, (*asked, *line))


def _as_the_kernel_said(bundle: Bundle) -> tuple[Answer, str, tuple[Evidence, ...]]:
    for line, message in kernel_log_of(bundle).messages:
        quoted = (Evidence(sources.KERNEL_LOG, line.strip()),)
        started = _STARTED.match(message)
        if started is not None:
            return *_as_started(bundle, with_nv=started[1] is not None), quoted
        if _NOT_STARTED.match(message):
            return Answer.NO, "KVM did not start", quoted
    return Answer.UNKNOWN, "the kernel's log does not show how KVM started", ()


def _as_started(bundle: Bundle, *, with_nv: bool) -> tuple[Answer, str]:
    release = KernelRelease.parse(bundle.text(sources.KERNEL_RELEASE))
    if not release.has(_OFFERED_SINCE):
        return Answer.UNKNOWN, f"whether {release.text} lets guests nest is not known: upstream supports it since 6.16"
    if not with_nv:
        return Answer.NO, f"{_MODE}=nested was set, and KVM started without it: the CPU has no FEAT_NV2"
    return Answer.YES, "KVM started with NV2"

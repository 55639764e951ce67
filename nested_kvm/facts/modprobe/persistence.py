"""What outlasts a reboot: the readings of kmod and of the kernel command line, brought together."""

from nested_kvm.errors import NotObserved
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.evidence.reading import Status
from nested_kvm.facts.kernel.kvm_module import KvmModule
from nested_kvm.facts.kernel.release import KernelRelease
from nested_kvm.facts.modprobe.config import ModprobeConfiguration
from nested_kvm.facts.modprobe.hpage import with_hpage
from nested_kvm.facts.modprobe.kmod import Kmod
from nested_kvm.facts.modprobe.load_outcome import NextLoad
from nested_kvm.facts.modprobe.next_load import next_load

CMDLINE = "/proc/cmdline"
_OF_S390X = "kvm"
"""Only there this module has the parameter."""


def modprobe_configuration_of(bundle: Bundle) -> ModprobeConfiguration:
    """The configuration by the files that kmod reads.

    Raises:
        ObservationError: the kernel command line could not be read.
    """
    version = bundle.reading("modprobe --version")
    kmod = Kmod.parse(version.text) if version.status is Status.OK else None
    return ModprobeConfiguration.parse(bundle.readings, bundle.text(CMDLINE), kmod)


def next_load_of(bundle: Bundle, module: KvmModule, configuration: ModprobeConfiguration) -> NextLoad:
    """What the next load of the module does, by kmod's own answer.

    Raises:
        ObservationError: kmod's answer, or what explains it, is not in the evidence.
    """
    oracle = bundle.reading(f"modprobe --show-depends {module.name}")
    release = bundle.text("/proc/sys/kernel/osrelease").strip()
    loaded_next = next_load(
        oracle,
        bundle.reading(f"modinfo --parameters {module.name}"),
        configuration,
        module=module.name,
        release=release,
        cmdline=bundle.text(CMDLINE),
        running=_running(module),
    )
    return with_hpage(loaded_next, oracle, KernelRelease.parse(release)) if module.name == _OF_S390X else loaded_next


def _running(module: KvmModule) -> bool | None:
    try:
        return module.nested if module.is_loaded else None
    except NotObserved:
        return None

"""Whether a KVM that is built into the kernel started."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from nested_kvm.errors import ObservationError
from nested_kvm.facts.kernel.kvm_module import KvmModule
from nested_kvm.facts.kernel.refusal import RefusalKind, refusal_kind
from nested_kvm.facts.kvm.device import KvmDevice
from nested_kvm.model.verdict import Evidence


def as_it_started(
    module: KvmModule, device: Callable[[], KvmDevice], refusals: Callable[[], Sequence[Evidence]]
) -> KvmModule:
    """Return the module as it runs: sysfs shows one that is built in, with its parameters, also where it gave up.

    A device shows that it started, and the kernel's log that it did not; without either it stays open. Words of no
    known kind are no refusal here: a container shows the log of a kernel whose KVM runs, and no device.

    Args:
        module: the module as sysfs shows it.
        device: reads `/dev/kvm`; asked of a module that is built in only.
        refusals: the lines of the kernel's log that refuse the module; asked for where there is no device.

    Raises:
        ObservationError: the kernel's log is needed, and not in the evidence.
    """
    if not module.is_built_in or _exists(device):
        return module
    found = tuple(refusals())
    gave_up = bool(found) and refusal_kind(found) is not RefusalKind.OTHER
    return module.not_started() if gave_up else replace(module, start_is_open=True)


def _exists(device: Callable[[], KvmDevice]) -> bool:
    try:
        return device().exists
    except ObservationError:
        return False

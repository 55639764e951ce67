"""The programs that can run a VM under KVM, where a machine has any."""

from dataclasses import dataclass
from typing import Final

from nested_kvm.evidence.bundle import Bundle
from nested_kvm.verdict import Evidence

SOURCE: Final = "virtual machine monitors"


@dataclass(frozen=True, slots=True)
class Hypervisors:
    """The paths of those that the probe found, by PATH or where distributions keep qemu-kvm.

    Source: the names of known programs in PATH, and `/usr/libexec/qemu-kvm`.
    """

    paths: tuple[str, ...]

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """What was found."""
        return (Evidence(SOURCE, ", ".join(self.paths) or "none in PATH, no /usr/libexec/qemu-kvm"),)


def hypervisors_of(bundle: Bundle) -> Hypervisors:
    """The programs that the probe found.

    Raises:
        ObservationError: it did not look.
    """
    return Hypervisors(tuple(bundle.text(SOURCE).split("\n")) if bundle.text(SOURCE).strip() else ())

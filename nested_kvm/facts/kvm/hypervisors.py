"""The programs on a machine that can run a VM under KVM.

The probe prints a path per line, such as `/usr/bin/qemu-system-x86_64`.
"""

from dataclasses import dataclass
from typing import Final

from nested_kvm.evidence import sources
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.model.architecture import Architecture
from nested_kvm.model.verdict import Evidence

SOURCE: Final = sources.HYPERVISORS


@dataclass(frozen=True, slots=True)
class Hypervisors:
    """The paths of the programs that the probe found, in PATH or where distributions keep qemu-kvm.

    Source: the names of known programs in PATH, and `/usr/libexec/qemu-kvm`.
    """

    paths: tuple[str, ...]

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """The programs that were found."""
        return (Evidence(SOURCE, ", ".join(self.paths) or "none in PATH, no /usr/libexec/qemu-kvm"),)


def hypervisors_of(bundle: Bundle, architecture: Architecture | None) -> Hypervisors:
    """The programs that the probe found; QEMU for another architecture only emulates it.

    Raises:
        ObservationError: the probe did not search for them.
    """
    emulators = architecture.emulators if architecture is not None else frozenset()
    paths = (path for path in bundle.text(SOURCE).split("\n") if path.strip())
    return Hypervisors(tuple(path for path in paths if _runs_under_kvm(path, emulators)))


def _runs_under_kvm(path: str, emulators: frozenset[str]) -> bool:
    _, is_qemu, emulated = path.rpartition("/")[2].partition("qemu-system-")
    return not is_qemu or emulated in emulators

"""The KVM module of the CPU's vendor, as it runs now."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from nested_kvm.errors import NotObserved
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.evidence.reading import Status
from nested_kvm.model.verdict import Evidence
from nested_kvm.util.text import decimal

MODULES: Final = "/sys/module"
OTHER_HYPERVISORS: Final = frozenset({"vboxdrv", "vmmon"})


@dataclass(frozen=True, slots=True)
class KvmModule:
    """`kvm_intel`, `kvm_amd`, or another architecture's.

    `parameters` holds what could be read of `/sys/module/<name>/parameters`.

    Source: `/sys/module`, and there the vendor's module with its parameters, state and use count.
    """

    name: str
    is_loaded: bool
    """Loaded, or built into the kernel."""
    is_built_in: bool
    parameters: Mapping[str, str] = field(default_factory=dict)
    unreadable: frozenset[str] = frozenset()
    use_count: int | None = None
    others: tuple[str, ...] = ()
    """The other KVM modules and hypervisors that are loaded."""

    @property
    def directory(self) -> str:
        """Where the kernel shows it."""
        return f"{MODULES}/{self.name}"

    @property
    def nested_text(self) -> str:
        """The running value of `nested`, as the kernel prints it.

        Raises:
            NotObserved: it could not be read. Never taken for "off".
        """
        if "nested" not in self.parameters:
            reason = "cannot be read" if "nested" in self.unreadable else "is not there"
            raise NotObserved(f"{self.directory}/parameters/nested {reason}")
        return self.parameters["nested"]

    @property
    def nested(self) -> bool:
        """Whether nested virtualization is on: `Y` or any number but 0.

        Raises:
            NotObserved: it could not be read, or is neither a number nor Y or N.
        """
        text = self.nested_text.strip()
        if text in {"Y", "y", "N", "n"}:
            return text in {"Y", "y"}
        try:
            return int(text) != 0
        except ValueError:
            raise NotObserved(f"{self.directory}/parameters/nested reads {text[:40]!r}") from None

    def offers_nested(self) -> bool:
        """Whether it runs, with nested on.

        Raises:
            NotObserved: it runs, and its value could not be read.
        """
        return self.is_loaded and self.nested

    @property
    def other_hypervisors(self) -> tuple[str, ...]:
        """VirtualBox's and VMware's modules, where they are loaded."""
        return tuple(name for name in self.others if name in OTHER_HYPERVISORS)

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """What the kernel shows of the module."""
        if not self.is_loaded:
            return (Evidence(self.directory, "is not there: the module is neither loaded nor built in"),)
        if "nested" not in self.parameters:
            return (Evidence(self.directory, "is there"),)
        return (Evidence(f"{self.directory}/parameters/nested", self.parameters["nested"]),)


def kvm_module_of(bundle: Bundle, name: str) -> KvmModule:
    """The module of that name, which is the one for this CPU, by `/sys/module`.

    Raises:
        ObservationError: `/sys/module` could not be read.
    """
    present = bundle.text(MODULES).split()
    others = tuple(module for module in present if module not in {name, "kvm"})
    if name not in present:
        return KvmModule(name, is_loaded=False, is_built_in=False, others=others)
    values, denied = _values(bundle, f"{MODULES}/{name}")
    parameters, unreadable = _values(bundle, f"{MODULES}/{name}/parameters")
    return KvmModule(
        name,
        is_loaded=True,
        is_built_in="initstate" not in {*values, *denied},
        parameters=parameters,
        unreadable=unreadable,
        use_count=decimal(values.get("refcnt", "")),
        others=others,
    )


def _values(bundle: Bundle, directory: str) -> tuple[dict[str, str], frozenset[str]]:
    """The `name=value` lines of a directory of small files, and the names that were denied."""
    reading = bundle.reading(directory)
    if reading.status is Status.ABSENT:
        return {}, frozenset()
    lines = reading.require().text.splitlines()
    readable = dict(line.split("=", 1) for line in lines if "=" in line)
    return readable, frozenset(line[:-1] for line in lines if "=" not in line and line.endswith("!"))

"""The running state of the KVM module for the CPU's vendor."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from nested_kvm.errors import NotObserved, ObservationError
from nested_kvm.evidence import sources
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.evidence.reading import Status
from nested_kvm.facts.kernel.cmdline import cleared_flags
from nested_kvm.model.architecture import X86, architecture_of
from nested_kvm.model.verdict import Evidence
from nested_kvm.util.text import decimal

_LIVE: Final = "live"
_STATES: Final = frozenset({_LIVE, "coming", "going"})
"""The states of a module that is not built in (kernel/module/sysfs.c)."""
OTHER_HYPERVISORS: Final = frozenset({"vboxdrv", "vmmon"})
_X86_MODULES: Final = ("kvm_intel", "kvm_amd")
PVM: Final = "kvm_pvm"
"""KVM for CPUs without vmx and svm (https://lwn.net/Articles/963718): it shadows the page tables of each guest."""


@dataclass(frozen=True, slots=True)
class KvmModule:
    """The KVM module for this CPU: `kvm_intel`, `kvm_amd`, or another architecture's.

    `parameters` holds what could be read of `/sys/module/<name>/parameters`.

    Source: `/sys/module`, and there the vendor's module with its parameters, state and use count.
    """

    name: str
    is_loaded: bool
    """Loaded, or built into the kernel and started; not while the kernel still initializes or already removes it."""
    is_built_in: bool
    parameters: Mapping[str, str] = field(default_factory=dict)
    unreadable: frozenset[str] = frozenset()
    use_count: int | None = None
    state: str = _LIVE
    """As the kernel prints it: `live`, `coming` or `going`."""
    others: tuple[str, ...] = ()
    """The other KVM modules and hypervisors that are loaded."""
    did_not_start: bool = False
    """Whether it is built in and gave up: its directory and parameters are there all the same."""
    start_is_open: bool = False
    """Whether it is built in, and neither a device nor the kernel's log shows whether it started."""

    def not_started(self) -> "KvmModule":
        """The same module, which is built in and did not start: its parameters are those of no running KVM."""
        return replace(self, is_loaded=False, did_not_start=True)

    @property
    def lack(self) -> str:
        """What is wrong with a module that is not loaded, in words behind its name."""
        return "is built in and did not start" if self.did_not_start else "is not loaded"

    @property
    def directory(self) -> str:
        """The module's directory in sysfs."""
        return f"{sources.MODULES}/{self.name}"

    @property
    def nested_text(self) -> str:
        """The running value of `nested`, as the kernel prints it.

        Raises:
            NotObserved: it could not be read, which never means "off".
        """
        if "nested" not in self.parameters:
            reason = "cannot be read" if "nested" in self.unreadable else "does not exist"
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
        number = decimal(text.removeprefix("-"))
        if number is None:
            raise NotObserved(f"{self.directory}/parameters/nested reads {text[:40]!r}")
        return number != 0

    def offers_nested(self) -> bool:
        """Whether the module runs with nested on.

        Raises:
            NotObserved: the module runs, but its value could not be read.
        """
        return self.is_loaded and self.nested

    @property
    def other_hypervisors(self) -> tuple[str, ...]:
        """The modules of VirtualBox and VMware that are loaded."""
        return tuple(name for name in self.others if name in OTHER_HYPERVISORS)

    @property
    def pvm(self) -> tuple[Evidence, ...]:
        """PVM, where it is loaded: it runs VMs without the flag, whatever the vendor's module does."""
        return (Evidence(f"{sources.MODULES}/{PVM}", "exists"),) if PVM in self.others else ()

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """The module's state in sysfs."""
        if self.state != _LIVE:
            return (Evidence(f"{self.directory}/initstate", self.state),)
        if self.did_not_start:
            return (Evidence(self.directory, "exists, and has no initstate: the module is built in"),)
        if not self.is_loaded:
            return (Evidence(self.directory, "does not exist: the module is neither loaded nor built in"),)
        if "nested" not in self.parameters:
            return (Evidence(self.directory, "exists"),)
        return (Evidence(f"{self.directory}/parameters/nested", self.parameters["nested"]),)


def kvm_module_of(bundle: Bundle, name: str) -> KvmModule:
    """The state of the named module in `/sys/module`.

    Sample of `/sys/module/kvm_amd/parameters`: `nested=1`, and `npt!` where the file may not be read.

    Raises:
        ObservationError: `/sys/module` could not be read, or contradicts what was read below it.
    """
    present = bundle.text(sources.MODULES).split()
    others = tuple(module for module in present if module not in {name, "kvm"})
    if name not in present:
        _check_absent(bundle, name)
        return KvmModule(name, is_loaded=False, is_built_in=False, others=others)
    values, denied = _values(bundle, f"{sources.MODULES}/{name}")
    parameters, unreadable = _values(bundle, f"{sources.MODULES}/{name}/parameters")
    if values.get("initstate", _LIVE) not in _STATES:
        raise NotObserved(f"{sources.MODULES}/{name}/initstate reads {values['initstate'][:40]!r}")
    return KvmModule(
        name,
        is_loaded=values.get("initstate", _LIVE) == _LIVE,
        is_built_in="initstate" not in {*values, *denied},
        parameters=parameters,
        unreadable=unreadable,
        state=values.get("initstate", _LIVE),
        use_count=decimal(values.get("refcnt", "")),
        others=others,
    )


def _check_absent(bundle: Bundle, name: str) -> None:
    """Check that nothing was read of a module that is not listed: the probe reads the directories that it lists.

    Raises:
        NotObserved: its directory was read, so the list is not complete.
    """
    directory = f"{sources.MODULES}/{name}"
    found = bundle.readings.get(directory)
    if found is not None and found.is_ok and found.text.strip():
        raise NotObserved(f"{sources.MODULES} does not list {name}, though {directory} was read")


def _values(bundle: Bundle, directory: str) -> tuple[dict[str, str], frozenset[str]]:
    """The `name=value` lines of a directory of small files, and the names that were denied."""
    reading = bundle.reading(directory)
    if reading.status is Status.ABSENT:
        return {}, frozenset()
    lines = reading.require().text.splitlines()
    readable = dict(line.split("=", 1) for line in lines if "=" in line)
    return readable, frozenset(line[:-1] for line in lines if "=" not in line and line.endswith("!"))


@dataclass(frozen=True, slots=True)
class WithoutFlag:
    """What may run VMs in a machine whose CPUs show no flag. Only x86 has any.

    Source: `/sys/module` and `/proc/cmdline`.
    """

    seen: tuple[Evidence, ...]
    unseen: ObservationError | None = None
    """Why one of the two was not read."""

    @property
    def signs(self) -> tuple[Evidence, ...]:
        """All of it.

        Raises:
            ObservationError: none was seen, and not everything was read.
        """
        if not self.seen and self.unseen is not None:
            raise self.unseen
        return self.seen

    @property
    def text(self) -> str:
        """What was seen, for messages."""
        return "; ".join(f"{each.source}: {each.text}" for each in self.seen)

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """The module, and the words."""
        return self.seen


def without_flag_of(bundle: Bundle) -> WithoutFlag:
    """Look for PVM, and for a flag that the kernel hides: a boot without that word shows it again."""
    if architecture_of(bundle.text(sources.ARCHITECTURE).strip()) is not X86:
        return WithoutFlag(())
    seen: list[Evidence] = []
    unseen: ObservationError | None = None
    for look in (_pvm, _cleared):
        try:
            seen += look(bundle)
        except ObservationError as error:
            unseen = unseen or error
    return WithoutFlag(tuple(seen), unseen)


def _pvm(bundle: Bundle) -> Iterator[Evidence]:
    if PVM in bundle.text(sources.MODULES).split():
        yield Evidence(f"{sources.MODULES}/{PVM}", "exists: it runs VMs without vmx and svm")


def _cleared(bundle: Bundle) -> Iterator[Evidence]:
    cmdline = bundle.text(sources.CMDLINE)
    for module in _X86_MODULES:
        for name in cleared_flags(cmdline, module):
            yield Evidence(sources.CMDLINE, f"clearcpuid={name} hides the flag until a boot without it")

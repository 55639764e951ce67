"""The VMM processes of a machine: of their arguments what names them, and what their CPU is made of."""

import re
from dataclasses import dataclass
from typing import Final

from nested_kvm.errors import NotObserved
from nested_kvm.evidence import sources
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.model.verdict import Evidence

SOURCE: Final = sources.VMM_PROCESSES
_LINE: Final = re.compile(r"([0-9]{1,10}) (program|name|uuid|cpu|accel|machine|M|enable-kvm)=(.*)")


@dataclass(frozen=True, slots=True)
class VmmProcess:
    """One VMM. Of an option that was given twice QEMU takes the last, of `-accel` the first that works."""

    pid: int
    program: str
    name: str | None = None
    uuid: str | None = None
    cpu: str | None = None
    accelerators: tuple[str, ...] = ()
    machine: str | None = None

    @property
    def is_qemu(self) -> bool:
        """Whether its CPU is what `-cpu` says."""
        return self.program == "kvm" or self.program.startswith("qemu")

    @property
    def key(self) -> str:
        """What tells it from every other process."""
        return f"pid:{self.pid}"

    @property
    def source(self) -> str:
        """Where a person finds it."""
        return f"/proc/{self.pid}/cmdline"

    @property
    def label(self) -> str:
        """Its guest's name, or else what `ps` shows."""
        return self.name or f"{self.program}-{self.pid}"

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """Its CPU, as it was given."""
        given = "no -cpu" if self.cpu is None else f"-cpu {self.cpu}"
        return (Evidence(self.source, f"{self.program} ({self.label}): {given}"),)


@dataclass(frozen=True, slots=True)
class VmmProcesses:
    """All that were seen. `are_all` is False where others may be hidden."""

    processes: tuple[VmmProcess, ...]
    are_all: bool

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """Each of them, or that there is none."""
        found = tuple(item for process in self.processes for item in process.evidence)
        return found or (Evidence(SOURCE, "no VMM process"),)

    def of_domain(self, uuid: str, name: str) -> VmmProcess | None:
        """The process that runs a libvirt domain: by its uuid, or by its name where it carries none."""
        by_uuid = [process for process in self.processes if process.uuid == uuid]
        by_name = [process for process in self.processes if process.uuid is None and process.name == name]
        return next(iter(by_uuid or by_name), None)

    def named(self, name: str) -> VmmProcess:
        """The process of that key, guest's name or uuid.

        Raises:
            NotObserved: none was seen.
        """
        by_key = [process for process in self.processes if process.key == name]
        found = by_key or [process for process in self.processes if name in {process.name, process.uuid}]
        if not found:
            raise NotObserved(f"no process of {name} was seen: without libvirt a guest is judged while it runs")
        return found[0]


def vmm_processes_of(bundle: Bundle) -> VmmProcesses:
    """The VMM processes by their command lines.

    Raises:
        ObservationError: they were not looked at.
    """
    reading = bundle.reading(SOURCE)
    if reading.status is not Status.UNREADABLE:
        reading.require()
    return VmmProcesses(_processes(reading), are_all=reading.is_ok)


def _processes(reading: Reading) -> tuple[VmmProcess, ...]:
    words: dict[int, list[tuple[str, str]]] = {}
    for line in reading.text.split("\n"):
        match = _LINE.fullmatch(line)
        if match:
            words.setdefault(int(match[1]), []).append((match[2], match[3]))
    return tuple(_process(pid, given) for pid, given in words.items())


def _process(pid: int, given: list[tuple[str, str]]) -> VmmProcess:
    last = dict(given)
    name = last.get("name")
    return VmmProcess(
        pid=pid,
        program=last.get("program", "unknown"),
        name=None if name is None else _name(name),
        uuid=last.get("uuid", "").lower() or None,
        cpu=last.get("cpu"),
        accelerators=tuple(_accelerators(given)),
        machine=next((value for key, value in reversed(given) if key in {"machine", "M"}), None),
    )


def _name(value: str) -> str | None:
    """The guest's name in `-name guest=a,,b,debug-threads=on`: a doubled comma stands for one."""
    parts = [part.replace("\0", ",") for part in value.replace(",,", "\0").split(",")]
    named = [part.removeprefix("guest=") for part in parts if part.startswith("guest=")]
    return (named or parts[:1])[-1] or None


def _accelerators(given: list[tuple[str, str]]) -> list[str]:
    """The accelerators in the order in which QEMU tries them: `-accel` and `accel=` are its two ways to say so."""
    named = [value.partition(",")[0].removeprefix("accel=") for key, value in given if key == "accel"]
    named += ["kvm" for key, _ in given if key == "enable-kvm"]
    for key, value in given:
        if key in {"machine", "M"}:
            found = re.search(r"(?:^|,)accel=([^,]*)", value)
            named += found[1].split(":") if found else []
    return named

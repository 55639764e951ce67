"""The VMM processes of a machine: of their arguments those that name the guest and decide its CPU.

The probe prints each with the pid, one per line:

    421 program=qemu-system-x86_64
    421 name=guest=ci-1,debug-threads=on
    421 cpu=host,migratable=on
"""

import re
from dataclasses import dataclass
from typing import Final

from nested_kvm.errors import NotObserved
from nested_kvm.evidence import sources
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.facts.kvm.qemu_config import qemu_config_of
from nested_kvm.facts.kvm.qemu_cpu import qemu_cpu_definition
from nested_kvm.model.layer import Layer
from nested_kvm.model.verdict import Evidence, Undecided
from nested_kvm.util.uuid import is_uuid

SOURCE: Final = sources.VMM_PROCESSES
PROCESS_KEY: Final = "pid:"
"""How the key of a process begins, where a domain is known by its process only."""
_LINE: Final = re.compile(
    r"([0-9]{1,10}) "
    r"(program|name|uuid|cpu|cpus|platform|accel|machine|M|enable-kvm|global|readconfig|config|config-read)=(.*)"
)


_LAYERS: Final = {
    "cloud-hyp": Layer.CLOUD_HYPERVISOR,
    "firecr": Layer.FIRECRACKER,
    "crosvm": Layer.CROSVM,
    "strato": Layer.STRATOVIRT,
    "openvmm": Layer.OPENVMM,
    "lkvm": Layer.KVMTOOL,
    "krun": Layer.LIBKRUN,
}
"""How the names of the programs begin, as the probe selects them."""


class Ambiguous(Undecided, NotObserved):
    """Several processes claim to be the same guest: which of them is, the evidence does not decide."""


@dataclass(frozen=True, slots=True)
class VmmProcess:
    """One VMM process. Of an option that is given twice QEMU takes the last, of `-accel` the first that works."""

    pid: int
    program: str
    name: str | None = None
    uuid: str | None = None
    cpu: str | None = None
    accelerators: tuple[str, ...] = ()
    machine: str | None = None
    properties: tuple[str, ...] = ()
    """The values of each `-global` of a CPU type."""
    config: str | None = None
    """The file of `-readconfig`; empty where its path was not kept; None: there is none, or its content is known."""

    cpus: str | None = None
    """What follows `--cpus` of Cloud Hypervisor."""
    platform: str | None = None
    """What follows `--platform` of Cloud Hypervisor."""

    @property
    def layer(self) -> Layer:
        """The VMM by its own name."""
        return next((layer for name, layer in _LAYERS.items() if self.program.startswith(name)), Layer.QEMU)

    @property
    def is_qemu(self) -> bool:
        """Whether the program is QEMU, whose `-cpu` defines the guest's CPU."""
        return self.program in {"kvm", "kvm-spice"} or self.program.startswith("qemu")

    @property
    def key(self) -> str:
        """The identifier that no other process has."""
        return f"{PROCESS_KEY}{self.pid}"

    @property
    def source(self) -> str:
        """Where to find the process's arguments."""
        return f"/proc/{self.pid}/cmdline"

    @property
    def label(self) -> str:
        """The guest's name, or else the program and the pid."""
        return self.name or f"{self.program}-{self.pid}"

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """The `-cpu` that the process was given, and the other arguments that may change its CPU."""
        given = qemu_cpu_definition(self.cpu, self.machine, self.properties, self.config).text
        if not self.is_qemu:
            given = "no --cpus" if self.cpus is None else f"--cpus {self.cpus}"
        return (Evidence(self.source, f"{self.program} ({self.label}): {given}"),)


@dataclass(frozen=True, slots=True)
class VmmProcesses:
    """All VMM processes that were found. `are_all` is False where others may be hidden."""

    processes: tuple[VmmProcess, ...]
    are_all: bool

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """The CPU of each process, or that there is no process."""
        found = tuple(item for process in self.processes for item in process.evidence)
        return found or (Evidence(SOURCE, "no VMM process"),)

    def of_domain(self, uuid: str, name: str) -> VmmProcess | None:
        """The process that runs a libvirt domain: by its uuid, or by its name where it has no uuid.

        Raises:
            Ambiguous: several processes claim to be that domain.
        """
        by_uuid = [process for process in self.processes if process.uuid == uuid]
        by_name = [process for process in self.processes if process.uuid is None and process.name == name]
        return _only(by_uuid or by_name, name)

    def find(self, name: str) -> VmmProcess | None:
        """The process of that key, guest's name or uuid; None: it was not seen.

        Raises:
            Ambiguous: several processes claim to be that guest.
        """
        by_key = [process for process in self.processes if process.key == name]
        by_uuid = [process for process in self.processes if process.uuid == name]
        by_name = [] if is_uuid(name) else [process for process in self.processes if process.name == name]
        return _only(by_key or by_uuid or by_name, name)

    def named(self, name: str) -> VmmProcess:
        """The process of that key, guest's name or uuid.

        Raises:
            NotObserved: there is no such process.
            Ambiguous: several processes claim to be that guest.
        """
        found = self.find(name)
        if found is None:
            raise NotObserved(
                f"no process of {name} was found: without libvirt a guest is evaluated only while it runs"
            )
        return found


def _only(found: list[VmmProcess], name: str) -> VmmProcess | None:
    if len(found) > 1:
        pids = ", ".join(str(process.pid) for process in found)
        evidence = [item for process in found for item in process.evidence]
        raise Ambiguous(f"which process runs {name} is not known: processes {pids} claim to", *evidence)
    return found[0] if found else None


def vmm_processes_of(bundle: Bundle) -> VmmProcesses:
    """The VMM processes, from their command lines.

    Raises:
        ObservationError: the command lines were not inspected.
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
    config, by_config = _config(given)
    given = by_config + given
    last = dict(given)
    name = last.get("name")
    return VmmProcess(
        pid=pid,
        program=last.get("program", "unknown"),
        name=None if name is None else _name(name),
        uuid=last.get("uuid", "").lower() or None,
        cpu=last.get("cpu"),
        accelerators=tuple(_accelerators(given)),
        properties=tuple(value for key, value in given if key == "global"),
        config=config,
        cpus=last.get("cpus"),
        platform=last.get("platform"),
        machine=_machine([value for key, value in given if key in {"machine", "M"}]),
    )


def _machine(values: list[str]) -> str | None:
    """The machine of all `-machine`, its type first: QEMU merges them, and of a key the last one counts."""
    types = [
        part.removeprefix("type=")
        for value in values
        for place, part in enumerate(value.split(","))
        if part.startswith("type=") or (place == 0 and "=" not in part)
    ]
    merged = ",".join(values)
    is_first = len(types) == 1 and merged.removeprefix("type=").startswith(types[0])
    return None if not values else merged if not types or is_first else f"{types[-1]},{merged}"


def _config(given: list[tuple[str, str]]) -> tuple[str | None, list[tuple[str, str]]]:
    """The file of `-readconfig`, and the options in it; None: there is none, or what it sets is known.

    Of several the path is not kept, as each may change the CPU.
    """
    files = [value for key, value in given if key == "readconfig"]
    if len(files) != 1:
        return "" if files else None, []
    found = qemu_config_of(value for key, value in given if key == "config")
    keys = {key for key, _ in given}
    if found is None or "config-read" not in keys or (found.machine and keys & {"machine", "M"}):
        return files[0], []
    machine = [] if found.machine is None else [("machine", found.machine)]
    return None, machine + [("global", each) for each in found.properties]


def _name(value: str) -> str | None:
    """The guest's name in `-name guest=a,,b,debug-threads=on`: a doubled comma stands for one."""
    parts = [part.replace("\0", ",") for part in value.replace(",,", "\0").split(",")]
    named = [part.removeprefix("guest=") for part in parts if part.startswith("guest=")]
    return (named or parts[:1])[-1] or None


def _accelerators(given: list[tuple[str, str]]) -> list[str]:
    """The accelerators in the order in which QEMU tries them, from `-accel`, `-enable-kvm` and `-machine accel=`."""
    named = [value.partition(",")[0].removeprefix("accel=") for key, value in given if key == "accel"]
    named += ["kvm" for key, _ in given if key == "enable-kvm"]
    for key, value in given:
        if key in {"machine", "M"}:
            found = re.search(r"(?:^|,)accel=([^,]*)", value)
            named += found[1].split(":") if found else []
    return named

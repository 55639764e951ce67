"""One host's modprobe.d, kmod's answer and the parameters' types, and the next load that follows from them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.evidence.sources import EVERY_MODULE
from nested_kvm.facts.modprobe.config import ModprobeConfiguration
from nested_kvm.facts.modprobe.kmod import ALL_DIRECTORIES, Kmod
from nested_kvm.facts.modprobe.load_outcome import NextLoad
from nested_kvm.facts.modprobe.next_load import next_load_of
from tests.support.bundles import bundle_of, ok

CONF = "/etc/modprobe.d/kvm.conf"
DIRECTORY = "/lib/modules/6.1.0/kernel/arch/x86/kvm"
AMD, INTEL = "nested: (int)\n", "nested: (bool)\n"


@dataclass(frozen=True)
class Host:
    """What was read of a host; the oracle answers as kmod would unless it is given."""

    module: str = "kvm_amd"
    files: Mapping[str, str | Status] = field(default_factory=dict)
    cmdline: str = "quiet\n"
    release: str = "6.1.0-56-cloud-amd64"
    modinfo: str | None = AMD
    oracle: str | None = None
    status: Status = Status.OK
    every: str | None = None
    is_asked_alone: bool = True
    """Whether the module's own parameters were asked for as well: the probe does it where `every` lacks them."""

    def configuration(self) -> ModprobeConfiguration:
        readings = {path: Reading(path, Status.ABSENT) for path in ALL_DIRECTORIES}
        names = "\n".join(path.rpartition("/")[2] for path in self.files)
        readings["/etc/modprobe.d"] = Reading("/etc/modprobe.d", Status.OK, names)
        for path, content in self.files.items():
            status = content if isinstance(content, Status) else Status.OK
            readings[path] = Reading(path, status, content if status is Status.OK else "")
        return ModprobeConfiguration.parse(readings, self.cmdline, Kmod(30))

    def next_load(self) -> NextLoad:
        options = self.configuration().options_for(self.module).text
        path = f"{DIRECTORY}/{self.module.replace('_', '-')}.ko"
        of_kvm = self.configuration().options_for("kvm").text
        answer = (
            f"insmod {DIRECTORY}/kvm.ko {of_kvm} \ninsmod {path} {options} \n" if self.oracle is None else self.oracle
        )
        source = f"modinfo --parameters {self.module}"
        bundle = bundle_of(
            Reading(f"modprobe --show-depends {self.module}", self.status, answer),
            Reading(source, Status.MISSING) if self.modinfo is None else Reading(source, Status.OK, self.modinfo),
            Reading("/proc/cmdline", Status.OK, self.cmdline),
            Reading("/proc/sys/kernel/osrelease", Status.OK, self.release),
        )
        if self.every is not None:
            bundle = replace(bundle, readings={**bundle.readings, EVERY_MODULE: ok(EVERY_MODULE, self.every)})
        if not self.is_asked_alone:
            others = {name: reading for name, reading in bundle.readings.items() if name != source}
            bundle = replace(bundle, readings=others)
        return next_load_of(bundle, self.module, self.configuration())


def conf(text: str) -> dict[str, str | Status]:
    return {CONF: text}

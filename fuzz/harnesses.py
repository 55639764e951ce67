"""One harness for each reader: it takes any bytes, and lets through only what the reader says that it raises."""

import atexit
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from fuzz import seeds
from fuzz.facts import every_fact, machine_with
from nested_kvm.connection.ssh.config import SshConfig
from nested_kvm.connection.ssh.known_hosts_file import KnownHosts
from nested_kvm.errors import (
    AnswerUnusable,
    EvidenceUnusable,
    InventoryError,
    NotObserved,
    ObservationError,
    UsageError,
)
from nested_kvm.evidence.archive.archives import machines_of_archive
from nested_kvm.evidence.bundle import LibvirtAnswer, Origin
from nested_kvm.evidence.bundle_file import read_bundle
from nested_kvm.evidence.engine import answers_of_ansible, answers_of_salt
from nested_kvm.evidence.import_answers import import_answers
from nested_kvm.evidence.l2 import BY_QEMU
from nested_kvm.evidence.libvirt.capabilities import domain_types_of, version_of_virsh
from nested_kvm.evidence.libvirt.domain_xml import parse_domain_xml, reduce_domain_xml, reduce_snapshot_xml
from nested_kvm.evidence.libvirt.vcpu_statistics import statistics_of_virsh
from nested_kvm.evidence.probe.answer import parse_answer_of_any_nonce
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.evidence.redaction import without_secrets
from nested_kvm.facts.definition.definition_file import DefinitionFile, DefinitionUnusable
from nested_kvm.facts.definition.definition_files import domains_in
from nested_kvm.facts.kernel.cpu import Vendor
from nested_kvm.facts.kvm.l2_boot import l2_boot_of
from nested_kvm.facts.libvirt.domain import domain_of
from nested_kvm.fleet.machine import Machine
from nested_kvm.inventory.ansible import inventory_of_ansible
from nested_kvm.inventory.load import load_inventory
from nested_kvm.merging.merge import merged_run
from nested_kvm.merging.stored_results import StoredResults
from nested_kvm.reporting.report_files import report_files
from nested_kvm.results.baseline import load_baseline
from nested_kvm.results.waiver_file import load_waivers

_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - a folder of our own is made in it
FOLDER = Path(os.environ.get("FUZZ_FOLDER") or mkdtemp(prefix="fuzz-", dir=_MEMORY))
"""Where readers of files find theirs. libFuzzer clears nothing away at its end: its parent lends this."""
atexit.register(rmtree, FOLDER, ignore_errors=True)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOST = "kvm-a.example.net"


@dataclass(frozen=True)
class Harness:
    """A reader, and the real captures from which the fuzzer starts."""

    run: Callable[[bytes], None]
    seeds: Callable[[], Iterator[bytes]]


def _kept(name: str, data: bytes) -> Path:
    path = FOLDER / name
    path.write_bytes(data)
    return path


def evidence(data: bytes) -> None:
    """An evidence file, and every fact of the machine that it speaks of."""
    with suppress(EvidenceUnusable):
        every_fact(Machine(read_bundle(_kept("evidence.json", data))))


def answer(data: bytes) -> None:
    """The probe's answer."""
    with suppress(AnswerUnusable):
        parsed = parse_answer_of_any_nonce(data)
        kept = without_secrets(parsed.readings)
        assert without_secrets(kept) == kept


def archive(data: bytes) -> None:
    """A support archive of any kind, and every fact of the machines in it; kmod is not asked."""
    with suppress(EvidenceUnusable):
        for found in machines_of_archive(_kept("archive.tar", data)):
            readings = {each.source: each for each in found.readings}
            host = machine_with({}, found.libvirt).bundle
            every_fact(Machine(replace(host, readings=readings, origin=Origin(found.kind, found.tool, "archive.tar"))))


def engine(data: bytes) -> None:
    """What Salt or Ansible kept of many answers."""
    for answers_of in (answers_of_salt, lambda data: answers_of_ansible(_kept("callback.json", data))):
        with suppress(UsageError):
            answers = answers_of(data)
            assert len(list(import_answers(answers, None, NOW))) == len(answers)


def domain_xml(data: bytes) -> None:
    """A domain's XML: what is kept of it holds no secret, can be kept again, and can be judged."""
    with suppress(NotObserved):
        kept = reduce_domain_xml(data.decode("utf-8", "replace"))
        assert reduce_domain_xml(kept) == kept
        name = parse_domain_xml(kept).findtext("name") or "x"
        record = seeds.domain_record(name, kept)
        with suppress(ObservationError):
            domain_of(record)
        every_fact(machine_with({}, LibvirtAnswer("qemu:///system", "libvirt", domains=(record,))))


def _reading(source: str) -> Callable[[bytes], None]:
    def run(data: bytes) -> None:
        every_fact(machine_with({source: data.decode("utf-8", "replace")}))

    return run


def any_reading(data: bytes) -> None:
    """Any reading of a machine: the first byte chooses which."""
    if data:
        source = seeds.sources()[data[0] % len(seeds.sources())]
        _reading(source)(data[1:])


def domstats(data: bytes) -> None:
    """Libvirt's counters, as virsh prints them."""
    for name, counters in statistics_of_virsh(data.decode("utf-8", "replace")).items():
        record = seeds.domain_record(name, None, counters)
        every_fact(machine_with({}, LibvirtAnswer("qemu:///system", "virsh", domains=(record,))))


def known_hosts(data: bytes) -> None:
    """A known_hosts file."""
    known = KnownHosts.load([_kept("known_hosts", data)])
    for name in (HOST, f"[{HOST}]:2222"):
        known.keys_of(name)
        known.authorities((name,))
    known.revocation((HOST,), b"key")


def access(data: bytes) -> None:
    """Who may open /dev/kvm: id(1) and getfacl(1), one behind the other."""
    account, _, listed = data.decode("utf-8", "replace").partition("\0")
    device = seeds.complete_host()["/dev/kvm"].text.replace("crw-rw---- ", "crw-rw----+ ", 1)
    every_fact(machine_with({"id": account, "getfacl -cnp /dev/kvm": listed, "/dev/kvm": device}))


def capabilities(data: bytes) -> None:
    """What virsh prints of its libvirt."""
    text = data.decode("utf-8", "replace")
    domain_types_of(text)
    version_of_virsh(text)


def snapshot_xml(data: bytes) -> None:
    """A snapshot's XML: what is kept of it holds no secret, and can be kept again."""
    with suppress(NotObserved):
        kept = reduce_snapshot_xml(data.decode("utf-8", "replace"))
        assert kept is None or reduce_domain_xml(kept) == kept


def l2(data: bytes) -> None:
    """What an L2 said, or QEMU in its place."""
    text = data.decode("utf-8", "replace")
    for status, ended in ((Status.OK, 0), (Status.FAILED, 1), (Status.TIMED_OUT, 137)):
        machine = machine_with({})
        found = Reading(BY_QEMU, status, text, ended)
        with suppress(ObservationError):
            l2_boot_of(replace(machine.bundle, readings={**machine.bundle.readings, BY_QEMU: found}))


def waivers(data: bytes) -> None:
    """A file of waivers."""
    with suppress(UsageError):
        load_waivers(_kept("waivers.yaml", data))


def baseline(data: bytes) -> None:
    """An earlier run's results."""
    with suppress(UsageError):
        load_baseline(_kept("results.json", data), frozenset({"kvm-a"}))


def merge(data: bytes) -> None:
    """The results of a run that is to be merged, and every report that is made of them."""
    results = StoredResults()
    with suppress(UsageError):
        run = merged_run([_kept("merged.json", data)], results, lambda _read: None)
        assert [text for _, pieces in report_files(run) for text in pieces]
    results.close()


def ssh_config(data: bytes) -> None:
    """An ssh_config. What would read other files or run something is left to the tests."""
    if b"include" in data.lower() or b"exec" in data.lower():
        return
    with suppress(UsageError):
        SshConfig.load(_kept("ssh_config", data)).lookup(HOST)


def inventory(data: bytes) -> None:
    """An inventory."""
    with suppress(InventoryError):
        load_inventory(_kept("fleet.yaml", data))


def ansible_inventory(data: bytes) -> None:
    """What `ansible-inventory` printed."""
    with suppress(ValueError, RecursionError):
        document = json.loads(data)
        if isinstance(document, dict):
            with suppress(InventoryError):
                inventory_of_ansible(Path("hosts"), document)


def definitions(data: bytes) -> None:
    """A file that defines guests; the first byte chooses its name, and so its form."""
    names = seeds.definition_names()
    file = DefinitionFile(names[data[0] % len(names)], data[1:].decode("utf-8", "replace")) if data else None
    with suppress(DefinitionUnusable):
        for domain in domains_in([file] if file else []).domains:
            assert domain.name.isprintable()
            domain.promise_by((Vendor.INTEL, Vendor.AMD))


HARNESSES: Mapping[str, Harness] = {
    "definitions": Harness(definitions, seeds.definitions),
    "evidence": Harness(evidence, seeds.evidence),
    "answer": Harness(answer, seeds.answers),
    "archive": Harness(archive, seeds.archives),
    "engine": Harness(engine, seeds.engine),
    "domain_xml": Harness(domain_xml, seeds.domain_xml),
    "modprobe": Harness(_reading("/etc/modprobe.d/kvm.conf"), seeds.modprobe),
    "cpuinfo": Harness(_reading("/proc/cpuinfo"), seeds.cpuinfo),
    "qemu_command_line": Harness(_reading("/proc/[0-9]*/cmdline"), seeds.qemu_command_line),
    "any_reading": Harness(any_reading, seeds.any_reading),
    "domstats": Harness(domstats, seeds.domstats),
    "known_hosts": Harness(known_hosts, seeds.known_hosts),
    "access": Harness(access, seeds.access),
    "capabilities": Harness(capabilities, seeds.capabilities),
    "snapshot_xml": Harness(snapshot_xml, seeds.snapshot_xml),
    "l2": Harness(l2, seeds.l2),
    "waivers": Harness(waivers, seeds.waivers),
    "baseline": Harness(baseline, seeds.baseline),
    "merge": Harness(merge, seeds.baseline),
    "ssh_config": Harness(ssh_config, seeds.ssh_config),
    "inventory": Harness(inventory, seeds.inventory),
    "ansible_inventory": Harness(ansible_inventory, seeds.ansible_inventory),
}

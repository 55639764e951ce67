"""The process that runs a domain is compared with its XML, and neither is believed alone."""

import pytest

from nested_kvm.evidence.bundle import DomainRecord
from nested_kvm.facts.kernel.cpu import Vendor
from nested_kvm.facts.kvm.process_check import with_process
from nested_kvm.facts.kvm.vm_holders import VmHolders
from nested_kvm.facts.kvm.vmm_process import VmmProcess, VmmProcesses
from nested_kvm.facts.libvirt.domain import Domain, ProcessCheck, domain_of

UUID = "9f5737ad-04b0-41f7-882c-99c327b51994"
PASSTHROUGH = "<cpu mode='host-passthrough'/>"
NAMED = "<cpu><model>EPYC</model></cpu>"
REQUIRED = "<cpu><model>EPYC</model><feature policy='require' name='svm'/></cpu>"
DISABLED = "<cpu><model>EPYC</model><feature policy='disable' name='svm'/></cpu>"
HOLDING, IDLE, UNSEEN = VmHolders((7,), are_all=True), VmHolders((), are_all=True), VmHolders((), are_all=False)


def domain(inactive: str, live: str | None, kind: str = "kvm", *, persistent: bool = True) -> Domain:
    xml = "<domain type='{}'><name>ci-1</name>{}</domain>"
    shown = None if live is None else xml.format(kind, live)
    return domain_of(DomainRecord("ci-1", UUID, "running", persistent, None, xml.format(kind, inactive), shown))


def check(of: Domain, process: VmmProcess, holders: VmHolders | None = HOLDING) -> ProcessCheck:
    return with_process(of, VmmProcesses((process,), are_all=True), holders, Vendor.AMD).process_check


def qemu(cpu: str, *accelerators: str, properties: tuple[str, ...] = (), machine: str | None = None) -> VmmProcess:
    return VmmProcess(7, "qemu-system-x86_64", "ci-1", UUID, cpu, accelerators, machine, properties)


@pytest.mark.parametrize(
    ("inactive", "live", "cpu", "contradicts"),
    [
        (PASSTHROUGH, PASSTHROUGH, "host,migratable=on", False),
        (PASSTHROUGH, PASSTHROUGH, "max", False),
        (PASSTHROUGH, PASSTHROUGH, "qemu64", True),
        (PASSTHROUGH, PASSTHROUGH, "host,svm=off", True),
        (REQUIRED, REQUIRED, "EPYC,svm=on", False),
        (REQUIRED, REQUIRED, "EPYC", True),
        (REQUIRED, DISABLED, "EPYC,svm=on", False),
        (DISABLED, DISABLED, "EPYC,svm=on", True),
        (DISABLED, DISABLED, "EPYC,svm=off", False),
        (NAMED, NAMED, "EPYC", False),
        (NAMED, NAMED, "host", True),
        ("<cpu mode='host-model'/>", DISABLED, "EPYC,npt=on", False),
        (PASSTHROUGH, PASSTHROUGH, "host,-svm,svm=on", False),
    ],
)
def test_a_cpu_that_gives_the_flag_otherwise_contradicts(
    inactive: str, live: str, cpu: str, *, contradicts: bool
) -> None:
    assert (check(domain(inactive, live), qemu(cpu)).contradiction is not None) is contradicts


def test_a_process_that_claims_to_be_a_domain_that_does_not_run_is_a_doubt() -> None:
    found = check(domain(NAMED, None), qemu("host"))
    assert found.doubt == "libvirt does not run ci-1, and process 7 is given its name or its uuid"
    other = VmmProcess(7, "qemu-system-x86_64", "ci-1", "00000000-0000-4000-8000-000000000001", "host")
    assert check(domain(NAMED, None), other) == ProcessCheck()


def test_what_libvirt_notes_of_a_transient_domain_is_no_contradiction() -> None:
    assert check(domain(DISABLED, DISABLED, persistent=False), qemu("EPYC,svm=on")) == ProcessCheck()


@pytest.mark.parametrize(
    ("kind", "process", "holders", "found"),
    [
        ("kvm", qemu("host", "tcg"), IDLE, "contradiction"),
        ("kvm", qemu("host", "tcg"), UNSEEN, "contradiction"),
        ("kvm", qemu("host", "kvm", "tcg"), IDLE, "contradiction"),
        ("kvm", qemu("host"), IDLE, "doubt"),
        ("kvm", qemu("host", "kvm"), IDLE, "doubt"),
        ("kvm", qemu("host", "kvm"), None, None),
        ("kvm", qemu("host"), UNSEEN, None),
        ("kvm", qemu("host", "tcg"), HOLDING, None),
        ("qemu", qemu("host", "kvm"), HOLDING, "contradiction"),
        ("qemu", qemu("host", "tcg"), IDLE, None),
        ("kvm", qemu("host", properties=("other-x86_64-cpu.svm=off",)), HOLDING, "doubt"),
        ("kvm", qemu("host", properties=("cpu.svm=off",)), HOLDING, "contradiction"),
        ("kvm", qemu("host", machine="q35,confidential-guest-support=sev0"), HOLDING, "doubt"),
    ],
)
def test_the_accelerator_is_compared_too(
    kind: str, process: VmmProcess, holders: VmHolders | None, found: str | None
) -> None:
    seen = check(domain(PASSTHROUGH, PASSTHROUGH, kind), process, holders)
    assert (seen.contradiction is not None, seen.doubt is not None) == (found == "contradiction", found == "doubt")
    assert bool(seen.evidence) is (found is not None)


def test_several_processes_of_one_domain_are_in_doubt() -> None:
    twins = VmmProcesses((qemu("host"), VmmProcess(8, "kvm", "ci-1", UUID, "host")), are_all=True)
    seen = with_process(domain(PASSTHROUGH, PASSTHROUGH), twins, HOLDING, Vendor.AMD).process_check
    assert "processes 7, 8" in (seen.doubt or "")


def test_a_running_domain_without_a_process_among_visible_ones_is_in_doubt() -> None:
    found = check(domain(PASSTHROUGH, PASSTHROUGH), VmmProcess(9, "kvm", "other"))
    assert "no process of it was found" in (found.doubt or "")
    blank = with_process(domain(PASSTHROUGH, PASSTHROUGH), VmmProcesses((), are_all=True), HOLDING, Vendor.AMD)
    assert blank.process_check.doubt


@pytest.mark.parametrize("holders", [None, IDLE, UNSEEN, VmHolders((), are_all=True, is_kvm_unused=True)])
def test_a_running_domain_is_in_doubt_where_no_process_is_shown_at_all(holders: VmHolders | None) -> None:
    for kind in ("kvm", "qemu"):
        running = domain(PASSTHROUGH, PASSTHROUGH, kind)
        assert with_process(running, VmmProcesses((), are_all=True), holders, Vendor.AMD).process_check.doubt
    stopped = domain(PASSTHROUGH, None)
    assert with_process(stopped, VmmProcesses((), are_all=True), holders, Vendor.AMD) == stopped


def test_a_process_that_may_be_hidden_is_not_missed() -> None:
    hidden = VmmProcesses((VmmProcess(9, "kvm", "other"),), are_all=False)
    for holders in (None, VmHolders((9,), are_all=False)):
        seen = with_process(domain(PASSTHROUGH, PASSTHROUGH), hidden, holders, Vendor.AMD)
        assert seen.process_check == ProcessCheck()


def test_a_domain_without_a_process_of_qemu_is_not_compared() -> None:
    other = VmmProcess(7, "cloud-hypervisor", "ci-1", UUID)
    assert check(domain(PASSTHROUGH, PASSTHROUGH), other) == ProcessCheck()
    assert check(domain(PASSTHROUGH, None), qemu("qemu64")).contradiction is None

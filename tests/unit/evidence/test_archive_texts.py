"""Readings from the outputs that support tools store."""

import time
from importlib.resources import files

import pytest

from nested_kvm.evidence import sources
from nested_kvm.evidence.archive import texts
from nested_kvm.evidence.archive.libvirt_files import LibvirtFiles
from nested_kvm.evidence.bundle import DomainRecord
from nested_kvm.evidence.reading import Status

CPU_SECONDS = 10
HEAD = "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND\n"
UUID = "11111111-2222-3333-4444-555555555555"
XML = f"<domain type='kvm'><name>my vm</name><uuid>{UUID}</uuid><cpu mode='host-passthrough'/></domain>"


def test_a_log_that_could_not_be_read_is_no_log() -> None:
    assert list(texts.of_dmesg("dmesg: read kernel buffer failed: Operation not permitted\n")) == []
    assert [each.text for each in texts.of_dmesg("[1.0] kvm: disabled by bios\n[2.0] usb\n")] == [
        "[1.0] kvm: disabled by bios"
    ]


def test_qemus_arguments_in_ps_are_those_of_the_probe() -> None:
    row = "qemu 7 0 0 1 1 ? Sl 10:00 0:00 /usr/bin/qemu-system-x86_64 -name guest=a -accel kvm -cpu host,svm=off -m 9\n"
    (found,) = texts.of_ps(HEAD + row, "sos")
    assert found.text.split("\n") == [
        "7 program=qemu-system-x86_64",
        "7 name=guest=a",
        "7 accel=kvm",
        "7 cpu=host,svm=off",
    ]


def test_an_option_that_a_name_may_have_forged_is_not_believed() -> None:
    row = "qemu 7 0 0 1 1 ? Sl 10:00 0:00 /usr/bin/qemu-system-x86_64 -name guest=a -cpu EPYC -cpu host\n"
    (found,) = texts.of_ps(HEAD + row, "sos")
    assert found.status is Status.NOT_COLLECTED
    assert "does not separate arguments" in found.text


def test_only_the_kernels_own_thread_proves_that_it_is_no_container() -> None:
    real = "root 2 0.0 0.0 0 0 ? S 10:00 0:00 [kthreadd]\n"
    assert [each.source for each in texts.of_ps(HEAD + real, "sos")][:1] == [sources.FIRST_THREAD]
    forged = "root 2 0.0 0.0 900 90 ? S 10:00 0:00 [kthreadd]\n"
    assert [each.source for each in texts.of_ps(HEAD + forged, "sos")] == [sources.VMM_PROCESSES]


def test_the_device_is_found_in_a_listing_of_dev() -> None:
    filler = "".join(f"crw--w---- 1 0 5 4, {number} Nov 28 21:00 tty{number}\n" for number in range(9))
    found = texts.of_dev_listing(f"/dev:\ntotal 0\ncrw-rw---- 1 0 105 10, 232 Nov 28 21:00 kvm\n{filler}\n/dev/x:\n")
    assert found is not None
    assert found.text == "crw-rw---- 1 0 105 10, 232 Nov 28 21:00 /dev/kvm"
    absent = texts.of_dev_listing(f"/dev:\ntotal 0\n{filler}\n/dev/x:\nkvm\n")
    assert absent is not None
    assert absent.status is Status.ABSENT
    assert texts.of_dev_listing("/dev:\ntotal 0\n") is None, "a cut listing proves no absence"


def test_a_module_that_is_being_removed_is_not_said_to_run() -> None:
    assert list(texts.of_lsmod("Module Size Used by\nkvm_amd 9 -1\nkvm 9 1 kvm_amd\n")) == []


def _record(**given: object) -> DomainRecord:
    files = {"tool": "sos", "uri": "qemu:///system", "definitions": {"a.xml": XML.encode()}, "statuses": {}, **given}
    (record,) = LibvirtFiles(**files).answer().domains  # type: ignore[arg-type]
    return record


def test_a_managed_save_of_a_name_with_blanks_is_found() -> None:
    saves = "/var/lib/libvirt/qemu/save:\ntotal 1\n-rw------- 1 root root 9 Nov 28 21:00 my vm.save\n"
    assert _record(state_listing=saves).has_managed_save is True
    assert _record(state_listing="/var/lib/libvirt/qemu/save:\ntotal 0\n").has_managed_save is False
    assert _record().has_managed_save is None


def test_a_domain_that_runs_without_its_live_xml_is_not_decided() -> None:
    listing = " Id   Name    State\n----\n 7    my vm   running\n"
    assert _record(listing=listing).not_collected == "it runs, and sos does not show its live XML"
    status = f"<domstatus state='running' pid='7'>{XML}</domstatus>".encode()
    assert _record(listing=listing, statuses={"b.xml": status}).not_collected is None


def test_a_domain_that_is_listed_only_is_not_decided() -> None:
    files = LibvirtFiles("sos", "qemu:///system", {}, {}, listing=" Id   Name   State\n----\n -    other   shut off\n")
    (record,) = files.answer().domains
    assert (record.name, record.not_collected) == ("other", "sos lists it, and shows no XML of it")


def test_what_virsh_says_of_its_failure_is_the_refusal() -> None:
    files = LibvirtFiles("sos", "qemu:///system", {}, {}, listing="error: failed to connect\nerror: no socket\n")
    assert files.answer().refusal == "no socket"


@pytest.mark.parametrize("lines", ["GRUB_LINES", "GRUB_CFG_LINES", "BOOT_ENTRY_LINES", "QEMU_CONF_LINES"])
def test_of_the_boot_loaders_files_the_same_lines_count_as_for_the_probe(lines: str) -> None:
    script = files("nested_kvm.evidence.probe").joinpath("4-host.sh").read_text(encoding="utf-8")
    pattern: str = getattr(texts, lines)
    assert pattern.replace("[ \\t]", "$blank").replace(" \\t]", "[:blank:]]") in script


@pytest.mark.parametrize(
    ("value", "is_kept"),
    [
        ("cpu.svm=on", True),
        ("EPYC-x86_64-cpu.svm=on", True),
        ("driver=cpu,property=svm,value=on", True),
        ("driver=EPYC-x86_64-cpu,property=svm,value=on", True),
        ("property=svm,driver=cpu,value=on", True),
        ("property=svm,value=on,driver=max-x86_64-cpu", True),
        ("ICH9-LPC.disable_s3=1", False),
        ("driver=cpu-pm,property=x,value=on", False),
    ],
)
def test_every_global_of_a_cpu_is_kept_of_a_process(value: str, is_kept: bool) -> None:  # noqa: FBT001 - a case
    row = f"root 7 0.0 0.1 9 9 ? Sl 10:00 0:01 /usr/bin/qemu-system-x86_64 -cpu EPYC -global {value} -m 1\n"
    (found,) = texts.of_ps(HEAD + row, "sos")
    assert (f"7 global={value}" in found.text.split("\n")) is is_kept


def test_a_global_of_any_length_is_read_soon() -> None:
    row = f"root 7 0.0 0.1 9 9 ? Sl 10:00 0:01 qemu-system-x86_64 -global {'driver=-' * 50_000}\n"
    start = time.process_time()
    assert list(texts.of_ps(HEAD + row, "sos"))
    assert time.process_time() - start < CPU_SECONDS

"""A host's QEMU, asked with `--active` what definitions give: a real QEMU, by TCG, over a real SSH connection.

virsh's part is recorded: a libvirt under KVM is only in the lab, whose own test asks that one.
"""

import subprocess
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace

import pytest

from nested_kvm.connection import connect
from nested_kvm.evidence.bundle import DomainRecord, LibvirtAnswer
from nested_kvm.evidence.expansion import expanded, script, translated
from nested_kvm.evidence.expansion.ask import MOST, ask_definitions
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.facts.kernel.cpu import Vendor
from nested_kvm.facts.libvirt.asked_definition import asked_definition_of
from nested_kvm.inventory.target import TargetLevel
from tests.support.bundles import bundle_of
from tests.support.needs import program
from tests.support.sshd import Sshd, SshdFactory

pytestmark = [pytest.mark.needs("sshd", "accounts", "qemu-system-x86_64")]

EMULATE = """\
#!/bin/sh
for word do
    shift
    case $word in kvm) word=tcg,tb-size=16 ;; esac
    set -- "$@" "$word"
done
exec /usr/bin/qemu-system-x86_64 "$@"
"""
VIRSH = """\
#!/bin/sh
# What virsh 9.0 printed in the lab, without what follows -cpu. A domain is called by its -cpu.
for word do last=$word; done
case $3 in
dumpxml) case $last in gone) exit 1 ;; *) echo "$last" ;; esac ;;
domxml-to-native)
    read -r cpu
    case $cpu in
    refused) echo 'error: unsupported configuration: CPU mode custom is not supported' >&2; exit 1 ;;
    hanging) exec sleep 600 ;;
    esac
    echo "LC_ALL=C PATH=/usr/bin HOME=/var/lib/libvirt/qemu {qemu} -name guest=x,debug-threads=on -S \\\\"
    echo "-machine pc-q35-7.2,usb=off,dump-guest-core=off -accel kvm ${cpu:+-cpu $cpu} -m size=131072k"
    ;;
esac
"""
GIVES: Mapping[str, bool | None] = {
    "EPYC": True,
    "EPYC,svm=off": False,
    "kvm64": False,
    "kvm64,svm=on": True,
    "no-such-model": None,
    "gone": None,
    "hanging": None,
}


@pytest.fixture(scope="module")
def host(start_sshd: SshdFactory) -> Sshd:
    host = start_sshd()
    host.add_program("qemu-emulated", EMULATE)
    host.add_program("virsh", VIRSH.replace("{qemu}", str(host.programs / "qemu-emulated")))
    return host


def ask(host: Sshd, *names: str, level: TargetLevel = TargetLevel.L0) -> tuple[dict[str, Reading], int]:
    """The readings about domains of which each is called by its `-cpu`, and how many executions they took."""
    domains = [DomainRecord(name, name, "shut off", inactive_xml="<domain type='kvm'/>") for name in names]
    bundle = bundle_of(uname="x86_64", libvirt=LibvirtAnswer("qemu:///system", "virsh", domains=tuple(domains)))
    bundle = replace(bundle, target=replace(bundle.target, level=level))
    settings = replace(host.client(), probe_timeout=4)
    with closing(connect(host.address(), settings, name="kvm-a")) as connection:
        before = host.executions
        readings = ask_definitions(bundle, connection, settings)
        connection.execute("true")
    return readings, host.executions - before - 1


@pytest.mark.parametrize("name", GIVES)
def test_what_a_definition_gives_is_what_qemu_expands_it_to(host: Sshd, name: str) -> None:
    readings, _ = ask(host, name)
    asked = asked_definition_of(bundle_of(*readings.values()), name, Vendor.AMD)
    assert (None if asked is None else asked.gives_flag) is GIVES[name]


def test_all_of_a_host_take_two_executions(host: Sshd) -> None:
    readings, executions = ask(host, "EPYC", "kvm64", "refused", "gone")
    assert executions == 2
    assert set(readings) == {
        translated("EPYC"),
        expanded("EPYC"),
        translated("kvm64"),
        expanded("kvm64"),
        translated("refused"),
    }
    refused = asked_definition_of(bundle_of(*readings.values()), "refused", Vendor.AMD)
    assert refused is not None
    assert "CPU mode custom is not supported" in refused.reason
    assert readings[translated("refused")].status is Status.FAILED


def test_of_many_some_are_asked(host: Sshd) -> None:
    readings, executions = ask(host, *(f"kvm64,level={number}" for number in range(MOST + 5)))
    assert executions == 2
    assert len(readings) == 2 * MOST


def test_a_guest_is_asked_nothing(host: Sshd) -> None:
    assert ask(host, "EPYC", level=TargetLevel.L1) == ({}, 0)


@pytest.mark.needs("shellcheck")
def test_shellcheck_has_nothing_to_say() -> None:
    command = [program("shellcheck") or "", "-"]
    done = subprocess.run(command, input=script(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout

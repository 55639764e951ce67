"""libvirt's own test driver, asked by its RPC and by virsh: both say the same of the counters that it does not have."""

import subprocess

import pytest

from nested_kvm.evidence.libvirt.rpc import ask_libvirt
from nested_kvm.evidence.libvirt.virsh import answer_of_virsh
from nested_kvm.evidence.probe import probe_script
from nested_kvm.evidence.probe.answer import parse_answer
from nested_kvm.evidence.reading import Reading, Status

URI = "test:///default"
DOMSTATS = f"virsh -r -c {URI} domstats --vcpu --list-active --nowait"


@pytest.fixture(scope="module")
def readings() -> dict[str, Reading]:
    done = subprocess.run(
        ["sh", "-c", probe_script(), "sh", "N0NCE", "10", "always", URI], capture_output=True, check=True, timeout=300
    )
    return parse_answer(done.stdout, "N0NCE").readings


@pytest.mark.needs("libvirt-python", "virsh")
def test_both_ways_give_the_same_looks(readings: dict[str, Reading]) -> None:
    by_rpc, by_virsh = ask_libvirt(URI), answer_of_virsh(readings, URI)
    assert by_virsh is not None
    assert [each.vcpu_statistics for each in by_rpc.domains] == [({},)]
    assert [each.vcpu_statistics for each in by_virsh.domains] == [({},)]


@pytest.mark.needs("libvirt-python", "virsh")
def test_both_ways_tell_the_same_capabilities(readings: dict[str, Reading]) -> None:
    by_rpc, by_virsh = ask_libvirt(URI), answer_of_virsh(readings, URI)
    assert by_virsh is not None
    assert by_rpc.domain_types == by_virsh.domain_types == {"i686": ("test",)}
    assert by_rpc.version is not None
    assert by_rpc.version == by_virsh.version


@pytest.mark.needs("virsh")
def test_virshs_second_look_follows_its_first(readings: dict[str, Reading]) -> None:
    first = "Domain: 'test'\n  vcpu.current=2\n  vcpu.0.nested_run.sum=7"
    looks = {
        DOMSTATS: Reading(DOMSTATS, Status.OK, first),
        f"{DOMSTATS}  # again": Reading(f"{DOMSTATS}  # again", Status.OK, first.replace("=7", "=8")),
    }
    answer = answer_of_virsh({**readings, **looks}, URI)
    assert answer is not None
    assert [look["vcpu.0.nested_run.sum"] for look in answer.domains[0].vcpu_statistics] == ["7", "8"]


@pytest.mark.needs("virsh")
@pytest.mark.parametrize("status", [Status.FAILED, Status.TIMED_OUT, Status.MISSING])
def test_a_virsh_that_knows_no_statistics_leaves_none(readings: dict[str, Reading], status: Status) -> None:
    answer = answer_of_virsh({**readings, DOMSTATS: Reading(DOMSTATS, status, "Domain: 'test'")}, URI)
    assert answer is not None
    assert answer.domains[0].vcpu_statistics == ()

"""What is saved of a domain with its memory, asked of libvirt's own test driver both ways."""

import subprocess
from pathlib import Path

import pytest

from nested_kvm.errors import NotObserved
from nested_kvm.evidence.bundle import DomainRecord, SavedState
from nested_kvm.evidence.libvirt.domain_xml import parse_domain_xml, reduce_snapshot_xml
from nested_kvm.evidence.libvirt.rpc import ask_libvirt
from nested_kvm.evidence.libvirt.saved_states import LIMIT, managed_save, snapshots
from nested_kvm.evidence.libvirt.virsh import answer_of_virsh
from nested_kvm.evidence.probe import probe_script
from nested_kvm.evidence.probe.answer import parse_answer

UUID = "11111111-2222-3333-4444-555555555555"
PARTS = f"<name>ci-1</name><uuid>{UUID}</uuid><memory>8192</memory><os><type>hvm</type></os>"
GRAPHICS = "<devices><graphics type='vnc' passwd='geheim'/></devices>"
QEMU64 = "<cpu mode='custom'><model>qemu64</model></cpu>"


def node(directory: Path, name: str = "", *, managed_save: bool = False, snapshots: tuple[tuple[str, str], ...]) -> str:
    """The URI of a test driver with one domain, and of it what is said."""
    kept = "".join(
        f"<test:domainsnapshot><name>{each}</name><active>0</active><state>{state}</state><creationTime>1</creationTime>"
        f"<domain type='test'>{PARTS}{QEMU64}{GRAPHICS}</domain></test:domainsnapshot>"
        for each, state in snapshots
    )
    saved = "<test:hasmanagedsave>1</test:hasmanagedsave>" if managed_save else ""
    xmlns = "xmlns:test='http://libvirt.org/schemas/domain/test/1.0'"
    domain = f"<domain type='test' {xmlns}>{PARTS}{saved}<test:runstate>5</test:runstate>{kept}</domain>"
    path = directory / f"node{name}.xml"
    path.write_text(f"<node>{domain}</node>")
    return f"test://{path}"


def by_virsh(uri: str) -> DomainRecord:
    done = subprocess.run(
        ["sh", "-c", probe_script(), "sh", "N0NCE", "10", "always", uri], capture_output=True, check=True, timeout=120
    )
    answer = answer_of_virsh(parse_answer(done.stdout, "N0NCE").readings, uri)
    assert answer is not None
    return answer.domains[0]


@pytest.mark.needs("libvirt-python", "virsh")
def test_both_ways_tell_the_same_snapshots_with_memory(tmp_path: Path) -> None:
    listed = (("live", "running"), ("--x $(touch y) 'q'", "paused"), ("off", "shutoff"))
    uri = node(tmp_path, snapshots=listed)
    for record in (ask_libvirt(uri).domains[0], by_virsh(uri)):
        assert record.saved_problem is None
        assert {state.snapshot for state in record.saved_states or ()} == {"live", "--x $(touch y) 'q'"}
        for state in record.saved_states or ():
            assert parse_domain_xml(state.xml or "").findtext("cpu/model") == "qemu64"
            assert "geheim" not in (state.xml or "")


@pytest.mark.needs("libvirt-python", "virsh")
def test_a_managed_save_that_libvirt_does_not_describe_says_why(tmp_path: Path) -> None:
    uri = node(tmp_path, managed_save=True, snapshots=())
    for record in (ask_libvirt(uri).domains[0], by_virsh(uri)):
        (state,) = record.saved_states or ()
        assert (state.snapshot, state.xml) == (None, None)
        assert "not supported" in (state.problem or "")
        assert record.problem is None, "the domain itself can be judged"


@pytest.mark.slow
@pytest.mark.needs("libvirt-python", "virsh")
def test_of_very_many_snapshots_some_are_read_and_the_rest_is_told(tmp_path: Path) -> None:
    uri = node(tmp_path, snapshots=tuple((f"number {number:02}", "running") for number in range(LIMIT + 1)))
    for record in (ask_libvirt(uri).domains[0], by_virsh(uri)):
        assert len(record.saved_states or ()) == LIMIT
        assert record.saved_problem == f"only {LIMIT} of its {LIMIT + 1} snapshots were read"


@pytest.mark.needs("libvirt-python", "virsh")
def test_a_domain_of_which_nothing_is_saved_says_so(tmp_path: Path) -> None:
    uri = node(tmp_path, snapshots=())
    for record in (ask_libvirt(uri).domains[0], by_virsh(uri)):
        assert (record.saved_states, record.saved_problem) == ((), None)


def test_what_is_refused_is_a_problem_and_any_other_error_is_not_hidden() -> None:
    def refuse() -> str:
        raise PermissionError("no\x1b[31m")

    assert managed_save(refuse, (PermissionError,)) == SavedState(None, problem="no [31m")
    assert snapshots([("one", refuse)], (PermissionError,)) == ([SavedState("one", problem="no [31m")], None)
    with pytest.raises(PermissionError):
        managed_save(refuse)


@pytest.mark.parametrize(
    "head",
    [
        "<state>disk-snapshot</state><memory snapshot='no'/>",
        "<state>shutoff</state>",
        "<state>running</state><memory snapshot='no'/>",
    ],
)
def test_a_snapshot_without_memory_is_none(head: str) -> None:
    assert reduce_snapshot_xml(f"<domainsnapshot>{head}<domain type='kvm'>{QEMU64}</domain></domainsnapshot>") is None


@pytest.mark.parametrize("memory", ["", "<memory snapshot='internal'/>", "<memory snapshot='external' file='/x'/>"])
def test_a_snapshot_with_memory_is_reduced_to_its_domain(memory: str) -> None:
    text = (
        f"<domainsnapshot><state>running</state>{memory}<domain type='kvm'>{QEMU64}{GRAPHICS}</domain></domainsnapshot>"
    )
    reduced = reduce_snapshot_xml(text)
    assert reduced is not None
    assert parse_domain_xml(reduced).findtext("cpu/model") == "qemu64"
    assert "geheim" not in reduced


@pytest.mark.parametrize(
    "text",
    [
        "<domainsnapshot><state>running</state></domainsnapshot>",
        "<domainsnapshot><state>running</state><domain><uuid/></domain></domainsnapshot>",
        "<domain type='kvm'/>",
        "<!DOCTYPE domainsnapshot><domainsnapshot/>",
        "no XML",
    ],
)
def test_what_tells_no_cpu_is_not_observed(text: str) -> None:
    with pytest.raises(NotObserved):
        reduce_snapshot_xml(text)

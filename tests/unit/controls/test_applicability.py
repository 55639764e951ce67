"""What cannot be asked, enumerated or inspected never counts as compliant."""

from dataclasses import replace

import pytest

from nested_kvm.controls.applicability import check_applies
from nested_kvm.controls.catalogue import own_controls
from nested_kvm.controls.judge import judge
from nested_kvm.errors import NestedKvmError
from nested_kvm.evidence.bundle import Bundle, Failure, LibvirtAnswer
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.fleet.candidate import Candidates
from nested_kvm.fleet.machine import Machine
from nested_kvm.fleet.subject import Fleet, Subject
from nested_kvm.inventory.address import Address
from nested_kvm.inventory.target import TargetLevel
from nested_kvm.model.control import Control, Level
from nested_kvm.model.policy import Nested, Policy, Undeclared
from nested_kvm.model.verdict import Outcome
from tests.support.running_machines import CMDLINES, DEBUGFS, HOLDERS, NEVER, machine, ok, record
from tests.support.suite import ROOT

CONTROLS = {each.control.id: each.control for each in own_controls(ROOT)}
DOMAIN_CONTROLS = [control for control in CONTROLS.values() if control.level is Level.DOMAIN]
FORBIDDEN = Policy(Nested.FORBIDDEN, undeclared=Undeclared.FORBIDDEN)
REQUIRED = Policy(undeclared=Undeclared.REQUIRED)
DECIDING = {"L0-CPU-01", "L0-KVM-03", "L0-KVM-04", "L0-PER-01", "DOM-CPU-02", "L1-CPU-01", "L1-KVM-01"}


def fleet(*bundles: Bundle, candidate: Candidates | None = None) -> Fleet:
    domain = None if candidate is None else candidate.by_name
    machines = [Machine(bundle, domain) for bundle in bundles]
    return Fleet(machines, [each.target for each in machines], candidate)


def outcome(control: Control, subject: Subject) -> Outcome:
    """What becomes of a control whose check itself would find nothing."""
    try:
        check_applies(control, subject)
    except NestedKvmError as raised:
        return judge(control, subject, raised, {}).outcome
    return judge(control, subject, None, {}).outcome


def refused(policy: Policy, answer: LibvirtAnswer | None) -> Bundle:
    return replace(machine("kvm-a", domains=(), policy=policy), libvirt=answer)


UNLISTED = {
    "libvirt refuses": lambda policy: refused(policy, LibvirtAnswer("qemu:///system", "virsh", refusal="refused")),
    "libvirt cannot be asked": lambda policy: refused(
        policy, LibvirtAnswer("qemu:///system", "virsh", not_asked="no virsh")
    ),
    "nothing of libvirt": lambda policy: refused(policy, None),
    "hidden processes": lambda policy: machine("kvm-a", Reading(CMDLINES, Status.UNREADABLE), policy=policy),
    "no processes": lambda policy: machine("kvm-a", policy=policy),
}


@pytest.mark.parametrize("policy", [REQUIRED, FORBIDDEN, Policy(), Policy(Nested.FORBIDDEN)], ids=str)
@pytest.mark.parametrize("name", UNLISTED)
def test_domains_that_cannot_be_listed_are_an_error_of_every_domain_control(name: str, policy: Policy) -> None:
    (subject,) = fleet(UNLISTED[name](policy)).subjects(Level.DOMAIN)
    assert subject.name == "kvm-a"
    assert {control.id: outcome(control, subject) for control in DOMAIN_CONTROLS} == {
        control.id: Outcome.ERROR for control in DOMAIN_CONTROLS
    }


def test_a_host_without_domains_has_none() -> None:
    assert fleet(machine("kvm-a", domains=())).subjects(Level.DOMAIN) == []


def test_an_unreachable_host_is_an_error_by_itself() -> None:
    unreachable = replace(machine("kvm-a", domains=()), failure=Failure("ConnectionFailed", "no route"))
    assert fleet(unreachable).subjects(Level.DOMAIN) == []


PROCESSES = "7 program=qemu-system-x86_64\n7 name=beside\n7 cpu=host\n8 program=firecracker\n"


def beside_libvirt() -> dict[str, Subject]:
    bundle = machine(
        "kvm-a",
        ok(CMDLINES, f"{PROCESSES}6 program=qemu-system-x86_64\n6 name=l1-svm\n6 cpu=host\n"),
        ok(HOLDERS, "6\n7\n8\n9\n"),
        ok(DEBUGFS, "10-3/nested_run=5\n6-3/nested_run=0\n7-3/nested_run=0\n"),
        domains=(record(NEVER),),
        policy=REQUIRED,
    )
    return {each.name: each for each in fleet(bundle).subjects(Level.DOMAIN)}


def test_a_vm_that_no_domain_accounts_for_is_a_subject() -> None:
    assert set(beside_libvirt()) == {"l1-svm", "beside", "firecracker-8", "process 9", "process 10"}


def test_a_process_that_takes_a_declared_guests_name_is_a_subject_too() -> None:
    host = machine(
        "kvm-a",
        ok(CMDLINES, "7 program=qemu-system-x86_64\n7 name=l1-svm\n7 uuid=0-0-0\n7 cpu=host\n"),
        domains=(record(NEVER),),
    )
    guest = machine("ci-1", level=TargetLevel.L1)
    declared = Bundle(replace(guest.target, host="kvm-a", domain="l1-svm"), guest.observed_at, "0")
    domains = [each.domain for each in fleet(host, declared).subjects(Level.DOMAIN)]
    assert domains == ["l1-svm", "pid:7"]


@pytest.mark.parametrize("status", [Status.TIMED_OUT, Status.FAILED])
def test_processes_that_cannot_be_read_are_an_error_beside_libvirt_too(status: Status) -> None:
    host = machine("kvm-a", Reading(CMDLINES, status, "", 1), domains=(record(NEVER),))
    subjects = fleet(host).subjects(Level.DOMAIN)
    assert [each.name for each in subjects] == ["l1-svm", "kvm-a"]
    assert outcome(CONTROLS["DOM-OPS-01"], subjects[1]) is Outcome.ERROR


def test_a_qemu_beside_libvirt_is_evaluated_by_its_process() -> None:
    subject = beside_libvirt()["beside"]
    assert subject.domain is not None
    assert subject.machine.domain(subject.domain).process is not None
    assert outcome(CONTROLS["DOM-CPU-02"], subject) is Outcome.PASS


@pytest.mark.parametrize("name", ["firecracker-8", "process 9", "process 10"])
def test_a_vm_that_cannot_be_evaluated_is_unknown(name: str) -> None:
    subject = beside_libvirt()[name]
    assert outcome(CONTROLS["DOM-CPU-02"], subject) is Outcome.UNKNOWN
    assert outcome(CONTROLS["DOM-OPS-01"], subject) is Outcome.UNKNOWN


def test_a_running_l2_counts_also_where_no_policy_applies() -> None:
    (subject,) = fleet(machine("kvm-a", domains=(record(NEVER),), policy=Policy())).subjects(Level.DOMAIN)
    assert not subject.policy.binding
    assert outcome(CONTROLS["DOM-OPS-01"], subject) is Outcome.PASS
    assert outcome(CONTROLS["DOM-CPU-02"], subject) is Outcome.INFORMATIONAL


def test_the_controls_that_decide_are_declared() -> None:
    assert {name for name, control in CONTROLS.items() if control.decides} == DECIDING


@pytest.mark.parametrize("policy", [REQUIRED, FORBIDDEN], ids=["required", "forbidden"])
@pytest.mark.parametrize("name", ["riscv64", "loongarch64", "mips64", "armv7l", "ppc", "sparc64"])
def test_on_an_unknown_architecture_what_decides_is_unknown(name: str, policy: Policy) -> None:
    (subject,) = fleet(machine("kvm-a", ok("uname -m", name), policy=policy)).subjects(Level.L0)
    deciding = [each for each in CONTROLS.values() if each.decides and each.level is Level.L0]
    found = {each.id: outcome(each, subject) for each in deciding if each.only in {None, policy.nested}}
    assert found
    assert set(found.values()) == {Outcome.UNKNOWN}


def test_a_guest_whose_host_was_not_inspected_is_an_error() -> None:
    guest = machine("ci-1", level=TargetLevel.L1)
    unreached = Bundle(replace(guest.target, address=None, host="kvm-a"), guest.observed_at, "0")
    (alone,) = fleet(unreached).subjects(Level.L1)
    assert outcome(CONTROLS["L1-CPU-01"], alone) is Outcome.ERROR
    assert outcome(CONTROLS["L1-HYP-01"], alone) is Outcome.NOTCHECKED
    (beside,) = fleet(machine("kvm-a", domains=()), unreached).subjects(Level.L1)
    assert outcome(CONTROLS["L1-CPU-01"], beside) is Outcome.NOTCHECKED


@pytest.mark.parametrize("scheme", ["docker", "podman", "kubectl"])
def test_a_containers_files_do_not_decide_the_next_boot(scheme: str) -> None:
    bundle = machine("kvm-a", domains=())
    address = Address.parse(f"{scheme}://kvm-a")
    (subject,) = fleet(replace(bundle, target=replace(bundle.target, address=address))).subjects(Level.L0)
    persistence = [each for each in CONTROLS.values() if each.id.startswith("L0-PER-")]
    assert {outcome(each, subject) for each in persistence} == {Outcome.UNKNOWN}
    assert outcome(CONTROLS["L0-KVM-04"], subject) is Outcome.PASS

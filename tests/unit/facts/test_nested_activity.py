"""Whether an L2 runs, by each source and by both: three answers, and never one from a single `no`."""

from dataclasses import replace

import pytest

from nested_kvm.evidence.bundle import DomainRecord
from nested_kvm.evidence.libvirt.vcpu_statistics import read_twice, statistics_of_rpc, statistics_of_virsh
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.facts.kvm.nested_activity import NestedActivity, activity_of
from nested_kvm.fleet.machine import Machine
from nested_kvm.inventory.target import TargetLevel
from nested_kvm.model.answer import Answer
from tests.support.running_machines import (
    BUSY,
    CMDLINES,
    DEBUGFS,
    HOLDERS,
    IDLE,
    INSIDE,
    NEVER,
    UUID,
    machine,
    ok,
    record,
    without,
)

PROCESS = ok(CMDLINES, f"421 program=qemu-system-x86_64\n421 name=guest=l1-svm,debug-threads=on\n421 uuid={UUID}\n")


@pytest.mark.parametrize(
    ("looks", "runs"),
    [
        ((IDLE, BUSY), Answer.YES),
        ((INSIDE, IDLE), Answer.YES),
        ((IDLE, INSIDE), Answer.YES),
        ((INSIDE,), Answer.YES),
        ((NEVER, BUSY), Answer.YES),
        ((NEVER,), Answer.NO),
        ((NEVER, NEVER), Answer.NO),
        ((IDLE, IDLE), Answer.UNKNOWN),
        ((IDLE,), Answer.UNKNOWN),
        ((BUSY, IDLE), Answer.UNKNOWN),
        ((), Answer.UNKNOWN),
        (({"vcpu.current": "1"},), Answer.UNKNOWN),
        (({"vcpu.current": "1", "vcpu.0.guest_mode.cur": "no"},), Answer.UNKNOWN),
        (({"vcpu.current": "2", "vcpu.0.nested_run.sum": "0"},), Answer.UNKNOWN),
        (({"vcpu.0.nested_run.sum": "-1"},), Answer.UNKNOWN),
        (({"vcpu.0.nested_run.sum": "0"},), Answer.UNKNOWN),
        (({"421-14/nested_run": "0"},), Answer.NO),
        ((IDLE, NEVER), Answer.UNKNOWN),
        ((BUSY, {**IDLE, "vcpu.0.guest_mode.cur": "yes"}), Answer.YES),
    ],
)
def test_the_counters_decide_by_how_they_change(looks: tuple[dict[str, str], ...], runs: Answer) -> None:
    assert activity_of("virsh domstats", looks).runs is runs


def test_one_vcpu_that_enters_an_l2_is_enough() -> None:
    before = {"vcpu.current": "2", "vcpu.0.nested_run.sum": "5", "vcpu.1.nested_run.sum": "7"}
    assert activity_of("x", (before, {**before, "vcpu.1.nested_run.sum": "8"})).runs is Answer.YES


def by_both(domain: DomainRecord, *readings: Reading) -> NestedActivity:
    return Machine(machine("kvm-a", *readings, domains=(domain,))).nested_activity(domain.uuid)


@pytest.mark.parametrize(
    ("first", "second", "runs"),
    [
        ("421-14/nested_run=6235\n421-14/vcpu0/guest_mode=0", "421-14/nested_run=6676", Answer.YES),
        ("421-14/nested_run=6235\n421-14/vcpu0/guest_mode=1", "421-14/nested_run=6235", Answer.YES),
        ("421-14/nested_run=6235\n464-14/nested_run=1", "421-14/nested_run=6235\n464-14/nested_run=2", Answer.UNKNOWN),
        ("421-14/nested_run=0\n464-14/nested_run=7", "421-14/nested_run=0\n464-14/nested_run=8", Answer.NO),
        ("4210-14/nested_run=0", "", Answer.UNKNOWN),
    ],
)
def test_where_libvirt_counts_nothing_root_asks_the_kernel(first: str, second: str, runs: Answer) -> None:
    assert by_both(record(), PROCESS, ok(DEBUGFS, first), ok(f"{DEBUGFS}  # again", second)).runs is runs


def test_a_process_without_a_uuid_is_known_by_its_name() -> None:
    nameless = ok(CMDLINES, "421 program=qemu-kvm\n421 name=l1-svm\n")
    assert by_both(record(), nameless, ok(DEBUGFS, "421-14/nested_run=0")).runs is Answer.NO


def test_another_uuid_is_another_domain_whatever_its_name() -> None:
    other = ok(CMDLINES, f"421 program=qemu-kvm\n421 name=l1-svm\n421 uuid={UUID[::-1]}\n")
    assert by_both(record(), other, ok(DEBUGFS, "421-14/nested_run=0")).runs is Answer.UNKNOWN


def test_a_source_that_sees_an_l2_wins_over_one_that_does_not() -> None:
    assert by_both(record(IDLE, BUSY), PROCESS, ok(DEBUGFS, "421-14/nested_run=0")).runs is Answer.YES
    growing = (ok(DEBUGFS, "421-14/nested_run=1"), ok(f"{DEBUGFS}  # again", "421-14/nested_run=2"))
    assert by_both(record(NEVER), PROCESS, *growing).runs is Answer.YES


@pytest.mark.parametrize(
    ("by_libvirt", "by_kernel", "runs"),
    [
        ((NEVER,), "421-14/nested_run=77", Answer.UNKNOWN),
        ((IDLE, IDLE), "421-14/nested_run=0", Answer.UNKNOWN),
        ((NEVER,), "421-14/nested_run=0", Answer.NO),
        ((NEVER,), "4210-14/nested_run=77", Answer.NO),
    ],
)
def test_a_0_of_one_source_is_no_proof_against_the_others_count(
    by_libvirt: tuple[dict[str, str], ...], by_kernel: str, runs: Answer
) -> None:
    assert by_both(record(*by_libvirt), PROCESS, ok(DEBUGFS, by_kernel)).runs is runs


def test_two_processes_of_one_domain_leave_the_kernels_count_open() -> None:
    twins = ok(CMDLINES, f"421 program=kvm\n421 uuid={UUID}\n422 program=kvm\n422 uuid={UUID}\n")
    activity = by_both(record(), twins, ok(DEBUGFS, "421-14/nested_run=0\n422-14/nested_run=9"))
    assert activity.runs is Answer.UNKNOWN
    assert "processes 421, 422" in activity.reason


def test_unknown_names_what_is_missing_of_both() -> None:
    activity = by_both(record(), PROCESS, Reading(DEBUGFS, Status.UNREADABLE))
    assert activity.runs is Answer.UNKNOWN
    assert "virsh domstats --vcpu l1-svm shows no nested_run" in activity.reason
    assert "/sys/kernel/debug/kvm could not be read (unreadable)" in activity.reason


def test_counters_that_stand_still_are_shown() -> None:
    activity = by_both(record(IDLE, IDLE), PROCESS, Reading(DEBUGFS, Status.ABSENT))
    assert activity.runs is Answer.UNKNOWN
    assert "nested_run stays at 8264" in activity.reason
    assert activity.evidence[0].text.endswith("vcpu.0.nested_run.sum=8264")


def inside(*readings: Reading, refcnt: str = "refcnt=2\ninitstate=live\n") -> NestedActivity:
    loaded = ok("/sys/module/kvm_amd", refcnt)
    return Machine(machine("l1", loaded, *readings, level=TargetLevel.L1)).nested_activity(None)


@pytest.mark.parametrize(
    ("holders", "refcnt", "runs"),
    [
        (ok(HOLDERS, "293\n"), "refcnt=2\ninitstate=live", Answer.YES),
        (ok(HOLDERS, "293\n"), "", Answer.YES),
        (Reading(HOLDERS, Status.UNREADABLE, "293\n"), "refcnt=2\ninitstate=live", Answer.YES),
        (Reading(HOLDERS, Status.TIMED_OUT, "293\nkilled\n"), "refcnt=2\ninitstate=live", Answer.YES),
        (Reading(HOLDERS, Status.TIMED_OUT, "killed\n"), "refcnt=2\ninitstate=live", Answer.UNKNOWN),
        (ok(HOLDERS, ""), "", Answer.NO),
        (ok(HOLDERS, ""), "refcnt=1\ninitstate=live", Answer.UNKNOWN),
        (Reading(HOLDERS, Status.UNREADABLE), "refcnt=0\ninitstate=live", Answer.NO),
        (Reading(HOLDERS, Status.UNREADABLE), "refcnt=2\ninitstate=live", Answer.UNKNOWN),
        (Reading(HOLDERS, Status.UNREADABLE), "", Answer.UNKNOWN),
    ],
)
def test_who_holds_a_vm_in_the_guest_is_definite(holders: Reading, refcnt: str, runs: Answer) -> None:
    assert inside(holders, refcnt=refcnt).runs is runs


def test_evidence_of_an_older_suite_is_unknown_where_it_did_not_look() -> None:
    older = without(machine("l1", level=TargetLevel.L1), HOLDERS)
    activity = Machine(older).nested_activity(None)
    assert (activity.runs, activity.reason) == (Answer.UNKNOWN, f"{HOLDERS} is not in the evidence")


def test_a_guest_without_the_module_runs_none() -> None:
    assert Machine(machine("l1", ok("/sys/module", ""), level=TargetLevel.L1)).nested_activity(None).runs is Answer.NO


def test_without_the_vendors_module_pvm_may_run_one() -> None:
    pvm = ok("/sys/module", "kvm\nkvm_pvm")
    held = Machine(machine("l1", pvm, ok(HOLDERS, "293\n"), level=TargetLevel.L1)).nested_activity(None)
    unseen = Machine(machine("l1", pvm, Reading(HOLDERS, Status.UNREADABLE), level=TargetLevel.L1)).nested_activity(
        None
    )
    assert (held.runs, unseen.runs) == (Answer.YES, Answer.UNKNOWN)


@pytest.mark.parametrize(("state", "runs"), [("running", Answer.UNKNOWN), ("shut off", Answer.NO)])
def test_a_domain_whose_state_contradicts_its_xml_is_not_known(state: str, runs: Answer) -> None:
    half = replace(record(), state=state, live_xml=None)
    assert Machine(machine("kvm-a", domains=(half,))).nested_activity("l1-svm").runs is runs


@pytest.mark.parametrize("other", ["vboxdrv", "vmmon"])
@pytest.mark.parametrize("modules", ["kvm\nkvm_amd", ""])
def test_another_hypervisor_may_run_what_kvm_does_not_show(modules: str, other: str) -> None:
    idle = (ok("/sys/module", f"{modules}\n{other}"), ok(HOLDERS, ""))
    activity = inside(*idle, refcnt="refcnt=0\ninitstate=live")
    assert activity.runs is Answer.UNKNOWN
    assert other in activity.reason
    assert inside(ok("/sys/module", f"kvm\nkvm_amd\n{other}"), ok(HOLDERS, "293\n")).runs is Answer.YES


def test_libvirts_own_types_become_virshs_words() -> None:
    answer = {"vcpu.current": 1, "vcpu.0.guest_mode.cur": True, "vcpu.0.nested_run.sum": 8264, "vcpu.0.time": 9}
    assert statistics_of_rpc(answer) == INSIDE


def test_virshs_answer_is_taken_apart_by_domain() -> None:
    text = (
        "Domain: 'it's l1'\n  vcpu.current=1\n  vcpu.0.guest_mode.cur=yes\n  vcpu.0.nested_run.sum=8264\n"
        "Domain: 'other'\n  vcpu.0.time=3\n"
    )
    assert statistics_of_virsh(text) == {"it's l1": INSIDE, "other": {}}


@pytest.mark.parametrize("end", ["\x0b", "\x85", "\u2028"])
def test_a_domains_name_cannot_speak_for_another_domain(end: str) -> None:
    text = f"Domain: 'evil{end}Domain: 'l1'{end}  vcpu.0.nested_run.sum=0'\nDomain: 'l1'\n  vcpu.0.nested_run.sum=5\n"
    assert statistics_of_virsh(text)["l1"] == {"vcpu.0.nested_run.sum": "5"}
    assert len(statistics_of_virsh(text)) == 2


@pytest.mark.parametrize(("first", "looks"), [(NEVER, 1), (IDLE, 2)])
def test_a_second_look_is_taken_only_where_an_l2_ever_ran(first: dict[str, str], looks: int) -> None:
    taken: list[int] = []

    def look() -> dict[str, dict[str, str]]:
        taken.append(1)
        return {UUID: first}

    assert read_twice(look) == {UUID: (first,) * looks}
    assert len(taken) == looks

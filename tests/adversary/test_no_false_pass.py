"""No reading that goes missing or lies turns a failing or undecided machine into one that passes.

By default the draws are always the same. `ADVERSARY_EXAMPLES=20000` draws that many, others each time; a failure prints
what it drew. `python -m tests.support.adversary` prints the readings that no control misses.
"""

import os
import re
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nested_kvm.evidence.reading import Status
from nested_kvm.model.verdict import Outcome
from tests.support.adversary import (
    LIES,
    MUTATIONS,
    SILENCES,
    FalsePass,
    Mutation,
    answers,
    cases,
    false_passes,
    false_passes_of_one,
    is_read_by,
    mutations,
    observed,
    report,
    unmissed,
    why_not_needed,
)
from tests.support.evaluation import evaluate, readings_of

EXAMPLES = int(os.environ.get("ADVERSARY_EXAMPLES", "300"))
PASSING = ("amd-passes", "intel-passes", "amd-pair-holds", "amd-guest-passes", "intel-guest-passes")


class Excused(NamedTuple):
    """Control and reading as patterns, what happened to it, and why the control may pass then."""

    control: str
    source: str
    kinds: frozenset[str]
    why: str

    def covers(self, control: str, change: Mutation) -> bool:
        matches = re.fullmatch(self.control, control) and re.fullmatch(self.source, change.source)
        return bool(matches) and change.kind in self.kinds


LYING, SILENT, ANY = frozenset(LIES), frozenset(SILENCES), frozenset(MUTATIONS)
ANOTHER_MACHINE = [
    Excused("L0-PER-04", r"/.*modprobe\.d.*|/proc/cmdline", LYING, "a line was dead because of what is gone now"),
    Excused("L0-PER-0[12358]", r"/etc/modprobe\.d", LYING, "the file that cannot be read is not listed any more"),
    Excused("L0-KVM-05", "/proc/cpuinfo", frozenset({"cut"}), "a CPU without the assist's flag does not offer it"),
    Excused("L0-PER-0[56]", "ESP kernel images", frozenset({"blank"}), "there is no image with its own command line"),
    Excused("L0-PER-0[56]", "/boot/loader/entries", LYING, "the entry that was not read is not listed any more"),
    Excused("L0-PER-06", r"/boot/loader/entries/6\.12\.conf", LYING, "no entry of this system lacks the word any more"),
    Excused("L0-PER-0[56]", "/boot/grub/grub.cfg", frozenset({"dropped"}), "printed where it exists: there is none"),
    Excused("L0-PER-06", "/boot/grub2/grubenv", frozenset({"cut"}), "a variable that is shorter sets something else"),
    Excused("L0-PER-07", "/proc/self/mounts", LYING, "the mount over /etc was the very evidence"),
    Excused("L0-KVM-08|L1-KVM-03", "udev rules of kvm", LYING, "the rule that withholds was the very evidence"),
    Excused("L0-CPU-02", "/sys/class/dmi/id/.*|/proc/cpuinfo", LYING, "the name, or the flag, was what contradicts"),
    Excused("L0-KVM-06", "/sys/module(/kvm/parameters)?", LYING, "the other hypervisor, or the value, is not there"),
    Excused("L1-KVM-02", "/etc/libvirt/qemu.conf", LYING, "libvirt's default account may be permitted"),
    Excused("L0-SEC-02", r"/proc/\[0-9\]\*/cmdline", frozenset({"cut"}), "QEMU's CPU without -cpu has no flag"),
    Excused("L0-SEC-02", r"ls -lq .*", frozenset({"blank"}), "the list named the process that nothing else shows"),
    Excused("PAIR-01", ".*/product_uuid", frozenset({"unreadable", *LIES}), "the uuid is for root: see L1-CPU-02"),
    Excused("L1-NST-01", "qemu-system-.*", frozenset({"no such command"}), "without QEMU the bare L2 is the proof"),
    Excused(".*", "gzip -dc .*", ANY, "Debian's own version proves a fix where the changelog was not read"),
    Excused(
        ".*",
        "/sys/kernel/livepatch/.*",
        frozenset({"dropped", *LIES}),
        "without the live patch the kernel is certainly not fixed",
    ),
    Excused("DOM-CPU-04", "virsh .* (list|snapshot-list) .*", LYING, "a domain without snapshots has no old one"),
]
"""Lies that make an honest other machine: what remains shows no fault."""


def is_excused(found: FalsePass, *changes: Mutation) -> bool:
    return any(each.covers(found.control, change) for each in ANOTHER_MACHINE for change in changes)


@st.composite
def attacks(draw: st.DrawFn) -> tuple[str, tuple[Mutation, ...]]:
    name = draw(st.sampled_from(sorted(cases())))
    return name, tuple(draw(st.lists(st.sampled_from(cases()[name]), min_size=1, max_size=4, unique_by=_place)))


def _place(change: Mutation) -> tuple[str, str]:
    return change.target, change.source


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="ADVERSARY_EXAMPLES" not in os.environ,
    suppress_health_check=list(HealthCheck),
)
@given(attack=attacks())
def test_no_silence_and_no_lie_makes_a_pass(attack: tuple[str, tuple[Mutation, ...]]) -> None:
    name, changes = attack
    assert [found for found in false_passes(name, *changes) if not is_excused(found, *changes)] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", observed())
def test_no_single_change_makes_a_pass(name: str) -> None:
    found = [each for change in mutations(name) for each in false_passes_of_one(name, change)]
    assert [each for each in found if not is_excused(each, each.mutation)] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["amd-nested-off", "amd-later-basename-wins", "amd-pair-definition"])
def test_what_a_control_does_not_read_never_changes_its_answer(name: str) -> None:
    """So it need not be evaluated again where that is changed."""
    before = {key: found for key, found in answers(name).items() if found.outcome is not Outcome.PASS}
    left_out = 0
    for change in mutations(name):
        after = evaluate(name, change.of(readings_of(name)), before)
        untouched = [key for key in before if not is_read_by(name, key, change)]
        assert [key for key in untouched if after.get(key) != before[key]] == [], change
        left_out += len(untouched)
    assert left_out > 100


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["amd-passes", "intel-passes", "amd-pair-holds", "amd-guest-passes", "intel-guest-passes"]
)
def test_every_reading_of_a_machine_that_passes_is_missed(name: str) -> None:
    assert {answer.outcome for answer in answers(name).values()} & {Outcome.PASS}
    unexplained = [source for _, source in unmissed(name) if why_not_needed(source) is None]
    assert unexplained == []


@pytest.mark.parametrize(
    ("source", "honest", "lie", "control"),
    [
        ("/sys/module/kvm_amd/parameters", "nested=1", "nested=0", "L0-KVM-04"),
        ("modprobe --show-depends kvm_amd", "nested=1", "nested=0", "L0-PER-01"),
        ("modprobe --show-depends kvm_amd", "nested=1", "nested=y", "L0-PER-01"),
        ("/etc/modprobe.d/kvm-nested.conf", "nested=1", "nested=0", "L0-PER-01"),
        ("/proc/cmdline", "quiet", "quiet kvm_amd.nested=0", "L0-PER-01"),
        ("/etc/default/grub", 'DEFAULT="quiet"', 'DEFAULT="kvm_amd.nested=0"', "L0-PER-06"),
        ("/proc/cpuinfo", " svm cr8_legacy", " cr8_legacy", "L0-CPU-01"),
        ("/dev/kvm", "10, 232", "10, 231", "L0-KVM-01"),
        ("/dev/kvm", "crw-rw----", "crw-rw-rw-", "L0-KVM-02"),
        ("/sys/module", "kvm_amd", "kvm_intel", "L0-KVM-03"),
        ("/sys/devices/system/cpu/vulnerabilities/itlb_multihit", "Not affected", "KVM: Vulnerable", "L0-SEC-01"),
    ],
)
def test_one_witness_that_contradicts_is_enough(source: str, honest: str, lie: str, control: str) -> None:
    readings = readings_of("amd-passes")
    own = dict(readings["amd-passes"])
    reading = own[source]
    assert reading.status is Status.OK
    assert honest in reading.text
    own[source] = type(reading)(source, Status.OK, reading.text.replace(honest, lie), reading.exit_status)
    assert answers("amd-passes")["amd-passes", control].outcome is Outcome.PASS
    found = evaluate("amd-passes", {"amd-passes": own})["amd-passes", control]
    assert found.outcome is not Outcome.PASS


def test_there_are_attacks_of_every_kind() -> None:
    """A guard against a change that leaves nothing to draw."""
    kinds = {change.kind for name in ("amd-nested-off", "amd-passes") for change in mutations(name)}
    assert kinds == set(MUTATIONS)
    assert sum(map(len, cases().values())) > 10_000


def test_what_no_control_misses_is_printed_with_the_reason() -> None:
    """By `python -m tests.support.adversary`: a line without a reason is an absence that is taken for compliance."""
    head, *lines = report(iter(["amd-passes"]))
    assert head.startswith(f"amd-passes: {len(lines)} of ")
    assert len(lines) == len(unmissed("amd-passes"))
    assert (
        "  amd-passes: /etc/os-release: the distribution's name matters where the advisories know its releases" in lines
    )
    assert not [line for line in lines if "UNEXPLAINED" in line]
    assert why_not_needed("/proc/cpuinfo") is None

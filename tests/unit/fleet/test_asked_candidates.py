"""A candidate on a host of which a recorded answer is about this very definition, about another, or misleads."""

import json

import pytest

from nested_kvm.evidence.expansion import expanded, translated
from nested_kvm.evidence.expansion.question import Question
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.facts.definition.definition_file import DefinitionFile
from nested_kvm.facts.kernel.cpu import Vendor
from nested_kvm.facts.libvirt.domain import Domain
from nested_kvm.fleet.candidate import Candidates, candidates_of
from nested_kvm.fleet.machine import Machine
from nested_kvm.model.answer import Answer
from tests.support.bundles import bundle_of, ok

PASSTHROUGH = "<cpu mode='host-passthrough'/>"
HOST_MODEL = "<cpu mode='host-model'/>"
BOTH_FLAGS = "<cpu><model>EPYC</model><feature name='svm'/><feature name='vmx'/></cpu>"
FOREIGN = "<cpu mode='host-model'><feature name='vmx'/></cpu>"
HOST = {
    "uname -m": "x86_64",
    "/proc/cpuinfo": "processor : 0\nvendor_id : AuthenticAMD\nflags : fpu lm svm npt",
    "/sys/module": "kvm\nkvm_amd",
    "/sys/module/kvm_amd": "initstate=live\nrefcnt=0",
    "/sys/module/kvm_amd/parameters": "nested=1\nnpt=Y",
}


def candidates(cpu: str) -> Candidates:
    xml = f"<domain type='kvm'><name>ci</name><os><type>hvm</type></os>{cpu}</domain>"
    return candidates_of([("--candidate", DefinitionFile("ci.xml", xml))], None)


def question(cpu: str) -> Question:
    (found,) = candidates(cpu).questions
    return found


def answer(cpu: str, *, svm: object, printed: str = "-machine pc -accel kvm -cpu EPYC") -> list[Reading]:
    asked = question(cpu)
    translation = Reading(translated(asked.id), Status.OK, f"/usr/bin/qemu {printed}")
    return [translation, Reading(expanded(asked.id), Status.OK, json.dumps({"svm": svm, "vmx": None}))]


def on_host(cpu: str, *readings: Reading, nested: str = "1") -> Domain:
    sources = {**HOST, "/sys/module/kvm_amd/parameters": f"nested={nested}\nnpt=Y"}
    bundle = bundle_of(*(ok(source, text) for source, text in sources.items()), *readings)
    return Machine(bundle, candidates(cpu).by_name).domain("ci")


def gives(domain: Domain) -> Answer:
    return domain.promise(Vendor.AMD).gives_flag


@pytest.mark.parametrize(("cpu", "rule"), [(PASSTHROUGH, Answer.YES), (HOST_MODEL, Answer.NO)])
@pytest.mark.parametrize("svm", [True, False])
def test_an_answer_about_this_definition_decides(cpu: str, rule: Answer, *, svm: bool) -> None:
    found = on_host(cpu, *answer(cpu, svm=svm))
    assert gives(found) is (Answer.YES if svm else Answer.NO)
    differs = rule is not gives(found)
    assert any(each.text.startswith("by the rule") for each in found.evidence) is differs
    assert not any(each.source == "--active" for each in found.evidence)


def test_one_about_another_definition_decides_nothing_and_is_not_shown() -> None:
    found = on_host(PASSTHROUGH, *answer(HOST_MODEL, svm=False))
    assert found == on_host(PASSTHROUGH)
    assert gives(found) is Answer.YES


def test_with_nested_off_an_expansion_misleads() -> None:
    found = on_host(HOST_MODEL, *answer(HOST_MODEL, svm=True), nested="0")
    assert gives(found) is Answer.NO
    assert "does not offer nesting" in found.promise(Vendor.AMD).reason


@pytest.mark.parametrize(
    ("status", "text", "reason"),
    [
        (Status.NOT_COLLECTED, "there is no libvirt", "no answer: there is no libvirt"),
        (Status.FAILED, "error: failed to connect", "did not translate it: error: failed to connect"),
        (Status.FAILED, "error: access denied", "did not translate it: error: access denied"),
        (Status.FAILED, "error: Failed to open file '/dev/stdin'", "did not translate it: error: Failed to open"),
        (Status.TIMED_OUT, "", "did not end in time"),
        (Status.MISSING, "", "not installed"),
    ],
)
def test_where_there_is_no_answer_the_rule_decides_and_it_is_said_why(status: Status, text: str, reason: str) -> None:
    found = on_host(HOST_MODEL, Reading(translated(question(HOST_MODEL).id), status, text))
    assert gives(found) is Answer.NO
    assert reason in found.promise(Vendor.AMD).reason
    assert any(each.source == "--active" for each in found.evidence)


@pytest.mark.parametrize(
    "printed",
    [
        "error: unsupported configuration: Emulator '/usr/bin/qemu' does not support machine type 'pc-q35-9.9'",
        "error: unsupported configuration: Emulator '/usr/bin/qemu' does not support virt type 'kvm'",
        "error: unsupported configuration: CPU mode 'x' is not supported",
    ],
)
def test_what_libvirt_there_refuses_is_not_passed_by_the_rule(printed: str) -> None:
    """The question has no device: whatever it is refused for keeps the guest from being started there."""
    found = on_host(PASSTHROUGH, Reading(translated(question(PASSTHROUGH).id), Status.FAILED, printed))
    assert gives(found) is Answer.UNKNOWN
    assert "refuses the definition" in found.promise(Vendor.AMD).reason


@pytest.mark.parametrize("svm", [None, "yes"])
def test_an_expansion_without_the_flag_is_no_answer(svm: object) -> None:
    found = on_host(PASSTHROUGH, *answer(PASSTHROUGH, svm=svm))
    assert "does not show the flag" in found.promise(Vendor.AMD).reason


def test_an_expansion_that_is_missing_is_no_answer() -> None:
    found = on_host(PASSTHROUGH, answer(PASSTHROUGH, svm=True)[0])
    assert "did not expand it: no answer" in found.promise(Vendor.AMD).reason


@pytest.mark.parametrize("cpu", [BOTH_FLAGS, FOREIGN])
def test_what_libvirt_does_not_start_gets_no_flag_whatever_qemu_expands(cpu: str) -> None:
    promise = on_host(cpu, *answer(cpu, svm=True)).promise(Vendor.AMD)
    assert promise.gives_flag is Answer.UNKNOWN
    assert "requires vmx" in promise.reason


def test_only_with_the_option_it_is_said_that_a_candidate_cannot_be_asked_about() -> None:
    proxmox = candidates_of([("--candidate", DefinitionFile("100.conf", "cpu: host\n"))], None)
    assert [each.unasked for each in proxmox.domains] == [None]
    assert [each.unasked for each in proxmox.to_be_asked.domains] == ["Proxmox VE starts QEMU without libvirt"]
    assert candidates(PASSTHROUGH).to_be_asked == candidates(PASSTHROUGH)

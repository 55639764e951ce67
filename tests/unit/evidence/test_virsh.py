"""What virsh printed is what libvirt would have answered, or why it did not."""

import pytest

from nested_kvm.evidence.libvirt.virsh import answer_of_virsh, without_virsh
from nested_kvm.evidence.reading import Reading, Status

URI = "qemu:///system"
VIRSH = f"virsh -r -c {URI}"
LIST = f"{VIRSH} list --all --uuid"
UUID = "9f5737ad-04b0-41f7-882c-99c327b51994"
DOMINFO = "Id:             7\nName:           ci-1\nState:          running\nPersistent:     yes\nManaged save:   no\n"
XML = "<domain type='kvm'><name>ci-1</name><cpu mode='host-passthrough'/></domain>"


def answers(**texts: str) -> dict[str, Reading]:
    sources = {"dominfo": "dominfo", "inactive": "dumpxml --inactive", "live": "dumpxml"}
    found = [Reading(LIST, Status.OK, f"{UUID}\n\n", 0)]
    found += [Reading(f"{VIRSH} {sources[name]} {UUID}", Status.OK, text, 0) for name, text in texts.items()]
    return {reading.source: reading for reading in found}


def test_a_running_domain_is_told_from_one_that_is_off() -> None:
    live = XML.replace("type='kvm'", "type='kvm' id='7'")
    for shown, is_live in ((live, True), (XML, False)):
        answer = answer_of_virsh(answers(dominfo=DOMINFO, inactive=XML, live=shown), URI)
        assert answer is not None
        (record,) = answer.domains
        assert (record.name, record.uuid, record.state, record.problem) == ("ci-1", UUID, "running", None)
        assert (record.is_persistent, record.has_managed_save) == (True, False)
        assert (record.live_xml is not None) is is_live


@pytest.mark.parametrize("dominfo", [None, Reading("", Status.FAILED, "error: cannot acquire state change lock", 1)])
def test_a_domain_whose_state_is_not_shown_was_not_observed(dominfo: Reading | None) -> None:
    save = XML.replace("host-passthrough", "host-model")
    readings = answers(inactive=XML, live=XML)
    readings |= {} if dominfo is None else {f"{VIRSH} dominfo {UUID}": dominfo}
    for source, text in ((f"{LIST} --with-managed-save", UUID), (f"{VIRSH} managedsave-dumpxml {UUID}", save)):
        readings[source] = Reading(source, Status.OK, text, 0)
    answer = answer_of_virsh(readings, URI)
    assert answer is not None
    (record,) = answer.domains
    assert "dominfo" in (record.problem or "")
    assert record.has_managed_save
    assert "host-model" in str((record.saved_states or ())[0].xml)


def test_a_domain_whose_xml_is_refused_keeps_its_name() -> None:
    answer = answer_of_virsh(answers(dominfo=DOMINFO, inactive="<!DOCTYPE x><domain/>", live="?"), URI)
    assert answer is not None
    (record,) = answer.domains
    assert (record.name, record.inactive_xml) == ("ci-1", None)
    assert record.problem is not None


def test_what_virsh_complains_about_is_no_domain() -> None:
    readings = answers(dominfo=DOMINFO, inactive=XML, live=XML)
    readings[LIST] = Reading(LIST, Status.OK, f"warning: be bad - 4\n{UUID}\n", 0)
    answer = answer_of_virsh(readings, URI)
    assert answer is not None
    assert [record.uuid for record in answer.domains] == [UUID]


@pytest.mark.parametrize(
    ("listing", "refusal"),
    [
        (Reading(LIST, Status.FAILED, "error: failed to connect\nerror: no polkit agent\n", 1), "no polkit agent"),
        (Reading(LIST, Status.TIMED_OUT, "", 137), "timed-out"),
        (Reading(LIST, Status.MISSING), "neither libvirt's RPC nor virsh"),
    ],
)
def test_a_virsh_that_lists_nothing_says_why(listing: Reading, refusal: str) -> None:
    answer = answer_of_virsh({LIST: listing}, URI)
    assert answer is not None
    assert refusal in (answer.refusal or "")


def test_a_virsh_that_was_not_asked_is_no_answer_and_its_readings_are_not_kept() -> None:
    assert answer_of_virsh({}, URI) is None
    kept = without_virsh({**answers(dominfo=DOMINFO, inactive=XML), "dmesg": Reading("dmesg", Status.OK)})
    assert list(kept) == ["dmesg"]

"""What of a candidate is sent to a host's libvirt: the words that decide its CPU, and none that anyone could misuse."""

from xml.etree.ElementTree import Element, SubElement, tostring

import pytest
from defusedxml.ElementTree import fromstring
from hypothesis import given
from hypothesis import strategies as st

from nested_kvm.errors import NotObserved
from nested_kvm.evidence.expansion.question import FEATURES, LIMIT, NotAskable, Question, question_of
from nested_kvm.facts.definition.libvirt_xml import domain_of_xml

OS = "<os><type arch='x86_64' machine='q35'>hvm</type></os>"
FEATURE = "<feature name='aes'/>"
SECRETS = (
    "<devices><graphics passwd='s3cret'/><disk><source file='/etc/shadow'/></disk><filesystem/></devices>"
    "<metadata><token>s3cret</token></metadata><seclabel type='none'/><features><hyperv mode='passthrough'/></features>"
)


def domain(cpu: str, *, kind: str = "kvm", os: str = OS, more: str = "") -> str:
    return f"<domain type='{kind}'><name>ci-1; reboot</name><uuid/><vcpu>64</vcpu>{os}{cpu}{more}</domain>"


def question(cpu: str, **settings: str) -> Question:
    found = question_of(fromstring(domain(cpu, **settings)))
    assert isinstance(found, Question), found
    return found


def why_not(cpu: str, **settings: str) -> str:
    found = question_of(fromstring(domain(cpu, **settings)))
    assert isinstance(found, NotAskable), found
    return found.reason


@pytest.mark.parametrize(
    "cpu",
    [
        "",
        '<cpu mode="host-passthrough" check="none" migratable="off" />',
        '<cpu match="exact"><model fallback="forbid" vendor_id="GenuineKVM">EPYC-v2</model><vendor>AMD</vendor></cpu>',
        '<cpu><model>EPYC</model><feature policy="require" name="svm" /><feature name="sse4.2" /></cpu>',
    ],
)
def test_the_cpu_is_sent_as_it_is_written(cpu: str) -> None:
    sent = question(cpu, more=SECRETS).xml
    assert sent == (
        '<domain type="kvm"><name>nested-kvm-candidate</name><memory unit="MiB">64</memory><vcpu>1</vcpu>'
        f'<os><type arch="x86_64" machine="q35">hvm</type></os><features><acpi /></features>{cpu}'
        '<devices><controller type="usb" model="none" /><memballoon model="none" /></devices></domain>'
    )


def test_what_has_nothing_to_do_with_flags_is_left_out() -> None:
    sizes = "<topology sockets='64' cores='1' threads='1'/><numa><cell cpus='0-63' memory='9'/></numa>"
    written = f"<cpu mode='host-model'>{sizes}<cache mode='passthrough'/><maxphysaddr mode='passthrough'/></cpu>"
    assert question(written) == question("<cpu mode='host-model'/>")


@pytest.mark.parametrize(
    ("cpu", "settings", "reason"),
    [
        ("<cpu><model>EPYC -cpu host</model></cpu>", {}, "model 'EPYC -cpu host' is not a word"),
        ("<cpu><model>EPYC,svm=on</model></cpu>", {}, "is not a word"),
        ("<cpu><model>\nEPYC</model></cpu>", {}, "is not a word"),
        ("<cpu><model>$(reboot)</model></cpu>", {}, "is not a word"),
        ("<cpu><model vendor_id='a,b'>EPYC</model></cpu>", {}, "vendor_id 'a,b' is not a word"),
        ("<cpu><model>EPYC</model><feature name=''/></cpu>", {}, "name '' is not a word"),
        (f"<cpu><model>{'E' * 101}</model></cpu>", {}, "is not a word"),
        ("<cpu><model>EPYC</model><model>kvm64</model></cpu>", {}, "more than 1 <model>"),
        ("<cpu><model>EPYC</model><surprise/></cpu>", {}, "<surprise>, which is not known"),
        ("<cpu><model>EPYC<feature/></model></cpu>", {}, "which is not known"),
        ("<cpu mode='host-model' surprise='1'/>", {}, "attribute surprise"),
        ("<cpu/><cpu mode='host-model'/>", {}, "several <cpu>"),
        (f"<cpu><model>a</model>{FEATURE * (FEATURES + 1)}</cpu>", {}, f"more than {FEATURES}"),
        (f"<cpu><model>a</model>{FEATURE.replace('aes', 'a' * 99) * 200}</cpu>", {}, f"more than {LIMIT}"),
        ("", {"kind": "qemu"}, "not kvm"),
        ("", {"os": ""}, "exactly one type"),
        ("", {"os": "<os><type>exe</type></os>"}, "exactly one type"),
        ("", {"os": "<os><type arch='aarch64'>hvm</type></os>"}, "architecture is aarch64"),
        ("", {"os": "<os><type machine='q35,accel=tcg'>hvm</type></os>"}, "is not a word"),
        ("", {"more": "<launchSecurity type='tdx'/>"}, "memory is encrypted"),
        ("", {"more": "<devices><emulator>/bin/sh -c reboot</emulator></devices>"}, "<emulator> is not one path"),
        ("", {"more": "<devices><emulator>qemu</emulator></devices>"}, "<emulator> is not one path"),
    ],
)
def test_what_cannot_be_sent_as_it_is_is_not_asked(cpu: str, settings: dict[str, str], reason: str) -> None:
    assert reason in why_not(cpu, **settings)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ("<q:commandline><q:arg value='-cpu'/><q:arg value='host'/></q:commandline>", "commandline"),
        ("<q:capabilities><q:del capability='x'/></q:capabilities>", "what libvirt knows of QEMU"),
    ],
)
def test_what_changes_qemu_past_libvirt_is_not_asked(more: str, reason: str) -> None:
    namespace = "xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'"
    root = fromstring(domain("<cpu mode='host-model'/>", more=more).replace("<domain ", f"<domain {namespace} "))
    found = question_of(root)
    assert isinstance(found, NotAskable)
    assert reason in found.reason


def test_an_emulator_is_not_sent_and_is_a_part_of_the_question() -> None:
    plain = question("<cpu mode='host-model'/>")
    named = question("<cpu mode='host-model'/>", more="<devices><emulator>/opt/qemu</emulator></devices>")
    assert (named.xml, named.emulator) == (plain.xml, "/opt/qemu")
    assert named.id != plain.id


def test_each_definition_has_its_own_answer() -> None:
    written = [
        "",
        "<cpu mode='host-model'/>",
        "<cpu mode='host-passthrough'/>",
        "<cpu><model>EPYC</model></cpu>",
        "<cpu><model>EPYC</model><feature name='svm'/></cpu>",
        "<cpu><model>EPYC</model><feature name='svm' policy='disable'/></cpu>",
    ]
    assert len({question(cpu).id for cpu in written}) == len(written)
    assert question("", os=OS.replace("q35", "pc")).id != question("").id


def test_an_entity_never_comes_so_far() -> None:
    with pytest.raises(NotObserved, match="refused"):
        domain_of_xml(f"<!DOCTYPE domain [<!ENTITY a SYSTEM 'file:///etc/shadow'>]>{domain('<cpu>&a;</cpu>')}")


@given(model=st.text(max_size=30), feature=st.text(max_size=30), machine=st.text(max_size=30))
def test_no_text_adds_an_element(model: str, feature: str, machine: str) -> None:
    root = Element("domain", {"type": "kvm"})
    SubElement(SubElement(root, "os"), "type", {"machine": machine}).text = "hvm"
    cpu = SubElement(root, "cpu")
    SubElement(cpu, "model").text = model
    SubElement(cpu, "feature", {"name": feature})
    found = question_of(root)
    if isinstance(found, Question):
        sent = fromstring(found.xml)
        assert tostring(sent, encoding="unicode") == found.xml
        assert [each.tag for each in sent.iter()] == [
            *("domain", "name", "memory", "vcpu", "os", "type", "features", "acpi"),
            *("cpu", "model", "feature", "devices", "controller", "memballoon"),
        ]

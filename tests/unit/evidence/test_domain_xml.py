"""Of a domain's XML nothing is kept but what is judged."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nested_kvm.errors import NotObserved
from nested_kvm.evidence.libvirt.domain_xml import parse_domain_xml, reduce_domain_xml
from nested_kvm.evidence.libvirt.qemu_arguments import OTHER, deciding_arguments
from nested_kvm.facts.libvirt.cpu_definition import cpu_definition_of
from tests.support.scenario import RECORDED

SECRET = "hunter2"  # noqa: S105 - looked for where it must not be
FULL = f"""
<domain type='kvm' id='7' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>ci-1</name>
  <uuid>9f5737ad-04b0-41f7-882c-99c327b51994</uuid>
  <title>{SECRET}</title>
  <description>{SECRET}</description>
  <metadata><app:x xmlns:app='urn:x'>{SECRET}</app:x></metadata>
  <vcpu placement='static'>2</vcpu>
  <os>
    <type arch='x86_64' machine='pc-q35-7.2'>hvm</type>
    <kernel>/boot/{SECRET}</kernel>
    <cmdline>token={SECRET}</cmdline>
  </os>
  <sysinfo type='smbios'><system><entry name='serial'>ds=nocloud;{SECRET}</entry></system></sysinfo>
  <cpu mode='host-passthrough'><feature policy='require' name='svm'/></cpu>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='network'><auth username='{SECRET}'/></disk>
    <graphics type='vnc' passwd='{SECRET}'/>
  </devices>
  <launchSecurity type='sev'><dhCert>{SECRET}</dhCert><session>{SECRET}</session></launchSecurity>
  <seclabel><label>{SECRET}</label></seclabel>
  <qemu:commandline>
    <qemu:arg value='-cpu'/>
    <qemu:arg value='host,+svm'/>
    <qemu:arg value='-global'/>
    <qemu:arg value='max-x86_64-cpu.svm=off'/>
    <qemu:arg value='-global'/>
    <qemu:arg value='ide-hd.serial={SECRET}'/>
    <qemu:arg value='-readconfig'/>
    <qemu:arg value='/home/{SECRET}'/>
    <qemu:arg value='-{SECRET}'/>
    <qemu:arg value='-object'/>
    <qemu:arg value='secret,id=s,data={SECRET}'/>
    <qemu:env name='TOKEN' value='{SECRET}'/>
  </qemu:commandline>
</domain>"""


def test_no_secret_is_kept() -> None:
    assert SECRET not in reduce_domain_xml(FULL)


@pytest.mark.parametrize("policy", ["x:policy='disable'", "x:policy='disable' policy='require'"])
def test_an_attribute_counts_whatever_its_namespace_as_with_libvirt(policy: str) -> None:
    # libvirt 9.0 defines either as policy='disable' (`virsh -c test:///default define`).
    cpu = f"<cpu x:mode='host-passthrough'><feature {policy} name='svm'/></cpu>"
    kept = parse_domain_xml(reduce_domain_xml(f"<domain type='kvm' xmlns:x='urn:x'><name>ci-1</name>{cpu}</domain>"))
    found = cpu_definition_of(kept)
    assert (found.mode, dict(found.features)) == ("host-passthrough", {"svm": "disable"})


def test_what_is_judged_is_kept() -> None:
    kept = parse_domain_xml(reduce_domain_xml(FULL))
    assert (kept.get("type"), kept.get("id"), kept.findtext("name"), kept.findtext("vcpu")) == ("kvm", "7", "ci-1", "2")
    definition = cpu_definition_of(kept)
    assert (definition.mode, definition.features, definition.passed_through) == (
        "host-passthrough",
        {"svm": "require"},
        f"-cpu host,+svm -global max-x86_64-cpu.svm=off -readconfig {OTHER}",
    )
    assert definition.memory_encryption == "sev"


@pytest.mark.parametrize("path", sorted(RECORDED.glob("*.xml")), ids=lambda path: path.name)
def test_a_recorded_domain_says_the_same_after_it_was_reduced(path: object) -> None:
    text = (RECORDED / str(path)).read_text()
    reduced = reduce_domain_xml(text)
    assert cpu_definition_of(parse_domain_xml(reduced)) == cpu_definition_of(parse_domain_xml(text))
    assert reduce_domain_xml(reduced) == reduced
    for gone in ("root=/dev/vda", "m.qcow2", "52:54:00"):
        assert gone in text
        assert gone not in reduced


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not XML",
        "<domain>",
        "<network/>",
        "<domain xmlns='urn:x'/>",
        "<!DOCTYPE domain><domain/>",
        "<!DOCTYPE d [<!ENTITY x 'y'>]><domain><name>&x;</name></domain>",
        "<!DOCTYPE d [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><domain><name>&x;</name></domain>",
        "<domain>&unknown;</domain>",
        "<domain>\0</domain>",
    ],
)
def test_what_is_no_domain_or_holds_a_dtd_is_refused(text: str) -> None:
    with pytest.raises(NotObserved):
        reduce_domain_xml(text)


@given(st.text(max_size=100), st.text("<>/&;!'= \0domaincpu[]", max_size=60))
def test_any_text_is_a_domain_or_refused(before: str, inside: str) -> None:
    for text in (before, f"<domain>{inside}</domain>", f"{before}<domain><cpu>{inside}</cpu></domain>"):
        with contextlib.suppress(NotObserved):
            assert parse_domain_xml(reduce_domain_xml(text)).tag == "domain"


@given(st.lists(st.sampled_from(["-cpu", "--cpu", "host", SECRET, "-smbios", ""]), max_size=6))
def test_of_qemus_arguments_only_what_follows_cpu_is_kept(values: list[str]) -> None:
    arguments = "".join(f"<q:arg value='{value}'/>" for value in values)
    text = (
        "<domain xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'>"
        f"<q:commandline>{arguments}</q:commandline></domain>"
    )
    shown = SECRET in reduce_domain_xml(text)
    assert shown is any(values[at : at + 2] in (["-cpu", SECRET], ["--cpu", SECRET]) for at in range(len(values)))


@pytest.mark.parametrize(
    ("arguments", "kept"),
    [
        ("-cpu host", "-cpu host"),
        ("--cpu EPYC --global cpu.svm=on", "-cpu EPYC -global cpu.svm=on"),
        ("-global driver=cpu,property=svm,value=on", "-global driver=cpu,property=svm,value=on"),
        ("-global PIIX4_PM.disable_s3=1", ""),
        ("-global kvm-accel.x=1", OTHER),
        ("-global", OTHER),
        ("-accel kvm -enable-kvm", ""),
        ("-accel kvm,kernel-irqchip=split", ""),
        ("-accel tcg", "-accel"),
        ("-machine accel=tcg", "-machine"),
        ("-M q35", "-M"),
        ("-readconfig x -icount 1", "-readconfig -icount"),
        ("-device edu -set device.net0.mq=on", ""),
        ("-device max-x86_64-cpu,id=x", OTHER),
        ("-device id=x,driver=max-x86_64-cpu", OTHER),
        ("-set machine.x=y", OTHER),
        ("-object rng-random,id=x", ""),
        ("-object sev-guest,id=sev0", "-object sev-guest"),
        ("-object qom-type=tdx-guest,id=t", "-object tdx-guest"),
        ("-cpu", "-cpu "),
        ("-frobnicate", OTHER),
        ('-device {"id":"x","driver":"max-x86_64-cpu"}', OTHER),
        ('-device {"driver":"virtio-net-pci"}', ""),
        ('-object {"id":"s","qom-type":"sev-guest"}', OTHER),
        ("a b", ""),
    ],
)
def test_an_argument_is_dropped_only_where_it_is_known_to_be_harmless(arguments: str, kept: str) -> None:
    values = list(deciding_arguments(arguments.split()))
    assert values == kept.split(" ") * bool(kept)
    assert list(deciding_arguments(values)) == values


@pytest.mark.parametrize("arguments", ["-enable-kvm", "-accel kvm", "--accel kvm,x=y"])
def test_kvm_that_is_asked_for_past_an_emulated_domain_is_kept(arguments: str) -> None:
    assert list(deciding_arguments(arguments.split(), under_kvm=False))
    assert not list(deciding_arguments(arguments.split(), under_kvm=True))

"""Which candidates a host's own libvirt can be asked about: those of which it would get exactly this CPU."""

import json

import pytest
from defusedxml.ElementTree import fromstring

from nested_kvm.evidence.expansion.question import NotAskable, Question
from tests.support.defined import only

TERRAFORM = "plan.json"
KUBEVIRT = (
    "apiVersion: kubevirt.io/v1\nkind: VirtualMachine\nmetadata: {name: ci}\n"
    "spec: {template: {spec: {domain: {cpu: {model: host-passthrough}}}}}\n"
)
SVM = {"name": "svm", "policy": "require"}


def plan(cpu: object, **values: object) -> tuple[str, str]:
    own = {"name": "ci", "cpu": cpu, **values}
    resource = {"address": "a.b", "mode": "managed", "type": "libvirt_domain", "values": own}
    return TERRAFORM, json.dumps({"planned_values": {"root_module": {"resources": [resource]}}})


def virt_install(options: str) -> tuple[str, str]:
    return "vm.sh", f"virt-install --name ci {options}\n"


def nova(settings: str) -> tuple[str, str]:
    return "nova.conf", f"[libvirt]\n{settings}\n"


REQUIRED = '<feature name="svm" policy="require" />'
MINIMUM = f'<cpu mode="custom" check="none" match="minimum"><model>EPYC</model>{REQUIRED}</cpu>'
FLAGS = f'<cpu mode="custom"><model>EPYC</model>{REQUIRED}<feature name="aes" policy="disable" /></cpu>'
WITHOUT = '<cpu mode="host-passthrough"><feature name="svm" policy="disable" /></cpu>'
XML = "<domain type='kvm'><name>c</name><os><type>hvm</type></os><cpu mode='maximum'/></domain>"


@pytest.mark.parametrize(
    ("file", "cpu"),
    [
        (("ci.xml", XML), '<cpu mode="maximum" />'),
        (plan([]), None),
        (plan([{"mode": "host-passthrough"}]), '<cpu mode="host-passthrough" />'),
        (
            plan({"mode": "custom", "model": "EPYC", "match": "minimum", "check": "none", "features": [SVM]}),
            MINIMUM,
        ),
        (virt_install("--cpu host-passthrough,-svm,cache.mode=passthrough"), WITHOUT),
        (nova("cpu_mode = none"), None),
        (nova("cpu_mode = host-model"), '<cpu mode="host-model" />'),
        (nova("cpu_mode = custom\ncpu_models = EPYC\ncpu_model_extra_flags = svm, -aes"), FLAGS),
    ],
)
def test_the_cpu_that_libvirt_would_get_is_asked_about(file: tuple[str, str], cpu: str | None) -> None:
    question = only(file).question
    assert isinstance(question, Question), question
    found = fromstring(question.xml).find("cpu")
    expected = None if cpu is None else fromstring(cpu)
    assert (found is None) is (expected is None)
    if found is not None and expected is not None:
        assert [(each.tag, each.attrib, each.text) for each in found.iter()] == [
            (each.tag, each.attrib, each.text) for each in expected.iter()
        ]


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (("ci.yaml", KUBEVIRT), "the QEMU in its image"),
        (("100.conf", "cpu: host\n"), "without libvirt"),
        (("p.yml", "ci:\n  image: x\n  nested: true\n  cpumodel: host-model\n"), "kcli writes its <cpu>"),
        (plan({"mode": "host-passthrough", "migratable": "off"}), "cpu.migratable is not read here"),
        (plan({"mode": "custom", "model": "EPYC", "match": "strict"}), "cpu.match is not read here"),
        (plan({"mode": "host-passthrough", "surprise": 1}), "cpu.surprise is not known here"),
        (plan({"mode": "maximum"}, emulator="/opt/qemu"), "names an emulator"),
        (plan({"mode": "maximum"}, devices={"emulator": "/opt/qemu"}), "names an emulator"),
        (plan({"mode": "maximum"}, os={"type_arch": "aarch64"}), "architecture is aarch64"),
        (plan({"mode": "custom", "model": "EPYC", "model_fallback": "forbid"}), "cpu.model_fallback is not read here"),
        (virt_install("--cpu host-passthrough --boot emulator=/opt/qemu,uefi"), "names an emulator"),
        (nova("cpu_mode = host-passthrough\nhw_machine_type = x86_64=pc-q35-9.9"), "hw_machine_type"),
        (virt_install("--cpu EPYC,+svm"), "adds features to a named model"),
        (virt_install("--cpu host-passthrough,migratable=off"), "migratable=off is not read here"),
        (virt_install(""), "the version of virt-install decides"),
        (virt_install("--cpu host-passthrough --virt-type qemu"), "not kvm"),
        (virt_install("--cpu host-passthrough --launchSecurity sev"), "memory is encrypted"),
        (nova("cpu_mode = custom\ncpu_models = EPYC,EPYC-Rome"), "a flavor decides"),
        (nova("cpu_mode = host-model\nvirt_type = qemu"), "not kvm"),
    ],
)
def test_any_other_is_not_and_says_why(file: tuple[str, str], reason: str) -> None:
    found = only(file).question
    assert isinstance(found, NotAskable), found
    assert reason in found.reason


@pytest.mark.parametrize("values", [{"machine": "q35"}, {"os": {"machine": "q35"}}, {"os": {"type_machine": "q35"}}])
def test_it_is_asked_about_the_machine_of_each_version_of_the_provider(values: dict[str, object]) -> None:
    question = only(plan({"mode": "maximum"}, **values)).question
    assert isinstance(question, Question), question
    assert '<type machine="q35">hvm</type>' in question.xml

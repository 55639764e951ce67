"""What libvirt prints of a translation, and what QEMU's monitor answers, are read as they are meant, or not at all."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nested_kvm.evidence.expansion import Translation, answers_of_monitor, monitor_commands

UUID = "5fb3a1c4-0c53-4b8e-9d58-7f1d7c6d0a11"
MACHINE = "-machine pc-q35-7.2,usb=off,dump-guest-core=off"
START = "LC_ALL=C PATH=/usr/bin XDG_DATA_HOME=/var/lib/libvirt/qemu /usr/bin/qemu-system-x86_64"


def translation(text: str) -> Translation:
    found = Translation.parse(text)
    assert found is not None
    return found


def test_the_words_that_count_are_kept_and_no_other() -> None:
    text = f"{START} \\\n-name guest=a,debug-threads=on \\\n{MACHINE} \\\n-accel kvm \\\n-cpu EPYC,svm=on \\\n-vnc :0"
    assert translation(text).text == "/usr/bin/qemu-system-x86_64 -machine pc-q35-7.2 -accel kvm -cpu EPYC,svm=on"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "'",
        "error: unsupported configuration",
        "LC_ALL=C",
        f"{START} -accel kvm -cpu EPYC",
        f"{START} {MACHINE} -accel tcg -cpu EPYC",
        f"{START} {MACHINE} -cpu EPYC",
        f"{START} {MACHINE},accel=kvm:tcg -cpu EPYC",
        f"{START} {MACHINE} -accel kvm -cpu EPYC -cpu host",
        f"{START} {MACHINE} -accel kvm -cpu EPYC -global cpu.svm=on",
        f"{START} {MACHINE} -accel kvm -cpu EPYC -readconfig /etc/cpu.conf",
        f"{START} {MACHINE} -machine pc -accel kvm -cpu EPYC",
        f"{START} -machine 'pc;reboot' -accel kvm -cpu EPYC",
        f"qemu-system-x86_64 {MACHINE} -accel kvm -cpu EPYC",
    ],
)
def test_what_cpu_alone_does_not_decide_is_not_expanded(text: str) -> None:
    assert Translation.parse(text) is None


def test_an_accelerator_may_stand_with_the_machine() -> None:
    assert translation(f"{START} {MACHINE},accel=kvm -cpu EPYC").machine == "pc-q35-7.2"


@pytest.mark.parametrize(
    ("cpu", "model", "properties"),
    [
        ("", "qemu64", {}),
        ("host,migratable=on,svm=off", "host", {"migratable": True, "svm": False}),
        ("EPYC,+svm,-x2apic", "EPYC", {"svm": True, "x2apic": False}),
        ("EPYC,hv-spinlocks=0x1fff,hv-vendor-id=KVM Hv", "EPYC", {"hv-spinlocks": 8191, "hv-vendor-id": "KVM Hv"}),
    ],
)
def test_a_cpu_is_asked_as_it_would_be_started(cpu: str, model: str, properties: dict[str, object]) -> None:
    asked = json.loads(Translation("/usr/bin/qemu", "q35", cpu).command(UUID))
    assert asked["id"] == UUID
    assert asked["arguments"] == {"type": "full", "model": {"name": model, "props": properties}}


@given(cpu=st.text(max_size=60))
def test_no_definition_can_add_a_command(cpu: str) -> None:
    lines = monitor_commands({UUID: Translation("/usr/bin/qemu", "q35", cpu)}).split("\n")
    assert [json.loads(line)["execute"] for line in lines] == [
        "qmp_capabilities",
        "query-cpu-model-expansion",
        "quit",
    ]


def test_of_an_answer_only_the_flags_are_kept() -> None:
    properties = {"svm": True, "vmx": False, "family": 23, "model-id": "AMD EPYC"}
    lines = [
        '{"QMP": {"version": {}}}',
        '{"return": {}}',
        json.dumps({"return": {"model": {"name": "base", "props": properties}}, "id": UUID}),
        json.dumps({"id": "other", "error": {"class": "GenericError", "desc": "The CPU definition 'x' is unknown"}}),
        "qemu: warning: no JSON at all",
    ]
    assert dict(answers_of_monitor("\n".join(lines))) == {
        UUID: '{"svm": true, "vmx": false}',
        "other": '{"error": "The CPU definition \'x\' is unknown"}',
    }


@given(text=st.one_of(st.text(), st.integers(1, 3000).map(lambda depth: "[" * depth)))
def test_a_hostile_answer_is_no_answer(text: str) -> None:
    assert list(answers_of_monitor(text)) == []

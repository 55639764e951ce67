"""Incus' instances: QEMU's `-cpu host` unless a key says otherwise, and unknown where another file might."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nested_kvm.errors import NotObserved
from nested_kvm.facts.kvm.qemu_cpu import qemu_cpu_definition
from nested_kvm.model.answer import Answer
from tests.support.defined import BOTH, defined, gives, only

YES, NO, UNKNOWN = Answer.YES, Answer.NO, Answer.UNKNOWN
MODELS = st.sampled_from(["host", "max", "kvm64", "EPYC"])
WORDS = st.lists(st.sampled_from(["+svm", "-svm", "svm=on", "vmx=off", "-vmx", "+aes"]), max_size=2)


def listed(config: dict[str, Any], **keys: Any) -> tuple[str, str]:
    own = {"name": "ci-1", "type": "virtual-machine", "architecture": "x86_64", "devices": {}, "profiles": ["default"]}
    return "list.json", json.dumps([own | {"config": {}, "expanded_config": config} | keys])


def shown(config: str, profiles: str = "[]") -> tuple[str, str]:
    lines = [
        "architecture: x86_64",
        "config:",
        "  volatile.vsock_id: '3'",
        config,
        "devices: {}",
        f"profiles: {profiles}",
    ]
    return "ci-1.yaml", "\n".join(filter(None, lines))


@given(MODELS, WORDS)
def test_raw_qemu_comes_last_on_its_command_line(model: str, words: list[str]) -> None:
    argument = ",".join([model, *words])
    found, theirs = only(listed({"raw.qemu": f"-smbios type=1 -cpu {argument}"})), qemu_cpu_definition(argument)
    assert [found.promise(each).gives_flag for each in BOTH] == [theirs.promise(each).gives_flag for each in BOTH]


@pytest.mark.parametrize(
    ("config", "amd", "intel"),
    [
        ({}, YES, YES),
        ({"limits.cpu": "4", "security.secureboot": "false"}, YES, YES),
        ({"raw.qemu": "-cpu host,-svm"}, NO, YES),
        ({"raw.qemu": "-global cpu.vmx=off"}, YES, NO),
        ({"raw.qemu": "-readconfig /x"}, UNKNOWN, UNKNOWN),
        ({"raw.qemu.conf": "[global]"}, UNKNOWN, UNKNOWN),
        ({"raw.qemu.scriptlet": "def qemu_hook(instance, stage): pass"}, UNKNOWN, UNKNOWN),
        ({"migration.stateful": "true"}, UNKNOWN, UNKNOWN),
        ({"migration.stateful": "false"}, YES, YES),
        ({"migration.stateful": "true", "raw.qemu": "-cpu host"}, YES, YES),
        ({"migration.stateful": "true", "raw.qemu": "-fw_cfg name=opt/my-cpu,string=x"}, UNKNOWN, UNKNOWN),
    ],
)
def test_the_keys_decide(config: dict[str, str], amd: Answer, intel: Answer) -> None:
    assert gives(only(listed(config))) == (amd, intel)


def test_memory_encryption_is_seen() -> None:
    assert only(listed({"security.sev": "true"})).cpu.memory_encryption == "sev"


def test_a_container_is_no_guest_of_kvms() -> None:
    assert defined(listed({}, type="container")) == []


def test_whether_it_is_a_vm_has_to_be_said() -> None:
    assert gives(only(("ci-1.yaml", "architecture: x86_64\nconfig: {}\ndevices: {}\nprofiles: []\n"))) == (
        UNKNOWN,
        UNKNOWN,
    )
    assert gives(only(shown(""))) == (YES, YES)


def test_a_profile_that_is_not_among_the_files_may_decide() -> None:
    default = ("default.yaml", "name: default\nconfig: {raw.qemu: '-cpu kvm64'}\ndevices: {}\nused_by: []\n")
    own = "  raw.qemu: -cpu host"
    assert gives(only(shown("", "[default]"))) == (UNKNOWN, UNKNOWN)
    assert gives(only(shown("", "[default]"), default)) == (NO, NO)
    assert gives(only(shown(own, "[default]"), default)) == (YES, YES)


def test_two_profiles_of_one_name_decide_nothing() -> None:
    files = [
        (f"{name}.yaml", f"name: default\nconfig: {{raw.qemu: '-cpu {name}'}}\ndevices: {{}}\n")
        for name in ("host", "max")
    ]
    assert gives(only(shown("", "[default]"), *files)) == (UNKNOWN, UNKNOWN)


def test_the_place_is_that_of_the_deciding_key() -> None:
    assert only(shown("  raw.qemu: -cpu host")).place == ":4"
    assert only(listed({"raw.qemu": "-cpu host"})).place == ": [0].expanded_config.raw.qemu"


@pytest.mark.parametrize(
    ("file", "says"),
    [
        (("list.json", '[{"name": "x"}]'), "[0] is not an instance of Incus"),
        (listed({"raw.qemu": ["-cpu"]}), "is not text"),
        (listed({"raw.qemu": "-cpu 'host"}), "raw.qemu: No closing quotation"),
        (listed({}, name=""), "it has no name"),
    ],
)
def test_what_incus_would_not_print_is_an_error(file: tuple[str, str], says: str) -> None:
    with pytest.raises(NotObserved) as error:
        defined((file[0], file[1].replace('"name": ""', '"name": "\\u001b"')))
    assert says in str(error.value)

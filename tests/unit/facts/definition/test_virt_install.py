"""virt-install's command lines, as scripts and runbooks have them."""

import pytest

from nested_kvm.errors import NotObserved
from nested_kvm.model.answer import Answer
from tests.support.defined import defined, gives, only

YES, NO, UNKNOWN = Answer.YES, Answer.NO, Answer.UNKNOWN


def script(line: str) -> tuple[str, str]:
    return "vm.sh", f"#!/bin/sh\n{line}\n"


@pytest.mark.parametrize(
    ("options", "amd", "intel"),
    [
        ("--cpu host-passthrough", YES, YES),
        ("--cpu=host-passthrough,cache.mode=passthrough", YES, YES),
        ("--cpu mode=host-passthrough", YES, YES),
        ("--cpu host-model", NO, YES),
        ("--cpu host-model,require=svm", YES, NO),
        ("--cpu host-passthrough,-svm", NO, YES),
        ("--cpu host-passthrough,disable=vmx", YES, NO),
        ("--cpu EPYC", NO, NO),
        ("--cpu EPYC,+svm", YES, NO),
        ("--cpu EPYC,require=svm,require=vmx", UNKNOWN, UNKNOWN),
        ("--cpu model=EPYC,require=svm,match=exact", YES, NO),
        ("--cpu model=EPYC,match=minimum", NO, YES),
        ("--cpu host", UNKNOWN, UNKNOWN),
        ("--cpu host-passthrough,feature0.name=svm,feature0.policy=disable", UNKNOWN, UNKNOWN),
        ("", UNKNOWN, UNKNOWN),
        ("--cpu $CPU", UNKNOWN, UNKNOWN),
        ("--cpu host-passthrough $EXTRA", UNKNOWN, UNKNOWN),
        ("--cpu host-passthrough `cat more`", UNKNOWN, UNKNOWN),
        ("--cpu host-passthrough --memory $MEMORY", UNKNOWN, UNKNOWN),
        ("--cpu host-passthrough --memory=$MEMORY", YES, YES),
        ("--cpu host-passthrough --xml ./cpu/@mode=custom", UNKNOWN, UNKNOWN),
        ("--cpu host-passthrough --xml ./metadata/x=1", YES, YES),
        ("--cpu host-passthrough --qemu-commandline='-cpu kvm64'", UNKNOWN, UNKNOWN),
        ("--cpu host-passthrough --qemu-commandline='-smbios type=1'", YES, YES),
        ("--cpu host-passthrough --cpu EPYC", UNKNOWN, UNKNOWN),
        ("--cpu host-passthrough --virt-typ qemu", UNKNOWN, UNKNOWN),
        ("--cpu host-passthrough --cp=EPYC", UNKNOWN, UNKNOWN),
        ("--cpu host-passthrough --mac 52:54:00:00:00:01 --memory 512 --network none", YES, YES),
        ("--cpu host-passthrough --connect xen:///", UNKNOWN, UNKNOWN),
        ("--cpu host-passthrough --boot uefi,domain_type=qemu", UNKNOWN, UNKNOWN),
        ("--cpu host-passthrough --boot=arch=aarch64", UNKNOWN, UNKNOWN),
        ("--cpu host-passthrough --boot=$BOOT", UNKNOWN, UNKNOWN),
        ("--cpu host-passthrough --boot uefi,nvram=$HOME/a,emulator=/opt/qemu", YES, YES),
        ("--cpu EPYC,match=minimum,match=exact", NO, NO),
        ("--cpu mode=maximum", YES, YES),
        ("--cpu maximum", UNKNOWN, UNKNOWN),
        ("--cpu secure=off", UNKNOWN, UNKNOWN),
        ("--cpu check=none,migratable=on", UNKNOWN, UNKNOWN),
        ("--cpu model=", UNKNOWN, UNKNOWN),
        ("--cpu host-passthrough,mode=custom", UNKNOWN, UNKNOWN),
        ("--cpu host-passthrough --xml ./*[4]/@mode=custom", UNKNOWN, UNKNOWN),
        ("--cpu host-passthrough --xml xpath.delete=./devices/../child::node()", UNKNOWN, UNKNOWN),
        ("--cpu host-passthrough --xml ./devices/disk[1]/@device=cdrom", YES, YES),
        ("--cpu none,+vmx", UNKNOWN, UNKNOWN),
        ("--cpu none", UNKNOWN, UNKNOWN),
        ("--cpu clear", UNKNOWN, UNKNOWN),
        ("--cpu disable=svm", UNKNOWN, UNKNOWN),
        ("--cpu EPYC,mode=host-passthrough", UNKNOWN, UNKNOWN),
        ("--cpu host-passthrough --connect qemu+ssh://kvm-a/system", YES, YES),
    ],
)
def test_the_options_decide(options: str, amd: Answer, intel: Answer) -> None:
    assert gives(only(script(f"virt-install --name ci-1 {options}"))) == (amd, intel)


def test_a_script_may_run_several() -> None:
    text = """\
set -e
# virt-install --name no
sudo virt-install -n a \\
  --cpu EPYC && LANG=C /usr/bin/virt-install --name=b
if true; then :; fi; echo virt-install
"""
    found = defined(("vm.sh", text))
    assert [(each.name, each.place) for each in found] == [("a", ":3"), ("b", ":3")]


@pytest.mark.parametrize(
    "line",
    [
        "if true; then virt-install --name a --cpu EPYC; fi",
        "for i in 1 2; do virt-install --name a --cpu EPYC; done",
        "! virt-install --name a --cpu EPYC",
        "ssh root@kvm-a virt-install --name a --cpu EPYC",
        "(virt-install --name a --cpu EPYC)",
        "virt-install --name a --disk path=/x#y --cpu EPYC  # --cpu host-passthrough",
        "command -v virt-install && virt-install --name a --cpu EPYC",
        "apt install virt-install; which virt-install; virt-install --name a --cpu EPYC",
    ],
)
def test_it_is_found_however_the_script_runs_it(line: str) -> None:
    found = only(script(line))
    assert (found.name, gives(found)) == ("a", (NO, NO))


@pytest.mark.parametrize(
    ("options", "kind"), [("", "kvm"), ("--virt-type qemu", "qemu"), ("--virt-type=kvm", "kvm"), ("--paravirt", "xen")]
)
def test_the_type_is_as_it_is_asked_for(options: str, kind: str) -> None:
    assert only(script(f"virt-install --name a {options}")).type == kind


def test_memory_encryption_is_seen() -> None:
    found = only(script("virt-install --name a --cpu host-passthrough --launchSecurity type=sev"))
    assert found.cpu.memory_encryption == "sev"


def test_a_line_that_no_shell_takes_is_an_error_with_its_line() -> None:
    with pytest.raises(NotObserved, match=r"vm\.sh: line 2: No closing quotation"):
        only(script("virt-install --name 'a"))
